"""`fer-bench run SUITE --stress`: the stress deck, after the suite itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.markup import escape

from fer_bench.cells.stress import Trial, find_inputs, tested_ids, trials
from fer_bench.commands import display
from fer_bench.commands.prepare import extract
from fer_bench.commands.run import RunOptions
from fer_bench.errors import BrokenScan
from fer_bench.launch.local import launch
from fer_bench.launch.slots import make_slots
from fer_bench.leaderboard.pages import formats
from fer_bench.processes import available_cores
from fer_bench.terminal import console

if TYPE_CHECKING:
    from fer_bench.cells.cell import Cell
    from fer_bench.launch.planning import Plan
    from fer_bench.leaderboard.rows import Row


def run(plan: Plan, members: Sequence[str], rows: Sequence[Row], runs: Path, out: Path, options: RunOptions) -> bool:
    """Put the cells that are done through members of the deck and write a page each, and the HTML page
    anew; True when nothing is missing.

    What is there is kept; what failed is tried again.

    Raises:
        BrokenScan: nothing can be extracted of a perturbed scan, and such scans are not to be left out.
    """
    inputs, refused = find_inputs(plan)
    for (protocol, entry), why in refused.items():
        console.print(f"not stressed  {protocol}  {entry}: {escape(why)}", highlight=False)
    left = trials(plan.trained, inputs, members)
    staged = _extracted(left, options.skip_broken)
    if staged:
        _launch(plan, staged, options)
    else:
        console.print(f"{plan.name}: nothing to put through {', '.join(members)}", highlight=False)
    written = formats.write_stress(members, plan.name, plan.suite, rows, runs, out)
    console.print(f"wrote {', '.join(map(str, written))}", highlight=False)
    return all(cell.status().state == "done" for cell in plan.trained) and not trials(plan.trained, inputs, members)


def _extracted(left: Sequence[Trial], skip_broken: bool) -> list[Cell]:
    """The cells, ready to be launched; what they need of the cache is there."""
    staged: list[Cell] = []
    for trial in left:
        # A fold's samples are an entry, so that all entries, seeds and suites that test the fold share it.
        need = trial.needs(tested_ids(trial))
        try:
            extract(need, available_cores(), skip_broken)
        except BrokenScan as error:
            remedy = "Run with --skip-broken to leave such scans out of the stress and have them counted."
            raise BrokenScan(error.path, error.problem, remedy) from None
        staged.append(trial.ready(need))
    return staged


def _launch(plan: Plan, staged: list[Cell], options: RunOptions) -> None:
    gpus = 0 if all(cell.trainer["accelerator"] == "cpu" for cell in staged) else torch.cuda.device_count()
    slots = make_slots(options.jobs, len(staged), 1, gpus)
    console.print(f"{plan.name}: {len(staged)} cells to put through the stress deck", highlight=False)
    with display.StressDisplay(console, staged).live() as observer:
        launch(staged, slots, observer, first="stress")
