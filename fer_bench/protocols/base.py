"""A protocol: which samples, which classes, which folds, which metrics.

Folds are a pure function of the index. They do not know the training seed, the machine or the order of the index, and a
subject is never on two sides of one. A protocol is never edited: a new rule is a new version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fer_bench.errors import ProtocolError
from fer_bench.records import Fold, Task, digest


@dataclass(frozen=True)
class Protocol:
    """One question put to a method.

    Attributes:
        name, version: Together the id, `bu3dfe-s1-cv10@1`.
        task: What is predicted.
        datasets: Ids of the datasets whose samples it takes; several are joined by `join`.
        classes: Names in the order of a method's outputs; none for valence and arousal and for disentanglement.
        selects: Index -> boolean mask of the samples that may take part; `select` leaves out those without the truth.
        divides: Selected index -> folds.
        num_folds: How many folds `divides` gives, over all `repeats`.
        unit: What one row of the index is, in words.
        source: The papers that use it, and where it departs from them.
        expected: Samples that take part in a complete distribution.
        uncertain: What no source settles, in words.
        subject_independent: No subject is on two sides of a fold. Where the datasets do not say who is who, or a paper
            divides frames, it is False and `source` says so.
        repeats: How often all samples are divided anew; fold k belongs to repeat `k // (num_folds // repeats)`.
        tested: The classes that test samples have, where they are fewer than `classes`.
    """

    name: str
    version: int
    task: Task
    datasets: tuple[str, ...]
    classes: tuple[str, ...]
    selects: Callable[[pd.DataFrame], pd.Series]
    divides: Callable[[pd.DataFrame], list[Fold]]
    num_folds: int
    unit: str
    source: str
    expected: int
    uncertain: str = ""
    subject_independent: bool = True
    repeats: int = 1
    tested: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Name and version, as suites and tables spell it."""
        return f"{self.name}@{self.version}"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of a method's outputs: the classes, or valence and arousal; none for meshes."""
        return ("valence", "arousal") if self.task == "valence_arousal" else self.classes

    def select(self, index: pd.DataFrame) -> pd.DataFrame:
        """The rows that take part, sorted by id.

        Raises:
            ProtocolError: nothing takes part, or a class has no sample, so that no fold could be scored as asked.
        """
        if self.task == "valence_arousal":
            known = index["valence"].notna() & index["arousal"].notna()
        elif self.task == "multilabel":
            known = index["label"].map(lambda label: set(names(label)) <= set(self.classes), na_action="ignore")
            known = known.fillna(False).astype(bool)
        elif self.task == "disentanglement":
            known = pd.Series(True, index=index.index)
        else:
            known = index["label"].isin(self.classes)
        selected = index[self.selects(index) & known].sort_values("id", ignore_index=True)
        where = f"the {' and '.join(self.datasets)} index"
        remedy = f"run `fer-bench data check {self.datasets[0]}` to see what is missing."
        present = {name for label in selected["label"].dropna() for name in names(label)}
        absent = [name for name in self.classes if name not in present]
        if absent:
            raise ProtocolError(f"{self.id} needs samples of {', '.join(absent)}, and {where} has none; {remedy}")
        if not len(selected):
            raise ProtocolError(f"{self.id} finds no sample in {where}; {remedy}")
        return selected

    def truth(self, selected: pd.DataFrame) -> list[Any]:
        """What is to be predicted for each row: the label, or [valence, arousal]; None where there is no truth."""
        if self.task == "valence_arousal":
            return selected[["valence", "arousal"]].to_numpy(dtype=float).tolist()
        return [None if pd.isna(label) else label for label in selected["label"]]

    def folds(self, index: pd.DataFrame, broken: Collection[str] = ()) -> list[Fold]:
        """All folds, in order. `broken` ids keep their subject's place and are then left out.

        Raises:
            ProtocolError: the index cannot be divided as asked.
        """
        selected = self.select(index)
        try:
            folds = self.divides(selected)
        except ProtocolError as error:
            raise ProtocolError(f"{self.id}: {error}") from None
        if not broken:
            return folds
        gone = set(broken)

        def keep(ids: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(i for i in ids if i not in gone)

        return [Fold(f.number, keep(f.train), keep(f.val), keep(f.test), keep(f.auxiliary)) for f in folds]

    def digest(self, index: pd.DataFrame, provenance: str, broken: Collection[str] = ()) -> str:
        """Identity of the question: only results with equal digests are ranked together."""
        truth = dict(zip(index["id"], self.truth(index), strict=True))
        return digest(
            {
                "protocol": self.id,
                "classes": self.classes,
                "provenance": provenance,
                "folds": [
                    {
                        part: [(i, truth[i]) for i in getattr(fold, part)]
                        for part in ("train", "val", "test", "auxiliary")
                    }
                    for fold in self.folds(index, broken)
                ],
            }
        )


def names(label: str) -> list[str]:
    """The names in a label; where several hold at once, datasets join them with a plus."""
    return label.split("+")


def join(indices: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One index of several datasets. Ids and subjects become `dataset/id`: the same `F001` is another person in each.

    Args:
        indices: Dataset id -> its index.
    """
    parts = [
        index.assign(id=f"{name}/" + index["id"], subject=f"{name}/" + index["subject"])
        for name, index in indices.items()
    ]
    return pd.concat(parts, ignore_index=True).sort_values("id", ignore_index=True)


def subject_folds(index: pd.DataFrame, num_folds: int, salt: str) -> list[Fold]:
    """Subject-independent cross-validation.

    Subjects are ordered by the SHA-256 of `salt` and their name and dealt out in turn, so that group sizes differ by at
    most one. Group k is the test set of fold k and the validation set of fold k - 1: every subject is tested once and
    validates once. Papers train on the k - 1 other groups; one of those is held out here, because a checkpoint must be
    chosen on subjects that are neither trained on nor reported.

    Raises:
        ProtocolError: fewer subjects than folds, or fewer than three folds.
    """
    subjects = sorted(set(index["subject"]), key=lambda s: hashlib.sha256(f"{salt}:{s}".encode()).digest())
    if num_folds < 3:
        raise ProtocolError(f"{num_folds} folds leave nothing to train on; training, validation and test need three.")
    if len(subjects) < num_folds:
        raise ProtocolError(
            f"{num_folds} subject-independent folds need at least {num_folds} subjects, and the index has "
            f"{len(subjects)}; add the missing subjects, or make a twin with --subjects {num_folds} or more."
        )
    group = {subject: position % num_folds for position, subject in enumerate(subjects)}
    by_group: list[list[str]] = [[] for _ in range(num_folds)]
    for sample, subject in zip(index["id"], index["subject"], strict=True):
        by_group[group[subject]].append(sample)

    def fold(number: int) -> Fold:
        validation = (number + 1) % num_folds
        train = [i for k in range(num_folds) if k not in (number, validation) for i in by_group[k]]
        return Fold(number, tuple(sorted(train)), tuple(by_group[validation]), tuple(by_group[number]))

    return [fold(number) for number in range(num_folds)]


def official_split(index: pd.DataFrame, test: str, salt: str, held_out: float = 0.05) -> list[Fold]:
    """The one fold of a dataset that publishes which samples are for testing.

    Where subjects are not known, nothing better than samples can be held out for validation: of each label's training
    samples the first `held_out` share (at least one) in the order of the SHA-256 of `salt` and their id.

    Args:
        index: With `split`: `test` marks the test samples, `train` the training ones; others take no part.
        test: Name of the split that is tested.
        salt: Another salt holds out other samples.
        held_out: Share of the training samples that validate.

    Raises:
        ProtocolError: one of the two splits is empty.
    """
    for split in ("train", test):
        if not (index["split"] == split).any():
            raise ProtocolError(f"the official {split} split is empty; `fer-bench data check` tells what is missing.")
    training = index[index["split"] == "train"]
    val: list[str] = []
    for _, group in training.groupby(training["label"].fillna(""), sort=True):
        ids = sorted(group["id"], key=lambda i: hashlib.sha256(f"{salt}:{i}".encode()).digest())
        val += ids[: max(1, round(held_out * len(ids)))] if len(ids) > 1 else []
    held = set(val)
    train = tuple(i for i in sorted(training["id"]) if i not in held)
    return [Fold(0, train, tuple(sorted(val)), tuple(sorted(index.loc[index["split"] == test, "id"])))]
