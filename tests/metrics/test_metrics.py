import subprocess
import sys

import numpy as np
import pytest

from fer_bench.errors import UnknownName
from fer_bench.metrics import METRICS, score

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


def test_valence_arousal_refuses_classes():
    with pytest.raises(ValueError, match="have no classes"):
        score("valence_arousal", np.zeros((1, 2)), np.zeros((1, 2)), CLASSES)


def test_metrics_need_neither_torch_nor_scikit_learn():
    heavy = "{'torch', 'sklearn', 'scipy'} & set(sys.modules)"
    code = f"import sys, fer_bench.metrics, fer_bench.metrics.classification; assert not {heavy}, {heavy}"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(METRICS) == {"classification", "valence_arousal"}
