"""Protocols on BU-4DFE: 101 subjects, one sequence of each of six expressions."""

import pandas as pd

from fer_bench.expressions import BASIC_SIX
from fer_bench.protocols.base import Protocol
from fer_bench.protocols.divisions import subject_folds

PROTOCOLS = (
    Protocol(
        name="bu4dfe-cv10",
        version=1,
        task="classification",
        datasets=("bu4dfe",),
        classes=BASIC_SIX,
        selects=lambda index: pd.Series(True, index=index.index),
        divides=lambda index: subject_folds(index, 10, salt="bu4dfe-cv10"),
        num_folds=10,
        unit="sequence",
        source=(
            "MiT Table II and FACET-VLM Table 3 (10-CV, full sequence): all 101 subjects, 606 sequences, 10-fold "
            "subject-independent cross-validation. The papers publish no folds and no validation set; the folds here "
            "are our own, and one of the nine training groups validates."
        ),
        expected=606,
        uncertain=(
            "What MiT scored: its public training logs end at the printed accuracies, are of one division alone, and "
            "count 5,268 or 10,536 test items where a fold has about 60 sequences. Here the sequence is scored."
        ),
    ),
)
