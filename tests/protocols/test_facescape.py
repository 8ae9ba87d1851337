import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fer_bench.errors import ProtocolError
from fer_bench.protocols.facescape import PROTOCOLS, TEST_SUBJECTS

Index = Callable[..., pd.DataFrame]
(IDENTITY,) = PROTOCOLS
PUBLISHABLE = (122, 212, 340, 344, 393, 395, 421, 527, 594, 610)
# A list made elsewhere by the same recipe, where a checkout has it beside it.
ELSEWHERE = Path(__file__).parents[3] / "shared" / "specs" / "extra" / "facescape_test_ids_derived.csv"


def draw() -> list[int]:
    """The published code's draw: 30 % of the subjects, then the publishable ones in place of the first drawn."""
    everyone = [subject for subject in range(1, 848) if subject != 603]
    generator = random.Random(50)
    drawn = generator.sample(everyone, int(0.3 * len(everyone)))
    forced = [subject for subject in PUBLISHABLE if subject not in drawn]
    drawn[: len(forced)] = forced
    return sorted(drawn)


def test_the_test_subjects_are_those_that_the_papers_code_draws() -> None:
    assert len(set(TEST_SUBJECTS)) == len(TEST_SUBJECTS) == 253
    assert set(map(str, PUBLISHABLE)) <= set(TEST_SUBJECTS)
    assert [int(subject) for subject in TEST_SUBJECTS] == draw()


@pytest.mark.skipif(not ELSEWHERE.exists(), reason="no list made elsewhere beside this checkout")
def test_the_test_subjects_are_those_of_a_list_made_elsewhere() -> None:
    assert pd.read_csv(ELSEWHERE)["subject_id"].astype(str).tolist() == list(TEST_SUBJECTS)


def test_the_division_of_a_complete_distribution(full: Index) -> None:
    (fold,) = IDENTITY.folds(full("facescape"))
    assert [len(ids) // 20 for ids in (fold.train, fold.val, fold.test)] == [534, 59, 253]
    assert {i.partition("_")[0] for i in fold.test} == set(TEST_SUBJECTS)


def test_subject_603_takes_no_part(full: Index) -> None:
    assert (full("facescape")["subject"] == "603").any()
    (fold,) = IDENTITY.folds(full("facescape"))
    assert not any(i.startswith("603_") for i in fold.train + fold.val + fold.test)


def test_missing_scans_are_missing_and_nothing_else_changes(full: Index) -> None:
    gone = {"122_4_anger", "1_1_neutral"}
    (whole,) = IDENTITY.folds(full("facescape"))
    (without,) = IDENTITY.folds(full("facescape")[lambda index: ~index["id"].isin(gone)])
    for part in ("train", "val", "test"):
        assert set(getattr(whole, part)) - gone == set(getattr(without, part))


def test_too_few_subjects_are_refused_in_a_sentence(small: Index) -> None:
    (fold,) = IDENTITY.folds(small("facescape", 4))
    assert {i.partition("_")[0] for i in fold.test} == {"2"}
    with pytest.raises(ProtocolError, match=r"^facescape-identity@1: none of the 253 subjects .* \(2, 6, 7, ...\)"):
        IDENTITY.folds(small("facescape", 1))
    with pytest.raises(
        ProtocolError, match=r"training and validation need two more, and the index has 1; .*--subjects"
    ):
        IDENTITY.folds(small("facescape", 2))
