"""The label tables of 4DME: a spreadsheet of clips, or the challenge's table of zeros and ones."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from fer_bench.data.layouts import Tree
from fer_bench.errors import InvalidFile
from fer_bench.expressions import FOURDME_EMOTIONS
from fer_bench.io.spreadsheet import read_sheet

# In the wrapper folder of a wrapper folder at most: clips are below that, with thousands of files.
_MAX_DEPTH = 2
_HEADER_ROWS = 10
_WORDS = {
    "positive": ("pos", "positive"),
    "negative": ("neg", "negative"),
    "surprise": ("sur", "surp", "surprise", "surprised"),
    "repression": ("rep", "repr", "repression", "repressed"),
    "others": ("other", "others"),
}
_BETWEEN_WORDS = re.compile(r"(?:[^a-z]|(?<![a-z])and(?![a-z]))+")
# A side is part of a unit only directly beside it: whose is the L of `4 L 12`? `4.0` is a spreadsheet's 4.
_UNIT = re.compile(
    r"(?:(?<![A-Z0-9.])(?:AU\s*)?|(?<=[0-9LR])AU\s*)([LR])?([0-9]{1,2})(?:\.0)?(?(1)|([LR]?))(?=AU|(?![A-Z0-9.]))"
    r"\s*(\(\s*k\s*\))?",
    re.IGNORECASE,
)
_BETWEEN_UNITS = re.compile(r"[\s+,;/&|_-]*")


@dataclass(frozen=True)
class ActionUnit:
    """An action unit of a clip.

    Attributes:
        number: In the numbering of FACS.
        side: `L`, `R`, or empty for both.
        static: Marked `(k)`: it is there the whole time, and no part of the micro-expression.
    """

    number: int
    side: str
    static: bool


@dataclass(frozen=True)
class Labelled:
    """One row of a table.

    Attributes:
        subject: As written; empty in the challenge's table.
        clip: Name of the clip's folder.
        emotions: In the order of `FOURDME_EMOTIONS`, empty where the table has none; None if one is not known.
        units: The action units as written.
        where: File and row, from 1, for messages.
    """

    subject: str
    clip: str
    emotions: tuple[str, ...] | None
    units: str
    where: str


@dataclass(frozen=True)
class Table:
    """A label table.

    Attributes:
        name: The file.
        challenge: Whether it is the challenge's kind.
        rows: In the order of the file.
    """

    name: str
    challenge: bool
    rows: tuple[Labelled, ...]


def read_tables(tree: Tree) -> list[Table]:
    """All label tables near the root.

    Raises:
        InvalidFile: there is none that can be read, but at least one that cannot.
    """
    tables, broken = [], []
    for name in tree.files:
        stem, suffix = name.rpartition("/")[2].lower().rpartition(".")[::2]
        if (
            suffix not in ("xlsx", "csv")
            or stem.startswith("~$")
            or "submission" in stem
            or name.count("/") > _MAX_DEPTH
        ):
            continue
        try:
            table = _read_table(tree, name)
        except InvalidFile as error:
            broken.append((name, error))
            continue
        if table:
            tables.append(table)
    if broken and not tables:
        raise broken[0][1]
    tree.findings.add_if((name for name, _ in broken), "warning", "spreadsheets that cannot be read, left aside")
    return tables


def parse_action_units(written: str) -> tuple[ActionUnit, ...]:
    """The action units of a cell, with any separator: `4+7(k)`, `AU4, L12`; what is not understood is left out."""
    return tuple(
        ActionUnit(int(number), (before or after).upper(), bool(static))
        for before, number, after, static in _UNIT.findall(written)
    )


def has_only_action_units(written: str) -> bool:
    """Whether `parse_action_units` leaves nothing of a cell out."""
    return _BETWEEN_UNITS.fullmatch(_UNIT.sub(" ", written)) is not None


def clip_key(name: str) -> str:
    """Equal for all spellings of a clip that is named by a number alone: a spreadsheet makes 1 or 1.0 of `001`."""
    number = re.fullmatch(r"0*(\d{1,18})(?:\.0*)?", name, re.ASCII)
    return number[1] if number else name.lower()


def same_subject(written: str, folder: str) -> bool:
    """Whether a cell means a folder: `S01`, `s1`, `01`, 1 and `1.0` all mean the folder `S01`."""
    if written.lower() == folder.lower():
        return True
    first, second = (re.fullmatch(r"(\D*?)0*(\d{1,9})(?:\.0*)?", name.lower(), re.ASCII) for name in (written, folder))
    return bool(first and second and first[2] == second[2] and (first[1] == second[1] or not (first[1] and second[1])))


def _read_table(tree: Tree, name: str) -> Table | None:
    if not name.lower().endswith(".csv"):
        tree.read(name)  # remembered: the index changes with it
        rows = read_sheet(tree.root / name)
        return _table(name, [["" if cell is None else str(cell).strip() for cell in row] for row in rows])
    text = tree.read_text(name)
    try:
        # The separator is the one under which a row names the columns.
        tables = (
            _table(name, [[c.strip() for c in row] for row in csv.reader(io.StringIO(text), delimiter=separator)])
            for separator in ",;\t"
        )
        return next(filter(None, tables), None)
    except csv.Error as error:
        raise InvalidFile(tree.root / name, f"is not a table ({error})", "Copy it again.") from None


def _table(name: str, rows: Sequence[Sequence[str]]) -> Table | None:
    """The table below the first row that names its columns; None if no row does."""
    for number, row in enumerate(rows[:_HEADER_ROWS], start=1):
        columns = [re.sub(r"[^a-z0-9]", "", cell.lower()) for cell in row]
        columns = ["others" if column == "other" else column for column in columns]
        challenge = {"id", *FOURDME_EMOTIONS} <= set(columns)
        if challenge or {"subid", "foldname", "emotion"} <= set(columns):
            read = _of_challenge if challenge else _of_spreadsheet
            below = (dict(zip_longest(columns, cells, fillvalue="")) for cells in rows[number:])
            labelled = [read(cells, f"{name}:{place}") for place, cells in enumerate(below, start=number + 1)]
            return Table(name, challenge, tuple(row for row in labelled if row.clip))
    return None


def _of_spreadsheet(cells: dict[str, str], where: str) -> Labelled:
    return Labelled(cells["subid"], cells["foldname"], _emotions(cells["emotion"]), cells.get("aus", ""), where)


def _of_challenge(cells: dict[str, str], where: str) -> Labelled:
    given = {emotion: cells[emotion].lower().removesuffix(".0") for emotion in FOURDME_EMOTIONS}
    present = tuple(emotion for emotion, value in given.items() if value in ("1", "true"))
    valid = set(given.values()) <= {"", "0", "1", "true", "false"}
    return Labelled("", cells["id"], present if valid else None, "", where)


def _emotions(written: str) -> tuple[str, ...] | None:
    if not written:
        return ()
    # A separator at an end leaves an empty word, which is none of them: something is lost there.
    words = set(_BETWEEN_WORDS.split(written.strip().lower()))
    known = words <= {word for spellings in _WORDS.values() for word in spellings}
    return tuple(emotion for emotion in FOURDME_EMOTIONS if words & set(_WORDS[emotion])) if known else None
