"""Which entries differ, and which cannot be told apart."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from fer_bench.bench.leaderboard import Row

Letters = dict[tuple[str, str], str]


def compared(rows: Sequence[Row]) -> tuple[list[dict[str, Any]], Letters]:
    """Of every two entries of a group the difference of the first minus the second with its interval and p values; and
    (protocol, entry) -> letters, of which two share one where they cannot be told apart."""
    try:
        comparison = importlib.import_module("fer_bench.bench.comparison")
    except ImportError:
        return [], {}
    pairs = comparison.pairs(rows)
    found = [
        {
            "first": pair.first,
            "second": pair.second,
            "value": pair.difference.value,
            "low": pair.difference.interval.low,
            "high": pair.difference.interval.high,
            "p": pair.p_holm,
            "foldP": pair.fold_p_holm,
            "apart": bool(pair.significant),
        }
        for pair in pairs
    ]
    return found, comparison.groups(rows, pairs)
