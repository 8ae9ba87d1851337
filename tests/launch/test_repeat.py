"""A finished cell that is run again, and the manifests of both runs."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from fer_bench.cells import manifest
from fer_bench.cells.cell import Cell, last_run
from fer_bench.cli.main import app
from fer_bench.errors import FerBenchError
from fer_bench.launch import worker
from fer_bench.launch.planning import _open
from fer_bench.launch.repeat import compare, repeat
from fer_bench.leaderboard.pages.csv_table import to_frame
from fer_bench.leaderboard.rows import collect
from fer_bench.records import read_json, write_json
from fer_bench.registry import find_protocol
from fer_bench.suites.reading import read_suite

if TYPE_CHECKING:
    from tests.suite_runner import Bench


@pytest.fixture
def done(bench: Bench) -> Cell:
    """A finished cell."""
    cell = bench.ready("epochs=1", only=("entry=views", "fold=0"))[0]
    bench.fit_and_score(cell)
    return cell


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change(path: Path, by: Callable[[dict[str, Any]], None]) -> None:
    content = read_json(path)
    by(content)
    write_json(path, content)


def test_the_same_bits_come_out_and_nothing_is_left_behind(done: Cell, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(done.folder.parent)
    assert repeat(done.folder)
    told = capsys.readouterr().out
    assert f"{done.id}: run again in " in told
    assert "predictions of 12 samples: identical, bit for bit" in told
    assert "code, versions, hardware: " in told
    assert "versions." not in told and "hardware." not in told, "only the checkout may have been changed meanwhile"
    assert contents(done.folder.parent) == before


def test_a_cell_that_was_trained_with_half_the_batch_is_again(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    cell = bench.ready("epochs=1", only=("entry=views", "fold=0"))[0]
    # With parts of batches of 5 the sums are others; those of two whole halves could be the same.
    cell.report("planned", divided=5)
    bench.fit_and_score(cell)
    assert repeat(cell.folder), capsys.readouterr().out


def test_what_drifted_and_what_else_is_different_is_told(done: Cell) -> None:
    path = done.folder / "predictions.parquet"
    table = pd.read_parquet(path)
    outputs = [name for name in table if name.startswith("output_")]
    right = table[outputs].to_numpy(copy=True)
    # One sample gets another class, another one a trifle more of the one it has.
    first, second = right[0].argmax(), right[1].argmax()
    table.loc[0, outputs[(first + 1) % 6]] = right[0].max() + 1
    table.loc[1, outputs[second]] = np.nextafter(right[1].max(), np.float32(1e9), dtype=np.float32)
    table.to_parquet(path, index=False)
    change(done.folder / "manifest.json", lambda m: m["runs"][0]["versions"].update(torch="1.0"))
    change(done.folder / "result.json", lambda r: r["metrics"].update(accuracy=0.125))
    result = CliRunner().invoke(app, ["repeat", str(done.folder), "--times", "2"])
    assert result.exit_code == 1
    jump = float(table.loc[0, outputs[(first + 1) % 6]] - right[0, (first + 1) % 6])
    assert result.output.count("predictions of 12 samples: different; 1 change class, and outputs differ by ") == 2
    assert f"by {jump:.3g} at most and {jump / right.size:.3g} on average" in result.output
    assert "accuracy: 0.125, now " in result.output
    assert f"fit.versions.torch: 1.0, now {torch.__version__}" in result.output
    assert "score.versions.torch" not in result.output
    assert "(2 of 2)" in result.output


def test_one_bit_is_a_difference(bench: Bench, done: Cell) -> None:
    bench.runs = bench.runs.with_name("again")
    (other,) = bench.ready("epochs=1", only=("entry=views", "fold=0"))
    bench.fit_and_score(other)
    protocol = find_protocol(done.protocol)
    found = compare(done, other, protocol)
    assert (found.identical, found.changed, found.largest, found.mean) == (True, 0, 0.0, 0.0)
    assert found.before == found.after
    np.save(other.folder / "identity.npy", np.zeros(3))
    found = compare(done, other, protocol)
    assert (found.identical, found.largest) == (False, 0.0), "what is saved beside the scores counts, too"
    (other.folder / "identity.npy").unlink()
    table = pd.read_parquet(other.folder / "predictions.parquet")
    table.iloc[3, -1] = np.nextafter(table.iloc[3, -1], np.float32(9), dtype=np.float32)
    table.to_parquet(other.folder / "predictions.parquet", index=False)
    found = compare(done, other, protocol)
    assert not found.identical and found.changed == 0 and 0 < found.largest < 1e-5


def test_what_cannot_be_repeated_is_told_in_a_sentence(bench: Bench, done: Cell, tmp_path: Path) -> None:
    def refused() -> str:
        result = CliRunner().invoke(app, ["repeat", str(done.folder)])
        assert isinstance(result.exception, FerBenchError), result.output
        assert result.exception.exit_code == 2
        assert not list(done.folder.parent.glob(".*repeat*"))
        return str(result.exception)

    with pytest.raises(FerBenchError, match=r"is no cell's folder; give one like runs/SUITE"):
        repeat(tmp_path)
    whole = (done.folder / "cell.json").read_bytes()
    for key, value, sentence in (
        ("protocol_digest", "0123456789ab", "has another snapshot of these data now (its digest is"),
        ("method", "late_fusion", "has no network, for it is made of other predictions"),
        ("parts", [{"dataset": "bu3dfe", "root": "/nowhere", "cache": "/nowhere"}], "its data are gone; there is no"),
    ):
        change(done.folder / "cell.json", lambda c, key=key, value=value: c.update({key: value}))  # type: ignore[misc]
        assert sentence in refused()
        (done.folder / "cell.json").write_bytes(whole)
    part = done.parts[0]
    gone = [{"dataset": "bu3dfe", "root": part.root, "cache": "/nowhere"}]
    change(done.folder / "cell.json", lambda c: c.update(parts=gone))
    assert "its inputs are no longer in the cache (/nowhere); extract them with `fer-bench run mine`" in refused()
    (done.folder / "cell.json").write_bytes(whole)
    change(done.folder / "cell.json", lambda c: c["arguments"].update(patch_size=7))
    assert "failed this time; fit: mit: image_size is 16; give a multiple of patch_size, 7." in refused()
    (done.folder / "cell.json").write_bytes(whole)
    change(done.folder / "status.json", lambda s: s.update(state="failed"))
    assert "is failed, and only what is done can be used" in refused()


@pytest.mark.slow
def test_data_that_have_changed_are_told(
    bench: Bench, make_bu3dfe: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_bu3dfe(10)
    monkeypatch.setenv("FER_BENCH_DATA", str(root.parent))
    _open.cache_clear()
    cell = bench.ready("epochs=1", only=("entry=views", "fold=0"))[0]
    bench.fit_and_score(cell)
    scan = next(root.rglob("*_F3D.wrl"))
    scan.write_bytes(scan.read_bytes() + b"\n")
    with pytest.raises(FerBenchError, match=r"its data have changed; files in .* are not those it was run on"):
        repeat(cell.folder)


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(done: Cell, tmp_path: Path) -> None:
    before = contents(done.folder.parent)
    # Whoever runs the tests in the background has them ignore Ctrl-C.
    script = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += "from fer_bench.cli.main import main\nmain()"
    command = [sys.executable, "-c", script, "repeat", str(done.folder), "--times", "1000"]
    with (tmp_path / "told").open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, start_new_session=True)
    limit = time.monotonic() + 300
    try:
        while not any(folder.joinpath("csv").exists() for folder in done.folder.parent.glob(".*repeat*")):
            assert process.poll() is None and time.monotonic() < limit, "its training begins"
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
    assert f"stopped; nothing was kept, and {done.folder} is as it was." in (tmp_path / "told").read_text()
    time.sleep(1)  # whatever was still at work has had its time
    assert contents(done.folder.parent) == before


def test_a_manifest_says_what_a_cell_was_run_with(bench: Bench, done: Cell) -> None:
    found = read_json(done.folder / "manifest.json")
    assert found["cell"] == done.id and found["seed"] == 0
    assert found["protocol_digest"] == done.protocol_digest
    (data,) = found["data"]
    assert data["dataset"] == "bu3dfe" and data["source"] in done.parts[0].cache and data["samples"] == 250
    assert [(run["stage"], run["completed"]) for run in found["runs"]] == [("fit", True), ("score", True)]
    for run in found["runs"]:
        assert run["started"] <= run["ended"] and 0 < run["seconds"] < 600
        assert 50e6 < run["peak_memory_bytes"] < run["hardware"]["memory_bytes"]
        assert run["threads"] == run["processes"] == 1
        assert run["versions"]["torch"] and run["versions"]["numpy"] == np.__version__
        assert run["hardware"]["cpu"] and run["hardware"]["cores"] >= 1
    text = (done.folder / "manifest.json").read_text()
    assert platform.node() not in text and str(Path.home()) not in text
    # No table depends on it.
    suite = read_suite(bench.file, ["epochs=1", "folds=[0]"])
    with_it = to_frame(collect("mine", suite, bench.runs))
    (done.folder / "manifest.json").unlink()
    pd.testing.assert_frame_equal(to_frame(collect("mine", suite, bench.runs)), with_it)


def test_every_attempt_is_in_the_manifest(done: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    path = done.folder / "manifest.json"
    change(path, lambda m: m["runs"][0].update(threads=7))
    monkeypatch.setattr("fer_bench.cells.score.score", lambda _: 1 / 0)
    done.report("interrupted")
    assert worker.work(done, "score", 1) == worker.FAILED
    runs = read_json(path)["runs"]
    assert [(run["stage"], run["completed"]) for run in runs] == [("fit", True), ("score", True), ("score", False)]
    assert runs[2]["ended"] and runs[0]["threads"] == 7
    assert last_run({"runs": runs}, "score") == runs[1]
    path.write_text("{")
    assert worker.work(done, "score", 1) == worker.FAILED
    assert [run["stage"] for run in read_json(path)["runs"]] == ["score"], "a damaged one is begun anew"
    content = read_json(path)
    assert last_run(content, "fit") == {}


def test_a_checkout_is_known_by_its_commit(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    assert manifest._checkout(package) is None

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
        return subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q")
    assert manifest._checkout(package) is None, "it only lies below somebody's checkout"
    git("add", ".")
    git("commit", "-q", "-m", "first")
    commit = git("rev-parse", "HEAD").strip()
    assert manifest._checkout(package) == {"commit": commit, "dirty": False}
    (package / "__init__.py").write_text("x = 1\n")
    assert manifest._checkout(package) == {"commit": commit, "dirty": True}
