"""`fer-bench evaluate` and `fer-bench fuse`: prediction files, scored alone and fused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from fer_bench import registry
from fer_bench.cells.cell import Cell
from fer_bench.data.layouts import find_root
from fer_bench.errors import FerBenchError
from fer_bench.protocols import Protocol
from fer_bench.protocols.base import join
from fer_bench.records import atomic_write

if TYPE_CHECKING:
    from fer_bench.predictions.evaluation import Evaluation


def evaluate(
    paths: list[Path],
    task: str | None,
    protocol_id: str | None,
    fold: int | None,
    fuse: str | None,
    root: Path | None,
    out: Path | None,
) -> str:
    """Score prediction files; returns the table and its notes as text."""
    from fer_bench.predictions.evaluation import evaluate as score_files

    if (task is None) == (protocol_id is None):
        raise FerBenchError("evaluate needs either --task (the truth is in the files) or --protocol (it is not).")
    if protocol_id is None:
        evaluation = score_files(paths, str(task), fuse)
    else:
        protocol = registry.find_protocol(protocol_id)
        index = _index_of(protocol, root)
        if fold is not None and not 0 <= fold < protocol.num_folds:
            raise FerBenchError(f"--fold {fold}: {protocol_id} has folds 0 to {protocol.num_folds - 1}.")
        folds = protocol.folds(index, _left_out(paths))
        tested = {i for each in (folds if fold is None else [folds[fold]]) for i in each.test}
        truth = index[index["id"].isin(tested)]
        evaluation = score_files(paths, protocol.task, fuse, truth, protocol.classes or None, protocol.tested)
    if out is not None:
        with atomic_write(out) as file:
            file.write(evaluation.to_frame().to_csv(index=False).encode())
    return _shown(evaluation)


def fuse(cells: list[Path], rule: str, broadcast: int | None, out: Path | None) -> str:
    """Fuse the predictions of finished cells; returns the table and its notes as text."""
    from fer_bench.cells.fused_cells import compare_fused

    evaluation, table = compare_fused(cells, rule, broadcast)
    if out is not None:
        with atomic_write(out) as file:
            file.write(table.to_csv(index=False).encode())
    return _shown(evaluation)


def _shown(evaluation: Evaluation) -> str:
    table = evaluation.to_frame()
    with pd.option_context("display.width", 250, "display.max_columns", None):
        shown = table.set_index("predictions").drop(columns="n").T.to_string(float_format=lambda value: f"{value:.4f}")
    return "\n".join([shown, "", *(f"- {note}" for note in evaluation.notes)])


def _index_of(protocol: Protocol, root: Path | None) -> pd.DataFrame:
    if len(protocol.datasets) == 1:
        name = protocol.datasets[0]
        return registry.load_dataset(name).index(find_root(name, root))
    if root is not None:
        both = " and ".join(protocol.datasets)
        raise FerBenchError(f"--root: {protocol.id} joins {both}; set FER_BENCH_DATA to the folder that holds them.")
    return join({name: registry.load_dataset(name).index(find_root(name)) for name in protocol.datasets})


def _left_out(paths: Sequence[Path]) -> set[str]:
    """Samples that the cells which wrote the predictions could not read; other files have to name every sample."""
    from fer_bench.representations.cache_entry import CacheEntry
    from fer_bench.representations.joined_entries import left_out

    cells = [Cell.read(path.parent) for path in paths if (path.parent / "cell.json").is_file()]
    entries = [{part.dataset: CacheEntry(Path(part.cache)) for part in cell.parts} for cell in cells]
    return {sample for each in entries for sample in left_out(each)}
