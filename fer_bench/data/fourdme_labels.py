"""The label tables of 4DME: a spreadsheet of clips, or the challenge's table of zeros and ones."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from fer_bench.data.layouts import Tree
from fer_bench.errors import InvalidFile
from fer_bench.expressions import FOURDME_EMOTIONS
from fer_bench.geometry.spreadsheet import read_sheet

# In the wrapper folder of a wrapper folder at most: clips are below that, with thousands of files.
_MAX_DEPTH = 2
_HEADER_ROWS = 10
_SEPARATOR = re.compile(r"[+/,;&|]")
_UNIT = re.compile(r"(?<![A-Za-z0-9])(?:AU)?\s*([LR]?)\s*(\d{1,2})\s*([LR]?)\s*(\(\s*k\s*\))?", re.IGNORECASE)


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
            table = _table(name, _cells(tree, name))
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
    """The action units of a cell, whatever separates them: `4+7(k)`, `AU4, L12`."""
    return tuple(
        ActionUnit(int(number), (before or after).upper(), bool(static))
        for before, number, after, static in _UNIT.findall(written)
    )


def same_subject(written: str, folder: str) -> bool:
    """Whether a cell means a folder: `S01`, `s1`, `01`, 1 and `1.0` all mean the folder `S01`."""
    if written.lower() == folder.lower():
        return True
    first, second = (re.fullmatch(r"(\D*?)0*(\d{1,9})(?:\.0*)?", name.lower(), re.ASCII) for name in (written, folder))
    return bool(first and second and first[2] == second[2] and (first[1] == second[1] or not (first[1] and second[1])))


def _cells(tree: Tree, name: str) -> list[list[str]]:
    if name.lower().endswith(".csv"):
        try:
            return [[cell.strip() for cell in row] for row in csv.reader(tree.read_text(name).split("\n"))]
        except csv.Error as error:
            raise InvalidFile(tree.root / name, f"is not a table ({error})", "Copy it again.") from None
    tree.read(name)  # remembered: the index changes with it
    return [["" if cell is None else str(cell).strip() for cell in row] for row in read_sheet(tree.root / name)]


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
    named = {
        next((emotion for emotion in FOURDME_EMOTIONS if part.strip().lower().startswith(emotion[:3])), None)
        for part in _SEPARATOR.split(written)
    }
    return None if None in named else tuple(emotion for emotion in FOURDME_EMOTIONS if emotion in named)
