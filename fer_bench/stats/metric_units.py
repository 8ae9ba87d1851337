"""How the numbers of each task are written: shares in percent, distances in millimetres, the rest as it is."""

from typing import NamedTuple

from fer_bench.records import Task
from fer_bench.stats.intervals import Difference, Interval


class Unit(NamedTuple):
    """How a metric is written.

    Attributes:
        factor: What it is multiplied by.
        digits: After the point; the ends of intervals have one less.
        name: Of the unit; `difference` of differences.
    """

    factor: float
    digits: int
    name: str
    difference: str


PERCENT = Unit(100.0, 2, "%", "percentage points")
MILLIMETRES = Unit(1.0, 3, "mm", "mm")
PLAIN = Unit(1.0, 4, "", "the metric's own unit")
_SHARES = ("rank1_", "leak_")


def unit(task: Task, metric: str) -> Unit:
    """The unit of a metric of `fer_bench.metrics.score`."""
    if task == "disentanglement":
        return PERCENT if metric.startswith(_SHARES) else MILLIMETRES
    return PLAIN if task == "valence_arousal" else PERCENT


def number(value: float | None, unit: Unit = PERCENT) -> str:
    """A value in its unit, or a dash."""
    return "-" if value is None else f"{unit.factor * value:.{unit.digits}f}"


def with_interval(value: float | None, interval: Interval | None, unit: Unit = PERCENT) -> str:
    """A value with its interval, where it has one."""
    if interval is None or interval.low is None or interval.high is None:
        return number(value, unit)
    low, high = (f"{unit.factor * end:.{unit.digits - 1}f}" for end in (interval.low, interval.high))
    return f"{number(value, unit)} [{low}, {high}]"


def signed(difference: Difference | None, unit: Unit = PERCENT) -> str:
    """A difference with its interval and signs, or a dash."""
    if difference is None:
        return "-"
    text, interval = f"{unit.factor * difference.value:+.{unit.digits}f}", difference.interval
    if interval.low is None or interval.high is None:
        return text
    low, high = (f"{unit.factor * end:+.{unit.digits - 1}f}" for end in (interval.low, interval.high))
    return f"{text} [{low}, {high}]"


def counted(n: int | None, subjects: int | None, named: bool) -> str:
    """`240 of 30 subjects`, or a dash; without known subjects every sample counts as another subject, and
    no subject is counted."""
    if n is None or subjects is None:
        return "-"
    whose = f"{subjects:,} subject{'s' * (subjects != 1)}" if named or subjects != n else "people not named"
    return f"{n:,} of {whose}"


def duration(seconds: float) -> str:
    """A duration as people say it: `40 s`, `3.5 min`, `2 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def plural(noun: str) -> str:
    """Several of what an English noun names: `meshes`."""
    return f"{noun}es" if noun.endswith(("s", "sh")) else f"{noun}s"
