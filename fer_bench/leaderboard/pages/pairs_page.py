"""Pairwise differences as a section of a Markdown page and as a CSV file."""

from collections.abc import Sequence

import pandas as pd

from fer_bench import registry
from fer_bench.leaderboard.pairwise import LEVEL, Pair
from fer_bench.markdown import markdown_text
from fer_bench.stats.metric_units import number, signed, unit

GROUPS = (
    "Group: entries that share a letter are not told apart, that is, their difference in the first column is not "
    f"significant at {100 * LEVEL:.0f} % after Holm's correction for all pairs of the protocol (paired bootstrap over "
    "subjects); the order of such entries says nothing."
)
"""Explanation of the column Group at the top of a page."""

_TESTS = (
    "Difference: the first minus the second on the same samples, with a paired interval of its own; where two differ "
    "on nothing, with that of one sample of one person. p: bootstrap over subjects, which asks about other test "
    "people; over folds: corrected resampled t-test (Nadeau and Bengio 2003), which asks about other training people, "
    "too. In brackets: by Holm over these pairs."
)


def pairs_section(found: Sequence[Pair]) -> str:
    """A collapsed section of a Markdown page for the pairs of one protocol; empty without pairs."""
    if not found:
        return ""
    scale = unit(registry.find_protocol(found[0].protocol).task, found[0].metric)
    apart = sum(pair.significant for pair in found)
    message = f"{len(found)} pairs of entries, of which {apart} differ" if len(found) > 1 else "The one pair of entries"
    differences = sorted(pair.resolved for pair in found if pair.resolved is not None)
    resolved = ""
    if differences:
        low, high = (number(value, scale) for value in (differences[0], differences[-1]))
        resolved = f" With the spread measured here, one pair is told apart with 80 % power from {low} on"
        resolved += "." if low == high else f" to {high}, as the pair has it."
    lines = [
        f"<details><summary>{message}</summary>\n",
        f"{_TESTS} In {scale.difference}.{resolved}\n",
        "| First | Second | Difference | p | p over folds | Folds |\n|---|---|---:|---:|---:|---:|",
    ]
    for pair in found:
        cells = [markdown_text(pair.first), markdown_text(pair.second), signed(pair.difference, scale)]
        cells += [_p(pair.p, pair.p_holm), _p(pair.fold_p, pair.fold_p_holm), str(pair.folds)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "\n</details>\n"])


def pairs_frame(found: Sequence[Pair]) -> pd.DataFrame:
    """One line per pair, with numbers as fractions, for the CSV file."""
    columns = [
        *("protocol", "protocol_digest", "data", "metric", "first", "second", "difference", "low", "high"),
        *("p", "p_holm", "significant", "fold_p", "fold_p_holm", "folds", "resolved", "pairs", "subjects", "n"),
    ]
    return pd.DataFrame.from_records(
        [
            (
                *(pair.protocol, pair.protocol_digest, pair.provenance, pair.metric, pair.first, pair.second),
                *(pair.difference.value, pair.difference.interval.low, pair.difference.interval.high),
                *(pair.p, pair.p_holm, pair.significant, pair.fold_p, pair.fold_p_holm, pair.folds, pair.resolved),
                *(pair.family, pair.difference.interval.n_clusters, pair.difference.interval.n),
            )
            for pair in found
        ],
        columns=columns,
    )


def _p(alone: float | None, adjusted: float | None) -> str:
    return "-" if alone is None else f"{_digits(alone)} ({'-' if adjusted is None else _digits(adjusted)})"


def _digits(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"
