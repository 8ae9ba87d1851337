"""A row of a leaderboard: one method entry on one protocol."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench import registry
from fer_bench.cells.cell import Cell
from fer_bench.records import Result, Task
from fer_bench.stats.bootstrap import HEADLINE
from fer_bench.stats.intervals import Difference, Interval, Resampled


@dataclass(frozen=True)
class Row:
    """One method entry on one protocol.

    Attributes:
        cells, states: Number of cells of the suite, and of those in each state.
        metrics, interval, fold_sd, n: Empty or None unless every cell is done. The interval and the standard deviation
            over folds and seeds are those of the task's headline metric. `item_*` are metrics of single items, for
            samples of several items.
        difference: From the suite's reference on the same samples, with its interval; None without a reference.
        reason: Why it was skipped, or the message of the first failure.
        epochs: Minimum and maximum number of epochs trained; `recipe_epochs` is that of the method's recipe.
        weights: Initial weights; empty for random weights.
        unsound: Why its numbers may not be compared with others.
        selection: Which epoch is scored, see `fer_bench.suites.selection`; empty if no cell is done.
        optimism: Gain from choosing the epochs on the test samples, see `fer_bench.leaderboard.optimism`.
        finished: The finished cells with their results.
        pooled: Predictions of all folds and seeds.
        scored: Raw outputs and truth, as `score` takes them; class indices for classification.
        draws: The headline metric on every draw of subjects; rows with the same samples share the draws.
        samples: A number shared by exactly the rows with the same samples, subjects and seeds.
    """

    protocol: str
    entry: str
    method: str
    cells: int
    states: Counter[str]
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    interval: Interval | None = None
    difference: Difference | None = None
    fold_sd: float | None = None
    n: int | None = None
    broken: int = 0
    protocol_digest: str = ""
    representation: str = ""
    provenance: str = ""
    parameters: int | None = None
    epochs: tuple[int, int] | None = None
    recipe_epochs: int | None = None
    fit_minutes: float | None = None
    weights: str = ""
    unsound: str = ""
    selection: str = ""
    optimism: Difference | None = None
    finished: tuple[tuple[Cell, Result], ...] = field(default=(), repr=False, compare=False)
    pooled: pd.DataFrame | None = field(default=None, repr=False, compare=False)
    scored: tuple[NDArray[np.float64], NDArray[Any]] | None = field(default=None, repr=False, compare=False)
    draws: Resampled | None = field(default=None, repr=False, compare=False)
    samples: int | None = None

    @property
    def task(self) -> Task:
        """The task of its protocol."""
        return registry.find_protocol(self.protocol).task

    @property
    def comparison_key(self) -> tuple[str, str, str]:
        """Protocol, digest and data; only rows with equal keys may be ranked, compared or averaged."""
        return self.protocol, self.protocol_digest, self.provenance

    @property
    def headline(self) -> float | None:
        """The metric that rows are ranked by."""
        return self.metrics.get(HEADLINE[self.task])

    @cached_property
    def by_fold(self) -> dict[int, float]:
        """Fold -> headline metric, averaged over seeds, which are trained on the same data."""
        headline = HEADLINE[self.task]
        found: dict[int, list[float]] = {}
        for cell, result in self.finished:
            if headline in result.metrics:
                found.setdefault(cell.fold, []).append(result.metrics[headline])
        return {fold: sum(values) / len(values) for fold, values in found.items()}

    @property
    def state(self) -> str:
        """`done`, or the states of the other cells: `3/10 done, 1 failed, 6 missing`."""
        if self.states["skipped"]:
            return "skipped"
        if self.states["done"] == self.cells:
            return "done"
        others = [f"{count} {state}" for state, count in sorted(self.states.items()) if state != "done" and count]
        return ", ".join([f"{self.states['done']}/{self.cells} done", *others])
