"""Ways to divide an index into folds.

All random draws are made by SHA-256 of a salt and a name: the same on every machine and in every version of
every library.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from fer_bench.errors import ProtocolError
from fer_bench.records import Fold


def hash_order(names: Iterable[str], salt: str) -> list[str]:
    """The names, each once, in an order that looks random and depends on nothing but them and the salt."""
    return sorted(set(names), key=lambda name: hashlib.sha256(f"{salt}:{name}".encode()).digest())


def draw_subjects(index: pd.DataFrame, eligible: pd.Series, count: int, salt: str) -> pd.Series:
    """Mask of the eligible rows of `count` subjects, the first in hash order of all that have an eligible row.

    All of them where there are fewer: the digest then differs.
    """
    drawn = hash_order(index.loc[eligible, "subject"].dropna().unique(), salt)[:count]
    return eligible & index["subject"].isin(drawn)


def subject_folds(index: pd.DataFrame, num_folds: int, salt: str) -> list[Fold]:
    """Subject-independent cross-validation.

    Subjects are put in hash order and dealt out in turn, so that group sizes differ by at most one. Group k is the test
    set of fold k and the validation set of fold k - 1: every subject is tested once and validates once. Papers train on
    the k - 1 other groups; one of those validates here, because a checkpoint must be chosen on subjects that are
    neither trained on nor reported.

    Raises:
        ProtocolError: fewer subjects than folds, fewer than three folds, or a sample without a subject.
    """
    by_subject = _by_subject(index)
    if num_folds < 3:
        raise ProtocolError(f"{num_folds} folds leave nothing to train on; training, validation and test need three.")
    if len(by_subject) < num_folds:
        raise ProtocolError(
            f"{num_folds} subject-independent folds need at least {num_folds} subjects, and the index has "
            f"{len(by_subject)}; add the missing subjects, or make a twin with --subjects {num_folds} or more."
        )
    subjects = hash_order(by_subject, salt)
    by_group = [sorted(i for s in subjects[k::num_folds] for i in by_subject[s]) for k in range(num_folds)]

    def fold(number: int) -> Fold:
        validation = (number + 1) % num_folds
        train = sorted(i for k in range(num_folds) if k not in (number, validation) for i in by_group[k])
        return Fold(number, tuple(train), tuple(by_group[validation]), tuple(by_group[number]))

    return [fold(number) for number in range(num_folds)]


def repeated_subject_folds(index: pd.DataFrame, num_folds: int, repeats: int, salt: str) -> list[Fold]:
    """`subject_folds` with new groups in every repeat; fold k belongs to repeat `k // num_folds`."""
    return [
        replace(fold, number=repeat * num_folds + fold.number)
        for repeat in range(repeats)
        for fold in subject_folds(index, num_folds, f"{salt}-{repeat}")
    ]


def subject_split(index: pd.DataFrame, test: Sequence[str], salt: str, held_out: float = 0.1) -> list[Fold]:
    """The one fold whose test subjects are named.

    Args:
        index: The selected rows.
        test: The subjects that are tested; those that the index lacks are not missed.
        salt: Another salt holds out other subjects.
        held_out: Share of the other subjects that validate, at least one; the first in hash order.

    Raises:
        ProtocolError: no subject is left to test, to validate or to train on, or a sample has no subject.
    """
    by_subject = _by_subject(index)
    others = hash_order(by_subject.keys() - set(test), salt)
    tested = sorted(by_subject.keys() - set(others))
    if not tested:
        raise ProtocolError(
            f"none of the {len(test)} subjects that are tested ({', '.join(test[:3])}, ...) is in the index; "
            "add them, or make a twin with more --subjects."
        )
    if len(others) < 2:
        raise ProtocolError(
            f"beside the subjects that are tested, training and validation need two more, and the index has "
            f"{len(others)}; add the missing subjects, or make a twin with more --subjects."
        )
    validation = others[: max(1, round(held_out * len(others)))]

    def ids(subjects: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(i for s in subjects for i in by_subject[s]))

    return [Fold(0, ids(others[len(validation) :]), ids(validation), ids(tested))]


def official_split(index: pd.DataFrame, test: str, salt: str, held_out: float = 0.05) -> list[Fold]:
    """The one fold of a dataset that publishes which samples are for testing.

    Where subjects are not known, nothing better than samples can be held out for validation: of each label's training
    samples the first `held_out` share (at least one, unless there is but one) in hash order.

    Args:
        index: With `split`: `test` marks the test samples, `train` the training ones; others take no part.
        test: Name of the split that is tested.
        salt: Another salt holds out other samples.
        held_out: Share of the training samples that validate.

    Raises:
        ProtocolError: one of the two splits is empty, or no label has two training samples.
    """
    for split in ("train", test):
        if not index["split"].isin([split]).any():
            raise ProtocolError(f"the official {split} split is empty; `fer-bench data check` lists what is missing.")
    training = index[index["split"].isin(["train"])]
    val: list[str] = []
    for _, group in training.groupby(training["label"].fillna(""), sort=True):
        ids = hash_order(group["id"].tolist(), salt)
        val += ids[: max(1, round(held_out * len(ids)))] if len(ids) > 1 else []
    if not val:
        raise ProtocolError(
            f"none of the {len(training)} training samples can be held out for validation, each label having but one; "
            "add the missing samples, or make a twin with more --subjects."
        )
    held = set(val)
    train = tuple(i for i in sorted(training["id"].tolist()) if i not in held)
    return [Fold(0, train, tuple(sorted(val)), tuple(sorted(index.loc[index["split"].isin([test]), "id"].tolist())))]


def _by_subject(index: pd.DataFrame) -> dict[str, list[str]]:
    """Subject -> ids of its samples."""
    unknown = index["subject"].isna()
    if unknown.any():
        raise ProtocolError(
            f"{unknown.sum()} of {len(index)} samples name no subject (first {index.loc[unknown, 'id'].iloc[0]}), and "
            "subjects are to be kept apart; `fer-bench data check` lists what is missing."
        )
    found: dict[str, list[str]] = {}
    for sample, subject in zip(index["id"].tolist(), index["subject"].tolist(), strict=True):
        found.setdefault(subject, []).append(sample)
    return found
