from collections.abc import Callable

import pandas as pd
import pytest

from fer_bench.errors import ProtocolError
from fer_bench.protocols.bu3dfe import PROTOCOLS

Index = Callable[..., pd.DataFrame]
S1, S2, DRFER, IDENTITY = PROTOCOLS


def test_the_subsets_have_the_papers_sizes(full: Index) -> None:
    index = full("bu3dfe")
    assert all(len(fold.test) == 120 for fold in S1.folds(index))
    assert all((len(f.train), len(f.val), len(f.test)) == (1920, 240, 240) for f in S2.folds(index))
    assert set(S1.select(index)["level"]) == {3, 4}
    assert set(S2.select(index)["level"]) == {1, 2, 3, 4}


def test_a_subject_is_in_the_same_fold_of_both_subsets(full: Index) -> None:
    for one, two in zip(S1.folds(full("bu3dfe")), S2.folds(full("bu3dfe")), strict=True):
        assert {i[:5] for i in one.test} == {i[:5] for i in two.test}


def test_drfer_draws_sixty_subjects_once_and_groups_them_a_hundred_times(full: Index) -> None:
    index = full("bu3dfe")
    selected = DRFER.select(index)
    assert (len(selected), selected["subject"].nunique()) == (720, 60)
    assert set(selected["level"]) == {3, 4}
    assert len(set(selected["subject"].str[0])) == 2, "women and men"
    folds = DRFER.folds(index)
    assert len(folds) == 1000
    groups = set()
    for fold in folds:
        assert (len(fold.train), len(fold.val), len(fold.test), len(fold.auxiliary)) == (576, 72, 72, 48)
        assert len({i[:5] for i in fold.test}) == 6
        assert all(i.endswith("_NE00") for i in fold.auxiliary)
        assert {i[:5] for i in fold.auxiliary} == {i[:5] for i in fold.train}
        groups.add(fold.test)
    assert len(groups) > 990, "the groups are drawn anew"


def test_drfer_takes_all_subjects_where_there_are_fewer_than_sixty(small: Index) -> None:
    index = small("bu3dfe", 20)
    assert DRFER.select(index)["subject"].nunique() == 20
    assert {len({i[:5] for i in fold.test}) for fold in DRFER.folds(index)} == {2}


def test_drfers_sixty_do_not_depend_on_who_else_is_eligible(full: Index) -> None:
    index = full("bu3dfe")
    drawn = set(DRFER.select(index)["subject"])
    left_out = sorted(set(index["subject"]) - drawn)[0]
    assert set(DRFER.select(index[index["subject"] != left_out])["subject"]) == drawn
    one = sorted(drawn)[0]
    assert len(set(DRFER.select(index[index["subject"] != one])["subject"]) - drawn) == 1, "the next one moves up"


def test_drfer_cannot_train_without_neutrals(full: Index) -> None:
    index = full("bu3dfe")
    with pytest.raises(ProtocolError, match=r"^bu3dfe-drfer60-cv10@1: no training subject of fold 0 has the samples"):
        DRFER.folds(index[index["label"] != "neutral"])
    one = DRFER.select(index)["subject"].iloc[0]
    without = index[~((index["label"] == "neutral") & (index["subject"] == one))]
    assert {len(fold.auxiliary) for fold in DRFER.folds(without)} == {47, 48}, "one subject may have none"


def test_the_identity_protocol_tests_the_first_ten_subjects(full: Index, small: Index) -> None:
    (fold,) = IDENTITY.folds(full("bu3dfe"))
    assert (len(fold.train), len(fold.val), len(fold.test)) == (2025, 225, 250)
    assert {i[:5] for i in fold.test} == {f"F{n:04d}" for n in range(1, 11)}
    assert sum(i.endswith("_NE00") for i in fold.test) == 10, "neutrals too"
    (fold,) = IDENTITY.folds(small("bu3dfe", 6))
    assert {i[:5] for i in fold.test} == {"F0001", "F0002", "F0003"}


def test_too_few_subjects_are_refused_in_a_sentence(small: Index, full: Index) -> None:
    for protocol in (S1, S2, DRFER):
        with pytest.raises(ProtocolError, match=rf"^{protocol.id}: 10 .* at least 10 subjects, and the index has 9;"):
            protocol.folds(small("bu3dfe", 9))
    with pytest.raises(
        ProtocolError, match=r"^bu3dfe-identity@1: beside the subjects .* the index has 1; .*--subjects"
    ):
        IDENTITY.folds(small("bu3dfe", 2))
    men = full("bu3dfe")[full("bu3dfe")["subject"].str.startswith("M")]
    with pytest.raises(ProtocolError, match=r"none of the 10 subjects that are tested \(F0001, F0002, F0003, ...\)"):
        IDENTITY.folds(men)


def test_broken_samples_leave_and_move_nobody(full: Index) -> None:
    whole, without = DRFER.folds(full("bu3dfe")), DRFER.folds(full("bu3dfe"), broken=["F0003_AN04", "F0003_NE00"])
    for one, two in zip(whole, without, strict=True):
        for part in ("train", "val", "test", "auxiliary"):
            assert set(getattr(one, part)) - {"F0003_AN04", "F0003_NE00"} == set(getattr(two, part))
