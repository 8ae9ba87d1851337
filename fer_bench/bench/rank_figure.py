"""The critical-difference diagram of Demsar (2006, Figure 1)."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from fer_bench.bench.figure_parts import COLOURS, DPI
from fer_bench.bench.ranks import Ranking
from fer_bench.records import atomic_write


def draw(ranking: Ranking, path: Path) -> None:
    """Write the diagram as PNG: mean ranks on a line, the best at the left; a bar joins what is not told apart."""
    count = len(ranking.entries)
    left = (count + 1) // 2  # names hang on the nearer side
    depth = max(left, count - left)
    bars = ranking.bars
    bottom = -0.45 - 0.16 * len(bars)
    figure = Figure(figsize=(8, 1.5 + 0.16 * len(bars) + 0.28 * depth), layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(0.6 - 0.35 * (count - 1), count + 0.4 + 0.35 * (count - 1))
    axes.set_ylim(bottom - 0.28 * depth, 1.1)
    axes.axis("off")
    axes.hlines(0, 1, count, color="black", linewidth=1)
    for rank in range(1, count + 1):
        axes.vlines(rank, 0, 0.12, color="black", linewidth=1)
        axes.text(rank, 0.17, str(rank), ha="center", va="bottom", fontsize=9)
    axes.hlines(0.75, 1, 1 + ranking.critical, color="black", linewidth=1.5)
    axes.text(1 + ranking.critical / 2, 0.8, f"critical difference {ranking.critical:.2f}", ha="center", fontsize=8)
    for place, (entry, mean) in enumerate(zip(ranking.entries, ranking.ranks, strict=True)):
        at_left = place < left
        height = bottom - 0.28 * (place if at_left else count - 1 - place)
        side = 1 - 0.12 * (count - 1) if at_left else count + 0.12 * (count - 1)
        axes.plot([mean, mean, side], [0, height, height], color="0.4", linewidth=0.8)
        name = f"{entry}  {mean:.2f}" if at_left else f"{mean:.2f}  {entry}"
        axes.text(side, height, f"{name} " if at_left else f" {name}", ha="right" if at_left else "left", va="center")
    for number, (first, last) in enumerate(bars):
        height = -0.2 - 0.16 * number
        ends = ranking.ranks[first] - 0.03, ranking.ranks[last] + 0.03
        axes.hlines(height, *ends, color=COLOURS[0], linewidth=4, capstyle="round")
    told = f"{ranking.p:.3f}" if ranking.p >= 0.001 else "< 0.001"
    figure.suptitle(
        f"{ranking.protocol}: mean ranks over {ranking.subjects} {ranking.blocks}, 1 the best\nFriedman's chi squared "
        f"{ranking.statistic:.1f}, p {told}; bars join what Nemenyi's test does not tell apart at 5 %",
        fontsize=10,
    )
    with atomic_write(path) as file:
        figure.savefig(file, dpi=DPI, format="png", bbox_inches="tight")
