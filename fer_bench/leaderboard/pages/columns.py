"""The columns of a leaderboard: their headings and the formatted texts of a row."""

from fer_bench.leaderboard.row import Row
from fer_bench.records import Task
from fer_bench.stats.bootstrap import HEADLINE
from fer_bench.stats.metric_units import number, signed, unit, with_interval

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
    "valence_arousal": {
        "ccc_mean": "CCC",
        "ccc_valence": "of valence",
        "ccc_arousal": "of arousal",
        "ccc": "Pooled CCC",
        "rmse": "RMSE",
        "mae": "MAE",
    },
    "disentanglement": {
        "neutral_mean": "Neutral",
        "neutral_median": "median",
        "reconstruction_mean": "Rebuilt",
        "reconstruction_median": "its median",
        "spread_mean": "Spread",
        "scatter_mean": "Scatter",
    },
}
"""Task -> metric -> heading; the first metric is the headline metric, which is shown with its interval."""

SOMETIMES = {"accuracy_among_tested": "Among the tested", "item_accuracy": "Items"}
"""Metrics that only some protocols and representations have."""

BESIDE: dict[Task, dict[str, str]] = {
    "disentanglement": {
        "identity_mean": "Identity",
        "expression_mean": "Expression",
        "rank1_mesh_mean": "Rank-1",
        "rank1_code_mean": "by code",
        "leak_identity_mean": "Who leaks",
        "leak_expression_mean": "What leaks",
    },
}
"""Metrics in a separate table below that of a protocol."""


def header(rows: list[Row], reference: str | None, grouped: bool = False) -> list[str]:
    """Headings of the columns for rows of one protocol; `grouped` if some of them are compared."""
    shown = SHOWN[rows[0].task]
    first, *others = shown.values()
    against = [f"Against {reference}"] if reference else []
    optimism = ["Optimism"] if any(row.selection == "best_on_test" for row in rows) else []
    sometimes = [head for name, head in SOMETIMES.items() if any(name in row.metrics for row in rows)]
    return [
        *("Entry", first, *(["Group"] if grouped else []), *optimism, *against, *others, *sometimes, "Fold SD"),
        *("n", "Subjects", "Epochs", "Selection", "Weights", "Parameters", "Fit (min)", "State"),
    ]


def texts(row: Row, heads: list[str], group: str = "") -> list[str]:
    """The formatted texts of a row under `header`; `group` is its letters of `pairwise.groups`."""
    shown = SHOWN[row.task]
    first = unit(row.task, HEADLINE[row.task])
    epochs = "-"
    if row.epochs:
        epochs = "-".join(map(str, sorted(set(row.epochs))))
        epochs += f" of {row.recipe_epochs}" if row.epochs != (row.recipe_epochs,) * 2 else ""
    named = {**shown, **SOMETIMES}
    cells = {head: number(row.metrics.get(name), unit(row.task, name)) for name, head in named.items()}
    cells |= {
        "Entry": row.entry + (" (unsound)" if row.unsound else ""),
        shown[HEADLINE[row.task]]: with_interval(row.headline, row.interval, first),
        "Group": group or "-",
        "Fold SD": number(row.fold_sd, first),
        "n": str(row.n or "-"),
        "Subjects": str(row.interval.n_clusters) if row.interval else "-",
        "Epochs": epochs,
        "Selection": row.selection or "-",
        "Optimism": signed(row.optimism, first),
        "Weights": (row.weights or "random") if row.parameters is not None else "-",
        "Parameters": f"{row.parameters:,}" if row.parameters is not None else "-",
        "Fit (min)": f"{row.fit_minutes:.1f}" if row.fit_minutes is not None else "-",
        "State": row.state + (f" ({row.broken} samples left out)" if row.broken else ""),
    }
    return [cells.get(head, signed(row.difference, first)) for head in heads]


def beside(rows: list[Row]) -> list[list[str]]:
    """The second table of a protocol, headings first, of the metrics in `BESIDE` that any row has; or empty."""
    named = {k: v for k, v in BESIDE.get(rows[0].task, {}).items() if any(k in row.metrics for row in rows)}
    if not named:
        return []
    values = [[number(row.metrics.get(name), unit(row.task, name)) for name in named] for row in rows]
    return [["Entry", *named.values()], *([row.entry, *each] for row, each in zip(rows, values, strict=True))]
