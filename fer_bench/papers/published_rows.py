"""The printed rows of a paper's table: `leaderboards/published/<paper>_<table>.csv`."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_bench import registry
from fer_bench.errors import InvalidFile
from fer_bench.papers.notes import REMEDY

_NUMBER = re.compile(r"(?:about )?(-?\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Published:
    """One printed value.

    Attributes:
        paper, table: Ids: `mit`, `II`.
        dataset, evaluation, method, modality, metric: As printed. A metric that ends in `(%)` or `(pp)` is in percent
            or percentage points.
        value: As printed, with its zeros; a prompt is text.
        derived: The value is not printed: it was computed from printed ones, as the note says.
        note: A note for the reader.
        protocol, entry, measure: How it is measured: a protocol, an entry of a suite of this paper and table, and a
            metric of `fer_bench.metrics.score`. All empty if the row reports other people's work or no metric.
        minus: The value is the entry's difference from the mean of these entries.
        incomparable: Why no measured result is comparable with this value; empty if one is.
    """

    paper: str
    table: str
    dataset: str
    evaluation: str
    method: str
    modality: str
    metric: str
    value: str
    derived: bool
    note: str
    protocol: str
    entry: str
    measure: str
    minus: tuple[str, ...]
    incomparable: str

    @property
    def number(self) -> float | None:
        """The value as a number in the printed unit (`about 10` is 10); None for text."""
        found = _NUMBER.fullmatch(self.value)
        return float(found[1]) if found else None

    @property
    def scale(self) -> float:
        """Factor from our metric to the printed unit."""
        return 100.0 if self.metric.endswith(("(%)", "(pp)")) else 1.0


COLUMNS = tuple(Published.__dataclass_fields__)
"""The columns of a file of published rows, in order; `derived` is `yes` or empty, `minus` is joined by blanks."""


def read_rows(path: Path) -> tuple[Published, ...]:
    """Read one file of published rows, all of one table.

    Raises:
        InvalidFile: it cannot be read, has other columns, or a row contradicts itself.
        UnknownName: a row names a protocol that does not exist.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidFile(path, f"cannot be read as CSV ({error})", REMEDY) from None
    if not lines or tuple(lines[0]) != COLUMNS:
        raise InvalidFile(path, f"its columns are not {','.join(COLUMNS)}", REMEDY)
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(COLUMNS):
            raise InvalidFile(path, f"row {number} has {len(line)} cells and not {len(COLUMNS)}", REMEDY)
        values: dict[str, Any] = dict(zip(COLUMNS, line, strict=True))
        if problem := _problem(values, path):
            raise InvalidFile(path, f"row {number} {problem}", f"Correct the row. {REMEDY}")
        if values["protocol"]:
            registry.find_protocol(values["protocol"], f"{path}: row {number}")
        rows.append(Published(**values | {"derived": bool(values["derived"]), "minus": tuple(values["minus"].split())}))
    if len({row.table for row in rows}) != 1:
        raise InvalidFile(path, "holds rows of several tables, or none", "Give each table a file of its own.")
    return tuple(rows)


def _problem(row: Mapping[str, str], path: Path) -> str:
    """The problem of a row, to follow `row 7`; empty if there is none."""
    empty = [key for key in ("table", "method", "metric", "value") if not row[key]]
    measuring = [bool(row[key]) for key in ("protocol", "entry", "measure")]
    problems = {
        f"is of the paper {row['paper']!r}, and the file is named for another": (
            f"{row['paper']}_" != path.stem[: len(row["paper"]) + 1]
        ),
        f"has no {' and no '.join(empty)}": bool(empty),
        f"says {row['derived']!r} under derived, which is 'yes' or empty": row["derived"] not in ("", "yes"),
        "names some of protocol, entry and measure, and not all": any(measuring) and not all(measuring),
        "has minus or incomparable, and names nothing that measures it": (
            bool(row["minus"] or row["incomparable"]) and not any(measuring)
        ),
        f"is to be measured, and its value {row['value']!r} is no number": (
            all(measuring) and not _NUMBER.fullmatch(row["value"])
        ),
    }
    return next((problem for problem, applies in problems.items() if applies), "")
