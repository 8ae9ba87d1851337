import subprocess
import sys

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.errors import UnknownName
from fer_bench.metrics import METRICS, accuracy_among_tested, score

CLASSES = ("happy", "sad", "fear")


def test_the_greatest_score_wins_and_the_first_of_equals():
    outputs = np.array([[0.1, 0.9, 0.0], [2.0, 2.0, 1.0], [-3.0, -1.0, -1.0]])
    assert score("classification", outputs, np.array(["sad", "happy", "sad"]), CLASSES)["accuracy"] == 1
    assert score("classification", outputs, np.array(["sad", "sad", "fear"]), CLASSES)["accuracy"] == pytest.approx(
        1 / 3
    )


def test_truth_may_be_names_or_indices():
    outputs = np.random.default_rng(0).normal(size=(20, 3))
    indices = np.arange(20) % 3
    names = np.array(CLASSES)[indices]
    assert score("classification", outputs, names, CLASSES) == score("classification", outputs, indices, CLASSES)


def test_the_classes_of_the_truth_follow_the_columns():
    outputs, truth = np.eye(3), np.array(["fear", "happy", "sad"])
    assert score("classification", outputs, truth, ("fear", "happy", "sad"))["accuracy"] == 1
    assert score("classification", outputs, truth, CLASSES)["accuracy"] == 0


def test_valence_arousal():
    truth = np.array([[0.1, 0.2], [0.3, -0.4]])
    metrics = score("valence_arousal", truth, truth)
    assert metrics["ccc"] == pytest.approx(1)
    assert metrics["rmse_arousal"] == 0


def test_unknown_task_suggests_a_known_one():
    with pytest.raises(UnknownName, match="'classification'"):
        score("clasification", np.zeros((1, 2)), np.zeros(1), CLASSES)


@pytest.mark.parametrize(
    ("outputs", "truth", "classes", "message"),
    [
        (np.zeros((2, 2)), ["happy", "sad"], CLASSES, "must be"),
        (np.zeros((2, 3)), ["happy"], CLASSES, "must be"),
        (np.zeros((0, 3)), [], CLASSES, "no samples"),
        (np.full((1, 3), np.nan), ["happy"], CLASSES, "finite"),
        (np.zeros((1, 3)), ["joy"], CLASSES, "'joy', which is not among"),
        (np.zeros((1, 3)), [3], CLASSES, r"\[0, 3\)"),
        (np.zeros((1, 2)), ["happy"], ("happy", "happy"), "different names"),
        (np.zeros((1, 3)), ["a"], "abc", "different names"),
    ],
)
def test_classification_refuses(outputs, truth, classes, message):
    with pytest.raises(ValueError, match=message):
        score("classification", outputs, np.array(truth), classes)


def test_accuracy_among_the_tested_classes_ignores_the_scores_of_others():
    # Of three happy and one fear: two are taken for sad, which is not tested; one of these had happy second.
    outputs = np.array([[3.0, 1, 2], [2, 3, 1], [0, 3, 1], [0, 1, 2]])
    truth = np.array(["happy", "happy", "happy", "fear"])
    metrics = score("classification", outputs, truth, CLASSES, tested=("happy", "fear"))
    assert metrics["accuracy"] == pytest.approx(2 / 4)
    assert metrics["accuracy_among_tested"] == pytest.approx(3 / 4)
    assert metrics | score("classification", outputs, truth, CLASSES) == metrics, "nothing else changes"
    indices = np.array([CLASSES.index(name) for name in truth])
    assert accuracy_among_tested(outputs, indices, CLASSES, ("fear", "happy")) == pytest.approx(3 / 4)
    assert "accuracy_among_tested" not in score("classification", outputs, truth, CLASSES)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_fewer_classes_to_choose_from_are_never_harder(seed, n):
    generator = np.random.default_rng(seed)
    outputs, truth = generator.normal(size=(n, 3)), generator.integers(1, 3, n)
    metrics = score("classification", outputs, truth, CLASSES, tested=CLASSES[1:])
    assert metrics["accuracy_among_tested"] >= metrics["accuracy"]
    expected = sklearn.metrics.accuracy_score(truth, outputs[:, 1:].argmax(axis=1) + 1)
    assert metrics["accuracy_among_tested"] == pytest.approx(expected, abs=1e-12)
    everything = score("classification", outputs, truth, CLASSES, tested=CLASSES)
    assert everything["accuracy_among_tested"] == everything["accuracy"]


@pytest.mark.parametrize(
    ("task", "truth", "tested", "message"),
    [
        ("classification", ["sad"], ("happy", "fear"), "'sad', which is not among"),
        ("classification", ["happy"], ("happy", "joy"), r"tested classes \['joy'\] are not among"),
        ("classification", ["happy"], ("happy",), "two or more"),
        ("multilabel", ["happy"], ("happy", "sad"), "only classification"),
    ],
)
def test_what_cannot_be_restricted_is_refused(task, truth, tested, message):
    with pytest.raises(ValueError, match=message):
        score(task, np.zeros((1, 3)), np.array(truth, dtype=object), CLASSES, tested=tested)


def test_valence_arousal_refuses_classes():
    with pytest.raises(ValueError, match="have no classes"):
        score("valence_arousal", np.zeros((1, 2)), np.zeros((1, 2)), CLASSES)


def test_metrics_need_neither_torch_nor_scikit_learn():
    heavy = "{'torch', 'sklearn', 'scipy'} & set(sys.modules)"
    code = f"import sys, fer_bench.metrics, fer_bench.metrics.classification; assert not {heavy}, {heavy}"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(METRICS) == {"classification", "valence_arousal", "multilabel", "disentanglement"}
