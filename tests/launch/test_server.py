"""The server that cells are forked from has done what they would all do again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_bench import registry
from fer_bench.cells.cell import SAVED, Cell
from fer_bench.launch.server import PRELOAD, preload, preload_for, preload_of
from fer_bench.processes import fork_server
from fer_bench.suites.reading import read_suite
from tests.conftest import OWN_METHODS

if TYPE_CHECKING:
    from tests.suite_runner import Bench

_LOOK = """
import gc, json, os, sys
from pathlib import Path
from fer_bench import registry
from fer_bench.cells import manifest
from fer_bench.launch import worker
from fer_bench.cells.cell import Cell
before = set(sys.modules)
frozen, read = [], registry._docstrings.cache_info().currsize
asked = manifest.made_with.cache_info().currsize
stage, plain = worker._stage, Path(folder)
def look(cell, name):
    frozen.append(gc.get_freeze_count())
    stage(cell, name)
worker._stage = look
threads = [each.read_text().strip() for each in Path(f"/proc/{os.getppid()}/task").glob("*/comm")]
try:
    worker.main(plain, "fit", 1, None)
finally:
    new = sorted(set(sys.modules) - before)
    found = {"new": new, "frozen": frozen[0], "read": read, "asked": asked, "threads": threads}
    Path(told).write_text(json.dumps(found))
"""


def look(cell: Cell, told: Path) -> dict[str, Any]:
    """What a cell's process finds done, and imports itself."""
    given = {"folder": str(cell.folder), "told": str(told)}
    process = fork_server(*PRELOAD).Process(target=exec, args=(_LOOK, given))
    process.start()
    process.join()
    assert process.exitcode == 0, (cell.folder / "log.txt").read_text()
    found: dict[str, Any] = json.loads(told.read_text())
    return found


def test_a_cells_process_imports_nothing_that_it_could_have_been_given(bench: Bench, tmp_path: Path) -> None:
    (cell,) = bench.ready("points.epochs=1", only=("entry=points", "fold=0"))
    found = look(cell, tmp_path / "told.json")
    # Of the package's own modules those of the cell's method and dataset: this server knows of no suite.
    others = [name for name in found["new"] if not name.startswith("fer_bench.")]
    heavy = {"torch", "torchvision", "lightning", "numba", "pyarrow", "tensorboard", "google", "scipy", "timm"}
    assert not heavy & {name.partition(".")[0] for name in others}, others
    assert found["read"] == 2, "methods and datasets are known"
    assert found["asked"] == 1, "so are versions and the state of the checkout"
    assert found["frozen"] > 100_000, "the collector leaves alone what the server has imported"
    assert cell.status().state == "done", "the same process has scored it"


def test_the_server_runs_no_thread_of_ours(bench: Bench, tmp_path: Path) -> None:
    (cell,) = bench.ready("points.epochs=1", only=("entry=points", "fold=1"))
    threads = look(cell, tmp_path / "told.json")["threads"]
    assert len([name for name in threads if name != "jemalloc_bg_thd"]) == 1, "arrow's allocator minds being forked"


def test_modules_are_those_of_the_cells(bench: Bench) -> None:
    assert preload_for(bench.plan(only=("fold=0",)).cells) == (
        *PRELOAD,
        "fer_bench.methods.mit",
        "fer_bench.methods.pointnet2",
        "fer_bench.data.bu3dfe",
    )
    assert preload_of(read_suite(bench.file, arguments=False)) == preload_for(bench.plan().cells)
    assert preload([SAVED, "nobodys"], []) == PRELOAD


def test_methods_of_somebodys_own_are_left_to_their_cells(see_methods: Any) -> None:
    see_methods(OWN_METHODS)
    own = [name for name in registry.methods() if not registry.ships(name)]
    assert own
    assert preload(own, []) == PRELOAD
