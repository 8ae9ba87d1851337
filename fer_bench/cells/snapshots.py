"""Snapshots of protocols, saved with the cells, and `fer-bench protocol diff`.

A suite has one small file per snapshot, `runs/SUITE/PROTOCOL/question-DIGEST.parquet`, which all its cells share.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fer_bench import registry
from fer_bench.cells.cell import SAVED, Cell
from fer_bench.data.layouts import find_root
from fer_bench.errors import FerBenchError, InvalidFile
from fer_bench.protocols import Protocol
from fer_bench.protocols.base import join
from fer_bench.protocols.difference import differences
from fer_bench.protocols.snapshot import ProtocolSnapshot

_DIGEST = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Side:
    """One of two snapshots that are compared: its name, its digest, and the snapshot or a cell of it."""

    name: str
    digest: str
    cell: Cell | None = None
    snapshot: ProtocolSnapshot | None = None

    def known(self) -> ProtocolSnapshot:
        """The snapshot itself.

        Raises:
            FerBenchError: it was not saved, and cannot be made again from the data.
        """
        if self.snapshot is not None:
            return self.snapshot
        assert self.cell is not None
        return _kept(self.cell) or _made_again(self.cell)


class Snapshots:
    """Snapshots of protocols on the data at hand, each computed once.

    Attributes:
        taken: Digest -> snapshot.
    """

    def __init__(self) -> None:
        self.taken: dict[str, ProtocolSnapshot] = {}
        self._digests: dict[tuple[str, str, frozenset[str]], str] = {}

    def take(self, protocol: Protocol, index: pd.DataFrame, provenance: str, broken: frozenset[str]) -> str:
        """The digest of a snapshot; raises the errors of `Protocol.folds`."""
        key = (protocol.id, provenance, broken)
        if key not in self._digests:
            snapshot = protocol.snapshot(index, provenance, broken)
            self._digests[key] = snapshot.digest
            self.taken[self._digests[key]] = snapshot
        return self._digests[key]


def keep(cells: Iterable[Cell], snapshots: Mapping[str, ProtocolSnapshot]) -> None:
    """Save the snapshots of a suite's cells that are not saved yet."""
    for folder, digest in dict.fromkeys((cell.folder.parents[2], cell.protocol_digest) for cell in cells):
        path = snapshot_file(folder, digest)
        if digest in snapshots and not path.exists():
            snapshots[digest].write(path)


def compare(first: str, second: str, runs: Path, data: list[Path]) -> tuple[bool, str]:
    """Whether two snapshots are the same, and their differences as sentences.

    Args:
        first, second: Each the folder of a cell, or one with cells of a single question below it; or the id of a
            protocol, on the data that exist now; or a digest that a cell below `runs` has.
        data: Where the datasets of protocols are looked for: for both, or one folder for each.

    Raises:
        FerBenchError: nothing of that name exists, or its snapshot is not known.
    """
    if len(data) > 2:
        raise FerBenchError("--data: give it once, for both, or twice, for the first and for the second.")
    where = [data[0] if data else None, data[-1] if data else None]
    a, b = (_side(text, runs, folder) for text, folder in zip((first, second), where, strict=True))
    heads = [f"{letter}  {side.name}  {side.digest}" for letter, side in (("A", a), ("B", b))]
    if a.digest == b.digest:
        return True, "\n".join([*heads, "The question is the same: results may be ranked together."])
    sentences = differences(a.known(), b.known())
    return False, "\n".join([*heads, *(f"- {sentence}" for sentence in sentences)])


def _side(text: str, runs: Path, data: Path | None) -> Side:
    path = Path(text)
    if path.is_dir():
        return _of_folder(path)
    if _DIGEST.fullmatch(text):
        cells = (cell for cell in _cells(runs) if cell.protocol_digest == text)
        found = next(cells, None)
        if found is None:
            raise FerBenchError(
                f"{text}: no cell below {runs} has this digest; name the folder of all runs with --runs."
            )
        return Side(f"{found.protocol} ({found.suite})", text, found)
    if "/" in text:
        raise FerBenchError(f"{text}: there is no such folder; give a cell's, a protocol's id, or a digest.")
    snapshot = _asked_now(text, data)
    return Side(f"{snapshot.protocol} of {snapshot.provenance}", snapshot.digest, snapshot=snapshot)


def _of_folder(folder: Path) -> Side:
    cells = {cell.protocol_digest: cell for cell in _cells(folder)}
    if not cells:
        raise FerBenchError(f"{folder}: holds no cell; give a folder like runs/SUITE/PROTOCOL/ENTRY/fold00/seed0.")
    if len(cells) > 1:
        some = ", ".join(sorted(cells)[:3])
        raise FerBenchError(
            f"{folder}: its cells answer {len(cells)} questions ({some}); give one of them, or one cell."
        )
    ((digest, cell),) = cells.items()
    return Side(str(folder), digest, cell)


def _cells(folder: Path) -> Iterator[Cell]:
    """All readable cells below a folder, without the copies made for probes and the stress deck."""
    for path in sorted(folder.rglob("cell.json")):
        if path.parent.name not in ("probe", "stress"):
            try:
                yield Cell.read(path.parent)
            except InvalidFile:
                continue


def snapshot_file(folder: Path, digest: str) -> Path:
    """The file of a snapshot, in the folder of a suite's protocol."""
    return folder / f"question-{digest}.parquet"


def _kept(cell: Cell) -> ProtocolSnapshot | None:
    path = snapshot_file(cell.folder.resolve().parents[2], cell.protocol_digest)
    return ProtocolSnapshot.read(path, cell.protocol_digest) if path.exists() else None


def _made_again(cell: Cell) -> ProtocolSnapshot:
    """The snapshot of a cell, made from its data; raises `FerBenchError` where they have changed."""
    if cell.method == SAVED:
        raise FerBenchError(f"{cell.folder}: holds somebody's predictions, of which nobody says how they were divided.")
    unknown = f"{cell.folder}: all that is kept of its question is the digest {cell.protocol_digest}"
    remedy = f"`fer-bench run {cell.suite}` writes it down while the data are there, and runs no finished cell again."
    try:
        snapshot = _of_data({part.dataset: Path(part.root) for part in cell.parts}, cell)
    except FerBenchError as error:
        raise FerBenchError(f"{unknown}, and it cannot be made again ({str(error).rstrip('.')}). {remedy}") from None
    if snapshot.digest != cell.protocol_digest:
        raise FerBenchError(f"{unknown}, and its data ask another one now ({snapshot.digest}). {remedy}")
    return snapshot


def _asked_now(protocol: str, data: Path | None) -> ProtocolSnapshot:
    if data is not None:
        os.environ["FER_BENCH_DATA"] = str(data)
    names = registry.find_protocol(protocol).datasets
    return _of_data({name: find_root(name) for name in names}, protocol)


def _of_data(roots: Mapping[str, Path], requested: Cell | str) -> ProtocolSnapshot:
    protocol = registry.find_protocol(requested.protocol if isinstance(requested, Cell) else requested)
    copies = {name: registry.load_dataset(name).source(root) for name, root in roots.items()}
    indices = {name: registry.load_dataset(name).index(root) for name, root in roots.items()}
    index = next(iter(indices.values())) if len(indices) == 1 else join(indices)
    origin = " and ".join(dict.fromkeys(copy.provenance for copy in copies.values()))
    return protocol.snapshot(index, origin, _left_out(requested) if isinstance(requested, Cell) else ())


def _left_out(cell: Cell) -> Collection[str]:
    from fer_bench.representations.cache_entry import CacheEntry
    from fer_bench.representations.joined_entries import left_out

    return left_out({part.dataset: CacheEntry(Path(part.cache)) for part in cell.parts})
