"""A figure of a leaderboard: the value and interval of each entry, from the CSV file of the leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from fer_bench import registry
from fer_bench.errors import FerBenchError, InvalidFile
from fer_bench.protocols import Protocol
from fer_bench.records import atomic_write
from fer_bench.stats.bootstrap import HEADLINE
from fer_bench.stats.metric_units import Unit, unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEEDED = ("protocol", "protocol_digest", "data", "entry", "n", "subjects", "unsound")
_BLUE, _ORANGE, _DPI = "#0072B2", "#D55E00", 150  # of Okabe and Ito, as in all figures


def draw(source: Path, path: Path) -> None:
    """Draw the finished rows of a leaderboard, one panel per protocol and data, best first.

    Args:
        source: The CSV file that `fer-bench leaderboard` writes.
        path: The PNG file to write.

    Raises:
        InvalidFile: the file cannot be read, or is not a leaderboard.
        FerBenchError: no row has a value.
    """
    try:
        rows = pd.read_csv(source, dtype={"protocol": str, "protocol_digest": str, "unsound": str})
    except (OSError, ValueError) as error:
        raise InvalidFile(source, f"cannot be read ({error})", "Name a CSV file of `fer-bench leaderboard`.") from None
    if missing := [name for name in _NEEDED if name not in rows]:
        raise InvalidFile(source, f"has no column {missing[0]}", "Name a CSV file of `fer-bench leaderboard`.")
    panels = []
    for (name, _, _), group in rows.groupby(["protocol", "protocol_digest", "data"], sort=False):
        protocol = registry.find_protocol(str(name), str(source))
        headline = HEADLINE[protocol.task]
        found = group[group[headline].notna()].sort_values(headline) if headline in group else group[:0]
        if len(found):
            panels.append((protocol, headline, found))
    if not panels:
        raise FerBenchError(f"{source}: no entry in it has a value; there is nothing to draw.")
    from matplotlib.figure import Figure  # needs no display, as pyplot may

    heights = [0.9 + 0.36 * len(found) for _, _, found in panels]
    figure = Figure(figsize=(8.4, sum(heights) + 0.4), dpi=_DPI, layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, (protocol, headline, found) in zip(axes, panels, strict=True):
        shown = unit(protocol.task, headline)
        for place, (_, row) in enumerate(found.iterrows()):
            value, low, high = (shown.factor * row[f"{headline}{end}"] for end in ("", "_low", "_high"))
            colour = _ORANGE if isinstance(row["unsound"], str) else _BLUE
            if pd.notna(low) and pd.notna(high):
                ax.plot([low, high], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
            ax.plot(value, place, "o", color=colour, markersize=6.5)
            message = f"{value:.{shown.digits}f}" + (" unsound" if colour == _ORANGE else "")
            ax.annotate(message, (value, place), (0, 7), textcoords="offset points", ha="center", fontsize=8)
        ax.set_yticks(range(len(found)), found["entry"].tolist(), parse_math=False)
        ax.set_ylim(-0.7, len(found) - 0.2)
        _frame(ax, protocol, headline, shown, found)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", metadata={"Software": None})


def _frame(ax: Axes, protocol: Protocol, headline: str, shown: Unit, found: pd.DataFrame) -> None:
    """Draw title, axes and, for classification, the chance level."""
    if protocol.task == "classification":
        chance = shown.factor * protocol.chance
        ax.set_xlim(0, 101)
        ax.axvline(chance, color="0.5", linestyle=":", linewidth=1.2)
        ax.annotate("chance", (chance, ax.get_ylim()[1]), (3, -9), textcoords="offset points", fontsize=8, color="0.4")
    first = found.iloc[0]
    data = f"synthetic faces ({first['data']})" if str(first["data"]).startswith("twin") else str(first["data"])
    people = f" of {int(first['subjects'])} subjects" if protocol.subject_independent else ""
    message = f"{protocol.id}: {data}\n{int(first['n'])} samples{people}"
    ax.set_title(message, fontsize=9.5, loc="left", parse_math=False)
    of = f" ({shown.name})" if shown.name else ""
    ax.set_xlabel(f"{headline.replace('_', ' ')}{of}, bars: 95 % intervals", fontsize=9)
    ax.grid(axis="x", alpha=0.3)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
