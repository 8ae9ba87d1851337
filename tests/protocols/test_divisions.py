"""The ways to divide an index, each for itself."""

from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.errors import ProtocolError
from fer_bench.protocols.divisions import (
    draw_subjects,
    hash_order,
    official_split,
    repeated_subject_folds,
    subject_folds,
    subject_split,
)
from fer_bench.records import make_index

Index = Callable[..., pd.DataFrame]


def make(subjects: int, samples: int = 3) -> pd.DataFrame:
    return make_index(
        [
            {"id": f"s{s:03d}_{n}", "subject": f"s{s:03d}", "label": "abc"[n % 3]}
            for s in range(subjects)
            for n in range(samples)
        ]
    )


def photographs(train: dict[str, int], test: int) -> pd.DataFrame:
    rows = [{"id": f"train_{k}_{n}", "label": k, "split": "train"} for k, count in train.items() for n in range(count)]
    rows += [{"id": f"test_{n}", "label": "a", "split": "test"} for n in range(test)]
    return make_index(rows)


@given(st.lists(st.text(max_size=6), max_size=20), st.text(max_size=5), st.randoms(use_true_random=False))
def test_the_hash_order_is_an_order_of_the_names_alone(names: list[str], salt: str, random: object) -> None:
    shuffled = list(names) * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert hash_order(shuffled, salt) == hash_order(names, salt)
    assert sorted(hash_order(names, salt)) == sorted(set(names))
    fewer = set(names[1:])
    assert hash_order(fewer, salt) == [n for n in hash_order(names, salt) if n in fewer], "who leaves moves nobody"


def test_another_salt_is_another_order() -> None:
    names = [f"F{n:04d}" for n in range(30)]
    assert len({tuple(hash_order(names, salt)) for salt in "abcdef"}) == 6


@settings(max_examples=50)
@given(st.integers(3, 12), st.integers(0, 30), st.text(max_size=8))
def test_subject_folds_are_disjoint_and_cover(num_folds: int, extra: int, salt: str) -> None:
    index = make(num_folds + extra)
    subject = dict(zip(index["id"], index["subject"], strict=True))
    folds = subject_folds(index, num_folds, salt)
    for number, fold in enumerate(folds):
        assert fold.number == number
        parts = [{subject[i] for i in ids} for ids in (fold.train, fold.val, fold.test)]
        assert all(parts)
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
        assert sorted(fold.train + fold.val + fold.test) == sorted(index["id"])
        assert fold.val == folds[(number + 1) % num_folds].test
    assert sorted(i for fold in folds for i in fold.test) == sorted(index["id"]), "every sample is tested once"
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 3, "groups differ by one subject at most"


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_folds_do_not_depend_on_the_order_of_the_index(seed: int) -> None:
    index = make(17)
    shuffled = index.sample(frac=1, random_state=seed)
    assert subject_folds(shuffled, 5, "x") == subject_folds(index, 5, "x")
    assert subject_split(shuffled, ("s003",), "x") == subject_split(index, ("s003",), "x")
    images = photographs({"a": 50, "b": 7}, 9)
    assert official_split(images.sample(frac=1, random_state=seed), "test", "x") == official_split(images, "test", "x")


def test_repeats_regroup_the_subjects() -> None:
    index = make(20, samples=1)
    folds = repeated_subject_folds(index, 5, 40, "x")
    assert [fold.number for fold in folds] == list(range(200))
    repeats = [folds[start : start + 5] for start in range(0, 200, 5)]
    for repeat in repeats:
        assert sorted(i for fold in repeat for i in fold.test) == sorted(index["id"])
    groupings = {frozenset(frozenset(fold.test) for fold in repeat) for repeat in repeats}
    assert len(groupings) == 40, "no two repeats have the same groups"
    assert repeated_subject_folds(index, 5, 2, "x") == folds[:10], "more repeats leave the earlier as they are"


def test_drawn_subjects_are_a_fixed_few_of_the_eligible() -> None:
    index = make(50)
    eligible = index["label"].isin(["a", "b"]) & ~index["subject"].isin(["s000"])
    drawn = index[draw_subjects(index, eligible, 20, "x")]
    assert drawn["subject"].nunique() == 20
    assert len(drawn) == 40
    assert "s000" not in set(drawn["subject"])
    shuffled = index.sample(frac=1, random_state=1)
    again = shuffled[draw_subjects(shuffled, eligible.loc[shuffled.index], 20, "x")]
    assert set(again["id"]) == set(drawn["id"])
    assert draw_subjects(index, eligible, 60, "x").equals(eligible), "all, where there are fewer"


@settings(max_examples=30)
@given(st.integers(3, 60), st.data())
def test_a_subject_split_keeps_the_named_apart(subjects: int, data: st.DataObject) -> None:
    index = make(subjects)
    everyone = sorted(set(index["subject"]))
    tested = data.draw(st.lists(st.sampled_from(everyone), min_size=1, max_size=subjects - 2, unique=True))
    (fold,) = subject_split(index, (*tested, "someone else"), "x")
    of = [{i[:4] for i in ids} for ids in (fold.train, fold.val, fold.test)]
    assert of[2] == set(tested)
    assert sorted(of[0] | of[1]) == sorted(set(everyone) - set(tested))
    assert not of[0] & of[1]
    assert len(of[1]) == max(1, round(0.1 * (subjects - len(tested))))
    assert len(fold.train + fold.val + fold.test) == len(index)


@settings(max_examples=40)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 70), min_size=1), st.integers(1, 5), st.text(max_size=4)
)
def test_an_official_split_holds_out_a_share_of_each_label(train: dict[str, int], test: int, salt: str) -> None:
    index = photographs(train, test)
    if max(train.values()) == 1:
        with pytest.raises(ProtocolError, match="can be held out"):
            official_split(index, "test", salt)
        return
    (fold,) = official_split(index, "test", salt)
    assert set(fold.test) == set(index.loc[index["split"] == "test", "id"])
    assert set(fold.train) | set(fold.val) == set(index.loc[index["split"] == "train", "id"])
    assert not set(fold.train) & set(fold.val)
    for label, count in train.items():
        held = [i for i in fold.val if i.startswith(f"train_{label}_")]
        assert len(held) == (max(1, round(0.05 * count)) if count > 1 else 0)


def test_a_photograph_without_a_label_or_of_another_split_is_no_trouble() -> None:
    index = photographs({"a": 40}, 3)
    more = [{"id": f"x{n}", "split": "train", "valence": 0.1, "arousal": 0.2} for n in range(20)]
    more += [{"id": "no", "label": "a", "split": "val"}, {"id": "neither", "label": "a"}]
    (fold,) = official_split(pd.concat([index, make_index(more)], ignore_index=True), "test", "x")
    assert len(fold.train) == 40 - 2 + 20 - 1
    assert len(fold.val) == 3
    assert len(fold.test) == 3


@pytest.mark.parametrize(
    ("divide", "sentence"),
    [
        (
            lambda: subject_folds(make(9), 10, ""),
            "10 .* need at least 10 subjects, and the index has 9; .*--subjects 10",
        ),
        (lambda: subject_folds(make(9), 2, ""), "2 folds leave nothing to train on"),
        (lambda: repeated_subject_folds(make(4), 5, 3, ""), "at least 5 subjects"),
        (lambda: subject_split(make(5), ("a", "b", "c", "d"), ""), r"none of the 4 subjects .* \(a, b, c, ...\)"),
        (lambda: subject_split(make(2), ("s000",), ""), "need two more, and the index has 1;"),
        (lambda: official_split(photographs({"a": 5}, 0), "test", ""), "official test split is empty"),
        (lambda: official_split(photographs({}, 5), "test", ""), "official train split is empty"),
    ],
)
def test_what_cannot_be_divided_is_refused(divide: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ProtocolError, match=sentence) as caught:
        divide()
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_subjects_must_be_known_to_be_kept_apart() -> None:
    index = make(12)
    index.loc[index["id"] == "s003_1", "subject"] = pd.NA
    for divide in (lambda: subject_folds(index, 5, ""), lambda: subject_split(index, ("s000",), "")):
        with pytest.raises(ProtocolError, match=r"1 of 36 samples name no subject \(first s003_1\)"):
            divide()
