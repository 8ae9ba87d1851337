"""Where BP4D's tables of action units are, and whether their frame numbers are those of the meshes."""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from fer_bench.data.layouts import Tree
from fer_bench.errors import InvalidFile
from fer_bench.io.au_tables import NOT_CODED, ActionUnits, read_intensity, read_occurrence
from fer_bench.io.file_bytes import open_regular

Key = tuple[str, str]
"""Subject and task."""

_TABLE = re.compile(r"([FM]\d{3})_(T\d{1,2})(?:_AU(\d{1,2}))?(?!\d)[^/]*\.csv", re.IGNORECASE | re.ASCII)
_UNIT_FOLDER = re.compile(r"AU(\d{1,2})", re.IGNORECASE | re.ASCII)
_SUBJECT_FOLDER = re.compile(r"[FM]\d{3}", re.IGNORECASE | re.ASCII)
_OFFSETS = (0, -1, 1)


@dataclass
class Tables:
    """Tables by sequence; of several for the same, the first by name.

    Attributes:
        occurrence: Sequence -> file.
        intensity: Sequence -> action unit -> file.
    """

    occurrence: dict[Key, str] = field(default_factory=dict)
    intensity: dict[Key, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))


def find_tables(files: Iterable[str]) -> Tables:
    """The tables among files: `AU_OCC/F001_T1.csv` or flat, and `AU06/F001_T1_AU06.csv` in any folder."""
    tables = Tables()
    for path in sorted(path for path in files if path[-4:].lower() == ".csv"):
        folder, _, name = path.rpartition("/")
        if match := _TABLE.fullmatch(name):
            key = match[1].upper(), f"T{int(match[2][1:])}"
            unit = _UNIT_FOLDER.fullmatch(folder.rpartition("/")[2])
            if unit or match[3]:
                tables.intensity[key].setdefault(int(unit[1] if unit else match[3]), path)
            else:
                tables.occurrence.setdefault(key, path)
    return tables


def tables_below(root: Path) -> Tables:
    """The tables below a folder. The folders of subjects, which hold a million frames, are passed by."""
    entered: set[tuple[int, int]] = set()
    names: list[str] = []
    for folder, below, files in os.walk(root, followlinks=True):
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in entered:
            below.clear()  # a link to a folder above it
            continue
        entered.add((stat.st_dev, stat.st_ino))
        below[:] = sorted(name for name in below if not _SUBJECT_FOLDER.fullmatch(name))
        names += [(Path(folder) / name).relative_to(root).as_posix() for name in files]
    return find_tables(names)


def read_tables(root: Path, tables: Tables, key: Key, au_frame_offset: int) -> pd.DataFrame:
    """All codes of one sequence; see `BP4D.action_units`."""
    parts = []
    if name := tables.occurrence.get(key):
        parts.append(_frame_table(read_occurrence(_text(root / name), root / name), ""))
    for unit, name in sorted(tables.intensity.get(key, {}).items()):
        parts.append(_frame_table(read_intensity(_text(root / name), root / name, unit), "_intensity"))
    table = pd.concat(parts, axis=1).sort_index()
    table.index = table.index + au_frame_offset
    return table.rename_axis("frame")


def _frame_table(units: ActionUnits, suffix: str) -> pd.DataFrame:
    columns = [f"AU{unit:02d}{suffix}" for unit in units.units]
    table = pd.DataFrame(units.codes, index=units.frames, columns=columns)
    return table.astype("Int8").mask(units.codes == NOT_CODED)


def _text(path: Path) -> str:
    try:
        with open_regular(path) as file:
            text = file.read().decode("latin-1")
    except OSError as error:
        raise InvalidFile(path, f"cannot be read ({error.strerror or error})", "Copy it again.") from None
    return text.removeprefix("\xef\xbb\xbf").replace("\r\n", "\n").replace("\r", "\n")


def compare_tables(tree: Tree, frames: Mapping[Key, Collection[int]]) -> None:
    """Say which tables there are, and which offset makes their frame numbers those of the meshes.

    Sources differ in whether a table counts from 0 or from 1.

    Args:
        frames: Sequence -> numbers of its meshes.
    """
    tables, found = find_tables(tree.files), tree.findings
    if not tables.occurrence and not tables.intensity:
        found.add("found", "no tables of action units (AUCoding); no protocol needs them")
        return
    coded, damaged = 0, []
    hits = dict.fromkeys(_OFFSETS, 0)
    for key, name in tables.occurrence.items():
        try:
            numbers = read_occurrence(tree.read_text(name), name).frames.tolist()
        except InvalidFile as error:
            damaged.append(str(error))
            continue
        coded += len(numbers)
        meshes = set(frames.get(key, ()))
        for offset in _OFFSETS:
            hits[offset] += len(meshes.intersection(number + offset for number in numbers))
    intensities = sum(map(len, tables.intensity.values()))
    found.add(
        "found",
        f"action units: {len(tables.occurrence)} tables of occurrence with {coded:,} frames (the distribution: 328 "
        f"with about 146,576), {intensities} of intensity",
    )
    found.add_if(damaged, "warning", "tables of action units that cannot be read")
    found.add_if(
        ["_".join(key) for key in sorted(frames.keys() - tables.occurrence.keys())],
        "missing",
        "occurrence of action units in sequences that are there",
    )
    if coded:
        _judge_offset(tree, coded, hits)


def _judge_offset(tree: Tree, coded: int, hits: Mapping[int, int]) -> None:
    message = ", ".join(f"{count:,} with au_frame_offset={offset}" for offset, count in hits.items())
    message = f"of {coded:,} coded frames, these have a mesh: {message}"
    best = [offset for offset, count in hits.items() if count == max(hits.values())]
    if best == [0]:
        tree.findings.add("found", f"tables of action units number frames as the meshes do ({message})")
    elif 0 in best:
        tree.findings.add(
            "assumed", f"tables of action units number frames as the meshes do; nothing tells ({message})"
        )
    else:
        tree.findings.add(
            "warning", f"tables of action units fit the meshes with au_frame_offset={best[0]} ({message})"
        )
