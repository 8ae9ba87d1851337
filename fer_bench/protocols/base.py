"""A protocol: which samples, which classes, which folds, which metrics.

Folds are a pure function of the index. They do not know the training seed, the machine or the order of the index, and a
subject is never on two sides of one unless the protocol says so. A protocol is never edited: a new rule is a new
version. The ways to divide an index are in `fer_bench.protocols.divisions`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from fer_bench.errors import ProtocolError
from fer_bench.metrics.disentanglement import MEASURES
from fer_bench.protocols.snapshot import ProtocolSnapshot
from fer_bench.records import Fold, Target, Task


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
        repeats: How often all samples are divided; fold k belongs to repeat `k // (num_folds // repeats)`.
        tested: The classes that test samples have, where they are fewer than `classes`.
        auxiliary: Index -> boolean mask of samples outside the classes that serve training; those of a fold's training
            subjects become `Fold.auxiliary`. A training subject may have none.
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
    auxiliary: Callable[[pd.DataFrame], pd.Series] | None = None

    @property
    def id(self) -> str:
        """Name and version, as suites and tables spell it."""
        return f"{self.name}@{self.version}"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the numbers kept of a sample: the classes, or valence and arousal; of meshes what is measured."""
        if self.task == "disentanglement":
            return MEASURES
        return ("valence", "arousal") if self.task == "valence_arousal" else self.classes

    @property
    def chance(self) -> float:
        """The share of right answers of one who guesses, where one of several classes is chosen."""
        return 1 / len(self.tested or self.classes)

    @property
    def target(self) -> Target:
        """The method's target."""
        return Target(self.task, () if self.task == "disentanglement" else self.outputs)

    def select(self, index: pd.DataFrame) -> pd.DataFrame:
        """The rows that take part, sorted by id.

        Raises:
            ProtocolError: nothing takes part, or a class has no sample, so that no fold could be scored.
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
        try:
            selected = index[self.selects(index) & known].sort_values("id", ignore_index=True)
        except ProtocolError as error:
            raise ProtocolError(f"{self.id}: {error}") from None
        where = f"the {' and '.join(self.datasets)} index"
        remedy = f"run `fer-bench data check {self.datasets[0]}` to see what is missing."
        present = {name for label in selected["label"].dropna().unique() for name in names(label)}
        absent = [name for name in self.classes if name not in present]
        if absent:
            raise ProtocolError(f"{self.id} needs samples of {', '.join(absent)}, and {where} has none; {remedy}")
        if not len(selected):
            raise ProtocolError(f"{self.id} finds no sample in {where}; {remedy}")
        return selected

    def truth(self, selected: pd.DataFrame) -> list[Any]:
        """The target of each row: the label, or [valence, arousal]; None without a target."""
        if self.task == "valence_arousal":
            return selected[["valence", "arousal"]].to_numpy(dtype=float).tolist()
        return [label if isinstance(label, str) else None for label in selected["label"].tolist()]

    def folds(self, index: pd.DataFrame, broken: Collection[str] = ()) -> list[Fold]:
        """All folds, in order. `broken` ids keep their subject's place and are then left out.

        Raises:
            ProtocolError: the index cannot be divided, or a fold would have an empty part or train without one
                of the classes.
        """
        selected = self.select(index)
        gone = set(broken)

        def keep(ids: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(i for i in ids if i not in gone) if gone else ids

        try:
            folds = self._with_auxiliary(self.divides(selected), index)
            folds = [Fold(f.number, keep(f.train), keep(f.val), keep(f.test), keep(f.auxiliary)) for f in folds]
            self._check(folds, selected)
        except ProtocolError as error:
            raise ProtocolError(f"{self.id}: {error}") from None
        return folds

    def _check(self, folds: list[Fold], selected: pd.DataFrame) -> None:
        """Refuse folds that cannot be trained, selected or scored because samples are missing or unreadable."""
        remedy = f"`fer-bench data check {self.datasets[0]}` lists what is missing or unreadable."
        parts = {"training": "train", "validation": "val", "test": "test"}
        if self.auxiliary is not None:
            parts["auxiliary"] = "auxiliary"
        label = dict(zip(selected["id"].tolist(), selected["label"].tolist(), strict=True))
        for fold in folds:
            empty = [message for message, part in parts.items() if not getattr(fold, part)]
            if empty:
                raise ProtocolError(f"fold {fold.number} has no {' and no '.join(empty)} samples; {remedy}")
            if self.classes:
                trained = {name for written in {label[i] for i in fold.train} for name in names(written)}
                if absent := [name for name in self.classes if name not in trained]:
                    raise ProtocolError(f"fold {fold.number} would train without {', '.join(absent)}; {remedy}")

    def _with_auxiliary(self, folds: list[Fold], index: pd.DataFrame) -> list[Fold]:
        if self.auxiliary is None:
            return folds
        subject = dict(zip(index["id"].tolist(), index["subject"].tolist(), strict=True))
        of_subject: dict[str, list[str]] = {}
        for sample in index.loc[self.auxiliary(index), "id"].tolist():
            of_subject.setdefault(subject[sample], []).append(sample)

        def add(fold: Fold) -> Fold:
            ids = sorted(i for s in {subject[i] for i in fold.train} for i in of_subject.get(s, ()))
            if not ids:
                raise ProtocolError(
                    f"no training subject of fold {fold.number} has the samples that training needs besides its "
                    f"classes; run `fer-bench data check {self.datasets[0]}` to see what is missing."
                )
            return replace(fold, auxiliary=tuple(ids))

        return [add(fold) for fold in folds]

    def snapshot(self, index: pd.DataFrame, provenance: str, broken: Collection[str] = ()) -> ProtocolSnapshot:
        """The snapshot of this protocol on one copy of the data; raises the errors of `folds`."""
        rows = pd.DataFrame({"id": index["id"], "subject": index["subject"], "truth": self.truth(index)}, dtype=object)
        return ProtocolSnapshot.of(self.id, self.classes, provenance, rows, self.folds(index, broken))

    def digest(self, index: pd.DataFrame, provenance: str, broken: Collection[str] = ()) -> str:
        """Identity of the snapshot: only results with equal digests are ranked together."""
        return self.snapshot(index, provenance, broken).digest


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
