"""How many samples of each class a folder has, against the distribution."""

from collections import Counter
from collections.abc import Mapping

import pandas as pd

from fer_bench.data.survey import Findings


def compare_class_sums(
    findings: Findings, index: pd.DataFrame, expected: Mapping[str, Mapping[str, int]], what: str
) -> None:
    """Warn of classes that have more or fewer samples than the distribution.

    Args:
        findings: Where the warning goes.
        index: All rows.
        expected: Split (`""` where there is none) -> label -> samples; a label of several names counts for each.
        what: Of what, in words: `photographs`.
    """
    pairs = zip(index["split"].fillna(""), index["label"].fillna(""), strict=True)
    seen = Counter((split, name) for split, label in pairs for name in label.split("+"))
    other = [
        f"{split} {label} {seen[split, label]:,} ({count:,})".strip()
        for split, counts in expected.items()
        for label, count in counts.items()
        if seen[split, label] != count
    ]
    findings.add_if(other, "warning", f"classes whose number of {what} is not the distribution's (in brackets)")
