"""Protocols on 4DME: micro-expressions, each of which may be of several kinds at once."""

import pandas as pd

from fer_bench.expressions import FOURDME_EMOTIONS
from fer_bench.protocols.base import Protocol
from fer_bench.protocols.divisions import subject_folds

PROTOCOLS = (
    Protocol(
        name="fourdme-multilabel",
        version=1,
        task="multilabel",
        datasets=("fourdme",),
        classes=FOURDME_EMOTIONS,
        selects=lambda index: pd.Series(True, index=index.index),
        divides=lambda index: subject_folds(index, 10, salt="fourdme-multilabel"),
        num_folds=10,
        unit="clip",
        source=(
            "FACET-VLM Table 5: micro-expressions of five kinds, each predicted for itself. Neither the clips (267 of"
            " 41 subjects in the distribution) nor how they are divided is said there; the paper's general rule, for "
            "all datasets, is 10-fold subject-independent cross-validation, and that is taken. Leaving one subject "
            "out is usual for micro-expressions, but makes as many folds as a copy has subjects (41, or 24 in the "
            "challenge's release), most of them with few clips and none of the rare kinds; scores are to be computed "
            "over all folds together for the same reason. One of the nine training groups validates."
        ),
        expected=267,
        uncertain=(
            "Which clips the table scores: every accuracy and F1 of its baseline rows comes from counts over 236 "
            "clips, most of the 31 of `others` among them. Its F1 is the mean of the F1 of presence and of absence."
        ),
    ),
)
