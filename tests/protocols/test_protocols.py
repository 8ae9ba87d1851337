from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.errors import ProtocolError
from fer_bench.protocols.base import Protocol, subject_folds
from fer_bench.protocols.bu3dfe import PROTOCOLS
from fer_bench.records import make_index

S1, S2 = PROTOCOLS
CODES = ("anger", "disgust", "fear", "happy", "sad", "surprise")


def make_bu3dfe(subjects: list[str]) -> pd.DataFrame:
    rows = []
    for subject in subjects:
        rows.append({"id": f"{subject}_NE00", "subject": subject, "label": "neutral", "level": 0, "files": ("x",)})
        for code in CODES:
            for level in (1, 2, 3, 4):
                name = f"{subject}_{code[:2].upper()}{level:02d}"
                rows.append({"id": name, "subject": subject, "label": code, "level": level, "files": ("x",)})
    return make_index(rows)


HUNDRED = make_bu3dfe([f"F{i:04d}" for i in range(1, 57)] + [f"M{i:04d}" for i in range(1, 45)])


def test_the_subsets_have_the_papers_sizes() -> None:
    assert len(S1.select(HUNDRED)) == 1200
    assert len(S2.select(HUNDRED)) == 2400
    assert all(len(fold.test) == 120 for fold in S1.folds(HUNDRED))
    assert all((len(f.train), len(f.val), len(f.test)) == (1920, 240, 240) for f in S2.folds(HUNDRED))


@settings(max_examples=50, deadline=None)
@given(st.integers(3, 12), st.integers(0, 30), st.text(max_size=8))
def test_subject_folds_are_disjoint_and_cover(num_folds: int, extra: int, salt: str) -> None:
    index = make_bu3dfe([f"M{i:04d}" for i in range(num_folds + extra)])
    subject = dict(zip(index["id"], index["subject"], strict=True))
    folds = subject_folds(index, num_folds, salt)
    for fold in folds:
        parts = [{subject[i] for i in ids} for ids in (fold.train, fold.val, fold.test)]
        assert all(parts)
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
        assert sorted(fold.train + fold.val + fold.test) == sorted(index["id"])
    assert sorted(i for fold in folds for i in fold.test) == sorted(index["id"]), "every sample is tested once"
    assert sorted(i for fold in folds for i in fold.val) == sorted(index["id"]), "and validates once"
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 25


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_folds_do_not_depend_on_the_order_of_the_index(random: object) -> None:
    shuffled = HUNDRED.sample(frac=1, random_state=random.randrange(2**32))  # type: ignore[attr-defined]
    assert S1.folds(shuffled) == S1.folds(HUNDRED)
    assert S1.digest(shuffled, "as distributed") == S1.digest(HUNDRED, "as distributed")


def test_a_subject_is_in_the_same_fold_of_both_subsets() -> None:
    for one, two in zip(S1.folds(HUNDRED), S2.folds(HUNDRED), strict=True):
        assert {i[:5] for i in one.test} == {i[:5] for i in two.test}


def test_version_one_is_never_edited() -> None:
    # These digests are part of published tables. If this fails, write version 2 of the protocol instead.
    assert S1.digest(HUNDRED, "as distributed") == "e39bbdda6704"
    assert S2.digest(HUNDRED, "as distributed") == "95dab18bd2d1"


def test_the_digest_tells_questions_apart() -> None:
    fewer = HUNDRED[HUNDRED["subject"] != "F0001"]
    relabelled = HUNDRED.copy()
    relabelled.loc[relabelled["id"] == "F0002_AN04", "label"] = "fear"
    digests = {
        S1.digest(HUNDRED, "as distributed"),
        S1.digest(HUNDRED, "twin-r1"),
        S1.digest(fewer, "as distributed"),
        S1.digest(relabelled, "as distributed"),
        S1.digest(HUNDRED, "as distributed", broken=["F0003_AN04"]),
        S2.digest(HUNDRED, "as distributed"),
    }
    assert len(digests) == 6


def test_broken_samples_leave_and_move_nobody() -> None:
    whole, without = S1.folds(HUNDRED), S1.folds(HUNDRED, broken=["F0003_AN04"])
    for one, two in zip(whole, without, strict=True):
        for part in ("train", "val", "test"):
            assert set(getattr(one, part)) - {"F0003_AN04"} == set(getattr(two, part))


def test_too_few_subjects_are_refused_in_a_sentence() -> None:
    with pytest.raises(ProtocolError, match=r"bu3dfe-s1-cv10@1: 10 .* at least 10 subjects, and the index has 9"):
        S1.folds(make_bu3dfe([f"F{i:04d}" for i in range(9)]))


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.id)
def test_an_absent_class_is_refused(protocol: Protocol) -> None:
    with pytest.raises(ProtocolError, match="needs samples of fear"):
        protocol.select(HUNDRED[HUNDRED["label"] != "fear"])
