"""Published values: every row of the papers' tables, and the suite entry that measures it.

A paper is a set of files in `leaderboards/published/`: one `<paper>_<table>.csv` a table, whose name ends like that of
the suite that measures it (`mit_table2.csv`, `mit/table2`), `<paper>_notes.yaml` with notes for the reader and the
known faults, and `<paper>_claims.yaml` (`fer_bench.papers.claims`). To add a paper, add its files.
"""

import re
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import yaml

from fer_bench import registry
from fer_bench.errors import InvalidFile, UnknownName
from fer_bench.papers.notes import REMEDY, Concerned, Fault, Notes, TableNotes, read_notes
from fer_bench.papers.published_rows import Published, read_rows
from fer_bench.yaml_text import read_yaml

LOGS = "_logs"
"""End of the stem of a file that holds a training log and no table."""

_STEM = re.compile(r"(?P<paper>.+)_(?P<table>(?P<kind>table|figure|text)(?P<number>\d*))")
_KINDS = ("table", "figure", "text")
_KEYS = ("method", "dataset", "evaluation", "metric")  # columns by which a fault selects rows


@dataclass(frozen=True)
class Section:
    """A table or figure of a paper.

    Attributes:
        table: As the paper and the suites name it: `II`, `Fig. 3`.
        stem: As files name it: `table2`, `figure3`.
        rows: The printed values; none for a figure without numbers.
        suites: Names of the suites that measure it.
    """

    table: str
    stem: str
    rows: tuple[Published, ...]
    suites: tuple[str, ...]
    notes: TableNotes

    @property
    def heading(self) -> str:
        """`Table II`, `Fig. 3`, `Text`."""
        return f"Table {self.table}" if self.stem.startswith("table") else self.table[0].upper() + self.table[1:]


@dataclass(frozen=True)
class Paper:
    """A paper's published values and notes.

    Attributes:
        folder: The folder of its files.
        sections: Its tables, then its figures, then values from its text.
    """

    name: str
    folder: Path
    notes: Notes = field(repr=False)
    sections: tuple[Section, ...] = field(repr=False)

    def find(self, table: str) -> Section:
        """A section by the paper's name of it (`II`, `fig. 3`) or by the files' (`table2`); raises `UnknownName`."""
        for section in self.sections:
            if _plain(table) in {_plain(section.table), _plain(section.stem)}:
                return section
        raise UnknownName("table", table, [s.table for s in self.sections], f"paper {self.name}")

    @cached_property
    def rows(self) -> tuple[Published, ...]:
        """The printed values of all sections."""
        return tuple(row for section in self.sections for row in section.rows)

    @cached_property
    def faults(self) -> dict[str, Fault]:
        """Mark -> known fault: `F1`, `F2`, in the order of the file."""
        return {f"F{number}": fault for number, fault in enumerate(self.notes.faults, start=1)}

    def faults_of(self, row: Published) -> dict[str, Fault]:
        """The faults that concern a row, by mark."""
        return {mark: fault for mark, fault in self.faults.items() if any(_selects(c, row) for c in fault.rows)}


def published_folder() -> Path:
    """The folder of published values: that of a checkout, or its copy in an installed package."""
    package = Path(__file__).parent.parent
    installed = package / "_published"
    return installed if installed.is_dir() else package.parent / "leaderboards" / "published"


def papers(folder: Path | None = None) -> dict[str, Path]:
    """Id -> notes file of every paper."""
    suffix = "_notes.yaml"
    return {p.name.removesuffix(suffix): p for p in sorted((folder or published_folder()).glob(f"*{suffix}"))}


def read_paper(name: str, folder: Path | None = None) -> Paper:
    """Read the files of a paper.

    Raises:
        UnknownName: no such paper exists; or a row names a protocol that does not exist.
        InvalidFile: one of its files is damaged.
    """
    folder = folder or published_folder()
    known = papers(folder)
    if name not in known:
        raise UnknownName("paper", name, known)
    notes = read_notes(known[name])
    found: dict[str, tuple[str, tuple[Published, ...]]] = {}  # stem -> table, rows
    for path in folder.glob(f"{name}_*.csv"):
        match = _STEM.fullmatch(path.stem)
        if match and match["paper"] == name:
            rows = read_rows(path)
            found[match["table"]] = rows[0].table, rows
    suites: dict[str, list[str]] = {}
    for suite, table in _tables(name).items():
        suites.setdefault(table, []).append(suite)
    stems = {table: stem for stem, (table, _) in found.items()}
    for table, measuring in suites.items():
        stems.setdefault(table, measuring[0].rpartition("/")[2])
    for table, table_notes in notes.tables.items():
        if table_notes.suites:
            suites[table] = table_notes.suites
            stems.setdefault(table, _plain(table).replace("fig", "figure"))
    if unknown := [table for table in notes.tables if table not in stems]:
        raise UnknownName("table", unknown[0], stems, str(known[name]))
    sections = []
    for table, stem in sorted(stems.items(), key=lambda item: _order(item[1])):
        _, rows = found.get(stem, (table, ()))
        sections.append(Section(table, stem, rows, tuple(suites.get(table, ())), notes.tables.get(table, TableNotes())))
    paper = Paper(name, folder, notes, tuple(sections))
    for fault in notes.faults:
        for concerned in fault.rows:
            _check(concerned, paper, known[name], fault.id)
    return paper


def _selects(concerned: Concerned, row: Published) -> bool:
    keys = [(getattr(concerned, f"{kind}s"), getattr(row, kind)) for kind in _KEYS]
    return concerned.table == row.table and all(not names or value in names for names, value in keys)


def _check(concerned: Concerned, paper: Paper, path: Path, fault: str) -> None:
    """Raise `UnknownName` if a name occurs in no row of the table, `InvalidFile` if no row matches all names."""
    where = f"{path}: fault {fault}"
    if concerned.table not in {section.table for section in paper.sections}:
        raise UnknownName("table", concerned.table, [section.table for section in paper.sections], where)
    rows = [row for row in paper.rows if row.table == concerned.table]
    for kind in _KEYS:
        known = {getattr(row, kind) for row in rows}
        for name in getattr(concerned, f"{kind}s"):
            if name not in known:
                raise UnknownName(f"{kind} in table {concerned.table}", name, known, where)
    if not any(_selects(concerned, row) for row in rows):
        problem = f"fault {fault}: no row of table {concerned.table} has one each of what it names"
        raise InvalidFile(path, problem, REMEDY)


def _tables(paper: str) -> dict[str, str]:
    """Suite -> table of the suites of a paper. Suites are not validated, because that would import every method."""
    found = {}
    for name, path in registry.suites().items():
        try:
            measured, table = _measured(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue  # reported where the suite itself is read
        if measured == paper and table:
            found[name] = table
    return found


@cache
def _measured(suite: str) -> tuple[str, str]:
    """The paper and the table that a suite measures, empty if it names none. Cached by the text of its file, because
    YAML is slow to read and every paper reads every suite."""
    content = read_yaml(suite)
    if not isinstance(content, dict):
        return "", ""
    return str(content.get("paper") or ""), str(content.get("table") or "")


def _order(stem: str) -> tuple[int, int]:
    kind = stem.rstrip("0123456789")
    return _KINDS.index(kind) if kind in _KINDS else len(_KINDS), int(stem.removeprefix(kind) or 0)


def _plain(name: str) -> str:
    """Normalise a name: `Fig. 3`, `figure 3` and `Figure3` are equal, and so are `Table II` and `ii`."""
    return re.sub(r"[\s._-]", "", name.casefold()).replace("figure", "fig").removeprefix("table")
