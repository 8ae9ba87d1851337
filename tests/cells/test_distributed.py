"""Cells that several processes train, against the same cells trained by one."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from fer_bench.cells.cell import Cell
from fer_bench.cells.training_logs import training_log
from fer_bench.launch import worker
from fer_bench.launch.server import PRELOAD
from fer_bench.processes import fork_server

if TYPE_CHECKING:
    from tests.suite_runner import Bench

# As Lightning starts the further processes of a training, but forked, for importing everything anew takes long. Neither
# training samples nor validation samples can be divided evenly; and all is computed in float64 where that is asked for,
# so that nothing hides behind rounding.
_RANK = """
import os
os.environ.update(environment)
from dataclasses import replace
from pathlib import Path
import torch
from fer_bench.cells import fit
from fer_bench.launch import worker
from fer_bench.cells.cell import Cell
from fer_bench.data.batches import Samples
plain, build, fetch = fit.open_fold, fit.build, Samples.__getitems__
def uneven(cell, batch_size):
    data = plain(cell, batch_size)
    # From all over the fold, so that there is more than one person, and more than one expression.
    few = {name: getattr(data.fold, name) for name in sizes}
    few = {name: part[:: max(1, len(part) // sizes[name])][: sizes[name]] for name, part in few.items()}
    data.fold = replace(data.fold, **few)
    return data
def exactly(self, positions):
    batch = fetch(self, positions)
    return {**batch, "input": batch["input"].double() if batch["input"].is_floating_point() else batch["input"]}
def built(cell):
    data, method = build(cell)
    observe = method.observe
    method.observe = lambda training: (observe(training), method.double())
    return data, method
fit.open_fold = uneven
if exact:
    fit.build = built
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double
    Samples.__getitems__ = exactly
raise SystemExit(worker.work(Cell.read(Path(folder)), "fit", 1))
"""


SIZES = {"train": 95, "val": 11}


def train(cell: Cell, exact: bool, sizes: dict[str, int] = SIZES) -> pd.DataFrame:
    """What a cell logged in training, by epoch."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0"}
    ranks = []
    for rank in range(cell.processes):
        environment = {**here, "LOCAL_RANK": str(rank)} if cell.processes > 1 else {}
        given = {"folder": str(cell.folder), "environment": environment, "exact": exact, "sizes": sizes}
        ranks.append(fork_server(*PRELOAD).Process(target=exec, args=(_RANK, given)))
        ranks[-1].start()
    for process in ranks:
        process.join(1800)
        process.kill()
        process.join()
    assert [process.exitcode for process in ranks] == [0] * cell.processes, cell.status()
    return training_log(cell)


@pytest.mark.parametrize(
    ("entry", "processes", "batch_size", "exact"),
    [
        ("views", 2, 7, False),
        pytest.param("views", 2, 7, True, marks=pytest.mark.slow),
        pytest.param("points", 3, 10, True, marks=pytest.mark.slow),
    ],
)
def test_processes_train_as_one(bench: Bench, entry: str, processes: int, batch_size: int, exact: bool) -> None:
    only = (f"entry={entry}", "fold=0")
    (alone,) = bench.ready("epochs=2", f"batch_size={processes * batch_size}", only=only)
    expected = train(alone, exact)
    bench.runs = bench.runs.with_name("together")
    (cell,) = bench.ready("epochs=2", f"batch_size={batch_size}", f"trainer.devices={processes}", only=only)
    curves = train(cell, exact)
    last = 95 % (processes * batch_size)
    assert last > processes and last % processes, "the last batch is uneven"
    columns = ["train/loss", "val/loss", "val/accuracy"]
    assert expected["train/loss"].nunique() == 2
    tolerance = 1e-9 if exact else 1e-5
    pd.testing.assert_frame_equal(curves[columns], expected[columns], rtol=tolerance, atol=0)
    # The networks do the same, though not all of their weights are: a bias before a normalisation has no effect, and a
    # gradient of rounding errors, which Adam scales up.
    assert worker.work(alone, "score", 1) == worker.work(cell, "score", 1) == 0
    predicted, wanted = (pd.read_parquet(c.folder / "predictions.parquet") for c in (cell, alone))
    pd.testing.assert_frame_equal(predicted, wanted, atol=1e-4)
    assert predicted["id"].is_unique and len(predicted) == 12
