"""Records passed between stages: the index, folds, batches, results, and the provenance of data."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

import pandas as pd

from fer_bench.errors import InvalidFile

if TYPE_CHECKING:
    import torch

Task = Literal["classification", "valence_arousal", "disentanglement", "multilabel"]


@dataclass(frozen=True)
class Target:
    """The prediction target of a method.

    Attributes:
        task: The kind of task.
        outputs: Names of the outputs for a sample, in order: the classes, or valence and arousal.
    """

    task: Task
    outputs: tuple[str, ...]


Sampling = Literal["all", "balanced", "rarest", "by_class"]
"""Which training samples an epoch has: `all`, each once; `balanced`, as many, drawn with replacement so that each
expression is equally likely; `rarest`, of each expression as many as the rarest has, drawn once for the training;
`by_class`, each once, class after class and in the same order every epoch."""

INDEX_COLUMNS = ("id", "subject", "label", "level", "valence", "arousal", "split", "files")
"""One row a unit that is classified (a scan, a sequence, an image).

`id` unique, stable, readable; `subject`, NA where the dataset does not tell who is who; `label` canonical expression
name, the dataset's own name of an expression that has none (`pain`, `bareteeth`), several joined by `+`, or NA; `level`
intensity or NA; `valence`, `arousal` in [-1, 1] or NA; `split` official split (`train`, `val`, `test`) or NA; `files`
tuple of paths relative to the root, frames in order.
"""

TWIN_MARKER = "twin.json"
"""A dataset root that holds this file holds synthetic faces, never the dataset itself."""


def make_index(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Build an index, sorted by id, from rows that may leave out columns that do not apply.

    Raises:
        ValueError: two rows share an id (a fault of the reader).
    """
    index = pd.DataFrame(rows, columns=list(INDEX_COLUMNS))
    for column in ("id", "subject", "label", "split"):
        index[column] = index[column].astype("string")
    index["level"] = index["level"].astype("Int64")
    for column in ("valence", "arousal"):
        index[column] = index[column].astype("Float64")
    index = index.sort_values("id", ignore_index=True)
    twice = index["id"][index["id"].duplicated()]
    if len(twice):
        raise ValueError(f"ids must be unique; {twice.iloc[0]} occurs more than once")
    return index


@dataclass(frozen=True)
class Fold:
    """Ids of one train/validation/test division; no subject is in two of the three.

    `auxiliary` ids belong to training subjects and are used in training only, outside the protocol's classes.
    """

    number: int
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()


class Batch(TypedDict):
    """The input of a method.

    `id` B sample ids; `input` (B, ...) the representation; `label` the answer to the task: (B,) class indices, (B, C)
    0 and 1 a class, or (B, 2) valence and arousal; -1 or NaN where there is none. In training also what else is known
    of a sample, whatever the task: `expression` (B,) indices into `EXPRESSIONS`, -1 where it is none of them, and
    `affect` (B, 2) valence and arousal, NaN where nobody rated them.
    """

    id: list[str]
    input: torch.Tensor
    label: torch.Tensor
    expression: NotRequired[torch.Tensor]
    affect: NotRequired[torch.Tensor]


@dataclass(frozen=True)
class TrainingSet:
    """The training part of a fold, for what is made from all of it at once.

    Attributes:
        train: Ids of its samples.
        auxiliary: Ids of the training subjects' samples outside the protocol's classes.
        subject, label: Of the samples by id, where they are known.
        read: Ids -> their representation, (n, ...), of each sample the first row.
    """

    train: tuple[str, ...]
    auxiliary: tuple[str, ...]
    subject: Mapping[str, str]
    label: Mapping[str, str]
    read: Callable[[Sequence[str]], torch.Tensor]


OUTPUT = "output_"
"""Prefix of the raw score columns of a predictions file, one a class: `output_happy`."""


@dataclass(frozen=True)
class Result:
    """The score of one cell; `result.json`.

    Attributes:
        metrics: Name -> value, fractions in [0, 1] for classification.
        n: Number of test samples scored.
        broken: Samples of the test fold that were left out because their files could not be read.
        protocol_digest: See `Protocol.digest`.
        representation_digest: Of the representation.
        provenance: `as distributed`, or which twin.
        parameters: Trainable parameters of the method.
        epochs: Epochs trained, and `selected_epoch` the one scored, of the last stage and counted from 0; -1
            untrained.
        fit_seconds: Wall time of training, all attempts together.
        epoch_seconds: Median wall time of an epoch, see `Status`; None untrained.
        weight: Of the first of two models whose scores are fused; None of others.
        divided: Batches were so many times smaller than asked for, see `Status`.
        honest_epoch: Where `selected_epoch` was chosen on the test samples, the one that would have been without them.
    """

    metrics: dict[str, float]
    n: int
    broken: int
    protocol_digest: str
    representation_digest: str
    provenance: str
    parameters: int
    epochs: int
    selected_epoch: int
    fit_seconds: float
    epoch_seconds: float | None = None
    weight: float | None = None
    divided: int = 1
    versions: dict[str, str] = field(default_factory=dict)
    honest_epoch: int | None = None

    def write(self, path: Path) -> None:
        """Write as JSON, atomically."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read a result; raises `InvalidFile`."""
        content = read_json(path)
        try:
            found = cls(**content)
            if not all(isinstance(value, int | float) for value in found.metrics.values()):
                raise TypeError
            return found
        except (TypeError, AttributeError):
            raise InvalidFile(path, "is not a result of this version", "Run the cell again with --overwrite.") from None


def provenance(root: Path, files: Iterable[str] = ()) -> str:
    """Where data comes from: `as distributed`, or `twin-r1-procedural-0a1b2c3d4e5f-s0-n20`.

    A twin's marker holds for all that is below it, wherever the root was set: in a folder above, below, or behind a
    link.

    Args:
        root: The dataset's folder.
        files: Files of its samples, relative to it.

    Raises:
        InvalidFile: the twin's marker is damaged.
    """
    folder = twin_folder(root, files)
    if folder is None:
        return "as distributed"
    path = folder / TWIN_MARKER
    marker = read_json(path)
    try:
        return "twin-r{recipe}-{face_model}-s{seed}-n{subjects}".format_map(marker)
    except KeyError as missing:
        raise InvalidFile(path, f"lacks the key {missing}", "Make the twin again with `fer-bench data twin`.") from None


def twin_folder(root: Path, files: Iterable[str] = ()) -> Path | None:
    """The folder with a twin's marker that a root, or one of the files below it, lies in; None if there is none."""
    places = {root, *(root / PurePosixPath(folder) for folder in {name.rpartition("/")[0] for name in files})}
    seen: set[Path] = set()
    for place in sorted(place.resolve() for place in places):
        for folder in (place, *place.parents):
            if folder in seen:
                break
            seen.add(folder)
            # The method of a path raises where it may not look.
            if os.path.isfile(folder / TWIN_MARKER):  # noqa: PTH113
                return folder
    return None


def digest(content: Any, length: int = 12) -> str:
    """Hexadecimal SHA-256 of a JSON-able value, shortened; equal on every machine and Python version."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises `InvalidFile` when it is missing, damaged or of another shape."""
    try:
        with path.open("rb", buffering=0) as file:  # thousands are read at a time
            content = json.loads(file.read().decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidFile(
            path, f"cannot be read as JSON ({error})", "Restore it, or delete it to start over."
        ) from None
    if not isinstance(content, dict):
        raise InvalidFile(path, "does not hold a JSON object", "Restore it, or delete it to start over.")
    return content


def json_bytes(content: dict[str, Any]) -> bytes:
    """A JSON object as its files hold it."""
    return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object to a temporary name and rename it."""
    with atomic_write(path) as file:
        file.write(json_bytes(content))


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file next to `path`; it is renamed to `path` when the block succeeds, and deleted otherwise.

    Raises:
        OSError: it cannot be written; the error names `path` or a folder above it, never the temporary file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    name = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException as error:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and (name is None or error.filename in (None, name)):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def refuse_unwritable(folder: Path) -> None:
    """Raise OSError where a folder, existing or not, cannot be written to; creates nothing.

    Called before long computations.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None
