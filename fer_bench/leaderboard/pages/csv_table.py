"""A leaderboard as a CSV file."""

import pandas as pd

from fer_bench.leaderboard.pages.columns import BESIDE, SHOWN, SOMETIMES
from fer_bench.leaderboard.pairwise import groups, pairs
from fer_bench.leaderboard.row import Row
from fer_bench.stats.bootstrap import HEADLINE


def to_frame(rows: list[Row]) -> pd.DataFrame:
    """One line per row, with unformatted numbers (fractions)."""
    letters = groups(rows, pairs(rows))
    return pd.DataFrame.from_records([_record(row, letters.get((row.protocol, row.entry))) for row in rows]).astype(
        {"n": "Int64", "subjects": "Int64", "parameters": "Int64", "recipe_epochs": "Int64"}
    )


def _record(row: Row, group: str | None) -> dict[str, object]:
    headline = HEADLINE[row.task]
    low, high = (row.interval.low, row.interval.high) if row.interval else (None, None)
    against, gap = row.difference, row.optimism
    return {
        "protocol": row.protocol,
        "protocol_digest": row.protocol_digest,
        "data": row.provenance,
        "entry": row.entry,
        "method": row.method,
        "state": row.state,
        **{name: row.metrics.get(name) for name in SHOWN[row.task]},
        **{name: row.metrics[name] for name in SOMETIMES if name in row.metrics},
        **{name: row.metrics.get(name) for name in BESIDE.get(row.task, {})},
        f"{headline}_low": low,
        f"{headline}_high": high,
        f"{headline}_fold_sd": row.fold_sd,
        "group": group,
        "difference": against.value if against else None,
        "difference_low": against.interval.low if against else None,
        "difference_high": against.interval.high if against else None,
        "n": row.n,
        "subjects": row.interval.n_clusters if row.interval else None,
        "broken": row.broken,
        "cells": row.cells,
        "epochs": "-".join(map(str, sorted(set(row.epochs)))) if row.epochs else None,
        "recipe_epochs": row.recipe_epochs,
        "weights": (row.weights or "random") if row.parameters is not None else None,
        "parameters": row.parameters,
        "representation": row.representation,
        "fit_minutes": round(row.fit_minutes, 2) if row.fit_minutes is not None else None,
        "selection": row.selection,
        "optimism": gap.value if gap else None,
        "optimism_low": gap.interval.low if gap else None,
        "optimism_high": gap.interval.high if gap else None,
        "unsound": row.unsound,
        "reason": row.reason,
    }
