"""A leaderboard as people and programs read it: a Markdown page, a table of the terminal, a CSV file."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd

from fer_bench.bench import registry
from fer_bench.bench.leaderboard import Row
from fer_bench.bench.statistics import HEADLINE, Difference
from fer_bench.bench.suite import Suite
from fer_bench.records import atomic_write

SHOWN = {
    "classification": {
        "accuracy": "Accuracy",
        "balanced_accuracy": "UAR",
        "f1_macro": "F1 macro",
        "f1_weighted": "F1 weighted",
    },
    "multilabel": {
        "f1_macro": "F1 macro",
        "f1_two_sided": "F1 two-sided",
        "accuracy": "Accuracy of a class",
        "exact_match": "All right",
    },
}
"""Task -> metric -> its head; the first is the headline, which stands with its interval."""

SOMETIMES = {"accuracy_among_tested": "Among the tested", "item_accuracy": "Items"}
"""Metrics that only some protocols and representations have."""

ESTIMATORS = (
    "Percentages. Values are computed on the predictions of all folds pooled; brackets: 95 % percentile bootstrap over "
    "subjects (2,000 resamples), which covers the choice of test subjects and not the training seed; "
    "Fold SD: standard deviation of the first column over folds and seeds (ddof 1). UAR: mean recall over classes. "
    "Checkpoints are chosen on validation subjects."
)


def header(rows: list[Row], reference: str | None) -> list[str]:
    """Heads of the columns that rows of one protocol need."""
    shown = SHOWN[rows[0].task]
    first, *others = shown.values()
    against = [f"Against {reference}"] if reference else []
    sometimes = [head for name, head in SOMETIMES.items() if any(name in row.metrics for row in rows)]
    return [
        *("Entry", first, *against, *others, *sometimes, "Fold SD"),
        *("n", "Subjects", "Epochs", "Weights", "Parameters", "Fit (min)", "State"),
    ]


def texts(row: Row, heads: list[str]) -> list[str]:
    """A row under `header`, as people read it."""
    shown = SHOWN[row.task]
    headline = percent(row.headline)
    if row.interval and row.interval.low is not None and row.interval.high is not None:
        headline += f" [{100 * row.interval.low:.1f}, {100 * row.interval.high:.1f}]"
    epochs = "-"
    if row.epochs:
        epochs = "-".join(map(str, sorted(set(row.epochs))))
        epochs += f" of {row.recipe_epochs}" if row.epochs != (row.recipe_epochs,) * 2 else ""
    cells = {head: percent(row.metrics.get(name)) for name, head in {**shown, **SOMETIMES}.items()}
    cells |= {
        "Entry": row.entry + (" (unsound)" if row.unsound else ""),
        shown[HEADLINE[row.task]]: headline,
        "Fold SD": percent(row.fold_sd),
        "n": str(row.n or "-"),
        "Subjects": str(row.interval.n_clusters) if row.interval else "-",
        "Epochs": epochs,
        "Weights": (row.weights or "random") if row.parameters is not None else "-",
        "Parameters": f"{row.parameters:,}" if row.parameters is not None else "-",
        "Fit (min)": f"{row.fit_minutes:.1f}" if row.fit_minutes is not None else "-",
        "State": row.state + (f" ({row.broken} samples left out)" if row.broken else ""),
    }
    return [cells.get(head, points(row.difference)) for head in heads]


def percent(value: float | None) -> str:
    """A fraction as a percentage, or a dash."""
    return "-" if value is None else f"{100 * value:.2f}"


def points(difference: Difference | None) -> str:
    """A difference of fractions in percentage points with its interval, or a dash."""
    if difference is None:
        return "-"
    text = f"{100 * difference.value:+.2f}"
    interval = difference.interval
    if interval.low is None or interval.high is None:
        return text
    return f"{text} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def to_frame(rows: list[Row]) -> pd.DataFrame:
    """One line a row, numbers as numbers (fractions), for the CSV file."""
    return pd.DataFrame.from_records([_record(row) for row in rows]).astype(
        {"n": "Int64", "subjects": "Int64", "parameters": "Int64", "recipe_epochs": "Int64"}
    )


def _record(row: Row) -> dict[str, object]:
    headline = HEADLINE[row.task]
    low, high = (row.interval.low, row.interval.high) if row.interval else (None, None)
    against = row.difference
    return {
        "protocol": row.protocol,
        "protocol_digest": row.protocol_digest,
        "data": row.provenance,
        "entry": row.entry,
        "method": row.method,
        "state": row.state,
        **{name: row.metrics.get(name) for name in SHOWN[row.task]},
        **{name: row.metrics[name] for name in SOMETIMES if name in row.metrics},
        f"{headline}_low": low,
        f"{headline}_high": high,
        f"{headline}_fold_sd": row.fold_sd,
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
        "selection": "validation",
        "unsound": row.unsound,
        "reason": row.reason,
    }


def to_markdown(name: str, suite: Suite, rows: list[Row]) -> str:
    """The leaderboard as a Markdown page."""
    page = io.StringIO()
    page.write(f"# {suite.title or name}\n\n{ESTIMATORS}\n")
    if suite.reference:
        page.write(
            f"\nAgainst {suite.reference}: the difference of the first column on the same samples, in percentage "
            "points, with the interval of a bootstrap that draws the same subjects for both.\n"
        )
    # Results are ranked together only if they answer the same question on the same data.
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.protocol, row.protocol_digest, row.provenance), []).append(row)
    for (protocol, digest, data), members in groups.items():
        page.write(f"\n## {protocol}\n\n")
        if digest:
            page.write(f"Protocol digest `{digest}`. Data: {data}. ")
        if told := suite.shortened(registry.find_protocol(protocol)):
            page.write(f"{told[0].upper()}{told[1:]}. ")
        if "twin" in data:
            page.write("**Synthetic faces: these numbers compare methods with one another, not with published ones.**")
        heads = header(members, suite.reference)
        sides = ["---", *["---:"] * (len(heads) - 2), "---"]
        page.write(f"\n\n| {' | '.join(map(markdown_text, heads))} |\n|{'|'.join(sides)}|\n")
        for row in members:
            page.write(f"| {' | '.join(markdown_text(text) for text in texts(row, heads))} |\n")
        for row in members:
            if row.unsound:
                page.write(f"\n- {row.entry} is unsound: {markdown_text(row.unsound)}.")
            if row.reason:
                page.write(f"\n- {row.entry}: {markdown_text(row.reason)}")
        page.write("\n\nInput: " + "; ".join(f"{row.entry} {row.representation or '-'}" for row in members) + "\n")
    return page.getvalue()


def markdown_text(text: str) -> str:
    """Text that stays one cell of a Markdown table, and stays text."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def write(name: str, suite: Suite, rows: list[Row], out: Path) -> list[Path]:
    """Write `<out>/<name>.csv` and `.md`; returns the files."""
    csv, markdown = out / f"{name}.csv", out / f"{name}.md"
    with atomic_write(csv) as file:
        file.write(to_frame(rows).to_csv(index=False, float_format="%.6f").encode())
    with atomic_write(markdown) as file:
        file.write(to_markdown(name, suite, rows).encode())
    return [csv, markdown]
