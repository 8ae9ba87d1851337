"""Accuracy against severity, where cells were put through the stress deck."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fer_bench.bench.leaderboard import Row
from fer_bench.bench.statistics import HEADLINE, Interval
from fer_bench.bench.stress_results import members_there


def stress_curves(rows: Sequence[Row], first: int) -> list[dict[str, Any]]:
    """Of each member of the deck that a row was put through: `ticks`, the values of its severities from the scan as it
    is, and `lines`, of each row its place and, a severity, the metric with its interval."""
    members = members_there(rows)
    if not members:
        return []
    from fer_bench.bench.stress_board import curves  # what perturbs scans takes a while to import
    from fer_bench.geometry.stress import DECK

    found = []
    for member in members:
        deck, lines = DECK[member], []
        for place, curve in enumerate(curves(member, rows, None), start=first):
            metric = HEADLINE[curve.row.task]
            points = [
                [level.severity, level.metrics[metric], *_ends(level.interval)]
                for level in curve.severities
                if metric in level.metrics
            ]
            if len(points) > 1:
                lines.append({"row": place, "points": points})
        if lines:
            ticks = ["as it is", *(f"{severity.value:g}" for severity in deck.severities)]
            found.append({"member": member, "quantity": deck.quantity, "ticks": ticks, "lines": lines})
    return found


def _ends(interval: Interval | None) -> list[float | None]:
    return [interval.low, interval.high] if interval is not None else [None, None]
