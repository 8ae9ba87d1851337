"""Protocols on CoMA: 12 subjects, 12 sequences each, 20,466 registered meshes."""

import pandas as pd

from fer_bench.errors import ProtocolError
from fer_bench.protocols.base import Protocol
from fer_bench.protocols.divisions import hash_order, subject_folds
from fer_bench.records import Fold

_WINDOW = 10


def _every(index: pd.DataFrame) -> pd.Series:
    return pd.Series(True, index=index.index)


def _sliced(index: pd.DataFrame) -> list[Fold]:
    """The first ten of every hundred meshes, in order of id, test, and the next ten validate."""
    ids = list(index["id"])
    if len(ids) <= 20:
        raise ProtocolError(
            f"the first twenty meshes test and validate, and the index has {len(ids)}; add the missing sequences, or "
            "make a twin with more --subjects."
        )
    test = [i for position, i in enumerate(ids) if position % 100 < 10]
    val = [i for position, i in enumerate(ids) if 10 <= position % 100 < 20]
    train = [i for position, i in enumerate(ids) if position % 100 >= 20]
    return [Fold(0, tuple(train), tuple(val), tuple(test))]


def _windows(index: pd.DataFrame) -> list[Fold]:
    """Windows of ten successive meshes of one sequence, none overlapping another: one in a hundred meshes begins a
    window that tests, as many windows validate, and what is in no window trains."""
    ids = list(index["id"])
    sequence = [i.rpartition("/")[0] for i in ids]
    position = {i: p for p, i in enumerate(ids)}
    count = max(1, len(ids) // 100)
    # A sequence is a run of ids with one prefix, so two ends of one sequence have nothing else between them.
    starts = [i for i, a, b in zip(ids, sequence, sequence[_WINDOW - 1 :], strict=False) if a == b]
    window: dict[int, int] = {}  # position -> number of its window
    drawn = 0
    for start in hash_order(starts, salt="coma-interpolation-windows"):
        span = range(position[start], position[start] + _WINDOW)
        if drawn < 2 * count and not any(p in window for p in span):
            window |= dict.fromkeys(span, drawn)
            drawn += 1
    if drawn < 2 * count or len(window) == len(ids):
        raise ProtocolError(
            f"{2 * count} windows of {_WINDOW} successive meshes test and validate, and {drawn} fit into the sequences "
            "of the index and leave something to train on; add the missing meshes, or make a twin with more --subjects."
        )
    train = tuple(i for p, i in enumerate(ids) if p not in window)
    test = tuple(i for p, i in enumerate(ids) if window.get(p, count) < count)
    val = tuple(i for p, i in enumerate(ids) if window.get(p, 0) >= count)
    return [Fold(0, train, val, test)]


_NOT_INDEPENDENT = (
    "Every subject is on both sides, and test meshes lie a few frames from training ones: this measures interpolation, "
    "not new faces."
)

PROTOCOLS = (
    Protocol(
        name="coma-interpolation",
        version=1,
        task="disentanglement",
        datasets=("coma",),
        classes=(),
        selects=_every,
        divides=_sliced,
        num_folds=1,
        unit="mesh",
        source=(
            "CoMA (Ranjan et al. 2018), which face disentanglement Table I says it follows: of all meshes in "
            "alphabetical order, the first ten of every hundred are tested (2,050 of 20,466). Their code takes the "
            "order in which the file system lists the meshes; here it is that of the ids. The next ten of every "
            f"hundred validate. {_NOT_INDEPENDENT}"
        ),
        expected=20466,
        uncertain=(
            "Face disentanglement counts 18,422 training and 2,040 test meshes of 20,462, without four unnamed "
            "outliers: the first ten of every whole hundred. Here the last hundred, of 66 meshes, gives its first ten "
            "too."
        ),
        subject_independent=False,
    ),
    Protocol(
        name="coma-interpolation-windows",
        version=1,
        task="disentanglement",
        datasets=("coma",),
        classes=(),
        selects=_every,
        divides=_windows,
        num_folds=1,
        unit="mesh",
        source=(
            "Face disentanglement Table I as its code has it: 204 random windows of ten successive meshes within a "
            "sequence, none overlapping another, are tested (2,040). Its split file is not public and its draw has no "
            f"seed; the draw here is our own, and as many further windows validate. {_NOT_INDEPENDENT}"
        ),
        expected=20466,
        uncertain="Which windows the paper drew, and which four meshes it removed as outliers (20,462 remain).",
        subject_independent=False,
    ),
    Protocol(
        name="coma-identity",
        version=1,
        task="disentanglement",
        datasets=("coma",),
        classes=(),
        selects=_every,
        divides=lambda index: subject_folds(index, 4, salt="coma-identity"),
        num_folds=4,
        unit="mesh",
        source=(
            "Of no paper: face disentanglement Table I tests on subjects that it trains on, so this divides the 12 "
            "subjects into four folds of three, with three more that validate and six that train."
        ),
        expected=20466,
    ),
)
