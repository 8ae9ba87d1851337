import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.metrics import METRICS, score
from fer_bench.metrics.multilabel import MULTILABEL_METRICS, presence, presence_matrices

CLASSES = ("positive", "negative", "surprise", "repression", "others")
C = len(CLASSES)
rows = st.lists(
    st.tuples(st.lists(st.booleans(), min_size=C, max_size=C), st.lists(st.booleans(), min_size=C, max_size=C)),
    min_size=1,
    max_size=30,
).map(lambda pairs: (np.array([t for t, _ in pairs]), np.array([p for _, p in pairs])))


def labels(truth):
    """Names joined by a plus, as an index has them; at least one class holds in each."""
    return np.array(["+".join(np.array(CLASSES)[row]) for row in truth], dtype=object)


def logits(predicted, scale=3.0):
    return np.where(predicted, scale, -scale)


@settings(max_examples=60)
@given(rows)
def test_every_metric_equals_scikit_learn(pair):
    truth, predicted = pair
    truth[~truth.any(axis=1), 0] = True
    ours = score("multilabel", logits(predicted), labels(truth), CLASSES)
    options = {"zero_division": 0}
    f1, accuracy, two_sided = [], [], []
    for c, name in enumerate(CLASSES):
        t, p = truth[:, c], predicted[:, c]
        f1.append(reference.f1_score(t, p, **options))
        accuracy.append(reference.accuracy_score(t, p))
        two_sided.append(reference.f1_score(t, p, average="macro", **options))
        assert ours[f"f1_{name}"] == pytest.approx(f1[-1], abs=1e-12)
        assert ours[f"accuracy_{name}"] == pytest.approx(accuracy[-1], abs=1e-12)
        assert ours[f"f1_two_sided_{name}"] == pytest.approx(two_sided[-1], abs=1e-12)
    assert ours["f1_macro"] == pytest.approx(
        reference.f1_score(truth, predicted, average="macro", **options), abs=1e-12
    )
    assert ours["f1_macro"] == pytest.approx(np.mean(f1), abs=1e-12)
    assert ours["f1_two_sided"] == pytest.approx(np.mean(two_sided), abs=1e-12)
    assert ours["accuracy"] == pytest.approx(np.mean(accuracy), abs=1e-12)
    assert ours["accuracy"] == pytest.approx(1 - reference.hamming_loss(truth, predicted), abs=1e-12)
    assert ours["exact_match"] == pytest.approx(reference.accuracy_score(truth, predicted), abs=1e-12)
    of_each = {f"{metric}_{name}" for metric in ("f1", "accuracy", "f1_two_sided") for name in CLASSES}
    assert set(ours) == {*MULTILABEL_METRICS, "exact_match", *of_each}


@given(rows, st.integers(1, 7), st.permutations(range(C)))
def test_metrics_depend_on_neither_batching_nor_the_order_of_classes(pair, batch, order):
    truth, predicted = pair
    matrices = presence_matrices(truth, predicted)
    starts = range(0, len(truth), batch)
    batches = sum(presence_matrices(truth[i : i + batch], predicted[i : i + batch]) for i in starts)
    np.testing.assert_array_equal(batches, matrices)
    stack = np.stack([matrices, presence_matrices(truth[:, order], predicted[:, order])])
    for metric in MULTILABEL_METRICS.values():
        both = metric(stack)
        assert both.shape == (2,)
        assert both[0] == pytest.approx(both[1], abs=1e-12)
        assert both[0] == pytest.approx(metric(matrices), abs=1e-12)
        assert 0 <= both[0] <= 1 + 1e-12


def test_by_hand():
    # positive: one found, one missed, one false; negative: absent throughout.
    truth = np.array(["positive", "positive+surprise", "surprise"], dtype=object)
    outputs = np.array([[2.0, -1, -1], [-0.5, -1, 0.1], [0.2, -1, 0.3]])
    metrics = score("multilabel", outputs, truth, ("positive", "negative", "surprise"))
    assert metrics["f1_positive"] == pytest.approx(0.5)
    assert metrics["accuracy_positive"] == pytest.approx(1 / 3)
    assert metrics["f1_two_sided_positive"] == pytest.approx(0.25)
    assert (metrics["f1_negative"], metrics["f1_two_sided_negative"], metrics["accuracy_negative"]) == (0, 1, 1)
    assert metrics["f1_surprise"] == 1
    assert metrics["f1_macro"] == pytest.approx(1.5 / 3)
    assert metrics["accuracy"] == pytest.approx((1 / 3 + 1 + 1) / 3)
    assert metrics["exact_match"] == pytest.approx(1 / 3)


def test_a_score_of_zero_is_absent_and_its_size_does_not_matter():
    truth = np.array(["positive", "negative"], dtype=object)
    for scale in (1e-9, 1.0, 1e9):
        assert score("multilabel", np.eye(2) * scale, truth, ("positive", "negative"))["exact_match"] == 1


def test_the_order_of_names_in_a_label_does_not_matter():
    assert presence(["a+b", "b+a", "b"], ("b", "a")).tolist() == [[True, True], [True, True], [True, False]]


@pytest.mark.parametrize(
    ("errors", "printed"),
    [(80, 0.5971), (79, 0.6639), (78, 0.6040), (81, 0.5398), (73, 0.5804), (41, 0.7059), (38, 0.7298), (21, 0.7966)],
)
def test_table_5_of_facet_vlm_prints_the_two_sided_f1(errors, printed):
    """Some split of its 236 - errors hits into present and absent gives the printed F1; no F1 of presence does."""
    found = np.arange(0, 236 - errors + 1)
    # Whether an error is a miss or a false alarm moves neither F1.
    matrices = np.stack([[[236 - errors - tp, errors], [0, tp]] for tp in found])[:, None]
    one_sided = MULTILABEL_METRICS["f1_macro"](matrices)
    two_sided = MULTILABEL_METRICS["f1_two_sided"](matrices)
    assert np.abs(two_sided - printed).min() < 0.6e-4
    assert np.abs(one_sided - printed).min() > 0.6e-4


@pytest.mark.parametrize(
    ("outputs", "truth", "classes", "message"),
    [
        (np.zeros((2, 2)), ["positive"], CLASSES[:2], "must be"),
        (np.zeros((1, 3)), ["positive"], CLASSES[:2], "must be"),
        (np.zeros((0, 2)), [], CLASSES[:2], "no samples"),
        (np.full((1, 2), np.nan), ["positive"], CLASSES[:2], "finite"),
        (np.zeros((1, 2)), ["positive+joy"], CLASSES[:2], "'joy', which is not among"),
        (np.zeros((1, 2)), [""], CLASSES[:2], "'', which is not among"),
        (np.zeros((1, 2)), [None], CLASSES[:2], "None, which is not among"),
        (np.zeros((1, 2)), [pd.NA], CLASSES[:2], "<NA>, which is not among"),
        (np.zeros((1, 2)), [1], CLASSES[:2], "1, which is not among"),
        (np.zeros((1, 2)), ["a"], ("a", "a"), "different names"),
    ],
)
def test_multilabel_refuses(outputs, truth, classes, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=message):
            score("multilabel", outputs, np.array(truth, dtype=object), classes)
    assert "multilabel" in METRICS
