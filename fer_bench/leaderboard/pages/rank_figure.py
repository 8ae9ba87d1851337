"""The critical-difference diagram of Demsar (2006, Figure 1)."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fer_bench.leaderboard.mean_ranks import Ranking
from fer_bench.plots import COLOURS, DPI
from fer_bench.records import atomic_write


def draw(ranking: Ranking, path: Path) -> None:
    """Write the diagram as PNG: mean ranks on a line, the best at the left; a bar joins entries that do not differ.

    The line spans the mean ranks, which ties bring together, and not 1 to the number of entries.
    """
    count = len(ranking.entries)
    left = (count + 1) // 2  # names are placed on the nearer side
    depth = max(left, count - left)
    bars = ranking.bars
    bottom = -0.45 - 0.16 * len(bars)
    figure = Figure(figsize=(8, 1.5 + 0.16 * len(bars) + 0.28 * depth), layout="constrained")
    axes = figure.subplots()
    ticks = MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(
        ranking.ranks[0], max(ranking.ranks[-1], ranking.ranks[0] + ranking.critical)
    )
    low, high = float(ticks[0]), float(ticks[-1])
    width = high - low
    axes.set_xlim(low - 0.4 * width, high + 0.4 * width)
    axes.set_ylim(bottom - 0.28 * depth, 1.1)
    axes.axis("off")
    axes.hlines(0, low, high, color="black", linewidth=1)
    for rank in map(float, ticks):
        axes.vlines(rank, 0, 0.12, color="black", linewidth=1)
        axes.text(rank, 0.17, f"{rank:.4g}", ha="center", va="bottom", fontsize=9)
    axes.hlines(0.75, low, low + ranking.critical, color="black", linewidth=1.5)
    axes.text(low + ranking.critical / 2, 0.8, f"critical difference {ranking.critical:.2f}", ha="center", fontsize=8)
    for place, (entry, mean) in enumerate(zip(ranking.entries, ranking.ranks, strict=True)):
        at_left = place < left
        height = bottom - 0.28 * (place if at_left else count - 1 - place)
        side = low - 0.12 * width if at_left else high + 0.12 * width
        axes.plot([mean, mean, side], [0, height, height], color="0.4", linewidth=0.8)
        name = f"{entry}  {mean:.2f}" if at_left else f"{mean:.2f}  {entry}"
        axes.text(side, height, f"{name} " if at_left else f" {name}", ha="right" if at_left else "left", va="center")
    for number, (first, last) in enumerate(bars):
        height = -0.2 - 0.16 * number
        ends = ranking.ranks[first] - 0.003 * width, ranking.ranks[last] + 0.003 * width
        axes.hlines(height, *ends, color=COLOURS[0], linewidth=4, capstyle="round")
    p_value = f"{ranking.p:.3f}" if ranking.p >= 0.001 else "< 0.001"
    figure.suptitle(
        f"{ranking.protocol}: mean ranks over {ranking.subjects} {ranking.blocks}, 1 the best\nFriedman's chi squared "
        f"{ranking.statistic:.1f}, p {p_value}; bars join what Nemenyi's test, with ties, does not tell apart at 5 %",
        fontsize=10,
    )
    with atomic_write(path) as file:
        figure.savefig(file, dpi=DPI, format="png", bbox_inches="tight")
