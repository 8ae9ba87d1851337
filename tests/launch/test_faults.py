"""What goes wrong in a sweep, done for real: nothing that is finished is lost, and nothing half-done counts."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from fer_bench.cells.cell import Cell
from fer_bench.cli.main import main
from fer_bench.launch.planning import _open
from tests.conftest import OWN_METHODS


class Sweep:
    """A suite of trials, run by the command that a person gives."""

    def __init__(self, folder: Path, data: Path, output: pytest.CaptureFixture[str]) -> None:
        self.folder, self.runs, self.file, self.data = folder, folder / "runs", folder / "sweep.yaml", data
        self._output = output

    def write(self, entries: str, folds: str = "[0]") -> None:
        self.file.write_text(
            f"protocols: [bu3dfe-s1-cv10@1]\nfolds: {folds}\ntrainer: {{accelerator: cpu}}\nmethods:\n{entries}"
        )

    def _words(self, options: Sequence[str], jobs: int) -> list[str]:
        words = ["run", str(self.file), "--runs", str(self.runs), "--data", str(self.data)]
        return [*words, "--out", str(self.folder / "boards"), "--jobs", str(jobs), *options]

    def start(self, *options: str, jobs: int = 2) -> subprocess.Popen[str]:
        """In a process of its own, which can be killed."""
        return subprocess.Popen(
            [sys.executable, "-m", "fer_bench", *self._words(options, jobs)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # Tests that a shell runs in the background ignore Ctrl-C, and what they start would, too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )

    def run(self, *options: str, jobs: int = 2) -> tuple[int, str]:
        """In this process, which has imported already what a new one has to; exit code and all that it printed."""
        _open.cache_clear()
        self._output.readouterr()
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", ["fer-bench", *self._words(options, jobs)])
            main()
        told = "".join(self._output.readouterr())
        assert "Traceback" not in told, told
        assert isinstance(ended.value.code, int)
        return ended.value.code, told

    def cells(self) -> dict[str, Cell]:
        return {
            f"{folder.parts[-3]} {folder.parts[-2]}": Cell.read(folder)
            for folder in sorted(self.runs.glob("sweep/*/*/fold*/seed0"))
        }

    def states(self) -> dict[str, str]:
        return {name: cell.status().state for name, cell in self.cells().items()}

    def wait(self, happened: Callable[[], bool], seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < end, self.states()
            time.sleep(0.05)


@pytest.fixture
def sweep(
    tmp_path: Path,
    bu3dfe_root: Path,
    see_methods: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Sweep:
    see_methods(OWN_METHODS)
    monkeypatch.setenv("FER_BENCH_CACHE", str(bu3dfe_root.parent / "cache"))
    monkeypatch.setenv("FER_BENCH_DATA", str(bu3dfe_root.parent))
    return Sweep(tmp_path, bu3dfe_root.parent, capsys)


def attempts(cell: Cell) -> int:
    """How often it was trained."""
    return len(list((cell.folder / "csv").glob("attempt*")))


def test_each_fault_ends_one_cell_and_all_can_be_mended(sweep: Sweep) -> None:
    marks = sweep.folder / "marks"
    marks.mkdir()
    faults = ("raise", "hang", "segfault", "kill")
    lines = [f"  {name}: {{method: trial, fault: {name}, once: {marks / name}}}\n" for name in faults]
    lines += ["  good: {method: trial}\n", "  memory: {method: trial, fault: memory}\n"]
    lines += ["  always: {method: trial, fault: memory, largest: 1}\n"]
    sweep.write("".join(lines))
    code, told = sweep.run("--time-limit", "0.25")
    assert code == 1, told
    assert sweep.states() == {
        "raise fold00": "failed",
        "hang fold00": "timeout",
        "segfault fold00": "failed",
        "kill fold00": "interrupted",
        "good fold00": "done",
        "memory fold00": "done",
        "always fold00": "oom",
    }
    messages = {name: cell.status().message for name, cell in sweep.cells().items()}
    assert messages["raise fold00"] == "fit: RuntimeError: as asked"
    assert messages["hang fold00"] == "past its limit of 15 s in fit, epoch 1 of 2"
    assert messages["segfault fold00"] == "fit ended with signal 11"
    assert messages["kill fold00"] == "killed by a person or a program during fit; run again to continue"
    assert "out of memory in fit" in messages["always fold00"]
    # Half the batch was enough for one, and its result says so.
    result = sweep.cells()["memory fold00"].result()
    assert result is not None
    assert result.divided == 2
    assert told.count("it is run again with half the batch") == 2
    page = (sweep.folder / "boards" / "sweep.md").read_text()
    assert "memory: memory ran out in 1 of 1 cells, which were trained with half the batch" in page

    before = {cell.folder: (cell.folder / "result.json").stat().st_mtime_ns for cell in _done(sweep)}
    code, told = sweep.run("--retry", "failed,timeout")
    assert code == 1, "one still runs out of memory"
    assert {name for name, state in sweep.states().items() if state != "done"} == {"always fold00"}
    for folder, written in before.items():
        assert (folder / "result.json").stat().st_mtime_ns == written, "what is done is left alone"


def test_a_fault_while_scoring_leaves_the_training(sweep: Sweep) -> None:
    faults = ("raise", "segfault", "kill")
    lines = [
        f"  {name}: {{method: trial, fault: {name}, scoring: true, once: {sweep.folder / name}}}\n" for name in faults
    ]
    sweep.write("".join(lines) + "  good: {method: trial}\n")
    code, told = sweep.run()
    assert code == 1, told
    messages = {name: cell.status().message for name, cell in sweep.cells().items()}
    assert messages == {
        "raise fold00": "score: RuntimeError: as asked",
        "segfault fold00": "score ended with signal 11",
        "kill fold00": "killed by a person or a program during score; run again to continue",
        "good fold00": "",
    }
    code, told = sweep.run("--retry", "failed")
    assert code == 0, told
    assert set(sweep.states().values()) == {"done"}
    tables = {name: (cell.folder / "predictions.parquet").read_bytes() for name, cell in sweep.cells().items()}
    assert all(attempts(cell) == 1 for cell in sweep.cells().values()), "it was trained once"
    assert len(set(tables.values())) == 1, "whether scored by the process that trained or by another one"


def _done(sweep: Sweep) -> list[Cell]:
    return [cell for cell in sweep.cells().values() if cell.status().state == "done"]


def test_a_launcher_that_is_killed_takes_its_cells_along_and_loses_nothing(sweep: Sweep) -> None:
    sweep.write("  slow: {method: trial, pause: 0.05, epochs: 6}\n", "[0, 1, 2]")
    process = sweep.start()
    sweep.wait(lambda: any(cell.status().epoch >= 2 for cell in sweep.cells().values()))
    process.kill()
    process.communicate()
    sweep.wait(lambda: "running" not in sweep.states().values(), seconds=20)
    assert "interrupted" in sweep.states().values()
    kept = {cell.folder: (cell.folder / "result.json").stat().st_mtime_ns for cell in _done(sweep)}
    code, told = sweep.run()
    assert code == 0, told
    assert set(sweep.states().values()) == {"done"}
    for cell in sweep.cells().values():
        if cell.folder in kept:
            assert (cell.folder / "result.json").stat().st_mtime_ns == kept[cell.folder]
        trained = sum(len(_epochs(file)) for file in (cell.folder / "csv").glob("attempt*/metrics.csv"))
        assert trained >= 6, "the epochs before the kill and those after it"


def _epochs(file: Path) -> set[int]:
    import pandas as pd

    return set(pd.read_csv(file)["epoch"].dropna().astype(int))


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_stops_and_a_second_one_at_once(sweep: Sweep, times: int) -> None:
    sweep.write("  hang: {method: trial, fault: hang}\n")
    process = sweep.start()
    sweep.wait(lambda: any(cell.status().epochs for cell in sweep.cells().values()))
    begun = time.monotonic()
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.3)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "stopping; Ctrl-C again stops at once" in told
    assert "to continue" in told
    assert sweep.states() == {"hang fold00": "interrupted"}
    if times == 2:
        assert time.monotonic() - begun < 5, "it did not wait for what hangs"


def test_two_runs_of_one_suite_share_the_work(sweep: Sweep) -> None:
    sweep.write("  slow: {method: trial, pause: 0.02, epochs: 4}\n", "[0, 1, 2, 3, 4]")
    both = [sweep.start(jobs=1) for _ in range(2)]
    for process in both:
        told, _ = process.communicate(timeout=300)
        assert process.returncode == 0, told
    assert set(sweep.states().values()) == {"done"}
    for cell in sweep.cells().values():
        assert attempts(cell) == 1, "nothing was run twice"


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system in memory; skips the test where nobody may mount one."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"mounting needs rights: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_fills_up_stops_the_run_and_loses_nothing(sweep: Sweep) -> None:
    sweep.write("  trial: {method: trial}\n", "[0, 1, 2, 3, 4, 5]")
    with mounted(sweep.runs, "size=100k"):
        code, told = sweep.run(jobs=1)
        assert code in (1, 2), told
        assert "No space left on device" in told
        states = sweep.states()
        assert "done" not in states.values() or _done(sweep)[0].result() is not None
        for cell in sweep.cells().values():
            assert (cell.status().state == "done") == (cell.folder / "result.json").exists()
        subprocess.run(["mount", "-o", "remount,size=100m", str(sweep.runs)], check=True)
        code, told = sweep.run("--retry", "failed")
        assert code == 0, told
        assert list(sweep.states().values()) == ["done"] * 6


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(sweep: Sweep) -> None:
    sweep.write("  trial: {method: trial}\n")
    with mounted(sweep.runs, "ro"):
        code, told = sweep.run()
    assert code == 2
    assert "Read-only file system; make it accessible, or name another folder." in told


def test_a_damaged_status_is_told_from_what_else_is_there(sweep: Sweep) -> None:
    sweep.write("  trial: {method: trial}\n", "[0, 1]")
    assert sweep.run()[0] == 0
    done, other = sweep.cells().values()
    (done.folder / "status.json").write_bytes(b'{"state": "do')
    (other.folder / "status.json").write_bytes(b"\x00\xff")
    (other.folder / "result.json").unlink()
    assert (done.status().state, other.status().state) == ("done", "interrupted")
    written = (done.folder / "predictions.parquet").stat().st_mtime_ns
    assert sweep.run()[0] == 0
    assert (done.folder / "predictions.parquet").stat().st_mtime_ns == written
    assert set(sweep.states().values()) == {"done"}


def test_a_clock_that_is_set_back_changes_nothing(sweep: Sweep) -> None:
    sweep.write("  trial: {method: trial}\n", "[0, 1]")
    assert sweep.run("--only", "fold=0")[0] == 0
    cell = sweep.cells()["trial fold00"]
    cell.report("done", time=time.time() + 10**8)
    for path in cell.folder.rglob("*"):
        os.utime(path, (time.time() + 10**8,) * 2)
    written = (cell.folder / "result.json").read_bytes()
    code, told = sweep.run()
    assert code == 0, told
    assert "1 of 2 cells to run" in told
    assert (cell.folder / "result.json").read_bytes() == written


@pytest.mark.slow
def test_a_rank_that_is_killed_ends_its_cell_alone(sweep: Sweep) -> None:
    sweep.write(
        "  pair: {method: trial, pause: 0.2, epochs: 50, trainer: {devices: 2}}\n  good: {method: trial}\n", "[0]"
    )
    process = sweep.start()
    sweep.wait(lambda: any(cell.status().epoch >= 1 for name, cell in sweep.cells().items() if "pair" in name))
    ranks = subprocess.run(["pgrep", "-f", f"{sweep.runs}.*pair"], capture_output=True, text=True, check=True)
    os.kill(max(map(int, ranks.stdout.split())), signal.SIGKILL)
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 1, told
    states = sweep.states()
    assert states["good fold00"] == "done"
    assert states["pair fold00"] in ("failed", "interrupted")
    left = subprocess.run(["pgrep", "-f", f"{sweep.runs}.*pair"], capture_output=True, text=True, check=False)
    assert left.stdout == "", "no rank stays behind"
