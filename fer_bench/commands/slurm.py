"""What the commands do where Slurm has a part in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from fer_bench.cells.cell import Cell
from fer_bench.errors import FerBenchError
from fer_bench.launch.slurm import launcher as launch
from fer_bench.launch.slurm import queue
from fer_bench.launch.slurm.profile import Profile, read_profile

if TYPE_CHECKING:
    from fer_bench.commands.run import RunOptions
    from fer_bench.launch.planning import Need, Plan


def prepared(profile: Path | None) -> Profile:
    """The profile to use, once it is clear that Slurm can be."""
    chosen = read_profile(profile) if profile else Profile()
    queue.require()
    return chosen


def extract_shards(
    console: Console, need: Need, profile: Profile, shards: int | None = None, detach: bool = False
) -> bool:
    """Let Slurm extract what cells read; False where it was not waited for.

    Args:
        shards: Tasks; by default as many as have enough to do, and at most eight.
    """
    from fer_bench.launch.slurm.preparation import extract_on_slurm

    # A task takes seconds to start, in which one process extracts some hundred scans.
    count = shards or min(8, 1 + len(need.source.ids) // 500)

    def told(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    return extract_on_slurm(need, profile, count, told, not detach)


def run_cells(console: Console, plan: Plan, suite: Path, profile: Profile, options: RunOptions) -> bool:
    """Hand over what is neither done nor with Slurm already, and follow all that is; False when told not to follow.

    Raises:
        FerBenchError: `--overwrite` of cells that Slurm has.
    """
    from fer_bench.commands import display
    from fer_bench.launch.local import pending

    record = launch.submissions(suite)
    with record.locked():
        found = record.places(queue.ask)
        live = [cell for cell in plan.trained if launch.key(cell) in found and found[launch.key(cell)].live]
        if live and options.overwrite:
            tasks = sorted({found[launch.key(cell)].task for cell in live})
            raise FerBenchError(
                f"--overwrite: {len(live)} of the cells are queued or running in Slurm; cancel them first: "
                f"scancel {' '.join(tasks)}"
            )
        left = pending([cell for cell in plan.trained if cell not in live], options.retry, options.overwrite)
        jobs = launch.submit(left, suite, plan.name, profile, options.jobs) if left else []
    done = sum(cell.status().state == "done" for cell in plan.cells)
    told = f"{plan.name}: {len(left)} of {len(plan.cells)} cells handed to Slurm"
    told += f" (job {', '.join(jobs)})" if jobs else ""
    told += f", {len(live)} were there already" if live else ""
    console.print(
        f"{told}, {done} are done; logs of the tasks in {record.folder / 'logs'}", highlight=False, soft_wrap=True
    )
    if options.detach:
        return False
    if left or live:
        with display.RunDisplay(console, [*live, *left], len(plan.cells), done).live() as observer:
            launch.follow([*live, *left], suite, observer)
    return True


def free(console: Console, cells: list[Cell], suite: Path) -> list[Cell]:
    """Cells that Slurm does not have: nobody else may begin those that it has."""
    found, old = launch.places(suite)
    left = [cell for cell in cells if not (launch.key(cell) in found and found[launch.key(cell)].live)]
    if len(left) < len(cells):
        told = f"{len(cells) - len(left)} cells are queued or running in Slurm, and left to it."
        if old:
            told += f" {old} Where they are known to be over, delete {launch.submissions(suite).folder}."
        console.print(told, highlight=False, soft_wrap=True)
    return left


def refuse_nodes(cells: list[Cell], launcher: str) -> None:
    """Raise `FerBenchError` where a cell is to be trained on several nodes, and there is one."""
    for cell in cells:
        if cell.trainer["num_nodes"] > 1 and launcher == "local":
            raise FerBenchError(
                f"{cell.entry}: trainer.num_nodes is {cell.trainer['num_nodes']}, which takes --launcher slurm."
            )
