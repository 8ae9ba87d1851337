"""`fer-bench run SUITE --stress`: the stress deck, after the suite itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.markup import escape

from fer_bench.commands import display
from fer_bench.commands.extraction import extract
from fer_bench.commands.options import RunOptions
from fer_bench.errors import BrokenScan
from fer_bench.launch.local import launch
from fer_bench.launch.slots import make_slots
from fer_bench.launch.stress_planning import Trial, chosen_members, find_inputs, tested_ids, trials
from fer_bench.leaderboard.pages import formats
from fer_bench.processes import available_cores
from fer_bench.terminal import console

if TYPE_CHECKING:
    from fer_bench.cells.cell import Cell
    from fer_bench.launch.planning import Plan
    from fer_bench.leaderboard.row import Row


class StressDeck:
    """Members of the stress deck that finished cells are put through; with no members it does nothing.

    Args:
        names: Members, as the option `--stress` has them: `rotation,noise`.

    Raises:
        UnknownName: the deck has no such member.
    """

    def __init__(self, names: Sequence[str], options: RunOptions) -> None:
        self.members, self.options = chosen_members(names), options

    def check(self, plan: Plan) -> None:
        """Raise `InvalidSuite` where no cell of the plan can be stressed, before anything is trained."""
        if self.members:
            find_inputs(plan)

    def run(self, plan: Plan, rows: Sequence[Row], runs: Path, out: Path) -> bool:
        """Stress the cells that are done, write a page for each member, and the HTML page again; True when nothing is
        missing.

        Results that exist are kept; what failed is tried again.

        Raises:
            BrokenScan: nothing can be extracted from a perturbed scan, and unreadable scans are not to be left out.
        """
        if not self.members:
            return True
        inputs, refused = find_inputs(plan)
        for (protocol, entry), why in refused.items():
            console.print(f"not stressed  {protocol}  {entry}: {escape(why)}", highlight=False)
        staged = self._extract(trials(plan.trained, inputs, self.members))
        if staged:
            self._launch(plan, staged)
        else:
            console.print(f"{plan.name}: nothing to put through {', '.join(self.members)}", highlight=False)
        written = formats.write_stress(self.members, plan.name, plan.suite, rows, runs, out)
        console.print(f"wrote {', '.join(map(str, written))}", highlight=False)
        complete = all(cell.status().state == "done" for cell in plan.trained)
        return complete and not trials(plan.trained, inputs, self.members)

    def _extract(self, waiting: Sequence[Trial]) -> list[Cell]:
        """The cells, ready to launch; the cache then has what they read."""
        staged: list[Cell] = []
        for trial in waiting:
            # One cache entry holds a fold's samples, so that all entries, seeds and suites with that fold share it.
            need = trial.needs(tested_ids(trial))
            try:
                extract(need, available_cores(), self.options.skip_broken)
            except BrokenScan as error:
                remedy = "Run with --skip-broken to leave such scans out of the stress and have them counted."
                raise BrokenScan(error.path, error.problem, remedy) from None
            staged.append(trial.ready(need))
        return staged

    def _launch(self, plan: Plan, staged: list[Cell]) -> None:
        gpus = 0 if all(cell.trainer["accelerator"] == "cpu" for cell in staged) else torch.cuda.device_count()
        slots = make_slots(self.options.jobs, len(staged), 1, gpus)
        console.print(f"{plan.name}: {len(staged)} cells to put through the stress deck", highlight=False)
        with display.StressDisplay(console, staged).live() as observer:
            launch(staged, slots, observer, first="stress")
