"""What the fidelity page of MiT calls equal, and no other test shows."""

import numpy as np

from fer_bench.metrics import score
from fer_bench.papers.published import read_paper
from fer_bench.stats.bootstrap import HEADLINE


def test_a_sequence_counts_once() -> None:
    """Accuracy is the share of samples whose greatest score is right, one row a sequence."""
    assert HEADLINE["classification"] == "accuracy"
    outputs, truth = np.eye(3)[[0, 1, 2, 2]], np.array(["a", "b", "c", "a"], dtype=object)
    metrics = score("classification", outputs, truth, ("a", "b", "c"))
    assert metrics["accuracy"] == 0.75


def test_every_table_has_a_suite() -> None:
    sections = {section.heading: section.suites for section in read_paper("mit").sections}
    for name in ("Table I", "Table II", "Table III", "Fig. 3", "Fig. 4", "Fig. 5"):
        assert sections[name], name
