"""Protocols on Bosphorus: the 65 of its 105 subjects that show all six expressions."""

import pandas as pd

from fer_bench.errors import ProtocolError
from fer_bench.expressions import BASIC_SIX
from fer_bench.protocols.base import Protocol
from fer_bench.protocols.divisions import draw_subjects, repeated_subject_folds, subject_folds


def _one_take_each(index: pd.DataFrame) -> pd.Series:
    """Mask of one scan an expression, the lowest take present, of the subjects that have all six."""
    scans = index[index["label"].isin(BASIC_SIX) & index["subject"].notna()]
    # `bs000_E_HAPPY_0`: takes are numbers, and take 10 comes after take 9.
    take = scans["id"].str.extract(r"_(\d+)$", expand=False).astype("Int64")
    scans = scans.assign(take=take).sort_values(["take", "id"]).drop_duplicates(["subject", "label"])
    expressions = scans.groupby("subject").size()
    complete = expressions.index[expressions == len(BASIC_SIX)]
    if not len(complete):
        raise ProtocolError(
            "no subject of the index has all six expressions; add the scans E_ANGER to E_SURPRISE that "
            "`fer-bench data check bosphorus` says are missing."
        )
    return index["id"].isin(scans.loc[scans["subject"].isin(complete), "id"])


PROTOCOLS = (
    Protocol(
        name="bosphorus-cv10",
        version=1,
        task="classification",
        datasets=("bosphorus",),
        classes=BASIC_SIX,
        selects=_one_take_each,
        divides=lambda index: subject_folds(index, 10, salt="bosphorus-cv10"),
        num_folds=10,
        unit="scan",
        source=(
            "MiT Table I and FACET-VLM Table 2: the 65 subjects that show all six expressions, one scan each (390), "
            "10-fold subject-independent cross-validation. The papers publish no folds and no validation set; the "
            "folds here are our own, and one of the nine training groups validates."
        ),
        expected=390,
        uncertain=(
            "Which take the papers used where a subject has several: the lowest that is present is taken. The papers' "
            "folds."
        ),
    ),
    Protocol(
        name="bosphorus-drfer60-cv10",
        version=1,
        task="classification",
        datasets=("bosphorus",),
        classes=BASIC_SIX,
        selects=lambda index: draw_subjects(index, _one_take_each(index), 60, salt="bosphorus-drfer60"),
        divides=lambda index: repeated_subject_folds(index, 10, 100, salt="bosphorus-drfer60"),
        num_folds=1000,
        unit="scan",
        source=(
            "DrFER Table II: 60 of the 65 subjects that show all six expressions, drawn once and kept, one scan an "
            "expression (360), ten folds of six subjects, all of it repeated 100 times with new groups as on BU-3DFE. "
            "The 60 here are the first in the hash order of their names. The paper trains on nine groups; one of them "
            "validates here. The neutral scans of training subjects, every take, are auxiliary: its targets are made "
            "from them."
        ),
        expected=360,
        uncertain="Which 60 subjects the paper drew, its groups, and which takes it used.",
        repeats=100,
        auxiliary=lambda index: index["label"].isin(["neutral"]),
    ),
)
