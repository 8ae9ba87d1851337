"""What a person sees while cells run: live bars on a terminal, a line an event elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
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
from rich.table import Table
from rich.text import Text

from fer_bench.bench.cell import Cell, Status
from fer_bench.bench.leaderboard import Row
from fer_bench.bench.leaderboard_page import header, texts
from fer_bench.bench.statistics import HEADLINE
from fer_bench.bench.units import number, unit
from fer_bench.protocols import PROTOCOLS
from fer_bench.representations.cache import Progress as Report

_LEFT_OUT = ("F1 weighted", "All right", "Fold SD", "Weights", "Parameters", "Fit (min)")


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
    """Shows which cells run, how far they are, and how the finished ones ended."""

    def __init__(self, console: Console, cells: int, done: int) -> None:
        self.console = console
        self.bars = _bars(console)
        self.total = self.bars.add_task("cells", total=cells, completed=done, note="")
        self.tasks: dict[str, TaskID] = {}
        self.failed = 0

    @contextmanager
    def live(self) -> Iterator[RunDisplay]:
        """Draw while the block runs."""
        with self.bars:
            yield self

    def started(self, cell: Cell) -> None:
        self.tasks[cell.id] = self.bars.add_task(_short(cell), total=None, note="starting")

    def progressed(self, cell: Cell, status: Status) -> None:
        note = status.stage
        if status.monitor is not None:
            note += f"  validation {status.monitor:.3f}"
        self.bars.update(self.tasks[cell.id], total=status.epochs or None, completed=status.epoch, note=note)

    def finished(self, cell: Cell, status: Status) -> None:
        self.bars.remove_task(self.tasks.pop(cell.id))
        if (told := self.told(cell, status)) is not None:
            text = f"[green]done[/]    {_short(cell)}  {told}"
        else:
            self.failed += 1
            text = f"[red]{status.state}[/]  {_short(cell)}  {escape(status.message)}  (see {cell.folder / 'log.txt'})"
        self.console.print(text, soft_wrap=True, highlight=False)
        self.bars.update(self.total, advance=1, note=f"{self.failed} not done" if self.failed else "")

    def told(self, cell: Cell, status: Status) -> str | None:
        """What a cell has come to; None where it has not."""
        result = cell.result() if status.state == "done" else None
        if result is None:
            return None
        task = PROTOCOLS[cell.protocol].task
        headline = HEADLINE[task]
        value = f"{headline.replace('_', ' ')} {number(result.metrics.get(headline), unit(task, headline))}"
        return f"{value}  n {result.n}  {result.epochs} epochs  {status.fit_seconds:.0f} s"


class StressDisplay(RunDisplay):
    """The same for the stage `stress`, whose steps are conditions."""

    def told(self, cell: Cell, status: Status) -> str | None:
        return f"{status.epochs} conditions" if status.state == "done" else None


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


def leaderboard_tables(rows: list[Row], reference: str | None = None) -> Iterator[Table]:
    """One table a protocol, with the columns that fit a terminal; the files have them all."""
    for protocol in dict.fromkeys(row.protocol for row in rows):
        members = [row for row in rows if row.protocol == protocol]
        data = next((row.provenance for row in members if row.provenance), "")
        table = Table(title=f"{protocol}  {data}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        heads = [head for head in header(members, reference) if head not in _LEFT_OUT]
        for head in heads:
            table.add_column(head, justify="left" if head in ("Entry", "State") else "right")
        for row in members:
            table.add_row(*(escape(text) for text in texts(row, heads)))
        yield table
