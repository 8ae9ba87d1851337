"""The table of comparable rows, with groups and pairwise differences."""

from typing import Any

from fer_bench.leaderboard.pages.columns import header, texts
from fer_bench.leaderboard.pairwise import groups, pairs
from fer_bench.leaderboard.row import Row


def lettered(rows: list[Row], reference: str | None) -> tuple[list[str], list[list[str]], list[dict[str, Any]]]:
    """Heads and texts of a table of comparable rows, with the letters of `groups` where entries are compared; and for
    every pair of entries, the difference of the first minus the second with its interval and p values."""
    found = pairs(rows)
    letters = groups(rows, found)
    heads = header(rows, reference, grouped=bool(letters))
    lines = [texts(row, heads, letters.get((row.protocol, row.entry), "")) for row in rows]
    records = [
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
        for pair in found
    ]
    return heads, lines, records
