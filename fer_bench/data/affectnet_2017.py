"""AffectNet's release of 2017: two lists of photographs with boxes, landmarks and labels."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.layouts import Tree, below_root
from fer_bench.errors import BrokenScan, InvalidFile
from fer_bench.expressions import AFFECTNET_CODES
from fer_bench.io.file_bytes import REMEDY, open_regular

COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
# Validation first: a photograph that both lists name is not trained on.
LISTS = {"validation.csv": "val", "training.csv": "train"}
"""Name of a list -> its split."""

_AUTOMATIC = "automatically_annotated.csv"
_FOLDER = "manually_annotated_images/"
_UNRATED = -2.0
# A row is about a kilobyte, nearly all of it landmarks.
_MAX_ROW_BYTES = 65_536

Box = tuple[float, float, float, float]


@dataclass
class _Oddities:
    """Findings about the rows of the lists, as `training.csv:12`."""

    malformed: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    boxless: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)
    unrated: int = 0


def examine_2017(tree: Tree, image_suffixes: Collection[str]) -> list[dict[str, Any]]:
    """Rows of the index from `training.csv` and `validation.csv`, wherever below the root they are.

    The files of a row are its photograph and, as `training.csv#1234`, the list and the byte at which its line starts:
    box and landmarks are read from there, so that one photograph does not need a list of 400 MB.

    Raises:
        InvalidFile: a list's header lacks a column.
    """
    photographs: dict[str, str] = {}
    lists: dict[str, str] = {}
    spare_lists: list[str] = []
    automatic: list[str] = []
    for path in tree.files:
        lower = path.lower()
        name = lower.rpartition("/")[2]
        if name in LISTS:
            if lists.setdefault(name, path) != path:
                spare_lists.append(path)
        elif name == _AUTOMATIC:
            automatic.append(path)
        elif name.rpartition(".")[2] in image_suffixes and "automatically_annotated" not in lower:
            start = lower.find(_FOLDER)
            photographs.setdefault(path[start + len(_FOLDER) :] if start >= 0 else path, path)
    if not photographs:
        return []
    count = len(photographs)
    for inside, path in list(photographs.items()):  # exact names first: a.JPG and a.jpg may both exist
        photographs.setdefault(_lower_suffix(inside), path)
    odd, rows, taken = _Oddities(), list[dict[str, Any]](), set[str]()
    for name, split in LISTS.items():
        if name in lists:
            rows += _rows(tree, lists[name], split, photographs, taken, odd)
    if rows:
        found = tree.findings
        found.add_if([name for name in LISTS if name not in lists], "missing", "lists of photographs")
        found.add_if(spare_lists, "warning", "more lists of the same name, which are not read")
        found.add_if(automatic, "found", "lists of automatically annotated photographs, which are not used")
        if spare := count - len(rows):
            found.add("found", f"{spare:,} photographs that no row gives a label, which are not used")
        _tell(tree, odd)
    return rows


def read_face(root: Path, image: str, place: str) -> tuple[NDArray[np.float64] | None, Box | None]:
    """Landmarks (68, 2) and box of a photograph, each None where the list has none.

    Args:
        root: The dataset's folder.
        image: The photograph, relative to it.
        place: Where its row is: `training.csv#1234`.

    Raises:
        BrokenScan: the list cannot be read, has another row there, or the row's landmarks are not 68 points.
    """
    name, _, start = place.rpartition("#")
    path = root / name
    try:
        with open_regular(path) as file:
            columns = _Columns.of(file.readline(_MAX_ROW_BYTES))
            file.seek(int(start))
            line = file.readline(_MAX_ROW_BYTES)
    except OSError as error:
        raise BrokenScan(path, f"cannot be read ({error.strerror or error})", REMEDY) from None
    values = columns.values(line) if columns else None
    written = below_root(_text(values[0])) if values else None
    if values is None or not written or not _lower_suffix(image).endswith(_lower_suffix(written)):
        raise BrokenScan(path, f"has no row for {image} at byte {start}", "Leave the list as it is while it is used.")
    return _points(path, image, _text(values[5])), _box(values)


@dataclass(frozen=True)
class _Columns:
    """Where each of `COLUMNS` is in a row.

    Attributes:
        order: Position of each.
        width: Fields of a row.
        header: Whether the list starts with their names; some copies do not.
    """

    order: tuple[int, ...]
    width: int
    header: bool

    @classmethod
    def of(cls, first: bytes) -> _Columns | None:
        """From the first line of a list; None if it names some of the columns and lacks others."""
        names = [_text(value).lower() for value in _fields(first) or ()]
        wanted = [column.lower() for column in COLUMNS]
        if wanted[0] not in names:
            return cls(tuple(range(len(COLUMNS))), len(COLUMNS), False)
        if not set(wanted) <= set(names):
            return None
        return cls(tuple(map(names.index, wanted)), len(names), True)

    def values(self, line: bytes) -> list[bytes] | None:
        """The fields of a row in the order of `COLUMNS`; None if it has more or fewer fields than it should."""
        fields = _fields(line)
        return [fields[position] for position in self.order] if fields and len(fields) == self.width else None


def _fields(line: bytes) -> list[bytes] | None:
    """The fields of any line, the header too, without their quotes; None if they cannot be separated."""
    line = line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    if b'"' not in line:
        return line.split(b",")
    try:
        return [value.encode("latin-1") for row in csv.reader([line.decode("latin-1")]) for value in row]
    except csv.Error:  # a field of absurd length
        return None


def _rows(
    tree: Tree, name: str, split: str, photographs: dict[str, str], taken: set[str], odd: _Oddities
) -> Iterator[dict[str, Any]]:
    content = io.BytesIO(tree.read(name))
    columns = _Columns.of(content.readline(_MAX_ROW_BYTES))
    if columns is None:
        raise InvalidFile(tree.root / name, f"its header lacks some of {', '.join(COLUMNS)}", "Copy it again.")
    if not columns.header:
        content.seek(0)
        tree.findings.add("assumed", f"{name} has no header; its columns are taken in the distribution's order")
    place = content.tell()
    for number, line in enumerate(content, start=1 + columns.header):
        start, place = place, place + len(line)
        if not line.strip():
            continue
        where = f"{name}:{number}"
        values = columns.values(line)
        if values is None:
            odd.malformed.append(where)
            continue
        written = _text(values[0])
        inside = below_root(written)
        code = _number(values[6])
        image = (photographs.get(inside) or photographs.get(_lower_suffix(inside))) if inside else None
        if inside is None:
            odd.outside.append(f"{where} ({written})")
        elif code not in AFFECTNET_CODES:
            odd.unknown.append(f"{where} ({_text(values[6])})")
        elif image is None:
            odd.absent.append(inside)
        elif inside in taken or image in taken:
            odd.again.append(where)
        else:
            stem = inside.rpartition(".")[0]
            sample = inside if stem in taken else stem  # 1/a.jpg and 1/a.png are two photographs
            taken |= {sample, inside, image}
            if _box(values) is None:
                odd.boxless.append(sample)
            rating = [_number(value) for value in values[7:]]
            odd.unrated += _UNRATED in rating
            odd.beyond += [f"{where} ({v:g})" for v in rating if not (-1.0 <= v <= 1.0 or v == _UNRATED)]
            valence, arousal = (value if -1.0 <= value <= 1.0 else None for value in rating)
            yield {
                "id": sample,
                "label": AFFECTNET_CODES[int(code)],
                "valence": valence,
                "arousal": arousal,
                "split": split,
                "files": (image, f"{name}#{start}"),
            }


def _tell(tree: Tree, odd: _Oddities) -> None:
    found = tree.findings
    if odd.unrated:
        found.add("found", f"{odd.unrated:,} photographs whose valence and arousal are -2, which stands for none")
    found.add_if(odd.boxless, "assumed", "photographs with a negative or empty box, which are taken whole")
    found.add_if(odd.absent, "missing", "photographs that the lists name")
    found.add_if(odd.malformed, "warning", "rows with more or fewer fields than columns, left out")
    found.add_if(odd.outside, "warning", "rows whose path leaves the folder, refused")
    found.add_if(odd.unknown, "warning", "rows whose expression is no class of AffectNet, left out")
    found.add_if(odd.again, "warning", "rows whose photograph an earlier row named, left out")
    found.add_if(odd.beyond, "warning", "values outside [-1, 1], taken as no valence or arousal")


def _text(value: bytes) -> str:
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()


def _lower_suffix(name: str) -> str:
    """Lists and disks disagree about `.JPG` and `.jpg`; the rest of a name identifies photographs."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}{dot}{suffix.lower()}"


def _number(value: bytes) -> float:
    """NaN where there is none."""
    try:
        return float(value)
    except ValueError:
        return math.nan


def _box(values: list[bytes]) -> Box | None:
    x, y, width, height = (_number(value) for value in values[1:5])
    valid = min(x, y) >= 0 and min(width, height) > 0 and all(map(math.isfinite, (x, y, width, height)))
    return (x, y, width, height) if valid else None


def _points(path: Path, image: str, written: str) -> NDArray[np.float64] | None:
    if written.lower() in ("", "null", "nan", "none"):
        return None
    try:
        points = np.array([float(value) for value in written.strip(";").split(";")])
        if np.isfinite(points).all():
            return points.reshape(68, 2)
    except ValueError:
        pass
    raise BrokenScan(path, f"the landmarks of {image} are not 68 points", REMEDY)
