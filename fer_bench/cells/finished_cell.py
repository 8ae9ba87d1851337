"""A finished cell, opened for new inputs: its network and its representation."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import lightning.pytorch as L

from fer_bench import registry
from fer_bench.cells.cell import DERIVED, Cell
from fer_bench.cells.fit import load_checkpoint
from fer_bench.errors import FerBenchError, InvalidFile, InvalidSuite
from fer_bench.methods.base import Method
from fer_bench.protocols import Protocol
from fer_bench.representations.base import Bound, Representation
from fer_bench.representations.sample_source import Source
from fer_bench.suites.arguments import resolve_arguments

_USUAL = "runs/SUITE/PROTOCOL/ENTRY/fold00/seed0"


@dataclass(frozen=True)
class Finished:
    """A finished cell.

    Attributes:
        cell: As it was trained.
        protocol: Which says what its outputs mean.
        method: With the weights that were scored, ready to predict.
        representation: What the method sees, with nothing left open.
        kind: Which modality that is made of: `mesh`, `sequence`, `photo` or `video`.
        bound: What extracts meshes of one topology; None of representations that are the same for all data.
    """

    cell: Cell
    protocol: Protocol
    method: Method
    representation: Representation
    kind: str
    bound: Bound | None


def open_finished(folder: Path) -> Finished:
    """Open the folder of a finished cell; its data need not be there, unless the method was shaped by them.

    Raises:
        FerBenchError: it is no finished cell of a method, or needs data that are gone.
        InvalidFile: its checkpoint is missing or damaged, or of another version.
    """
    cell = finished_cell(folder)
    protocol = registry.find_protocol(cell.protocol, str(folder))
    _, arguments = resolve_arguments(cell.entry, {"method": cell.method, **cell.arguments}, cell.id)
    L.seed_everything(cell.seed, verbose=False)
    method = registry.load_method(cell.method)(protocol.target, **arguments)
    representation, kind = _seen(cell, method)
    bound = None
    if representation.same_vertices:
        bound = _bind(cell, representation)
        method.configure_for_input(bound.shape, bound.shared.__getitem__)
    checkpoint = cell.checkpoints / "best.ckpt"
    content = load_checkpoint(checkpoint)
    try:
        method.load_state_dict(content["state_dict"])
    except (KeyError, TypeError, AttributeError, RuntimeError):
        raise InvalidFile(checkpoint, f"does not fit {cell.method} as cell.json says it is", _again(cell)) from None
    return Finished(cell, protocol, method.eval(), representation, kind, bound)


def finished_cell(folder: Path) -> Cell:
    """The cell of a folder, which is one of a method and done; raises `FerBenchError`."""
    if not folder.exists():
        raise FerBenchError(f"{folder}: there is no such folder; give a finished cell's, like {_USUAL}.")
    if not (folder / "cell.json").is_file():
        above = next((place for place in folder.resolve().parents[:2] if (place / "cell.json").is_file()), None)
        what = "is no cell's folder" if folder.is_dir() else "is a file, and not a cell's folder"
        raise FerBenchError(f"{folder}: {what}; give {above or f'one like {_USUAL}'}.")
    cell = Cell.read(folder)
    if cell.method in DERIVED:
        raise FerBenchError(f"{folder}: has no network, for it is made of other predictions; give a cell of a method.")
    if (state := cell.status().state) != "done":
        raise FerBenchError(
            f"{folder}: is {state}, and only what is done can be used; `fer-bench run {cell.suite}` goes on with it."
        )
    return cell


def _again(cell: Cell) -> str:
    return f"Train the cell again: `fer-bench run {cell.suite} --overwrite`."


def _seen(cell: Cell, method: Method) -> tuple[Representation, str]:
    """The representation that the cell was trained on, known by its digest, and the modality it is made of."""
    for offered in _offers(cell):
        for representation in method.representations:
            with suppress(InvalidSuite):
                found = representation.resolve(offered)
                if found.digest == cell.representation["digest"]:
                    return found, next(kind for kind in found.takes if kind in offered)
    raise InvalidFile(
        cell.folder / "cell.json", f"names inputs ({cell.representation['label']}) that this version makes otherwise",
        _again(cell),
    )  # fmt: skip


def _offers(cell: Cell) -> Iterator[frozenset[str]]:
    """What its datasets may have offered, the likeliest first."""
    for part in cell.parts:
        dataset, root = registry.load_dataset(part.dataset), Path(part.root)
        if root.is_dir():
            with suppress(FerBenchError):
                yield dataset.offers(root)
        yield dataset.modalities
    for kind in ("mesh", "sequence", "photo", "video"):
        for count in range(3):
            yield from (frozenset({kind, *more}) for more in combinations(("texture", "topology"), count))


def _bind(cell: Cell, representation: Representation) -> Bound:
    """What finds the same vertices in any mesh; where they are those of a dataset, it has to be there."""
    (part,) = cell.parts
    dataset, root = registry.load_dataset(part.dataset), Path(part.root)
    if getattr(representation, "topology", None) != "own":
        return representation.bind(Source(part.dataset, root, "", (), ()), dataset.load)
    if not root.is_dir():
        raise FerBenchError(
            f"{cell.id}: its vertices are those of {part.dataset}'s meshes, and there is no folder {root} to read one."
        )
    return representation.bind(dataset.source(root), dataset.load)
