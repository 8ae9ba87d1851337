"""Score saved predictions, alone and fused: `fer-bench evaluate`.

Files (`fer_bench.predictions.files` has their layouts) are joined by `id`. Without ids they are joined by row
order, and only if all of them carry the truth and agree on it in every row; the notes then say so.

Fusion acts on raw outputs, element by element: no softmax and no clipping, as in Ig3D (late fusion). A weight that was
chosen on the scored samples themselves makes the fused row optimistic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.errors import FerBenchError, UnknownName
from fer_bench.metrics import METRICS, score
from fer_bench.predictions.files import PredictionFile, enumerate_briefly, read_predictions
from fer_bench.predictions.fusion import fuse as fused
from fer_bench.predictions.fusion import parse_rule
from fer_bench.protocols.base import names
from fer_bench.stats.bootstrap import HEADLINE, metric_interval
from fer_bench.stats.intervals import Interval

TASKS = tuple(task for task in METRICS if task != "disentanglement")
"""Whose predictions a table can hold; meshes it cannot."""

_VA_NOTES = [
    "without suffix: valence and arousal pooled into one list of 2n numbers",
    "ccc: Lin's population estimator, every moment over the number of values",
    "ccc_published: covariance over one less, variances over it, as in Ig3D's scripts: compare with Table 7",
]
_MULTILABEL_NOTES = [
    "f1_macro: F1 of presence, mean over the classes",
    "f1_two_sided: mean of the F1 of presence and of absence, as FACET-VLM prints it: compare with Table 5",
]
_SAME_TRUTH = 1e-6  # single precision and six printed digits both keep more of a number in [-1, 1]


@dataclass(frozen=True)
class Row:
    """Metrics of one file, or of the fused outputs, on n samples; `interval` is that of the task's headline metric."""

    name: str
    n: int
    metrics: dict[str, float]
    interval: Interval | None = None


@dataclass(frozen=True)
class Evaluation:
    """One row per file in the given order, then the fused one; and notes."""

    task: str
    rows: tuple[Row, ...]
    notes: list[str]

    def to_frame(self) -> pd.DataFrame:
        """A table with `predictions`, `n`, every metric, and the bounds of the headline metric where there are any."""
        headline = HEADLINE[self.task]
        records: list[dict[str, Any]] = []
        for row in self.rows:
            records.append({"predictions": row.name, "n": row.n, **row.metrics})
            if row.interval is not None:
                records[-1] |= {f"{headline}_low": row.interval.low, f"{headline}_high": row.interval.high}
        return pd.DataFrame.from_records(records)


def evaluate(
    paths: Sequence[Path | str],
    task: str,
    fuse: str | None = None,
    truth: pd.DataFrame | None = None,
    classes: Sequence[str] | None = None,
    tested: Sequence[str] = (),
) -> Evaluation:
    """Score prediction files on the same samples.

    Args:
        paths: One file or more.
        task: One of `TASKS`.
        fuse: `mean`, `max` or `min` of two or more files, or `weighted:W`: W times the first plus 1 - W times the
            second of exactly two, with W in [0, 1].
        truth: A protocol's truth: `id`, `label` (or `valence` and `arousal`), and optionally `subject`, which gives the
            headline metric an interval. The files' ids must be exactly these, and their own truth must agree.
        classes: The classes in order; by default the usual ones that the first file has a column for.
        tested: The classes that the samples have, where they are fewer.

    Raises:
        InvalidPredictions: A file that cannot be scored.
        FerBenchError: The task or the fusion is unknown, malformed, or does not suit the number of files.
    """
    if task not in TASKS:
        raise UnknownName("task", task, TASKS)
    if not paths:
        raise FerBenchError("No predictions to evaluate: name one csv or parquet file or more.")
    rule, weight = ("", None) if fuse is None else parse_rule(fuse, len(paths), "--fuse")
    if rule == "weighted" and weight is None:
        raise FerBenchError(f"--fuse {fuse}: give a weight, as in weighted:0.6; `fer-bench fuse` chooses one.")
    files, known = read_predictions([Path(path) for path in paths], task, classes)
    outputs, true, how = _join(files, truth, known)

    labels = [file.path.stem for file in files]
    if len(set(labels)) < len(labels):
        labels = [str(file.path) for file in files]
    notes = [f"n = {len(true)} samples in every row", *how]
    if rule:
        outputs.append(fused(outputs, rule, weight).astype(np.float64))
        labels.append(f"{fuse} of {len(files)} files")
        notes.append(f"fusion: {fuse}, element by element on raw outputs (no softmax, no clipping)")
    notes += {"valence_arousal": _VA_NOTES, "multilabel": _MULTILABEL_NOTES}.get(task, [])
    subjects = _subjects(truth)
    if subjects is not None:
        named = truth is not None and truth["subject"].notna().all()
        who = f"{len(set(subjects))} subjects" if named else "samples, for the dataset does not say who is who"
        notes.append(f"interval of {HEADLINE[task]}: 95 %, bootstrap over {who}")

    def row(label: str, output: NDArray[Any]) -> Row:
        interval = None
        if subjects is not None:
            interval = metric_interval(task, HEADLINE[task], output, true, known, subjects)
        return Row(label, len(true), score(task, output, true, known, tuple(tested)), interval)

    return Evaluation(task, tuple(row(*each) for each in zip(labels, outputs, strict=True)), notes)


def _subjects(truth: pd.DataFrame | None) -> NDArray[Any] | None:
    """The subject of each sample; the sample itself where no subject is known; None where there is but one, or
    only some are known."""
    if truth is None or "subject" not in truth:
        return None
    subjects = truth["id"] if truth["subject"].isna().all() else truth["subject"]
    if subjects.isna().any() or subjects.nunique() < 2:
        return None
    return subjects.astype(str).to_numpy(dtype=object)


def _join(
    files: Sequence[PredictionFile], given: pd.DataFrame | None, classes: Sequence[str]
) -> tuple[list[NDArray[np.float64]], NDArray[Any], list[str]]:
    """Outputs of every file and the truth, all on the same samples in the same order, and notes on how."""
    ids: NDArray[Any] | None
    if given is not None:
        columns = ["label"] if classes else ["valence", "arousal"]
        if absent := [column for column in ["id", *columns] if column not in given]:
            raise ValueError(f"the given truth lacks the columns {absent}")
        if given[["id", *columns]].isna().any(axis=None) or given["id"].duplicated().any():
            raise ValueError("the given truth must have unique ids and no missing value")
        true = given["label"].astype(object).to_numpy() if classes else given[columns].to_numpy(dtype=np.float64)
        if unseen := sorted({name for label in true for name in names(label)} - set(classes) if classes else ()):
            raise files[0].error(
                f"has no outputs for the protocol's {enumerate_briefly(unseen)}", "Score every class of the protocol."
            )
        ids, source = given["id"].astype(str).to_numpy(dtype=object), "the protocol"
    else:
        base = next((file for file in files if file.truth is not None), None)
        if base is None or base.truth is None:
            raise files[0].no_truth()
        true, ids, source = base.truth, base.ids, str(base.path)

    outputs = []
    for file in files:
        order = _order(file, ids, len(true), source)
        outputs.append(file.outputs[order])
        if file.truth is not None:
            _check_truth(file, file.truth[order], true, source)
        elif ids is None:
            raise file.no_truth("Files without ids are joined by row order, which needs the truth in each as a check.")
    if len(files) == 1 and given is None:
        return outputs, true, []
    return outputs, true, ["joined by id" if ids is not None else "joined by row order: no id column"]


def _order(file: PredictionFile, ids: NDArray[Any] | None, n: int, source: str) -> NDArray[np.intp]:
    """The file's rows in the order of `ids`, or as they are where there are none."""
    if ids is None and file.ids is None:
        if len(file.outputs) != n:
            problem = f"has {len(file.outputs)} rows and no ids, but {source} has {n} rows"
            raise file.error(problem, "Predict the same samples, or add an 'id' column to every file.")
        return np.arange(n)
    if file.ids is None:
        raise file.error(f"has no column 'id', but {source} has ids", "Add the ids; rows cannot be matched without.")
    if ids is None:
        raise file.error(f"has ids, but {source} has none", "Add an 'id' column to every file, or to none.")
    missing, extra = sorted(set(ids) - set(file.ids)), sorted(set(file.ids) - set(ids))
    if missing or extra:
        parts = [(missing, "lacks {} ids"), (extra, "has {} unknown ids")]
        problem = " and ".join(f"{text.format(len(it))} ({enumerate_briefly(it)})" for it, text in parts if it)
        raise file.error(f"{problem}, compared with {source}", "Predict exactly the same samples.")
    return pd.Index(file.ids).get_indexer(pd.Index(ids))


def _check_truth(file: PredictionFile, own: NDArray[Any], true: NDArray[Any], source: str) -> None:
    if true.ndim == 1:  # several labels at once are a set, written in any order
        differs = np.array([set(names(str(a))) != set(names(str(b))) for a, b in zip(own, true, strict=True)])
    else:
        differs = (np.abs(own - true) > _SAME_TRUTH).any(axis=1)
    if differs.any():
        row = int(np.argmax(differs))
        problem = f"its truth disagrees with that of {source} for {differs.sum()} of {len(true)} samples"
        example = f"first {own[[row]].tolist()[0]}, not {true[[row]].tolist()[0]}"
        raise file.error(
            f"{problem} ({example})", "Check that both are predictions of the same samples in the same order."
        )
