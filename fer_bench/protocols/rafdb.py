"""Protocols on RAF-DB: photographs with one of seven basic expressions, and an official split."""

from fer_bench.expressions import EXPRESSIONS
from fer_bench.protocols.base import Protocol
from fer_bench.protocols.divisions import official_split

PROTOCOLS = (
    Protocol(
        name="rafdb7",
        version=1,
        task="classification",
        datasets=("rafdb",),
        classes=tuple(name for name in EXPRESSIONS if name != "contempt"),
        selects=lambda index: index["split"].isin(["train", "test"]),
        divides=lambda index: official_split(index, test="test", salt="rafdb7"),
        num_folds=1,
        unit="photograph",
        source=(
            "Ig3D Tables 3, 5 and 6: the official split, 12,271 training and 3,068 test photographs of seven classes. "
            "The paper prints 12,272 and 3,096; the confusion matrices in its public code add up to 3,068. To choose a "
            "checkpoint without the test split, 5 % of each class of the training split validate here. Who is who is "
            "not known, so a person may be on both sides."
        ),
        expected=15339,
        uncertain="Ig3D's rows with SMIRK add up to about 2,919 test photographs, those with a detection alone.",
        subject_independent=False,
    ),
)
