"""`fer-bench status SUITE`: the state of every cell, from its folder alone."""

from collections import Counter
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from fer_bench.cells.cell import cell_path, status_of
from fer_bench.commands.options import load_suite
from fer_bench.launch.slurm import launcher as slurm_launcher

MAX_LINES_PER_ENTRY = 20
"""Of an entry with more cells, those that are simply done or planned are counted in one line."""


def show_status(suite_name: str, settings: list[str], runs: Path) -> str:
    """The state of every cell of a suite, one line a cell; see `MAX_LINES_PER_ENTRY`."""
    name, suite = load_suite(suite_name, settings, arguments=False)
    lines, states = [], Counter[str]()
    places, outdated = slurm_launcher.places(runs / name)
    for (protocol, entry), group in groupby(suite.identities(), key=lambda cell: cell[:2]):
        cells, counted = [*group], Counter[str]()
        for _, _, fold, seed in cells:
            path = cell_path(protocol, entry, fold, seed)
            folder = runs / name / path
            status = status_of(folder)
            standing = slurm_launcher.stand(folder, status, places.get(path))
            states[standing.state] += 1
            if len(cells) > MAX_LINES_PER_ENTRY and not standing.note and standing.state in ("done", "planned"):
                counted[standing.state] += 1
                continue
            epochs = f"  epoch {status.epoch} of {status.epochs}" if status.epochs else ""
            note = f"  {standing.note}" if standing.note else ""
            lines.append(f"  {standing.state:<12} {path}{epochs}{note}")
        lines += [f"  {state:<12} {protocol}/{entry}  {n} of {len(cells)} cells" for state, n in counted.items()]
    return "\n".join([f"{name}: {describe_states(states)}", *lines, *([outdated] if outdated else [])])


def describe_states(states: Mapping[str, int]) -> str:
    """`3 done, 1 failed`: how many cells are in each state."""
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()) if count) or "no cells"
