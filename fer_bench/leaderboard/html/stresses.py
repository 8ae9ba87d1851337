"""Accuracy against severity for cells with results of the stress deck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fer_bench.leaderboard.row import Row
from fer_bench.stats.bootstrap import HEADLINE

if TYPE_CHECKING:  # importing perturbations takes a while
    from fer_bench.leaderboard.stress_board import Curve


def stress_curves(stress: Mapping[str, Sequence[Curve]], rows: Sequence[Row], first: int) -> list[dict[str, Any]]:
    """The curves of each member of the deck with results of these rows. `ticks`: values of the severities, beginning
    with the unperturbed scan; `lines`: position of each row and, for each severity, the metric with its interval.

    Args:
        stress: Member -> curves of the rows of the leaderboard.
        first: Position of the first of these rows.
    """
    if not stress:
        return []
    from fer_bench.geometry.perturbations import DECK

    found = []
    for member, curves in stress.items():
        deck, lines = DECK[member], []
        curve_of = {(curve.row.protocol, curve.row.entry): curve for curve in curves}
        for place, row in enumerate(rows, start=first):
            curve, metric = curve_of[row.protocol, row.entry], HEADLINE[row.task]
            points = [
                [level.severity, level.metrics[metric], *((i.low, i.high) if (i := level.interval) else (None, None))]
                for level in curve.severities
                if metric in level.metrics
            ]
            if len(points) > 1:
                lines.append({"row": place, "points": points})
        if lines:
            ticks = ["as it is", *(f"{severity.value:g}" for severity in deck.severities)]
            found.append({"member": member, "quantity": deck.quantity, "ticks": ticks, "lines": lines})
    return found
