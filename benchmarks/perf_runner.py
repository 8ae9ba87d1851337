"""`make perf`: what running many cells costs beside their training, against a shell loop over `python train.py`."""

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from timing import Row, write_tables

from fer_bench import registry
from fer_bench.cells.cell import Cell, Part
from fer_bench.metrics import score
from fer_bench.records import OUTPUT, Result
from fer_bench.suites.arguments import resolve_arguments
from fer_bench.suites.reading import read_suite

SWEEP = """
protocols: [bu3dfe-s1-cv10@1]
seeds: [{seeds}]
trainer: {{accelerator: cpu}}
methods:
  points: {{method: pointnet2, size: nano, points: 128, epochs: {epochs}}}
"""

# What a person would write: a script that trains and scores one cell, called once a cell by a loop of the shell.
TRAIN = """
import sys
from pathlib import Path
from fer_bench.launch import worker
from fer_bench.cells.cell import Cell
cell = Cell.read(Path(sys.argv[1]))
sys.exit(worker.work(cell, "fit", int(sys.argv[2])) or worker.work(cell, "score", int(sys.argv[2])))
"""

MANY = """
protocols: [bu3dfe-drfer60-cv10@1]
repeats: {repeats}
methods:
  one: {{method: pointnet2, points: 512}}
  two: {{method: pointnet2, points: 1024}}
  three: {{method: pointnet2, points: 256}}
  four: {{method: pointnet2, points: 128}}
  five: {{method: drfer}}
  six: {{method: drfer, skip: false}}
  seven: {{method: drfer, size: nano}}
  eight: {{method: drfer, points: 512}}
  nine: {{method: drfer, points: 256}}
  ten: {{method: drfer, points: 128}}
"""


def fer_bench(*arguments: str | Path) -> float:
    """Wall seconds of a command that has to end well."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "fer_bench", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def cells_below(runs: Path) -> list[Cell]:
    return [Cell.read(path.parent) for path in sorted(runs.rglob("cell.json"))]


def sweeps(folder: Path, cells: int, seconds: float) -> Iterator[Row]:
    """Cells of about so many seconds of training: one at a time, two at a time, and one by one in a shell."""
    data, file = folder / "data", folder / "sweep.yaml"
    fer_bench("data", "twin", "bu3dfe", "--out", data / "bu3dfe", "--subjects", "10")
    common = ("--data", data, "--out", folder / "boards")

    def write(count: int, epochs: int) -> None:
        file.write_text(SWEEP.format(seeds=", ".join(map(str, range(-(-count // 10)))), epochs=epochs))

    # How long an epoch takes here, the first one aside; that also extracts the input.
    write(1, 12)
    fer_bench("run", file, *common, "--runs", folder / "first", "--jobs", "1", "--only", "fold=0")
    (first,) = cells_below(folder / "first")
    epochs = max(1, round(seconds / first.status().epoch_seconds))
    write(cells, epochs)
    walls = {}
    for jobs in (1, 2):
        runs = folder / f"jobs{jobs}"
        walls[jobs] = fer_bench("run", file, *common, "--runs", runs, "--jobs", str(jobs))
        done = cells_below(runs)
        trained = sum(cell.status().fit_seconds for cell in done)
        what = f"{len(done)} cells of {trained / len(done):.1f} s, {jobs} at a time"
        if jobs == 1:
            worked = sum(cell.status().seconds for cell in done)
            outside, around = walls[1] - trained, walls[1] - worked
            yield Row(f"{what}: wall time outside training, a cell", "ms", 1000 * outside / len(done))
            yield Row(f"{what}: share of it in the whole", "%", 100 * outside / walls[1])
            yield Row(
                f"{what}: of it, what a cell does itself: set-up and scoring",
                "ms",
                1000 * (worked - trained) / len(done),
            )
            yield Row(f"{what}: of it, the run's own, divided among the cells", "ms", 1000 * around / len(done))
            yield Row(f"{what}: share of the run's own in the whole", "%", 100 * around / walls[1])
            again = fer_bench("run", file, *common, "--runs", runs, "--jobs", "1")
            yield Row("the same run when all cells are done: start, plan, tables and page", "ms", 1000 * again)
        else:
            yield Row(f"{what}", "cells/s", len(done) / walls[2], "one at a time", len(done) / walls[1])
    script = folder / "train.py"
    script.write_text(TRAIN)
    loop = 'for cell in "$@"; do "$PYTHON" "$SCRIPT" "$cell" "$THREADS" || exit 1; done'
    runs = folder / "loop"
    for cell in cells_below(folder / "jobs1"):
        copy = Cell(**{**vars(cell), "folder": runs / cell.folder.relative_to(folder / "jobs1")})
        copy.write()
    environment = {**os.environ, "PYTHON": sys.executable, "SCRIPT": str(script), "THREADS": str(os.cpu_count() or 1)}
    folders = [str(cell.folder) for cell in cells_below(runs)]
    begun = time.perf_counter()
    subprocess.run(
        ["sh", "-c", loop, "sh", *folders],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    took, count = time.perf_counter() - begun, len(folders)
    yield Row("the same, one at a time", "cells/s", count / walls[1], "a shell loop over python train.py", count / took)


def write_results(runs: Path, file: Path) -> int:
    """Finished cells that nobody trained; returns how many."""
    suite = read_suite(file)
    protocol = registry.find_protocol(suite.protocols[0])
    random, n, count = np.random.default_rng(0), 72, 0
    for entry in suite.methods:
        method, arguments = resolve_arguments(entry, suite.methods[entry], "")
        for fold in suite.folds_of(protocol):
            cell = Cell(
                suite=file.stem,
                protocol=protocol.id,
                entry=entry,
                fold=fold,
                seed=0,
                method=method,
                arguments=arguments,
                trainer=suite.trainer_of(entry).model_dump(),
                parts=(Part("bu3dfe", "", ""),),
                provenance="nobody's",
                protocol_digest="0",
                representation={"name": "points", "label": "points", "digest": "0"},
                parameters=1,
                weights="",
                unsound="",
                folder=runs / file.stem / protocol.id / entry / f"fold{fold:02d}" / "seed0",
            )
            cell.write()
            truth = random.integers(6, size=n)
            outputs = np.eye(6)[truth] + random.normal(0, 0.7, (n, 6))
            table = pd.DataFrame(outputs, columns=[f"{OUTPUT}{name}" for name in protocol.classes])
            table.insert(0, "label", np.array(protocol.classes, dtype=object)[truth])
            table.insert(0, "subject", [f"S{(fold * 6 + i // 12) % 60}" for i in range(n)])
            table.insert(0, "id", [f"{fold // 10}_{fold % 10}_{i}" for i in range(n)])
            table.to_parquet(cell.folder / "predictions.parquet", index=False)
            metrics = score(protocol.task, outputs, table["label"].to_numpy(object), protocol.classes, protocol.tested)
            Result(metrics, n, 0, "0", "0", "nobody's", 1, 2, 1, 1.0).write(cell.folder / "result.json")
            cell.report("done", epoch=2, epochs=2)
            count += 1
    return count


def many(folder: Path, repeats: int) -> Iterator[Row]:
    """`status` and `leaderboard` of ten entries over ten folds, so often divided anew. The peer reads the same files in
    a loop as one writes it in a notebook, and computes nothing."""
    file, runs = folder / "many.yaml", folder / "many"
    file.write_text(MANY.format(repeats=repeats))
    count = write_results(runs, file)
    told = f"of {count:,} finished cells"

    def read(with_predictions: bool) -> float:
        begun = time.perf_counter()
        for path in runs.rglob("status.json"):
            json.loads(path.read_text())
            if with_predictions:
                json.loads((path.parent / "result.json").read_text())
                pd.read_parquet(path.parent / "predictions.parquet")
        return time.perf_counter() - begun

    for name, options in (("status", ()), ("leaderboard", ("--out", folder / "boards"))):
        mine = fer_bench(name, file, "--runs", runs, *options)
        other = read(name == "leaderboard")
        yield Row(f"fer-bench {name} {told}", "ms", 1000 * mine, "reading their files one by one", 1000 * other)
    page = folder / "boards" / "many.html"
    yield Row(f"the HTML page {told}: size", "MB", page.stat().st_size / 1e6)
    if shutil.which("chromium") and importlib.util.find_spec("playwright"):
        yield Row(f"the HTML page {told}: until its tables sort, in Chromium", "ms", sortable(page))


def sortable(page: Path, rounds: int = 5) -> float:
    """Median of `performance.now()` when a page's script is done, milliseconds since it began to load."""
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(rounds):
            tab = browser.new_page()
            tab.goto(page.absolute().as_uri())
            times.append(float(tab.evaluate("document.documentElement.dataset.ready")))
            tab.close()
        browser.close()
    return float(np.median(times))


def starting(rounds: int = 20) -> Iterator[Row]:
    """A process that has all that a cell needs, against a fresh one that imports it."""
    from fer_bench.launch.preload import STAGES
    from fer_bench.launch.server import PRELOAD
    from fer_bench.processes import fork_server

    context = fork_server(*PRELOAD)

    def forked() -> float:
        begun = time.perf_counter()
        process = context.Process(target=_nothing)
        process.start()
        process.join()
        return time.perf_counter() - begun

    forked()
    times = [forked() for _ in range(rounds)]
    cold = []
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {', '.join(STAGES)}"], check=True)
        cold.append(time.perf_counter() - begun)
    what = "start and end of a process with torch, Lightning and the suite"
    yield Row(what, "ms", 1000 * float(np.median(times)), "python -c 'import ...'", 1000 * float(np.median(cold)))


def _nothing() -> None:
    pass


def rows(cells: int, seconds: float, repeats: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["FER_BENCH_CACHE"] = str(folder / "cache")
        yield from starting()
        yield from many(folder, repeats)
        yield from sweeps(folder, cells, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=40, help="Of the sweep, in tens.")
    parser.add_argument("--seconds", type=float, default=5.0, help="Training of each.")
    parser.add_argument("--repeats", type=int, default=100, help="A hundred finished cells each.")
    chosen = parser.parse_args()
    write_tables(
        "perf_runner",
        "Running many cells",
        "a twin of BU-3DFE of 10 people, PointNet++ nano on 128 points. Training is the epochs of a cell with their "
        "validation and checkpoints; outside it are the set-up and scoring of each cell, and what is the run's own: "
        "start and end of the command and of the process that cells are forked from, plan, start and end of the cells' "
        "processes, tables and page",
        rows(chosen.cells, chosen.seconds, chosen.repeats),
    )


if __name__ == "__main__":
    main()
