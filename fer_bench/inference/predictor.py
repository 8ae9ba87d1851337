"""`fer-bench predict`: predictions of a finished cell for scans, sequences or photographs.

They go through what the cell's test samples went through: the same reading, alignment, representation and windows, and
the network in the precision it was scored in. Labels are not needed.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax
from torch.utils.data import DataLoader, IterableDataset

from fer_bench.cells.finished_cell import Finished
from fer_bench.cells.fit import divided, make_trainer
from fer_bench.errors import BrokenScan, FerBenchError
from fer_bench.geometry.scan import Scan
from fer_bench.inference.predict_inputs import Input
from fer_bench.io.morphable_parameters import read_table
from fer_bench.io.parameter_source import ParameterSource
from fer_bench.metrics.disentanglement import vertex_distance
from fer_bench.processes import map_processes
from fer_bench.records import OUTPUT, Batch
from fer_bench.representations.base import Extract
from fer_bench.representations.morphable import Morphable
from fer_bench.representations.photo_morphable import PhotoMorphable
from fer_bench.representations.sample_source import Source

_BLOCK = 512  # inputs that may be extracted ahead of the network, which bounds the memory
_WORTH = 8  # inputs for which another process is worth its start


@dataclass(frozen=True)
class Predictions:
    """The predictions of a cell.

    Attributes:
        table: `id`, `file` as it was given, and: of classes `prediction` (of several joined by `+`, `none` where there
            is none), `probability_<class>`, the softmax or, where several hold at once, the sigmoid of
            `output_<class>`, the raw score; `valence` and `arousal`; or of meshes `reconstruction`, the mean distance
            (mm) of the rebuilt vertices from the given ones, and the codes, as far as the method has them.
        meshes: Part -> (N, V, 3) millimetres: `reconstruction` and `identity`, of methods that make meshes.
        problems: What could not be predicted, and why.
    """

    table: pd.DataFrame
    meshes: dict[str, NDArray[np.float32]]
    problems: list[tuple[Path, str]]


def read_parameters(path: Path, finished: Finished) -> ParameterSource:
    """A user's table of morphable-model parameters, for a cell that takes them.

    Raises:
        FerBenchError: the cell sees none.
        InvalidFile: the table is damaged, or lacks parts of the vector.
    """
    seen = finished.representation
    if not isinstance(seen, Morphable | PhotoMorphable):
        raise FerBenchError(f"--parameters {path}: {finished.cell.id} sees {seen.label}, and no parameters of a face.")
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise FerBenchError(f"--parameters {path}: is neither .csv nor .parquet; give a table with a row a photograph.")
    return ParameterSource(path.parent, seen.vector, "table", "error", read_table(path, seen.vector), path)


def rows_of(parameters: ParameterSource) -> list[Input]:
    """Each row of a table as an input, for a cell that sees nothing else."""
    return [Input(Path(i), i, parameters.root, (i,), _nothing) for i in parameters.table]


def predict(
    finished: Finished, inputs: Sequence[Input], parameters: ParameterSource | None = None, workers: int = 1
) -> Predictions:
    """Predict inputs in batches. Inputs that cannot be read or used are reported as problems."""
    stream = _Stream(finished, inputs, _extracts(finished, inputs, parameters), workers)
    batches = _run(finished, stream)
    owner = np.array([int(i) for batch in batches for i in batch["id"]], dtype=np.int64)
    parts = [name for name in (batches[0] if batches else ()) if name != "id"]
    arrays = {name: torch.cat([batch[name] for batch in batches]).numpy() for name in parts}
    places, starts, counts = np.unique(owner, return_index=True, return_counts=True)  # they come in order
    names = _distinct(inputs)
    table = pd.DataFrame(
        {"id": [names[place] for place in places], "file": [str(inputs[place].given) for place in places]}, dtype="str"
    )
    if finished.protocol.task == "disentanglement":
        table = pd.concat([table, _codes(arrays, stream.kept)], axis=1)
        meshes = {name: array for name, array in arrays.items() if array.ndim == 3}
        return Predictions(table, meshes, stream.problems)
    if len(places):
        # As scored: of the windows of a sequence the mean of their raw outputs.
        means = np.add.reduceat(arrays["output"].astype(np.float64), starts) / counts[:, None]
        table = pd.concat([table, _scores(finished, means.astype(arrays["output"].dtype))], axis=1)
    return Predictions(table, {}, stream.problems)


def _scores(finished: Finished, outputs: NDArray[np.float32]) -> pd.DataFrame:
    """The columns of raw scores (N, outputs)."""
    task, names = finished.protocol.task, finished.protocol.outputs
    if task == "valence_arousal":
        return pd.DataFrame(outputs, columns=list(names))
    exact = outputs.astype(np.float64)
    if task == "multilabel":
        chances = expit(exact)
        chosen = ["+".join(np.array(names)[row > 0]) or "none" for row in exact]
    else:
        chances = softmax(exact, axis=1)
        chosen = [names[place] for place in exact.argmax(axis=1)]
    columns: dict[str, Any] = {"prediction": chosen}
    columns |= {f"probability_{name}": chances[:, place] for place, name in enumerate(names)}
    return pd.DataFrame(columns | {f"{OUTPUT}{name}": outputs[:, place] for place, name in enumerate(names)})


def _codes(arrays: dict[str, NDArray[np.float32]], given: list[NDArray[Any]]) -> pd.DataFrame:
    """The columns of meshes: how near the rebuilt ones are, and the codes they are made of."""
    columns: dict[str, Any] = {}
    if "reconstruction" in arrays:
        columns["reconstruction"] = vertex_distance(arrays["reconstruction"], np.stack(given))
    for name in ("identity_code", "expression_code"):
        if name in arrays:
            columns |= {f"{name}_{place}": values for place, values in enumerate(arrays[name].T)}
    return pd.DataFrame(columns)


def _distinct(inputs: Sequence[Input]) -> list[str]:
    """An id for each input: the sample's, and where several share it, the path as it was given."""
    shared = Counter(one.sample for one in inputs)
    return [one.sample if shared[one.sample] == 1 else one.given.as_posix() for one in inputs]


def _run(finished: Finished, stream: _Stream) -> list[dict[str, Any]]:
    """The outputs of `Method.predict_step` for each batch, on one device."""
    cell, asked = finished.cell, dict(finished.cell.trainer)
    if asked["accelerator"] == "gpu" and not torch.cuda.is_available():
        asked["accelerator"] = "cpu"
    if asked["precision"] == "16-mixed" and not torch.cuda.is_available():
        asked["precision"] = "32-true"  # there is none of 16 bits there
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it lists the devices that it does not use
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        options = {"devices": 1, "num_nodes": 1, "logger": False, "enable_checkpointing": False}
        trainer = make_trainer(cell, **{**asked, **options, "max_epochs": 1})
        return trainer.predict(finished.method, DataLoader(stream, batch_size=None)) or []  # type: ignore[return-value]


def _extracts(
    finished: Finished, inputs: Sequence[Input], parameters: ParameterSource | None
) -> list[tuple[Extract, int] | str]:
    """What extracts each input, and as which sample; or why nothing does."""
    seen = finished.representation
    if finished.bound is not None:
        return [(finished.bound.extract, 0)] * len(inputs)
    if not isinstance(seen, Morphable | PhotoMorphable):
        return [(seen.bind(Source("", Path(), "", (), ()), _nothing).extract, 0)] * len(inputs)
    # Parameters are looked for in a folder and beside its photographs, or below a dataset's.
    together: dict[Path, list[int]] = defaultdict(list)
    for number, one in enumerate(inputs):
        together[one.root].append(number)
    found: dict[int, tuple[Extract, int] | str] = {}
    for root, numbers in together.items():
        samples, files = tuple(inputs[n].sample for n in numbers), tuple(inputs[n].files for n in numbers)
        source = Source("", root, "", samples, files)
        try:
            extract = seen.reader(source, parameters) if parameters else seen.bind(source, _nothing).extract
            found |= {number: (extract, place) for place, number in enumerate(numbers)}
        except FerBenchError as error:
            found |= dict.fromkeys(numbers, str(error))
    return [found[number] for number in range(len(inputs))]


def _nothing(root: Path, files: tuple[str, ...]) -> None:
    """Reads no file."""


class _Stream(IterableDataset[Batch]):
    """Batches of inputs, extracted while the network is at work; their ids are the inputs' numbers.

    Attributes:
        problems: Of the inputs so far that are in no batch.
        kept: The rows so far, where meshes are to be compared with what was made of them.
    """

    def __init__(
        self, finished: Finished, inputs: Sequence[Input], extracts: list[tuple[Extract, int] | str], workers: int
    ) -> None:
        self.inputs, self.extracts, self.workers = inputs, extracts, min(workers, -(-len(inputs) // _WORTH))
        self.many = finished.representation.many
        self.textured = "texture" in getattr(finished.representation, "channels", ())
        self.size = divided(finished.method.batch_size, finished.cell)
        self.keeps = finished.protocol.task == "disentanglement"
        self.problems: list[tuple[Path, str]] = []
        self.kept: list[NDArray[Any]] = []

    def __iter__(self) -> Iterator[Batch]:
        numbers: list[int] = []
        waiting: list[NDArray[Any]] = []
        for number, rows in self._extracted():
            waiting += list(rows)
            numbers += [number] * len(rows)
            while len(waiting) >= self.size:
                yield _batch(numbers[: self.size], waiting[: self.size])
                del numbers[: self.size], waiting[: self.size]
        if waiting:
            yield _batch(numbers, waiting)

    def _extracted(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Number and rows of the inputs that can be extracted."""
        work = _Work(tuple(self.inputs), tuple(self.extracts), self.textured)
        for start in range(0, len(self.inputs), _BLOCK):
            block = range(start, min(start + _BLOCK, len(self.inputs)))
            for number, found in zip(block, map_processes(work, block, self.workers), strict=True):
                if isinstance(found, str):
                    self.problems.append((self.inputs[number].given, found))
                    continue
                rows = found if self.many else found[None]
                if self.keeps:
                    self.kept += list(rows)
                yield number, rows


def _batch(numbers: list[int], rows: list[NDArray[Any]]) -> Batch:
    label = torch.full((len(rows),), -1)
    return {"id": [str(number) for number in numbers], "input": torch.from_numpy(np.stack(rows)), "label": label}


@dataclass(frozen=True)
class _Work:
    """Extracts the input of a number; pickled into worker processes. Returns what is wrong with it, if anything is."""

    inputs: tuple[Input, ...]
    extracts: tuple[tuple[Extract, int] | str, ...]
    textured: bool

    def __call__(self, number: int) -> NDArray[Any] | str:
        one, how = self.inputs[number], self.extracts[number]
        if isinstance(how, str):
            return how
        extract, place = how
        try:
            sample = one.load(one.root, one.files)
            if self.textured and isinstance(sample, Scan) and sample.texture is None:
                return (
                    "it has no texture, and the network was trained on scans in colour; beside it is neither an image "
                    "of its name nor the one that it names, or it has no texture coordinates"
                )
            return extract(place, sample)[0]
        except BrokenScan as error:  # whose remedy is for a file of a dataset
            return error.problem if error.path.name == one.given.name else f"{error.path.name} {error.problem}"
        except FerBenchError as error:
            return str(error).rstrip(".")
