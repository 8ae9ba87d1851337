"""`fer-bench run SUITE`: from a suite to its tables, in seven steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from fer_bench.commands.options import RunOptions, load_suite
from fer_bench.commands.status import describe_states
from fer_bench.launch.server import preload_of
from fer_bench.processes import fork_server
from fer_bench.terminal import console

if TYPE_CHECKING:
    from fer_bench.launch.planning import Plan


def run(
    suite_name: str,
    settings: list[str],
    only: list[str],
    runs: Path,
    data: Path | None,
    out: Path,
    options: RunOptions,
    stress: Sequence[str] = (),
) -> bool:
    """Run a suite, write its leaderboard, and apply members of the stress deck to the finished cells.

    Returns:
        True when every requested cell is done and every requested stress was applied.
    """
    # The server of all processes imports torch and the methods while this process reads the suite.
    fork_server(*preload_of(load_suite(suite_name, settings, data, arguments=False)[1]))
    name, suite = load_suite(suite_name, settings, data)  # 1. read the suite
    with console.status("reading the suite and the data ..."):
        from fer_bench.commands import tables
        from fer_bench.commands.launchers import make_launcher, prepare_inputs, score_derived
        from fer_bench.commands.stress_deck import StressDeck
        from fer_bench.launch.planning import make_plan

        launcher, deck = make_launcher(options), StressDeck(stress, options)
        plan = make_plan(name, suite, runs, only, fetch=True)  # 2. plan the cells
    report_skipped(plan)
    launcher.check(plan)
    deck.check(plan)
    plan = prepare_inputs(plan, launcher, runs, only, options)  # 3. prepare the inputs
    if not launcher.train(plan, runs / name):  # 4. train, and score what was trained
        return report_detached(suite_name)
    score_derived(plan, options)  # 5. score fusions and saved predictions
    rows = tables.collect_rows(name, suite, runs, plan.skipped)  # 6. collect the rows
    tables.write_tables(name, suite, rows, runs, out)  # 7. write the tables
    complete = report_states(plan, suite_name)
    return deck.run(plan, rows, runs, out) and complete


def report_skipped(plan: Plan) -> None:
    """Print the entries that cannot run, and why."""
    for (protocol, entry), why in plan.skipped.items():
        console.print(f"skipped  {protocol}  {entry}: {escape(why)}", highlight=False)


def report_detached(suite_name: str) -> bool:
    """Print how to follow tasks that are not waited for."""
    console.print(f"They run without this command; their states: fer-bench status {suite_name}", highlight=False)
    return True


def report_states(plan: Plan, suite_name: str) -> bool:
    """Print how many cells are not done, and what to type next; returns whether all are done."""
    states = Counter[str](cell.status().state for cell in plan.cells)
    if states["done"] == len(plan.cells):
        return True
    retry = " --retry failed,oom,timeout" if any(states[s] for s in ("failed", "oom", "timeout")) else ""
    console.print(
        f"{describe_states(states)}. Reasons: fer-bench status {suite_name}. Again: fer-bench run {suite_name}{retry}",
        highlight=False,
    )
    return False
