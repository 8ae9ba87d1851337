"""Experiment trackers that a suite may name, in addition to each cell's TensorBoard and CSV logs.

They receive the content of those logs, and cannot change a result: they are no part of a cell's identity,
and one that fails is left aside with a warning while the training goes on.
"""

import importlib.util
import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock
from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from fer_bench.cells import process_ranks
from fer_bench.cells.cell import Cell
from fer_bench.errors import FerBenchError, InvalidFile
from fer_bench.records import read_json, write_json

FILE = "trackers.json"
"""In a cell's folder: each tracker's id of the run, so that a continued training continues it."""


def require(names: Sequence[str]) -> None:
    """Raise `FerBenchError` where the package of a tracker is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise FerBenchError(
                f"loggers: {name} is not installed; install it with `pip install 'fer_bench[{name}]'`, or run without "
                "by --set loggers=[]."
            )


def trackers(cell: Cell, stage: str) -> list[Logger]:
    """The trackers of a cell; none but in the first of several processes.

    Args:
        stage: Whose metrics they are, put before their names: `i`; empty for the last.
    """
    return [] if process_ranks.rank() else [Tracker(name, cell, stage) for name in cell.loggers]


class Tracker(Logger):
    """A logger of Lightning's, opened with the first that is logged, and never again once it has failed."""

    def __init__(self, kind: str, cell: Cell, stage: str) -> None:
        super().__init__()
        self.kind, self.cell, self.stage = kind, cell, stage
        self.opened: Logger | None = None
        self.failed = False

    @property
    def name(self) -> str:
        """Of the tracker."""
        return self.kind

    @property
    def version(self) -> str:
        """Unused: checkpoints are in the cell's folder."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """The cell's own are logged when its run is opened, and a method's `hparams` are among them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._try(lambda logger: logger.log_metrics(metrics, step))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self.opened is not None:
            self._try(lambda logger: logger.finalize(status))

    def _try(self, act: Callable[[Logger], None]) -> None:
        if self.failed:
            return
        try:
            if self.opened is None:
                self.opened = _open(self.kind, self.cell, self.stage)
            act(self.opened)
        except Exception as error:  # a tracker's error must not end the training
            self.failed = True
            message = " ".join(str(error).split())[:300]
            rank_zero_warn(f"{self.cell.id}: {self.kind} takes nothing ({message}); training goes on without it.")


def _open(kind: str, cell: Cell, stage: str) -> Logger:
    runs = cell.folder.resolve().parents[cell.id.count("/")]
    path = cell.folder / FILE
    try:
        known = read_json(path)
    except InvalidFile:  # none yet, or damaged, and then of no use
        known = {}
    # Cells that start together would each make the experiment.
    with FileLock(runs / f".{kind}.lock"):
        logger, run = _OPEN[kind](cell, stage, runs, known.get(kind))
    if run != known.get(kind):
        write_json(path, {**known, kind: run})
        logger.log_hyperparams(_told(cell))
    return logger


def _mlflow(cell: Cell, stage: str, runs: Path, run: str | None) -> tuple[Logger, str]:
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        # Files: many processes, perhaps of many machines, write at once, which a database in a file does not bear.
        # MLflow still writes them, but requires this setting.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        uri = (runs / "mlruns").as_uri()
    # By default an unreachable server is retried for minutes, while the training waits.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    tags = {"cell": cell.id, "provenance": cell.provenance}
    logger = MLFlowLogger(cell.suite, run_name=cell.id, tracking_uri=uri, tags=tags, prefix=stage, run_id=run)
    return logger, str(logger.run_id)


def _wandb(cell: Cell, stage: str, runs: Path, run: str | None) -> tuple[Logger, str]:
    run = run or uuid.uuid4().hex[:16]
    logger = WandbLogger(
        name=cell.id,
        id=run,
        project=os.environ.get("WANDB_PROJECT") or cell.suite.replace("/", "-"),
        group=f"{cell.protocol}/{cell.entry}",
        save_dir=runs,
        prefix=stage,
        # Nothing leaves the machine unless the user says so; `wandb sync` sends it later.
        offline=os.environ.get("WANDB_MODE", "offline") in ("offline", "dryrun"),
    )
    _ = logger.experiment
    return logger, run


_OPEN: dict[str, Callable[[Cell, str, Path, str | None], tuple[Logger, str]]] = {"mlflow": _mlflow, "wandb": _wandb}


def _told(cell: Cell) -> dict[str, Any]:
    """What decides the cell's result, for a tracker's table of parameters."""
    return {
        "cell": cell.id,
        "suite": cell.suite,
        "protocol": cell.protocol,
        "entry": cell.entry,
        "fold": cell.fold,
        "seed": cell.seed,
        "method": cell.method,
        "protocol_digest": cell.protocol_digest,
        "provenance": cell.provenance,
        "representation": cell.representation["label"],
        "weights": cell.weights or "random",
        "unsound": cell.unsound,
        "argument": cell.arguments,
        "trainer": cell.trainer,
    }
