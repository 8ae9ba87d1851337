"""Recall, precision and F1 per class, and the confusion matrix, of every complete row of a leaderboard."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench import registry
from fer_bench.leaderboard.row import Row
from fer_bench.markdown import markdown_text
from fer_bench.metrics.classification import PerClass, per_class


class Classes(NamedTuple):
    """The per-class results of a row, summed over folds and seeds.

    Attributes:
        names: The C classes.
        each: Recall, precision, F1 and support, `(C,)` each; those of presence for multilabel tasks.
        confusion: `(C, C)`, row = true class, column = predicted class; None for multilabel tasks.
    """

    names: tuple[str, ...]
    each: PerClass
    confusion: NDArray[np.int64] | None


def classes_of(row: Row) -> Classes | None:
    """The per-class results; None for an incomplete row or a task without classes."""
    protocol = registry.find_protocol(row.protocol)
    if row.draws is None or row.draws.sums is None or protocol.task not in ("classification", "multilabel"):
        return None
    # The sums that the bootstrap draws from are one confusion matrix per subject.
    total, c = row.draws.sums.sum(axis=0).astype(np.int64), len(protocol.classes)
    if protocol.task == "classification":
        counts = total.reshape(c, c)
        return Classes(protocol.classes, per_class(counts), counts)
    of_each = per_class(total.reshape(c, 2, 2))
    return Classes(protocol.classes, PerClass(*(values[:, 1] for values in of_each)), None)


def classes_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """One line per row and class, with numbers as fractions, for the CSV file; `predicted_<class>` are counts."""
    records: list[dict[str, object]] = []
    for row in rows:
        if (found := classes_of(row)) is None:
            continue
        for place, name in enumerate(found.names):
            counts = [] if found.confusion is None else found.confusion[place].tolist()
            records.append(
                {
                    "protocol": row.protocol,
                    "protocol_digest": row.protocol_digest,
                    "data": row.provenance,
                    "entry": row.entry,
                    "class": name,
                    "support": int(found.each.support[place]),
                    "recall": float(found.each.recall[place]),
                    "precision": float(found.each.precision[place]),
                    "f1": float(found.each.f1[place]),
                    **{f"predicted_{other}": n for other, n in zip(found.names, counts, strict=False)},
                }
            )
    frame = pd.DataFrame.from_records(records)
    return frame.astype({name: "Int64" for name in frame.columns if name.startswith("predicted_")})


def classes_section(rows: Sequence[Row]) -> str:
    """A collapsed section of a Markdown page for the rows of one protocol; empty if none has classes."""
    found = {markdown_text(row.entry): own for row in rows if (own := classes_of(row)) is not None}
    if not found:
        return ""
    names = [markdown_text(name) for name in next(iter(found.values())).names]
    parts = [
        "<details><summary>Per class, and confusion matrices</summary>\n",
        "Per cent, over all folds and seeds.\n",
        f"| Entry | | {' | '.join(names)} |\n|---|---|{'---:|' * len(names)}",
    ]
    for entry, own in found.items():
        parts += [
            f"| {entry if head == 'Recall' else ''} | {head} | {' | '.join(f'{100 * v:.1f}' for v in values)} |"
            for head, values in (("Recall", own.each.recall), ("Precision", own.each.precision), ("F1", own.each.f1))
        ]
    parts.append(f"| Samples | | {' | '.join(f'{n:.0f}' for n in next(iter(found.values())).each.support)} |")
    for entry, own in found.items():
        if own.confusion is not None:
            parts.append(f"\n| {entry}: true, predicted | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
            shares = 100 * own.confusion / np.maximum(own.confusion.sum(1, keepdims=True), 1)
            parts += [
                f"| {name} | {' | '.join(f'{v:.1f}' for v in line)} |"
                for name, line in zip(names, shares.tolist(), strict=True)
            ]
    return "\n".join([*parts, "\n</details>\n"])
