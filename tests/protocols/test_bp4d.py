from collections.abc import Callable

import pandas as pd
import pytest

from fer_bench.errors import ProtocolError
from fer_bench.expressions import BASIC_SIX
from fer_bench.protocols.base import join
from fer_bench.protocols.bp4d import PROTOCOLS

Index = Callable[..., pd.DataFrame]
EIGHT, CROSS = PROTOCOLS


def test_bp4d_has_eight_classes_that_are_its_tasks(full: Index) -> None:
    index = full("bp4d")
    assert EIGHT.classes == (*BASIC_SIX, "embarrassment", "pain")
    assert {len(fold.test) for fold in EIGHT.folds(index)} == {32, 40}
    assert set(index.loc[index["id"].str.endswith("_T4"), "label"]) == {"embarrassment"}
    assert "T4 is embarrassment here, and T5 fear" in EIGHT.uncertain


def test_a_missing_task_is_missing_and_nothing_else_changes(full: Index) -> None:
    whole, without = EIGHT.folds(full("bp4d")), EIGHT.folds(full("bp4d")[lambda index: index["id"] != "F007_T5"])
    for one, two in zip(whole, without, strict=True):
        assert set(one.test) - {"F007_T5"} == set(two.test)
        assert set(one.train) - {"F007_T5"} == set(two.train)


def test_from_bu4dfe_to_the_two_tasks_of_bp4d(full: Index) -> None:
    index = full("bu4dfe", "bp4d")
    (fold,) = CROSS.folds(index)
    assert (len(fold.train), len(fold.val), len(fold.test)) == (546, 60, 82)
    assert all(i.startswith("bu4dfe/") for i in fold.train + fold.val)
    assert {i.rpartition("_")[2] for i in fold.test} == {"T1", "T8"}
    assert all(i.startswith("bp4d/") for i in fold.test)
    label = dict(zip(index["id"], index["label"], strict=True))
    assert {label[i] for i in fold.test} == set(CROSS.tested) == {"happy", "disgust"}
    assert {label[i] for i in fold.train} == {label[i] for i in fold.val} == set(CROSS.classes)
    assert list(CROSS.tested) == [name for name in CROSS.classes if name in CROSS.tested]


@pytest.mark.parametrize(
    ("bu4dfe", "bp4d", "sentence"),
    [
        (12, ["happy"], "the bp4d index has no sequence of disgust; run `fer-bench data check bp4d`"),
        (12, ["sad", "fear"], "the bp4d index has no sequence of disgust, happy;"),
        (1, ["happy", "disgust"], "training and validation need two more, and the index has 1; .*--subjects"),
        (
            0,
            ["happy", "disgust"],
            "needs samples of anger, fear, sad, surprise, and the bu4dfe and bp4d index has none",
        ),
    ],
)
def test_from_bu4dfe_to_bp4d_needs_both(small: Index, bu4dfe: int, bp4d: list[str], sentence: str) -> None:
    spontaneous = small("bp4d", 5)
    index = join({"bu4dfe": small("bu4dfe", bu4dfe), "bp4d": spontaneous[spontaneous["label"].isin(bp4d)]})
    with pytest.raises(ProtocolError, match=rf"^bu4dfe-to-bp4d@1.*{sentence}"):
        CROSS.folds(index)


def test_a_class_that_is_never_trained_is_refused(small: Index) -> None:
    posed = small("bu4dfe", 12)
    index = join({"bu4dfe": posed[posed["label"] != "happy"], "bp4d": small("bp4d", 5)})
    with pytest.raises(ProtocolError, match=r"^bu4dfe-to-bp4d@1: the bu4dfe index has no sequence of happy;"):
        CROSS.folds(index)
    alone = small("bp4d", 12)
    subject = alone["subject"].iloc[0]
    with pytest.raises(ProtocolError, match=rf"^{EIGHT.id}: fold \d would train without pain; "):
        EIGHT.folds(alone[(alone["label"] != "pain") | (alone["subject"] == subject)])


def test_an_index_that_was_not_joined_is_refused(small: Index) -> None:
    with pytest.raises(ProtocolError, match=r"^bu4dfe-to-bp4d@1 needs samples"):
        CROSS.folds(small("bu4dfe", 12))


def test_too_few_subjects_are_refused_in_a_sentence(small: Index) -> None:
    with pytest.raises(
        ProtocolError, match=rf"^{EIGHT.id}: 10 .* at least 10 subjects, and the index has 9; .*--subjects"
    ):
        EIGHT.folds(small("bp4d", 9))
