"""Which entries differ, and which cannot be told apart."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from fer_bench.bench.leaderboard import Row
from fer_bench.bench.leaderboard_page import header, texts

Letters = dict[tuple[str, str], str]


def lettered(rows: list[Row], reference: str | None) -> tuple[list[str], list[list[str]], list[dict[str, Any]]]:
    """Heads and texts of a group's table, as of `leaderboard_page`, with the letters beside the headline where entries
    can be compared; and the pairs, see `compared`."""
    heads = header(rows, reference)
    lines = [texts(row, heads) for row in rows]
    pairs, letters = compared(rows)
    if letters:
        shared = [letters.get((row.protocol, row.entry), "-") for row in rows]
        lines = [[*line[:2], letter, *line[2:]] for line, letter in zip(lines, shared, strict=True)]
        heads = [*heads[:2], "Group", *heads[2:]]
    return heads, lines, pairs


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
