from collections import Counter
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fer_bench.leaderboard.pairwise import groups, holm, letter_display, pairs, resampled_t, test_to_train
from fer_bench.leaderboard.row import Row
from fer_bench.protocols import PROTOCOLS
from fer_bench.stats.bootstrap import metric_difference, resample_metric

test_to_train.__test__ = False  # no test, for all its name

S1 = "bu3dfe-s1-cv10@1"
CLASSES = PROTOCOLS[S1].classes


def entry(name: str, skill: float, seed: int = 0, **changes) -> Row:
    """A complete row of 30 subjects, 12 samples each, of a method that knows so much."""
    generator = np.random.default_rng(seed)
    truth = np.arange(360) % 6
    difficulty = np.repeat(np.random.default_rng(9).normal(0, 0.5, 30), 12)
    outputs = (skill + difficulty[:, None]) * np.eye(6)[truth] + generator.normal(size=(360, 6))
    subjects = np.array([f"p{i // 12:02d}" for i in range(360)], dtype=object)
    names = np.array(CLASSES, dtype=object)[truth]
    draws = resample_metric("classification", "accuracy", outputs, names, CLASSES, subjects)
    pooled = pd.DataFrame({"id": [f"s{i:03d}" for i in range(360)], "seed": 0, "subject": subjects})
    pooled.attrs["outputs"] = outputs
    values = {"protocol_digest": "d", "provenance": "twin", "metrics": {"accuracy": draws.value}} | changes
    return Row(S1, name, "mit", 10, Counter(done=10), pooled=pooled, draws=draws, samples=1, **values)


def test_a_pair_is_the_paired_difference_and_all_pairs_are_a_family():
    rows = [entry("best", 2.5), entry("middle", 1.2, 1), entry("also", 1.2, 2), entry("worst", 0.2, 3)]
    found = {(pair.first, pair.second): pair for pair in pairs(rows)}
    assert list(found) == list(combinations(["best", "middle", "also", "worst"], 2))
    one = found["best", "worst"]
    names = np.array(CLASSES, dtype=object)[np.arange(360) % 6]
    outputs = [rows[i].pooled.attrs["outputs"] for i in (0, 3)]
    subjects = rows[0].pooled["subject"].to_numpy(object)
    assert one.difference == metric_difference("classification", "accuracy", *outputs, names, CLASSES, subjects)
    assert (one.family, one.folds, one.fold_p) == (6, 0, None)
    assert one.p_holm == pytest.approx(6 * one.p) or one.p_holm >= one.p
    assert found["best", "middle"].significant and found["middle", "worst"].significant
    assert not found["middle", "also"].significant
    letters = groups(rows, [*found.values()])
    assert letters == {(S1, "best"): "a", (S1, "middle"): "b", (S1, "also"): "b", (S1, "worst"): "c"}


def test_only_sound_and_complete_rows_of_one_question_are_compared():
    rows = [
        entry("one", 2.0),
        entry("two", 1.0, 1),
        entry("unsound", 3.0, 2, unsound="it was told"),
        entry("elsewhere", 1.0, 3, protocol_digest="other"),
        entry("real", 1.0, 4, provenance="as distributed"),
        Row(S1, "running", "mit", 10, Counter(done=3, running=7), protocol_digest="d", provenance="twin"),
    ]
    assert [(pair.first, pair.second) for pair in pairs(rows)] == [("one", "two")]
    assert set(groups(rows, pairs(rows))) == {(S1, "one"), (S1, "two")}
    assert pairs(rows[:1]) == [] and groups(rows[:1], []) == {}


def test_the_bootstrap_rejects_as_often_as_it_says_where_nothing_differs():
    # Two methods of one skill, 400 times: 5 % with a standard error of 1.1 %.
    rejected = 0
    for seed in range(400):
        generator = np.random.default_rng(seed)
        truth, subjects = np.arange(120) % 6, np.arange(120) // 12
        difficulty = generator.normal(0, 1, 10)[subjects][:, None]
        both = [(1.2 + difficulty) * np.eye(6)[truth] + generator.normal(size=(120, 6)) for _ in range(2)]
        mine, theirs = (
            resample_metric("classification", "accuracy", each, truth, CLASSES, subjects, resamples=400)
            for each in both
        )
        rejected += mine.minus(theirs).p() < 0.05
    assert 0.02 <= rejected / 400 <= 0.085


def test_the_resampled_t_test_is_the_formula_of_its_paper():
    differences = np.array([0.02, 0.05, -0.01, 0.03, 0.04, 0.00, 0.02, 0.06, 0.01, 0.03])
    t = differences.mean() / np.sqrt((0.1 + 1 / 9) * differences.var(ddof=1))
    assert resampled_t(differences, 1 / 9) == pytest.approx(2 * stats.t.sf(abs(t), 9), rel=1e-12)
    # Without the correction it is Student's paired test.
    assert resampled_t(differences, 0.0) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, rel=1e-12)
    assert resampled_t([0.1], 1 / 8) is None and resampled_t(differences, None) is None
    assert resampled_t([0.0, 0.0], 1 / 8) == 1 and resampled_t([0.1, 0.1, 0.1], 1 / 8) == 0.25


def test_the_resampled_t_test_holds_its_size_where_the_plain_one_does_not():
    # Repeated random divisions of one sample of 40, of which 10 test, for two methods that learn a mean from the rest;
    # they look at two sides of the same data and are equally good.
    generator = np.random.default_rng(0)
    rejected = np.zeros(2)
    for _ in range(300):
        data, differences = generator.normal(size=(40, 2)), []
        for _ in range(15):
            order = generator.permutation(40)
            test, train = data[order[:10]], data[order[10:]]
            differences.append(np.diff(((test - train.mean(0)) ** 2).mean(0))[0])
        rejected += [resampled_t(differences, 10 / 30) < 0.05, stats.ttest_1samp(differences, 0).pvalue < 0.05]
    corrected, plain = rejected / 300
    assert corrected <= 0.10 and plain >= 0.2, (corrected, plain)


def test_folds_of_a_division_say_how_many_samples_train():
    assert test_to_train(PROTOCOLS[S1]) == 1 / 8
    assert test_to_train(PROTOCOLS["bu3dfe-drfer60-cv10@1"]) == 1 / 8, "a thousand folds are ten at a time"
    assert test_to_train(PROTOCOLS["rafdb7@1"]) is None, "one split"


def closed(ps: list[float]) -> list[float]:
    """Holm's adjusted p by the closure principle: the largest Bonferroni p of all sets of hypotheses with it."""
    sets = [c for size in range(1, len(ps) + 1) for c in combinations(range(len(ps)), size)]
    return [max(min(1.0, len(c) * min(ps[i] for i in c)) for c in sets if j in c) for j in range(len(ps))]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_is_the_closed_test_of_bonferroni(ps):
    assert holm(ps) == pytest.approx(closed(ps), abs=1e-12)


def test_holm_of_an_unknown_p_is_unknown():
    assert holm([0.01, None]) == [None, None] and holm([]) == []


@given(st.integers(1, 9), st.data())
def test_two_share_a_letter_if_and_only_if_they_are_not_apart(count, data):
    every = list(combinations(range(count), 2))
    apart = set(data.draw(st.lists(st.sampled_from(every), unique=True))) if every else set()
    letters = letter_display(count, apart)
    assert all(letters)
    for i, j in every:
        assert bool(set(letters[i]) & set(letters[j])) == ((i, j) not in apart), (apart, letters)
    # No letter is for nothing: without it, two that are together, or one alone, would share none.
    for letter in set("".join(letters)):
        rest = [set(each) - {letter} for each in letters]
        assert any(not rest[i] & rest[j] for i in range(count) for j in range(i, count) if (i, j) not in apart)


def test_letters_of_a_chain_and_of_a_line():
    assert letter_display(3, {(0, 2)}) == ["a", "ab", "b"], "neighbours are together, the ends are not"
    assert letter_display(4, {(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)}) == ["a", "b", "b", "c"]
    assert letter_display(2, set()) == ["a", "a"]
    names = letter_display(60, set(combinations(range(60), 2)))
    assert len(set(names)) == 60 and names[0] == "a" and names[59] == "(60)"
