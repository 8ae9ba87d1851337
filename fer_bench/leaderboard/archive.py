"""Packing the finished cells of a suite into one zip file, from which its tables can be generated without training.

The file contains the cells' settings, states, results, predictions and logs, with paths relative to the runs folder. It
contains no checkpoints and no paths of the data. The same cells give the same bytes.
"""

import re
import shutil
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from fer_bench.cells.cell import Cell, cell_path
from fer_bench.cells.saved_predictions import PROVENANCE
from fer_bench.cells.snapshots import snapshot_file
from fer_bench.cells.stress_outcome import FOLDER
from fer_bench.errors import InvalidFile
from fer_bench.io.file_bytes import open_regular
from fer_bench.records import atomic_write, json_bytes, refuse_unwritable
from fer_bench.suites.suite import Suite

_RECORDS = ("status.json", "result.json", "manifest.json")
# Validation predictions are included because fusions choose their weights by them.
_SCORES = ("predictions.parquet", "validation.parquet", "honest.parquet", "items.parquet")
_FOLDERS = ("csv/**/metrics.csv", "stress/*.parquet")
_NAME = r"[A-Za-z0-9][A-Za-z0-9@._+=-]*"
# Only files that `pack` writes are accepted, so that a foreign checkpoint is never loaded.
_FILES = "|".join(re.escape(name) for name in ("cell.json", *_RECORDS, *_SCORES))
_FILE = rf"{_FILES}|csv/({_NAME}/){{0,2}}metrics\.csv|stress/(?!(cell|asked|status)\.){_NAME}\.(parquet|json)"
_CELL = re.compile(rf"(?P<cell>({_NAME}/){{3,6}}fold\d\d+/seed\d+)/(?P<file>{_FILE})", re.ASCII)
_SNAPSHOT = re.compile(rf"({_NAME}/){{2,5}}question-[0-9a-f]{{12}}\.parquet")
_MAX_BYTES = 2**30  # unpacked
_REMEDY = "Make it again with `fer-bench pack`."


def pack(name: str, suite: Suite, runs: Path, path: Path) -> int:
    """Write the finished cells of a suite; returns their number. Nothing is written if there are none.

    Cells of imported predictions, and fusions of them, are excluded, because they may not be redistributed.

    Args:
        name: The suite's name, and its folder below `runs`.
        path: The zip file.
    """
    folders = [runs / name / cell_path(*identity) for identity in sorted(suite.identities())]
    found = {folder: Cell.read(folder) for folder in folders if (folder / "result.json").exists()}
    cells = {folder: cell for folder, cell in found.items() if cell.provenance != PROVENANCE}
    if not cells:
        return 0
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for member, content in _contents(cells.values()):
            # A constant time stamp, so that equal cells give equal bytes.
            info = zipfile.ZipInfo(member.relative_to(runs).as_posix(), (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, content)
    return len(cells)


def unpack(path: Path, runs: Path) -> int:
    """Write packed cells below `runs`; returns the number of new cells. Existing cells are kept.

    Raises:
        InvalidFile: the file is damaged or was not written by `pack`; nothing is written.
        OSError: the folder is not writable.
    """
    cells: dict[Path, dict[str, bytes]] = {}
    refuse_unwritable(runs)
    for name, content in _read(path).items():
        if part := _CELL.fullmatch(name):
            cells.setdefault(runs / part["cell"], {})[part["file"]] = content
        elif not (runs / name).exists():
            with atomic_write(runs / name) as file:
                file.write(content)
    new = {folder: files for folder, files in cells.items() if not folder.exists()}
    for folder, files in new.items():
        partial = folder.with_name(f".{folder.name}.unpacking")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            for place, content in files.items():
                with atomic_write(partial / place) as file:
                    file.write(content)
            partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return len(new)


def _read(path: Path) -> dict[str, bytes]:
    """Member -> content, validated; raises `InvalidFile`."""
    try:
        # Opened here because zipfile, given the name of a device file, would read until memory is full.
        with open_regular(path) as source, zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            for name in archive.namelist():
                if not _CELL.fullmatch(name) and not _SNAPSHOT.fullmatch(name):
                    raise InvalidFile(path, f"holds {name!r}, which is no part of a cell", _REMEDY)
            if sum(member.file_size for member in members) > _MAX_BYTES:
                raise InvalidFile(path, "unpacks to more than 1 GiB", _REMEDY)
            if (damaged := archive.testzip()) is not None:
                raise InvalidFile(path, f"is damaged at {damaged}", _REMEDY)
            return {member.filename: archive.read(member) for member in members}
    except (OSError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError) as error:
        message = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InvalidFile(path, f"cannot be unpacked ({message})", _REMEDY) from None


def _contents(cells: Collection[Cell]) -> Iterator[tuple[Path, bytes]]:
    """(path, content) of the packed files: protocol snapshots, and the files of each cell."""
    requested = dict.fromkeys(snapshot_file(cell.folder.parents[2], cell.protocol_digest) for cell in cells)
    for path in requested:
        if path.exists():
            yield path, path.read_bytes()
    for cell in cells:
        # The folders of data and cache are private, and not part of the result's identity.
        anonymous = replace(cell, parts=tuple(replace(part, root="", cache="") for part in cell.parts))
        yield cell.folder / "cell.json", json_bytes(anonymous.content)
        kept = [cell.folder / name for name in (*_RECORDS, *_SCORES)]
        found = [path for pattern in _FOLDERS for path in sorted(cell.folder.glob(pattern))]
        outcomes = [path.with_suffix(".json") for path in found if path.parent.name == FOLDER]
        for path in (*kept, *found, *outcomes):
            if path.exists():
                yield path, path.read_bytes()
