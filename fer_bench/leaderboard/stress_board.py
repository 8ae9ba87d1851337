"""Accuracy against severity: a pure function of the result files of cells and of their stage `stress`.

The value of a severity is computed from the pooled predictions of all folds, seeds and conditions, with the interval of
a bootstrap over subjects. It is given only when every condition of every cell is done.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from fer_bench import registry
from fer_bench.cells.stress_outcome import outcome, predictions_path, refusal
from fer_bench.geometry.perturbations import DECK, Stress
from fer_bench.leaderboard.row import Row
from fer_bench.metrics import score
from fer_bench.predictions.pooling import arrays, read_table
from fer_bench.stats.bootstrap import HEADLINE, metric_difference, metric_interval
from fer_bench.stats.intervals import Difference, Interval

_KEY = ["condition", "seed", "id"]


@dataclass(frozen=True)
class Level:
    """One entry at one severity, or under a single one of its conditions.

    Attributes:
        severity: 0 is the unperturbed scan.
        value: Physical value in the member's unit; None at severity 0.
        conditions: The pooled conditions; none at severity 0.
        single: Whether it is one condition of a severity with several.
        missing: Number of missing runs (a cell under a condition); if any, the attributes below are empty.
        metrics, interval: The interval is that of the headline metric.
        drop: Difference from severity 0 on the same samples.
        against: Difference from the suite's reference under the same conditions, on the same samples.
        n: Samples, each counted once.
        broken: Samples left out, counted once per run.
        pooled: Predictions, with the columns `seed` and `condition`.
    """

    severity: int
    value: float | None
    conditions: tuple[Stress, ...]
    single: bool = False
    missing: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    interval: Interval | None = None
    drop: Difference | None = None
    against: Difference | None = None
    n: int | None = None
    broken: int = 0
    pooled: pd.DataFrame | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Curve:
    """One method entry on one protocol under one member of the stress deck.

    Attributes:
        row: Its row of the leaderboard.
        levels: Severity 0, then each severity, followed by its single conditions where it has several.
        refused: Why the deck cannot be applied to it, or empty.
    """

    row: Row
    levels: tuple[Level, ...]
    refused: str = ""

    @property
    def severities(self) -> list[Level]:
        """The levels of severity 0 to 5."""
        return [level for level in self.levels if not level.single]

    @property
    def state(self) -> str:
        """`done`, or the reason why it is not."""
        if self.refused:
            return "refused"
        if self.row.state != "done":
            return self.row.state
        runs = sum(self.row.cells * len(level.conditions) for level in self.severities)
        missing = sum(level.missing for level in self.severities)
        return f"{runs - missing}/{runs} runs done" if missing else "done"

    @property
    def broken(self) -> int:
        """Samples left out, counted once per run."""
        return sum(level.broken for level in self.severities)


def curves(member: str, rows: Sequence[Row], reference: str | None) -> list[Curve]:
    """The curves of a leaderboard's rows, in their order."""
    levels = {(row.protocol, row.entry): _levels(member, row) for row in rows}
    requested = {row.protocol: row.protocol_digest for row in rows if row.entry == reference}
    for row in rows:
        baseline = levels.get((row.protocol, reference or ""))
        if baseline is not None and row.entry != reference and requested.get(row.protocol) == row.protocol_digest:
            key = row.protocol, row.entry
            levels[key] = [_against(row, *both) for both in zip(levels[key], baseline, strict=True)]
    return [
        Curve(row, tuple(levels[row.protocol, row.entry]), refusal(row.finished[0][0]) if row.finished else "")
        for row in rows
    ]


def _levels(member: str, row: Row) -> list[Level]:
    clean = None if row.pooled is None else row.pooled.assign(condition="")
    found = [Level(0, None, (), False, 0, row.metrics, row.interval, n=row.n, pooled=clean)]
    for number, (value, conditions) in enumerate(DECK[member].severities, start=1):
        found.append(_level(row, Level(number, value, conditions), clean))
        if len(conditions) > 1:
            found += [_level(row, Level(number, value, (c,), single=True), clean) for c in conditions]
    return found


def _level(row: Row, level: Level, clean: pd.DataFrame | None) -> Level:
    """The level, filled from the files of the row's cells."""
    runs = [(cell, stress, outcome(cell, stress)) for cell, _ in row.finished for stress in level.conditions]
    done = [(cell, stress, found) for cell, stress, found in runs if found is not None]
    missing = row.cells * len(level.conditions) - len(done)
    level = replace(level, missing=missing, broken=sum(found.broken for _, _, found in done))
    if missing or clean is None:
        return level
    protocol = registry.find_protocol(row.protocol)
    tables = [
        read_table(predictions_path(cell, stress)).assign(seed=cell.seed, condition=stress.label)
        for cell, stress, _ in done
    ]
    pooled = pd.concat(tables, ignore_index=True)
    outputs, truth = arrays(protocol, pooled)
    subjects = pooled["subject"].to_numpy(dtype=object)
    headline = HEADLINE[protocol.task]
    # Every condition of a sample is compared with the prediction of its unperturbed scan.
    at_rest = pooled[["seed", "id"]].merge(clean, on=["seed", "id"], how="left", validate="many_to_one")
    rest, _ = arrays(protocol, at_rest)
    return replace(
        level,
        metrics=score(protocol.task, outputs, truth, protocol.classes, protocol.tested),
        interval=metric_interval(protocol.task, headline, outputs, truth, protocol.classes, subjects),
        drop=metric_difference(protocol.task, headline, outputs, rest, truth, protocol.classes, subjects),
        n=int(pooled["id"].nunique()),
        pooled=pooled,
    )


def _against(row: Row, level: Level, reference: Level) -> Level:
    """The level with its difference from the reference's, if both have the same samples and conditions."""
    if level.pooled is None or reference.pooled is None:
        return level
    tables = [table.sort_values(_KEY, ignore_index=True) for table in (level.pooled, reference.pooled)]
    if not tables[0][[*_KEY, "label"]].equals(tables[1][[*_KEY, "label"]]):
        return level
    protocol = registry.find_protocol(row.protocol)
    (outputs, truth), (other, _) = (arrays(protocol, table) for table in tables)
    subjects = tables[0]["subject"].to_numpy(dtype=object)
    headline = HEADLINE[protocol.task]
    found = metric_difference(protocol.task, headline, outputs, other, truth, protocol.classes, subjects)
    return replace(level, against=found)
