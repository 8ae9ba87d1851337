"""Cells with saved predictions: a file in a layout of `fer_bench.predictions.files`.

They need no data; their samples are exactly those of the file. Tabulated, fused and held against what a
paper prints they are like any others.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from fer_bench.cells.cell import SAVED, Cell, Part
from fer_bench.cells.score import versions
from fer_bench.errors import InvalidSuite
from fer_bench.metrics import score as measure
from fer_bench.predictions.files import PredictionFile, read_predictions
from fer_bench.predictions.pooling import arrays
from fer_bench.protocols import Protocol
from fer_bench.records import OUTPUT, Result, atomic_write, digest

PROVENANCE = "predictions of others"


def saved_cell(suite: str, protocol: Protocol, entry: str, file: str | None, runs: Path) -> Cell:
    """The cell of a file of predictions.

    Raises:
        InvalidSuite: no file is named.
        InvalidPredictions: it is missing, damaged, or has no truth.
    """
    if not file:
        raise InvalidSuite(f"{suite}: {entry} needs a file of predictions: --set predictions.{entry}=FILE.")
    found = _read(Path(file), protocol)
    truth = np.asarray(found.truth).tolist()
    content = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return Cell(
        suite=suite,
        protocol=protocol.id,
        entry=entry,
        fold=0,
        seed=0,
        method=SAVED,
        arguments={"sha256": content},
        trainer={},
        parts=(Part(protocol.datasets[0], str(Path(file).resolve()), ""),),
        provenance=PROVENANCE,
        # The digest is of the samples in the file: other samples are another test.
        protocol_digest=digest({"protocol": protocol.id, "ids": _ids(found), "truth": truth}),
        representation={"name": SAVED, "label": Path(file).name, "digest": content[:12]},
        parameters=None,
        weights="",
        unsound="",
        folder=runs / suite / protocol.id / entry / "fold00" / "seed0",
        selection="",  # unknown
    )


def score_saved(cell: Cell, protocol: Protocol) -> Result:
    """Write `predictions.parquet` and `result.json` of a file of predictions; raises `InvalidPredictions`."""
    found = _read(Path(cell.parts[0].root), protocol)
    table = pd.DataFrame(found.outputs, columns=[f"{OUTPUT}{name}" for name in protocol.outputs])
    truth = np.asarray(found.truth)
    for place, name in reversed(list(enumerate(["label"] if truth.ndim == 1 else ["valence", "arousal"]))):
        table.insert(0, name, truth if truth.ndim == 1 else truth[:, place])
    # Neither subjects nor ids are given: each row is one.
    for name in ("subject", "id"):
        table.insert(0, name, pd.array(_ids(found), dtype="string"))
    with atomic_write(cell.folder / "predictions.parquet") as file:
        table.sort_values("id").to_parquet(file, index=False)
    result = Result(
        metrics=measure(protocol.task, *arrays(protocol, table), protocol.classes, protocol.tested),
        n=len(table),
        broken=0,
        protocol_digest=cell.protocol_digest,
        representation_digest=cell.representation["digest"],
        provenance=cell.provenance,
        parameters=0,
        epochs=0,
        selected_epoch=-1,
        fit_seconds=0.0,
        versions=versions(),
    )
    result.write(cell.folder / "result.json")
    return result


def _read(path: Path, protocol: Protocol) -> PredictionFile:
    (found,), _ = read_predictions([path], protocol.task, protocol.classes or None)
    if found.truth is None:
        raise found.no_truth("Add it; without the data there is no other.")
    return found


def _ids(found: PredictionFile) -> list[str]:
    """The file's own ids, or the numbers of its rows."""
    if found.ids is not None:
        return [str(i) for i in found.ids]
    return [f"row {number:07d}" for number in range(1, len(found.outputs) + 1)]
