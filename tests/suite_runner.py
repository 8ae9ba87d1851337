"""A place to run a suite in, in this process or in others."""

import os
import time
from pathlib import Path

from fer_bench.cells.cell import Cell
from fer_bench.commands.options import RunOptions
from fer_bench.commands.run import run
from fer_bench.commands.status import show_status
from fer_bench.launch import worker
from fer_bench.launch.local import pending
from fer_bench.launch.planning import Plan, make_plan
from fer_bench.launch.server import PRELOAD
from fer_bench.processes import fork_server
from fer_bench.representations.cache import prepare
from fer_bench.suites.reading import read_suite

# Epochs are stretched, so that the kill comes between two of them.
_SLOW_FIT = """
import time
from pathlib import Path
from fer_bench.cells import fit
from fer_bench.launch import worker
plain = fit.ReportProgress.on_train_epoch_end
def slow(self, trainer, method):
    plain(self, trainer, method)
    time.sleep(0.3)
fit.ReportProgress.on_train_epoch_end = slow
worker.main(Path(folder), "fit", 1, None)
"""

SUITE = """
protocols: [bu3dfe-s1-cv10@1]
methods:
  views:
    {method: mit, size: nano, pretrained: false, yaws: [0], image_size: 16, patch_size: 8, epochs: 3,
     learning_rate: 0.01}
  points: {method: pointnet2, size: nano, points: 128, epochs: 2}
folds: [0, 1]
trainer: {accelerator: cpu}
"""


class Bench:
    """A place to run one suite in."""

    suite = SUITE

    def __init__(self, folder: Path, data: Path) -> None:
        self.file, self.runs, self.out, self.data = folder / "mine.yaml", folder / "runs", folder / "boards", data
        self.file.write_text(self.suite)

    def run(self, *settings: str, only: tuple[str, ...] = (), **options: object) -> bool:
        chosen = RunOptions(**{"jobs": 2, **options})  # type: ignore[arg-type]
        return run(str(self.file), [*settings], [*only], self.runs, self.data, self.out, chosen)

    def plan(self, *settings: str, only: tuple[str, ...] = ()) -> Plan:
        return make_plan("mine", read_suite(self.file, settings), self.runs, only)

    def ready(self, *settings: str, only: tuple[str, ...] = ()) -> list[Cell]:
        """Cells ready to be worked on in this process."""
        for need in self.plan(*settings, only=only).needs:
            prepare(Path(os.environ["FER_BENCH_CACHE"]), need.source, need.representations, need.dataset.load)
        return pending(self.plan(*settings, only=only).cells)

    def status(self) -> str:
        return show_status(str(self.file), [], self.runs)

    @staticmethod
    def fit_and_score(cell: Cell) -> None:
        """Train and score in this process."""
        assert worker.work(cell, "fit", 1) == 0, (cell.status(), cell.folder)
        assert worker.work(cell, "score", 1) == 0, (cell.status(), cell.folder)

    @staticmethod
    def kill_fit(cell: Cell, epoch: int) -> None:
        """Train in another process, and kill it when it has done so many epochs."""
        process = fork_server(*PRELOAD).Process(target=exec, args=(_SLOW_FIT, {"folder": str(cell.folder)}))
        process.start()
        while cell.status().epoch < epoch and process.is_alive():
            time.sleep(0.02)
        process.kill()
        process.join()
