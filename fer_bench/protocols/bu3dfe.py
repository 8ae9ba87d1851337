"""Protocols on BU-3DFE: 100 subjects, six expressions at four intensities and a neutral scan."""

import pandas as pd

from fer_bench.expressions import BASIC_SIX
from fer_bench.protocols.base import Protocol
from fer_bench.protocols.divisions import draw_subjects, repeated_subject_folds, subject_folds, subject_split
from fer_bench.records import Fold


def _ten_folds(index: pd.DataFrame) -> list[Fold]:
    # One salt for both subsets: of a complete copy a subject is in the same fold of either, and results can be paired.
    return subject_folds(index, 10, salt="bu3dfe-cv10")


def _subset_1(index: pd.DataFrame) -> pd.Series:
    return index["level"].isin([3, 4]) & index["label"].isin(BASIC_SIX)


_SOURCE = (
    "MiT Table I and FACET-VLM Table 2: 10-fold subject-independent cross-validation over all subjects. The papers "
    "count 101 subjects where the distribution has 100, publish no folds and no validation set; the folds here are our "
    "own, and one of the nine training groups validates."
)
_FIRST_TEN = tuple(f"F{number:04d}" for number in range(1, 11))

PROTOCOLS = (
    Protocol(
        name="bu3dfe-s1-cv10",
        version=1,
        task="classification",
        datasets=("bu3dfe",),
        classes=BASIC_SIX,
        selects=_subset_1,
        divides=_ten_folds,
        num_folds=10,
        unit="scan",
        source=f"Subset I, the two highest intensities: 1,200 scans. {_SOURCE}",
        expected=1200,
        uncertain="The papers' folds, and how they chose the epoch that they report.",
    ),
    Protocol(
        name="bu3dfe-s2-cv10",
        version=1,
        task="classification",
        datasets=("bu3dfe",),
        classes=BASIC_SIX,
        selects=lambda index: index["level"].isin([1, 2, 3, 4]),
        divides=_ten_folds,
        num_folds=10,
        unit="scan",
        source=f"Subset II, all four intensities without the neutrals: 2,400 scans. {_SOURCE}",
        expected=2400,
        uncertain="The papers' folds, and how they chose the epoch that they report.",
    ),
    Protocol(
        name="bu3dfe-drfer60-cv10",
        version=1,
        task="classification",
        datasets=("bu3dfe",),
        classes=BASIC_SIX,
        selects=lambda index: draw_subjects(index, _subset_1(index), 60, salt="bu3dfe-drfer60"),
        divides=lambda index: repeated_subject_folds(index, 10, 100, salt="bu3dfe-drfer60"),
        num_folds=1000,
        unit="scan",
        source=(
            "DrFER Table I: 60 of the 100 subjects drawn once and kept, six expressions at the two highest intensities "
            "(720 scans), ten folds of six subjects, all of it repeated 100 times with new groups. The 60 here are the "
            "first in the hash order of their names. The paper trains on nine groups; one of them validates here. The "
            "neutral scans of training subjects are auxiliary: its targets are made from them."
        ),
        expected=720,
        uncertain="Which 60 subjects the paper drew, and its groups; whether its epochs were chosen on test subjects.",
        repeats=100,
        auxiliary=lambda index: index["label"].isin(["neutral"]),
    ),
    Protocol(
        name="bu3dfe-identity",
        version=1,
        task="disentanglement",
        datasets=("bu3dfe",),
        classes=(),
        selects=lambda index: pd.Series(True, index=index.index),
        divides=lambda index: subject_split(index, _FIRST_TEN, salt="bu3dfe-identity"),
        num_folds=1,
        unit="scan",
        source=(
            "Face disentanglement Table II, after Zhang et al. 2020: all 25 scans of the first ten subjects, F0001 to "
            "F0010 and all of them women, are tested (250), the other subjects' train. The paper has 2,247 training "
            "scans where the distribution has 2,250, and evaluates the last epoch; nine of the 90 validate here."
        ),
        expected=2500,
        uncertain="Which three training scans the paper's copy lacked.",
    ),
)
