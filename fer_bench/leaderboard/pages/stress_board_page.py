"""The results of a member of the stress deck as a Markdown page, a CSV file and a figure."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fer_bench import registry
from fer_bench.geometry.perturbations import DECK, Rotation
from fer_bench.leaderboard.pages.columns import SHOWN
from fer_bench.leaderboard.stress_board import Curve, Level
from fer_bench.markdown import markdown_text
from fer_bench.plots import COLOURS, DPI
from fer_bench.records import atomic_write
from fer_bench.stats.bootstrap import HEADLINE
from fer_bench.stats.intervals import BRACKETS, Interval
from fer_bench.stats.metric_units import signed, with_interval
from fer_bench.suites.suite import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HOW = (
    "Percentages. The test scans of every fold are perturbed and predicted by the network that the leaderboard scored; "
    "they are aligned before they are perturbed, and not again. Values are computed on the predictions of all folds "
    f"and conditions of a severity pooled; {BRACKETS}."
)


def write(member: str, name: str, suite: Suite, curves: Sequence[Curve], out: Path) -> list[Path]:
    """Write `<out>/<name>-stress-<member>.csv`, `.md` and, if there are values, `.png`; returns the files."""
    csv, markdown, png = (out / f"{name}-stress-{member}.{kind}" for kind in ("csv", "md", "png"))
    drawn = any(level.metrics for curve in curves for level in curve.levels if level.severity)
    with atomic_write(csv) as file:
        file.write(to_frame(member, curves).to_csv(index=False, float_format="%.6f").encode())
    with atomic_write(markdown) as file:
        file.write(to_markdown(member, name, suite, curves, png.name if drawn else "").encode())
    if not drawn:
        png.unlink(missing_ok=True)  # from an earlier run
        return [csv, markdown]
    draw(member, suite.title or name, curves, png)
    return [csv, markdown, png]


def to_frame(member: str, curves: Sequence[Curve]) -> pd.DataFrame:
    """One line per severity and per condition of each entry, with unformatted numbers (fractions)."""
    lines = [_record(member, curve, level) for curve in curves for level in curve.levels]
    return pd.DataFrame.from_records(lines).astype({"n": "Int64", "subjects": "Int64"})


def _record(member: str, curve: Curve, level: Level) -> dict[str, object]:
    row, headline = curve.row, HEADLINE[curve.row.task]
    found: dict[str, object] = {
        "protocol": row.protocol,
        "protocol_digest": row.protocol_digest,
        "data": row.provenance,
        "entry": row.entry,
        "method": row.method,
        "stress": member,
        "severity": level.severity,
        "value": level.value,
        "condition": level.conditions[0].label if len(level.conditions) == 1 else "",
        "pooled_conditions": len(level.conditions),
        "state": curve.state,
        "missing": level.missing,
        **{name: level.metrics.get(name) for name in SHOWN[row.task]},
    }
    differences = {"difference": level.drop, "against_reference": level.against}
    parts: dict[str, tuple[float | None, Interval | None]] = {headline: (None, level.interval)}
    parts |= {k: (d.value if d else None, d.interval if d else None) for k, d in differences.items()}
    for key, (value, interval) in parts.items():
        found |= {key: value} if key != headline else {}
        found |= {f"{key}_low": interval.low if interval else None, f"{key}_high": interval.high if interval else None}
    return found | {
        "n": level.n,
        "subjects": level.interval.n_clusters if level.interval else None,
        "broken": level.broken,
        "representation": row.representation,
        "refused": curve.refused,
    }


def to_markdown(member: str, name: str, suite: Suite, curves: Sequence[Curve], figure: str) -> str:
    """The page: tables of values, of differences from severity 0, and of differences from the suite's reference."""
    page = io.StringIO()
    page.write(f"# {suite.title or name}: {member}\n\n{_HOW}\n")
    if figure:
        page.write(f"\n![{member}]({figure})\n")
    for protocol, data in dict.fromkeys((curve.row.protocol, curve.row.provenance) for curve in curves):
        members = [curve for curve in curves if (curve.row.protocol, curve.row.provenance) == (protocol, data)]
        page.write(f"\n## {protocol}\n\n")
        if data:
            page.write(f"Data: {data}. ")
        if suite.folds:
            total = registry.find_protocol(protocol).num_folds
            page.write(f"Only folds {', '.join(map(str, suite.folds))} of {total}. ")
        if "twin" in data:
            page.write("**Synthetic faces: these numbers compare methods with one another, not with published ones.**")
        first = next(iter(SHOWN[members[0].row.task].values()))
        values = [f"{severity.value:g}" for severity in DECK[member].severities]
        page.write(f"\n\n{first} by {DECK[member].quantity}\n\n")
        rows = [[c.row.entry, *map(_value, c.severities), _count(c), c.state] for c in members]
        page.write(_table(["Entry", "as it is", *values, "n", "State"], rows))
        page.write("\nDifference from the scan as it is, on the same samples, in percentage points\n\n")
        page.write(_table(["Entry", *values], [[c.row.entry, *_differences(c, "drop")] for c in members]))
        if suite.reference:
            others = [c for c in members if c.row.entry != suite.reference]
            page.write(f"\nDifference from {suite.reference} under the same conditions, in percentage points\n\n")
            rows = [[c.row.entry, signed(c.levels[0].against), *_differences(c, "against")] for c in others]
            page.write(_table(["Entry", "as it is", *values], rows))
        for curve in members:
            if why := curve.refused or curve.row.reason:
                page.write(f"\n- {curve.row.entry}: {markdown_text(why)}")
            if curve.broken:
                page.write(f"\n- {curve.row.entry}: {curve.broken} samples left out, counted once a run.")
        page.write("\n")
    return page.getvalue()


def _table(heads: list[str], rows: list[list[str]]) -> str:
    sides = ["---" if head in ("Entry", "State") else "---:" for head in heads]
    lines = [heads, sides, *([markdown_text(text) for text in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _value(level: Level) -> str:
    return with_interval(next(iter(level.metrics.values()), None), level.interval)


def _count(curve: Curve) -> str:
    counts = sorted({level.n for level in curve.severities if level.n is not None})
    return "-".join(map(str, counts)) or "-"


def _differences(curve: Curve, name: str) -> list[str]:
    return [signed(getattr(level, name)) for level in curve.severities[1:]]


def draw(member: str, title: str, curves: Sequence[Curve], path: Path) -> None:
    """The headline metric against severity, with 95 % intervals, one row of panels per protocol and one line per entry.
    For rotations a second panel shows every pose by its angle, as in figure 5 of the DrFER paper."""
    from matplotlib.figure import Figure  # needs no display, as pyplot may

    shown = [curve for curve in curves if any(level.metrics for level in curve.severities[1:])]
    protocols = list(dict.fromkeys(curve.row.protocol for curve in shown))
    posed = member == Rotation.name
    figure = Figure(figsize=(12.0 if posed else 7.0, 1.0 + 4.2 * len(protocols)), dpi=DPI, layout="constrained")
    axes = figure.subplots(len(protocols), 2 if posed else 1, squeeze=False, sharey="row")
    for row, protocol in zip(axes, protocols, strict=True):
        members = [curve for curve in shown if curve.row.protocol == protocol]
        found = registry.find_protocol(protocol)
        for ax in row:
            if found.task == "classification":
                ax.axhline(100 * found.chance, color="0.6", linestyle=":", label="guessing")
            ax.grid(alpha=0.3)
            ax.set_ylim(0, 100)
        for number, curve in enumerate(members):
            _by_severity(row[0], member, curve, number)
            if posed:
                _by_angle(row[1], curve, number)
        headline = next(iter(SHOWN[members[0].row.task].values()))
        row[0].set_ylabel(f"{headline} (%), 95 % interval")
        row[0].set_title(protocol, fontsize=10)
        for ax in row:
            ax.legend(fontsize=8)
    data = " and ".join(dict.fromkeys(curve.row.provenance for curve in shown))
    figure.suptitle(f"{title}: {member}\nmeasured on {data}", fontsize=11)
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def _by_severity(ax: Axes, member: str, curve: Curve, number: int) -> None:
    # Entries are drawn side by side, so that their intervals do not overlap.
    levels = [level for level in curve.severities if level.metrics]
    x = np.array([level.severity for level in levels]) + 0.06 * number
    value = 100 * np.array([next(iter(level.metrics.values())) for level in levels])
    bounds = [(i.low, i.high) if (i := level.interval) and i.low is not None else (np.nan, np.nan) for level in levels]
    low, high = 100 * np.array(bounds, dtype=float).T
    ax.errorbar(
        x, value, yerr=[value - low, high - value], fmt="o-", capsize=3, label=curve.row.entry, color=_colour(number)
    )
    ticks = ["as it is", *(f"{severity.value:g}" for severity in DECK[member].severities)]
    ax.set_xticks(range(len(ticks)), ticks)
    ax.set_xlabel(DECK[member].quantity)


def _by_angle(ax: Axes, curve: Curve, number: int) -> None:
    rest = next(iter(curve.levels[0].metrics.values()), np.nan)
    for axis, line in (("pitch", "-"), ("yaw", "--")):
        found = {0.0: rest}
        for level in curve.levels:
            turn = level.conditions[0] if level.single else None
            if isinstance(turn, Rotation) and turn.axis == axis and level.metrics:
                found[turn.degrees] = next(iter(level.metrics.values()))
        angles = sorted(found)
        ax.plot(
            angles,
            [100 * found[angle] for angle in angles],
            line,
            marker=".",
            label=f"{curve.row.entry}, {axis}",
            color=_colour(number),
        )
    ax.set_xlabel("angle (degrees); above 0: the subject's left, the top of the head")


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
