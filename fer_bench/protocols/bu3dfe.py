"""Protocols on BU-3DFE: 100 subjects, six expressions at four intensities."""

from __future__ import annotations

import pandas as pd

from fer_bench.expressions import BASIC_SIX
from fer_bench.protocols.base import Protocol, subject_folds
from fer_bench.records import Fold


def _ten_folds(index: pd.DataFrame) -> list[Fold]:
    # One salt for both subsets: a subject is in the same fold of either, so results on the two can be paired.
    return subject_folds(index, 10, salt="bu3dfe-cv10")


_SOURCE = (
    "MiT Table I and FACET-VLM Table 2: 10-fold subject-independent cross-validation over all subjects. The papers "
    "count 101 subjects where the distribution has 100, publish no folds and no validation set; the folds here are our "
    "own, and one of the nine training groups validates."
)

PROTOCOLS = (
    Protocol(
        name="bu3dfe-s1-cv10",
        version=1,
        task="classification",
        datasets=("bu3dfe",),
        classes=BASIC_SIX,
        selects=lambda index: index["level"].isin([3, 4]),
        divides=_ten_folds,
        num_folds=10,
        unit="scan",
        source=f"Subset I, the two highest intensities: 1,200 scans. {_SOURCE}",
        expected=1200,
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
    ),
)
