"""Protocols on AffectNet: photographs with an expression, valence and arousal, and official splits."""

import pandas as pd

from fer_bench.expressions import EXPRESSIONS
from fer_bench.protocols.base import Protocol
from fer_bench.protocols.divisions import official_split
from fer_bench.records import Fold


def _manual(index: pd.DataFrame) -> pd.Series:
    return index["split"].isin(["train", "val"]) & index["label"].isin(EXPRESSIONS)


def _official(index: pd.DataFrame) -> list[Fold]:
    # One salt for all three: where all ratings are known, the held-out photographs of a class are the same in each.
    return official_split(index, test="val", salt="affectnet")


_SOURCE = (
    "The official validation split is tested, as papers do: the official test split was never published. To choose a "
    "checkpoint without it, 5 % of each class of the training split validate here. Who is who is not known, so a "
    "person may be on both sides."
)

PROTOCOLS = (
    Protocol(
        name="affectnet8",
        version=1,
        task="classification",
        datasets=("affectnet",),
        classes=EXPRESSIONS,
        selects=_manual,
        divides=_official,
        num_folds=1,
        unit="photograph",
        source=f"Ig3D Tables 2 and 4: eight classes, 287,651 training and 3,999 validation photographs. {_SOURCE}",
        expected=291650,
        uncertain="The release of 2017 has 500 validation photographs of contempt where that of 2021 has 499.",
        subject_independent=False,
    ),
    Protocol(
        name="affectnet7",
        version=1,
        task="classification",
        datasets=("affectnet",),
        classes=tuple(name for name in EXPRESSIONS if name != "contempt"),
        selects=_manual,
        divides=_official,
        num_folds=1,
        unit="photograph",
        source=(
            "The seven classes without contempt that much of the literature reports: 283,901 training and 3,500 "
            f"validation photographs. {_SOURCE}"
        ),
        expected=287401,
        subject_independent=False,
    ),
    Protocol(
        name="affectnet-va",
        version=1,
        task="valence_arousal",
        datasets=("affectnet",),
        classes=(),
        selects=_manual,
        divides=_official,
        num_folds=1,
        unit="photograph",
        source=(
            "Ig3D Tables 7 and 8: valence and arousal of the photographs of the eight classes, 287,651 for training "
            f"and 3,999 for validation. {_SOURCE}"
        ),
        expected=291650,
        uncertain="The prediction files that Ig3D published have 3,991 rows; which eight photographs are left out.",
        subject_independent=False,
    ),
)
