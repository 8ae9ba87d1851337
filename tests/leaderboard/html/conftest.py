"""Runs that nobody ran, whose names and words attack the page, and a browser to look at it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fer_bench.cells.cell import Cell, Part
from fer_bench.leaderboard.html import report as page
from fer_bench.leaderboard.rows import collect
from fer_bench.metrics import score
from fer_bench.protocols import PROTOCOLS
from fer_bench.records import OUTPUT, Result, write_json
from fer_bench.suites.suite import Suite

PROTOCOL = "bu3dfe-s1-cv10@1"
OTHER = "bosphorus-cv10@1"
HOSTILE = (
    "</script><script>window.hacked = 1</script><img src=x onerror=\"window.hacked = 2\"> & 'quoted' \u2028 {{ 7 * 7 }}"
)
FAILED = 2
"""The fold on which `broken` fails."""


def suite(**changes: Any) -> Suite:
    entries = {name: {"method": method} for name, method in METHODS.items()}
    fields = {"protocols": [PROTOCOL], "methods": entries, "folds": [0, 1, 2], "title": HOSTILE, "reference": "strong"}
    return Suite(**(fields | changes))


METHODS = {"strong": "pointnet2", "weak": "mit", "broken": "drfer", "unsound": "pointnet2"}
PARAMETERS = {"strong": 94102, "weak": 1234567, "broken": 8, "unsound": 651090}
SKILL = {"strong": 3.0, "weak": 0.4, "broken": 1.0, "unsound": 2.0}


def write_cell(runs: Path, entry: str, fold: int, protocol_id: str = PROTOCOL, provenance: str = "twin-r1") -> Cell:
    """A cell of 24 samples of four subjects; `broken` fails on one fold, and has said why."""
    protocol = PROTOCOLS[protocol_id]
    cell = Cell(
        suite="mine",
        protocol=protocol_id,
        entry=entry,
        fold=fold,
        seed=0,
        method=METHODS[entry],
        arguments={"note": HOSTILE},
        trainer={"devices": 1},
        parts=(Part(protocol.datasets[0], "nowhere", "nowhere"),),
        provenance=provenance,
        protocol_digest=f"d{protocol_id[:4]}",
        representation={"name": "points", "label": "points-9", "digest": "r"},
        parameters=PARAMETERS[entry],
        weights=HOSTILE,
        unsound=f"it looks at the answers {HOSTILE}" if entry == "unsound" else "",
        folder=runs / "mine" / protocol_id / entry / f"fold{fold:02d}" / "seed0",
    )
    cell.write()
    if entry == "broken" and fold == FAILED:
        cell.report("failed", message=f"it broke {HOSTILE}")
        (cell.folder / "log.txt").write_text(f"\x1b[31mred\x1b[0m\n{HOSTILE}\nthe last line\n")
        return cell
    random = np.random.default_rng(fold)
    labels = np.array(protocol.classes, dtype=object)[np.arange(24) % len(protocol.classes)]
    right = np.array([[name == label for name in protocol.classes] for label in labels]) - 0.5
    outputs = SKILL[entry] * right + random.normal(size=right.shape)
    table = pd.DataFrame(outputs, columns=[f"{OUTPUT}{name}" for name in protocol.classes])
    table.insert(0, "id", [f"f{fold}s{number:02d} {HOSTILE}" for number in range(24)])
    table.insert(1, "subject", [f"f{fold}p{number % 4}" for number in range(24)])
    table.insert(2, "label", labels)
    table.to_parquet(cell.folder / "predictions.parquet")
    if entry == "strong" and fold == 0:
        np.save(cell.folder / "features.npy", random.normal(size=(24, 5)).astype(np.float32))
    logged = [
        {"epoch": e, "train/loss": 1 / (e + 1), "val/loss": 1.2 / (e + 1), "val/accuracy": e / 9} for e in range(6)
    ]
    (cell.folder / "csv" / "attempt0").mkdir(parents=True)
    pd.DataFrame(logged).to_csv(cell.folder / "csv" / "attempt0" / "metrics.csv", index=False)
    run = {
        "stage": "fit",
        "started": "2026-01-01T00:00:00",
        "seconds": 12.5,
        "completed": True,
        "code": {"commit": "abc"},
    }
    write_json(cell.folder / "manifest.json", {"data": [{"dataset": "bu3dfe"}], "runs": [run]})
    metrics = score(protocol.task, outputs, labels, protocol.classes, protocol.tested)
    Result(metrics, 24, 0, cell.protocol_digest, "r", provenance, PARAMETERS[entry], 6, 3, 60.0).write(
        cell.folder / "result.json"
    )
    cell.report("done", epoch=6, epochs=6)
    return cell


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four entries on three folds, one of which has failed once."""
    folder = tmp_path_factory.mktemp("runs")
    for entry in METHODS:
        for fold in range(3):
            write_cell(folder, entry, fold)
    return folder


@pytest.fixture(scope="session")
def report(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of it."""
    requested = suite()
    return page.write("mine", requested, collect("mine", requested, runs), {}, runs, tmp_path_factory.mktemp("boards"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium. Where FER_BENCH_TEST_BROWSER names one, it has to be there; elsewhere it may be missing."""
    named = os.environ.get("FER_BENCH_TEST_BROWSER")
    path = shutil.which(named or "chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        if named:
            raise
        pytest.skip("no Playwright here: pip install playwright")
    if path is None:
        assert not named, f"{named} is not here"
        pytest.skip("no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()
