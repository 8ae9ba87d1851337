"""Protocols on BP4D-Spontaneous: 41 subjects, eight tasks; and from BU-4DFE to BP4D."""

import pandas as pd

from fer_bench.errors import ProtocolError
from fer_bench.expressions import BASIC_SIX
from fer_bench.protocols.base import Protocol
from fer_bench.protocols.divisions import subject_folds, subject_split
from fer_bench.records import Fold

_TESTED = ("disgust", "happy")  # tasks 8 and 1, in the order of the classes


def _from_bu4dfe(index: pd.DataFrame) -> pd.Series:
    of_bp4d = index["id"].str.startswith("bp4d/") & index["label"].isin(_TESTED)
    return (index["id"].str.startswith("bu4dfe/") | of_bp4d).astype(bool)


def _to_bp4d(index: pd.DataFrame) -> list[Fold]:
    for name, classes in (("bu4dfe", BASIC_SIX), ("bp4d", _TESTED)):
        present = set(index.loc[index["id"].str.startswith(f"{name}/"), "label"])
        if absent := [label for label in classes if label not in present]:
            raise ProtocolError(
                f"the {name} index has no sequence of {', '.join(absent)}; run `fer-bench data check {name}` to see "
                f"what is missing, or make a twin with `fer-bench data twin {name}`."
            )
    tested = sorted({s for s in index["subject"].dropna() if s.startswith("bp4d/")})
    return subject_split(index, tested, salt="bu4dfe-to-bp4d")


PROTOCOLS = (
    Protocol(
        name="bp4d-8class-cv10",
        version=1,
        task="classification",
        datasets=("bp4d",),
        classes=(*BASIC_SIX, "embarrassment", "pain"),
        selects=lambda index: pd.Series(True, index=index.index),
        divides=lambda index: subject_folds(index, 10, salt="bp4d-8class-cv10"),
        num_folds=10,
        unit="sequence",
        source=(
            "MiT Table III (a) and FACET-VLM Table 4 (a): all 41 subjects, 328 sequences, eight classes, 10-fold "
            "subject-independent cross-validation. The papers publish no folds and no validation set; the folds here "
            "are our own, and one of the nine training groups validates."
        ),
        expected=328,
        uncertain=(
            "The papers name the classes as the six expressions, nervousness and pain; the distribution's tasks are "
            "T1 happy, T2 sad, T3 surprise, T4 embarrassment, T5 fear or nervous, T6 pain, T7 anger, T8 disgust. So "
            "either T4 is nervousness and T5 fear, or T5 is nervousness and T4 counts as fear. A class is a task "
            "either way, so only the names of two columns depend on it: T4 is embarrassment here, and T5 fear."
        ),
    ),
    Protocol(
        name="bu4dfe-to-bp4d",
        version=1,
        task="classification",
        datasets=("bu4dfe", "bp4d"),
        classes=BASIC_SIX,
        selects=_from_bu4dfe,
        divides=_to_bp4d,
        num_folds=1,
        unit="sequence",
        source=(
            "MiT Table III (b) and FACET-VLM Table 4 (b), after Zhang et al. and Zhen et al.: trained on all of "
            "BU-4DFE (606 sequences), tested on the tasks 1 and 8 of BP4D, happy and disgust (82). The papers name no "
            "validation set; ten of the 101 subjects of BU-4DFE validate here."
        ),
        expected=688,
        uncertain=(
            "Whether the papers let the method choose among all six expressions or among the two: the accuracy is over "
            "six, and `accuracy_among_tested`, among the two, is reported beside it."
        ),
        tested=_TESTED,
    ),
)
