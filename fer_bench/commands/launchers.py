"""The two launchers, local and Slurm, behind the same verbs: `check`, `extract`, `train`.

`fer_bench.launch` has what they are made of; here is what they print.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch

from fer_bench.cells import snapshots
from fer_bench.cells.cell import DERIVED, Cell
from fer_bench.cells.forecast import Forecast, key, probe_of, remember
from fer_bench.commands import display
from fer_bench.commands.extraction import extract, extract_on_slurm, read_slurm_profile
from fer_bench.commands.options import RunOptions
from fer_bench.errors import FerBenchError
from fer_bench.launch.local import derived, launch, pending, refuse_other_settings
from fer_bench.launch.planning import Need, Plan, make_plan
from fer_bench.launch.slots import Slot, make_slots
from fer_bench.launch.slurm import launcher as slurm
from fer_bench.launch.slurm import queue
from fer_bench.launch.slurm.submission import Place
from fer_bench.processes import available_cores
from fer_bench.stats.metric_units import duration
from fer_bench.terminal import console


class Launcher(Protocol):
    """Where cells run."""

    def check(self, plan: Plan) -> None:
        """Refuse a plan that cannot run as it is, before anything is prepared; raises `FerBenchError`."""

    def extract(self, need: Need) -> None:
        """Extract what other machines can; the rest is extracted here."""

    def train(self, plan: Plan, folder: Path) -> bool:
        """Train and score the cells of methods that are not done, below the suite's folder; False where the command is
        not to wait for them."""


def make_launcher(options: RunOptions) -> Launcher:
    """The launcher that the options name.

    Raises:
        FerBenchError: Slurm's commands are not on this machine.
        InvalidFile: the profile cannot be read.
    """
    return SlurmLauncher(options) if options.launcher == "slurm" else LocalLauncher(options)


def prepare_inputs(plan: Plan, launcher: Launcher, runs: Path, only: Sequence[str], options: RunOptions) -> Plan:
    """Extract what the cells of a plan read; returns the plan without the samples that turned out to be unreadable."""
    for need in plan.needs:
        launcher.extract(need)
        extract(need, available_cores(), options.skip_broken)
    plan = make_plan(plan.name, plan.suite, runs, only, fetch=True)
    snapshots.keep(plan.cells, plan.snapshots)
    return plan


def score_derived(plan: Plan, options: RunOptions) -> None:
    """Score saved predictions and fusions. They are scored at every run, because what they are made of may have
    changed, and it takes no training."""
    for kind in DERIVED:
        if cells := derived(plan.of(kind)):
            with display.RunDisplay(console, cells).live() as observer:
                launch(cells, make_slots(options.jobs, len(cells), 1, 0), observer, first="score")


class LocalLauncher:
    """Runs cells on this machine, several at a time."""

    def __init__(self, options: RunOptions) -> None:
        self.options = options

    def check(self, plan: Plan) -> None:
        for cell in plan.trained:
            if cell.trainer["num_nodes"] > 1:
                raise FerBenchError(
                    f"{cell.entry}: trainer.num_nodes is {cell.trainer['num_nodes']}, which takes --launcher slurm."
                )
        _check_settings(plan, self.options)

    def extract(self, need: Need) -> None:
        """Nothing: there is no other machine."""

    def train(self, plan: Plan, folder: Path) -> bool:
        """Longest first. The expected and the actual time are written down for the next forecast."""
        cells = pending(_not_in_slurm(plan.trained, folder), self.options.retry, self.options.overwrite)
        done = sum(cell.status().state == "done" for cell in plan.cells)
        if not cells:
            if plan.trained:
                message = f"nothing to run, {done} of {len(plan.cells)} cells are done"
                console.print(f"{plan.name}: {message}", highlight=False)
            return True
        slots, forecast = self._divide(plan, cells)
        gpus = len({slot.devices for slot in slots if slot.devices is not None})
        where = f"{gpus} leases of GPUs" if gpus else f"{slots[0].threads} CPU threads each"
        expected = forecast.total(cells, len(slots))
        console.print(
            f"{plan.name}: {len(cells)} of {len(plan.cells)} cells to run, {len(slots)} at a time, {where}"
            f"{f', about {duration(expected)}' if expected else ''}; logs below {folder}",
            highlight=False,
        )
        start = time.monotonic()
        try:
            with display.RunDisplay(console, cells, len(plan.cells), done, forecast, len(slots)).live() as observer:
                launch(forecast.longest_first(cells), slots, observer, limit=self.options.time_limit)
        except KeyboardInterrupt:
            remember(folder, forecast, cells, len(slots), time.monotonic() - start)
            raise
        remember(folder, forecast, cells, len(slots), time.monotonic() - start)
        return True

    def _divide(self, plan: Plan, cells: Sequence[Cell]) -> tuple[list[Slot], Forecast]:
        """Shares of the machine, and what the cells are expected to take. Where cells may share a GPU, their memory is
        measured first."""
        slots = slots_for(cells, self.options.jobs)
        if self.options.jobs is None and slots[0].devices is not None:
            probe_entries(cells, slots)
            slots = slots_for(cells, self.options.jobs, Forecast.of(plan.trained))
        return slots, Forecast.of(plan.trained)


class SlurmLauncher:
    """Submits cells to Slurm, and follows them."""

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        self.profile = read_slurm_profile(options.profile)

    def check(self, plan: Plan) -> None:
        _check_settings(plan, self.options)

    def extract(self, need: Need) -> None:
        extract_on_slurm(need, self.profile)

    def train(self, plan: Plan, folder: Path) -> bool:
        """Submits what is neither done nor in Slurm's queue already.

        Raises:
            FerBenchError: `--overwrite` of cells that are queued or running.
        """
        record = slurm.submissions(folder)
        with record.locked():
            live = _queued_or_running(record.places(queue.ask), plan.trained)
            if live and self.options.overwrite:
                raise FerBenchError(
                    f"--overwrite: {len(live)} of the cells are queued or running in Slurm; cancel them first: "
                    f"scancel {' '.join(sorted(set(live.values())))}"
                )
            waiting = [cell for cell in plan.trained if slurm.key(cell) in live]
            others = [cell for cell in plan.trained if slurm.key(cell) not in live]
            cells = pending(others, self.options.retry, self.options.overwrite)
            jobs = slurm.submit(cells, folder, plan.name, self.profile, self.options.jobs) if cells else []
        done = sum(cell.status().state == "done" for cell in plan.cells)
        message = f"{plan.name}: {len(cells)} of {len(plan.cells)} cells handed to Slurm"
        message += f" (job {', '.join(jobs)})" if jobs else ""
        message += f", {len(waiting)} were there already" if waiting else ""
        console.print(
            f"{message}, {done} are done; logs of the tasks in {record.folder / 'logs'}",
            highlight=False,
            soft_wrap=True,
        )
        if self.options.detach:
            return False
        if followed := [*waiting, *cells]:
            with display.RunDisplay(console, followed, len(plan.cells), done).live() as observer:
                slurm.follow(followed, folder, observer)
        return True


def slots_for(cells: Sequence[Cell], jobs: int | None, forecast: Forecast | None = None) -> list[Slot]:
    """The machine's shares for some cells."""
    gpus = 0 if all(cell.trainer["accelerator"] == "cpu" for cell in cells) else torch.cuda.device_count()
    capacity = min((torch.cuda.get_device_properties(i).total_memory for i in range(gpus)), default=0)
    memory = forecast.device_memory if forecast else None
    return make_slots(jobs, len(cells), max(cell.trainer["devices"] for cell in cells), gpus, memory, capacity)


def probe_entries(cells: Sequence[Cell], slots: Sequence[Slot]) -> None:
    """Train three steps of each entry without a forecast whose input is extracted, one after the other."""
    known = Forecast.of(cells)
    probes: dict[tuple[str, str], Cell] = {}
    for cell in cells:
        if key(cell) not in known.memory and all(Path(part.cache).exists() for part in cell.parts):
            probes.setdefault(key(cell), probe_of(cell))
    for cell in probes.values():
        cell.folder.mkdir(parents=True, exist_ok=True)
        cell.write()
        cell.report("planned", message="")
    if probes:
        with display.ProbeDisplay(console, [*probes.values()]).live() as observer:
            launch([*probes.values()], [Slot(slots[0].threads, slots[0].devices)], observer, first="probe")


def _check_settings(plan: Plan, options: RunOptions) -> None:
    if not options.overwrite:
        refuse_other_settings(plan.trained)


def _queued_or_running(places: dict[str, Place], cells: Sequence[Cell]) -> dict[str, str]:
    """Cell's key -> its task, of the cells that Slurm has."""
    found = {slurm.key(cell): places.get(slurm.key(cell)) for cell in cells}
    return {name: place.task for name, place in found.items() if place is not None and place.live}


def _not_in_slurm(cells: list[Cell], folder: Path) -> list[Cell]:
    """Cells that Slurm does not have: no other process may start those."""
    places, outdated = slurm.places(folder)
    live = _queued_or_running(places, cells)
    if live:
        message = f"{len(live)} cells are queued or running in Slurm, and left to it."
        if outdated:
            message += f" {outdated} Where they are known to be over, delete {slurm.submissions(folder).folder}."
        console.print(message, highlight=False, soft_wrap=True)
    return [cell for cell in cells if slurm.key(cell) not in live]
