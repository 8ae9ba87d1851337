"""A protocol: which samples, which classes, which folds, which metrics.

Folds are a pure function of the index. They do not know the training seed, the machine or the order of the index, and a
subject is never on two sides of one. A protocol is never edited: a new rule is a new version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass

import pandas as pd

from fer_bench.errors import ProtocolError
from fer_bench.records import Fold, Task, digest


@dataclass(frozen=True)
class Protocol:
    """One question put to a method.

    Attributes:
        name, version: Together the id, `bu3dfe-s1-cv10@1`.
        task: What is predicted.
        datasets: Ids of the datasets whose samples it takes.
        classes: Canonical names, in the order of a method's outputs.
        selects: Index -> boolean mask of the samples that take part.
        divides: Selected index -> folds.
        num_folds: How many folds `divides` gives.
        unit: What one row of the index is, in words.
        source: The papers that use it, and where it departs from them.
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

    @property
    def id(self) -> str:
        """Name and version, as suites and tables spell it."""
        return f"{self.name}@{self.version}"

    def select(self, index: pd.DataFrame) -> pd.DataFrame:
        """The rows that take part, sorted by id.

        Raises:
            ProtocolError: a class has no sample, so that no fold could be scored as asked.
        """
        selected = index[self.selects(index) & index["label"].isin(self.classes)].sort_values("id", ignore_index=True)
        absent = [name for name in self.classes if name not in set(selected["label"])]
        if absent:
            raise ProtocolError(
                f"{self.id} needs samples of {', '.join(absent)}, and the {self.datasets[0]} index has none; "
                f"run `fer-bench data check {self.datasets[0]}` to see what is missing."
            )
        return selected

    def folds(self, index: pd.DataFrame, broken: Collection[str] = ()) -> list[Fold]:
        """All folds, in order. `broken` ids keep their subject's place and are then left out.

        Raises:
            ProtocolError: the index cannot be divided as asked.
        """
        try:
            folds = self.divides(self.select(index))
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
        label = dict(zip(index["id"], index["label"], strict=True))
        return digest(
            {
                "protocol": self.id,
                "classes": self.classes,
                "provenance": provenance,
                "folds": [
                    {
                        part: [(i, label[i]) for i in getattr(fold, part)]
                        for part in ("train", "val", "test", "auxiliary")
                    }
                    for fold in self.folds(index, broken)
                ],
            }
        )


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
