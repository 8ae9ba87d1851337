"""A place to run suites on a Slurm that `tests/slurm/cluster` has started."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fer_bench.cells.cell import Cell
from fer_bench.commands.options import RunOptions
from fer_bench.commands.run import run
from fer_bench.commands.status import show_status
from fer_bench.launch.planning import _open, make_plan
from fer_bench.launch.slurm import launcher
from fer_bench.launch.slurm.queue import ask
from fer_bench.suites.reading import read_suite


def told(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="session", autouse=True)
def running() -> None:
    """Skips where no test cluster runs: a cluster that people work on is left alone."""
    if shutil.which("scontrol"):
        shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=False, timeout=60)
        if "fer_bench_test" in shown.stdout:
            return
    pytest.skip("no Slurm for tests runs here: tests/slurm/cluster start FOLDER starts one, as root")


PROFILE = """
partition: main
time: 20
cpus: 1
setup: [export MASTER_ADDR=127.0.0.1 GLOO_SOCKET_IFNAME=lo]
"""


class Place:
    """A folder with one suite, and what a person would type."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs, self.out = folder, folder / "runs", folder / "boards"
        self.suite, self.profile = folder / "mine.yaml", folder / "profile.yaml"
        self.profile.write_text(PROFILE)

    def run(self, *settings: str, **options: object) -> bool:
        chosen = RunOptions(**{"launcher": "slurm", "profile": self.profile, **options})  # type: ignore[arg-type]
        return run(str(self.suite), [*settings], [], self.runs, None, self.out, chosen)

    def cells(self, *settings: str) -> list[Cell]:
        return make_plan("mine", read_suite(self.suite, settings), self.runs).trained

    def status(self, *settings: str) -> str:
        return show_status(str(self.suite), [*settings], self.runs)

    def task(self, cell: Cell) -> str:
        """The number of the cell's last task."""
        return launcher.places(self.runs / "mine")[0][launcher.key(cell)].task

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted((self.runs / "mine/slurm/logs").glob("*.out")))

    def wait(self, what: Callable[[], bool], seconds: float = 240) -> None:
        """Return when it is so."""
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                pytest.fail(f"waited in vain:\n{self.status()}\n{told('squeue')}\n{self.logs()}")
            time.sleep(0.25)

    def wait_for(self, task: str, *states: str) -> None:
        """Return when Slurm says that a task is in one of these states."""
        self.wait(lambda: ask().tasks[task].state in states)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def place(tmp_path: Path, bu3dfe_root: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("FER_BENCH_CACHE", str(shared_cache))
    monkeypatch.setenv("FER_BENCH_DATA", str(bu3dfe_root.parent))
    monkeypatch.chdir(tmp_path)
    _open.cache_clear()
    yield Place(tmp_path)
    _open.cache_clear()
    subprocess.run(["scancel", "--user=root"], check=False)
