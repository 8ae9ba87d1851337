"""What a person sees while cells run: live bars on a terminal, a line an event elsewhere."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from fer_bench.cells.cell import Cell, Status
from fer_bench.cells.forecast import Forecast, key, schedule
from fer_bench.processes import Progress as Report
from fer_bench.protocols import PROTOCOLS
from fer_bench.stats.bootstrap import HEADLINE
from fer_bench.stats.metric_units import duration, number, unit

_EVERY = 300.0
"""Seconds between two lines on the whole, where there is no terminal."""


class _Rate(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f}/s")


def _bars(console: Console, *further: ProgressColumn) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *further,
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
    )


class RunDisplay:
    """Shows which cells run, how far they are, how the finished ones ended, and how long the rest will take.

    On a terminal these are bars; elsewhere a line a cell that has ended, and now and then one on the whole.

    Args:
        cells: Those to run.
        total, done: How many the suite has, and how many of them are done.
        forecast: What they are expected to take.
        slots: How many run at a time.
    """

    word = "cells"

    def __init__(
        self,
        console: Console,
        cells: Sequence[Cell],
        total: int | None = None,
        done: int = 0,
        forecast: Forecast | None = None,
        slots: int = 1,
    ) -> None:
        self.console, self.forecast, self.slots = console, forecast, slots
        self.waiting = {cell.id: cell for cell in cells}
        self.bars = _bars(console)
        self.total = self.bars.add_task(self.word, total=total or len(cells), completed=done, note="")
        self.tasks: dict[str, TaskID] = {}
        self.left: dict[str, float | None] = {}  # seconds that the running ones still need
        self.ended: Counter[str] = Counter()
        self.polled = time.monotonic()

    @contextmanager
    def live(self) -> Iterator[Self]:
        """Draw while the block runs."""
        with self.bars:
            yield self

    def started(self, cell: Cell) -> None:
        self.waiting.pop(cell.id, None)
        self.left[cell.id] = self._expected(cell)
        self.tasks[cell.id] = self.bars.add_task(_short(cell), total=None, note="starting")

    def progressed(self, cell: Cell, status: Status) -> None:
        note = status.stage
        if status.epoch_seconds:
            note += f"  {status.epoch_seconds:.2g} s an epoch"
            self.left[cell.id] = (status.epochs - status.epoch) * status.epoch_seconds
        if status.monitor is not None:
            note += f"  validation {status.monitor:.3f}"
        self.bars.update(self.tasks[cell.id], total=status.epochs or None, completed=status.epoch, note=note)
        self.bars.update(self.total, note=self._whole())
        if not self.console.is_terminal and time.monotonic() > self.polled + _EVERY:
            self.polled = time.monotonic()
            running = ", ".join(task.description for task in self.bars.tasks if task.id in self.tasks.values())
            self.message(f"{len(self.waiting)} {self.word} wait, {len(self.tasks)} run ({running}); {self._whole()}")

    def finished(self, cell: Cell, status: Status) -> None:
        self.bars.remove_task(self.tasks.pop(cell.id))
        self.left.pop(cell.id, None)
        if (sentence := self.result(cell, status)) is not None:
            text = f"[green]done[/]    {_short(cell)}  {sentence}"
        else:
            text = f"[red]{status.state}[/]  {_short(cell)}  {escape(status.message)}  (see {cell.folder / 'log.txt'})"
        self.ended["done" if sentence is not None else status.state] += 1
        self.console.print(text, soft_wrap=True, highlight=False)
        self.bars.update(self.total, advance=1, note=self._whole())

    def requeued(self, cell: Cell) -> None:
        """It will run again."""
        self.bars.remove_task(self.tasks.pop(cell.id))
        self.left.pop(cell.id, None)
        self.waiting[cell.id] = cell

    def message(self, message: str) -> None:
        self.console.print(escape(message), soft_wrap=True, highlight=False)

    def result(self, cell: Cell, status: Status) -> str | None:
        """The outcome of a cell; None where it failed."""
        result = cell.result() if status.state == "done" else None
        if result is None:
            return None
        task = PROTOCOLS[cell.protocol].task
        headline = HEADLINE[task]
        value = f"{headline.replace('_', ' ')} {number(result.metrics.get(headline), unit(task, headline))}"
        return f"{value}  n {result.n}  {result.epochs} epochs  {status.fit_seconds:.0f} s"

    def _expected(self, cell: Cell) -> float | None:
        return self.forecast.seconds.get(key(cell)) if self.forecast else None

    def _whole(self) -> str:
        """What went wrong, and how long the rest will take."""
        others = ", ".join(f"{count} {state}" for state, count in sorted(self.ended.items()) if state != "done")
        needs = [self._expected(cell) for cell in self.waiting.values()] + [*self.left.values()]
        known = [need for need in needs if need is not None]
        if not known:
            return others
        sentence = (
            f"{'about' if len(known) == len(needs) else 'more than'} {duration(schedule(known, self.slots))} left"
        )
        return f"{others}, {sentence}" if others else sentence


class StressDisplay(RunDisplay):
    """The same for the stage `stress`, whose steps are conditions."""

    def result(self, cell: Cell, status: Status) -> str | None:
        return f"{status.epochs} conditions" if status.state == "done" else None


class ProbeDisplay(RunDisplay):
    """The same for the stage `probe`."""

    word = "probes"

    def result(self, cell: Cell, status: Status) -> str | None:
        return "" if status.state == "done" else None

    def finished(self, cell: Cell, status: Status) -> None:
        if status.state == "done":  # the plan prints it
            self.bars.remove_task(self.tasks.pop(cell.id))
            self.bars.update(self.total, advance=1)
        else:
            super().finished(cell, status)


def _short(cell: Cell) -> str:
    return f"{cell.protocol}  {cell.entry}  fold {cell.fold}  seed {cell.seed}"


@contextmanager
def reported(console: Console, description: str) -> Iterator[Report]:
    """A bar for work that reports (done, all), with its rate and the time left; appears with the first report."""
    bars = _bars(console, TextColumn("left"), TimeRemainingColumn(), _Rate())
    task: list[TaskID] = []

    def report(done: int, total: int) -> None:
        if not task:
            bars.start()
            task.append(bars.add_task(description, total=total, note=""))
            if not console.is_terminal:
                console.print(f"{description}: {total} ...", highlight=False)
        bars.update(task[0], completed=done)

    try:
        yield report
    finally:
        bars.stop()
