"""Late fusion, and the published fault."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fer_bench.errors import FerBenchError, UnknownName
from fer_bench.predictions.fusion import WEIGHTS, choose_weight, first_of_each_batch, fuse, listing_order, parse_rule

RULES = [("mean", None), ("max", None), ("min", None), ("weighted", 0.3)]


def scores(seed: int, rows: int = 60) -> tuple[list[NDArray[np.float64]], NDArray[np.int64]]:
    """Two models that know something, and the truth."""
    random = np.random.default_rng(seed)
    truth = np.sort(random.integers(0, 5, rows))
    return [2 * np.eye(5)[truth] + random.normal(0, noise, (rows, 5)) for noise in (1.0, 2.0)], truth


@settings(max_examples=40)
@given(seed=st.integers(0, 99), rule=st.sampled_from(RULES), size=st.integers(1, 60))
def test_fusion_knows_neither_batches_nor_their_order(seed: int, rule: tuple[str, float | None], size: int) -> None:
    both, _ = scores(seed)
    whole = fuse(both, *rule)
    order = np.random.default_rng(seed).permutation(60)
    parts = [fuse([each[order[start : start + size]] for each in both], *rule) for start in range(0, 60, size)]
    assert np.array_equal(np.concatenate(parts), whole[order])


def test_the_rules() -> None:
    one, other = np.array([[1.0, 5.0]]), np.array([[3.0, -1.0]])
    assert fuse([one, other], "mean").tolist() == [[2.0, 2.0]]
    assert fuse([one, other], "max").tolist() == [[3.0, 5.0]]
    assert fuse([one, other], "min").tolist() == [[1.0, -1.0]]
    np.testing.assert_allclose(fuse([one, other], "weighted", 0.8), [[1.4, 3.8]])


def test_the_published_fault_knows_both() -> None:
    both, truth = scores(0)

    def broadcast(order: NDArray[np.intp], size: int) -> NDArray[np.float64]:
        found = np.empty_like(both[0])
        found[order] = fuse([both[0][order], first_of_each_batch(both[1][order], size)], "mean")
        return found

    in_order, shuffled = np.arange(60), np.random.default_rng(0).permutation(60)
    assert not np.array_equal(broadcast(in_order, 10), broadcast(shuffled, 10))
    assert not np.array_equal(broadcast(in_order, 10), broadcast(in_order, 12))
    assert np.array_equal(broadcast(in_order, 1), fuse(both, "mean")), "a batch of one has no other samples"

    # In a listing by classes the first of a batch tells the class of nearly all of it; shuffled it misleads.
    def accuracy(found: NDArray[np.float64]) -> float:
        return float((found.argmax(1) == truth).mean())

    wide, truth = scores(1, 2000)
    both = wide
    listed, mixed = np.arange(2000), np.random.default_rng(0).permutation(2000)
    assert accuracy(broadcast(listed, 128)) > accuracy(fuse(both, "mean")) > accuracy(broadcast(mixed, 128))


def test_each_row_has_the_first_of_its_batch() -> None:
    rows = np.arange(7)[:, None]
    assert first_of_each_batch(rows, 3)[:, 0].tolist() == [0, 0, 0, 3, 3, 3, 6]


def test_a_listing_goes_class_by_class() -> None:
    order = listing_order(["b", "a"], ["a", "b", "a", "b"], ["4", "3", "2", "1"])
    assert order.tolist() == [3, 1, 2, 0]


def test_the_weight_is_the_best_one_and_of_equals_the_middle() -> None:
    both, truth = scores(2, 3000)

    def accuracy(fused: NDArray[np.float64]) -> float:
        return float((fused.argmax(1) == truth).mean())

    chosen = choose_weight(both, accuracy)
    assert 0.5 < chosen < 1, "the better model counts for more, and the other for something"
    assert accuracy(fuse(both, "weighted", chosen)) == max(accuracy(fuse(both, "weighted", w)) for w in WEIGHTS)
    assert choose_weight([both[0], both[0]], accuracy) == 0.5
    with pytest.raises(FerBenchError, match="no weight can be chosen"):
        choose_weight(both, lambda _: float("nan"))


def test_rules_are_read() -> None:
    assert parse_rule("max", 3, "--rule") == ("max", None)
    assert parse_rule("weighted:0.35", 2, "--rule") == ("weighted", 0.35)
    assert parse_rule("weighted", 2, "--rule") == ("weighted", None)


@pytest.mark.parametrize(
    ("text", "files", "error", "message"),
    [
        ("median", 2, UnknownName, "median"),
        ("mean:0.5", 2, UnknownName, "mean:0.5"),
        ("mean", 1, FerBenchError, "two models or more"),
        ("weighted:0.5", 3, FerBenchError, "exactly two models; 3"),
        ("weighted:2", 2, FerBenchError, "from 0 to 1"),
        ("weighted:x", 2, FerBenchError, "from 0 to 1"),
        ("weighted:nan", 2, FerBenchError, "from 0 to 1"),
    ],
)
def test_wrong_rules_say_what_is_wrong(text: str, files: int, error: type[FerBenchError], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_rule(text, files, "--rule")
