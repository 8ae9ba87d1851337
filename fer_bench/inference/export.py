"""`fer-bench export`: a finished cell's network as ONNX, from the representation to the raw outputs.

What is written has been run by ONNX Runtime beside torch, on inputs of the cell where they are still there. Reading a
scan, aligning and drawing it stay outside: `representation` in the file's metadata says what the input is.
"""

import dataclasses
import importlib.util
import json
import logging
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_bench import __version__, registry
from fer_bench.cells.cell import Cell
from fer_bench.cells.finished_cell import Finished, open_finished
from fer_bench.errors import FerBenchError
from fer_bench.methods.base import Method
from fer_bench.records import atomic_write, refuse_unwritable
from fer_bench.representations.base import Representation
from fer_bench.representations.cache_entry import CacheEntry
from fer_bench.representations.photo_morphable import PhotoMorphable
from fer_bench.terminal import console

TOLERANCE = 1e-4
"""Largest difference from torch's outputs, as a part of the largest of these, or of 1 where they are smaller."""

NEEDED = ("onnx", "onnxscript", "onnxruntime")
_CHECKED = 8  # inputs, and the first of them by itself
_MOST_BYTES = 2**31 - 1  # of one protocol buffer


class CannotExport(FerBenchError):
    """A network that cannot be had as ONNX."""


@dataclass(frozen=True)
class Exported:
    """A network as ONNX.

    Attributes:
        content: The file's bytes.
        difference: The largest of an output from torch's, and `relative`, see `TOLERANCE`.
        inputs: Name -> shape of a sample, and `outputs`.
        checked: How many inputs it was compared on, and `real`, whether they were the cell's.
    """

    content: bytes
    difference: float
    relative: float
    inputs: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    checked: int
    real: bool


class Network(nn.Module):
    """A method from its inputs to its predictions, without other results.

    Args:
        method: Ready to predict.
        sample: Its inputs, of two samples or more.
    """

    def __init__(self, method: Method, sample: tuple[Tensor, ...]) -> None:
        super().__init__()
        method.prepare_for_export()
        self.method = method.eval()
        with torch.no_grad():
            self.names = tuple(name for name in self._predict(sample) if name != "features")

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = self._predict(inputs)
        return tuple(found[name].float() for name in self.names)

    def _predict(self, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        # What is packed into one row for a batch has a place of its own here, see `PhotoMorphable`.
        return self.method.predict(inputs[0] if len(inputs) == 1 else inputs)  # type: ignore[arg-type]


def export(finished: Finished) -> Exported:
    """The cell's network as ONNX, compared with torch.

    Raises:
        CannotExport: a package is missing, the exporter cannot do it, or what it made gives other outputs.
    """
    rows, real = _samples(finished)
    return export_method(finished.method, finished.representation, rows, real, metadata(finished))


def export_method(
    method: Method, representation: Representation, rows: Tensor, real: bool, metadata: dict[str, str]
) -> Exported:
    """As `export`, of inputs (N, *shape), N at least 2, and with the file's metadata."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise CannotExport(
            f"--format onnx needs {' and '.join(missing)}; install them with `pip install 'fer_bench[export]'`."
        )
    parts = representation.unpack(rows) if isinstance(representation, PhotoMorphable) else (rows,)
    names = ("photographs", "parameters") if len(parts) == 2 else ("input",)
    network = Network(method, parts)
    content = _convert(network, parts, names, metadata)
    difference, relative = _compare(network, parts, names, content)
    if not relative <= TOLERANCE:  # NaN, too
        raise CannotExport(
            f"what was exported differs from torch by {difference:.3g}, {relative:.3g} of the largest output, and "
            f"{TOLERANCE:g} is allowed; nothing was written."
        )
    shapes = {name: tuple(part.shape[1:]) for name, part in zip(names, parts, strict=True)}
    return Exported(content, difference, relative, shapes, network.names, len(rows), real)


def metadata(finished: Finished) -> dict[str, str]:
    """Metadata of the file: its origin, inputs and outputs; no paths."""
    cell, seen = finished.cell, finished.representation
    return {
        "producer": f"fer_bench {__version__}",
        "cell": cell.id,
        "method": cell.method,
        "task": finished.protocol.task,
        "outputs": json.dumps(finished.protocol.outputs),
        "protocol": cell.protocol,
        "fold": str(cell.fold),
        "trained_on": cell.provenance,
        "starts_from": cell.weights or "random weights",
        "representation": seen.label,
        "representation_parameters": json.dumps(
            {"name": seen.name, "version": seen.version, "digest": seen.digest, **dataclasses.asdict(seen)}
        ),
        "unsound": cell.unsound,
        "licence": _licence(cell),
    }


def write(exported: Exported, path: Path) -> None:
    """Write the file, atomically."""
    with atomic_write(path) as file:
        file.write(exported.content)


def _licence(cell: Cell) -> str:
    """Under which terms the data were had that the weights were made from."""
    if cell.provenance.startswith("twin"):
        return "Trained on synthetic faces; no licence of a dataset applies to the weights."
    sentences = []
    for part in cell.parts:
        found = re.search(
            r"Licence and how to obtain: (.*?\.)\s", registry.card("data", part.dataset) + "\n", re.DOTALL
        )
        terms = " ".join(found[1].split()) if found else "see its distribution."
        sentences.append(f"Trained on {part.dataset}, which is {terms}")
    weights = f" It started from {cell.weights}, which may have terms of its own." if cell.weights else ""
    return " ".join(sentences) + " Those terms may cover the weights." + weights


def _samples(finished: Finished) -> tuple[Tensor, bool]:
    """Inputs (N, *shape) from the cell's cache entry, or random ones; and which they are."""
    entry = CacheEntry(Path(finished.cell.parts[0].cache))
    if entry.problem() is None:
        array = entry.open()
        places = np.unique(np.linspace(0, len(array) - 1, _CHECKED).astype(int))
        if len(places) > 1:
            return torch.from_numpy(array[places]), True
    bound = finished.bound
    template = None if bound is None else bound.shared["template"]
    return random_samples(finished.representation, template), False


def random_samples(representation: Representation, template: NDArray[Any] | None = None) -> Tensor:
    """Made-up inputs (`_CHECKED`, *shape): noise of the right type and range, meshes about a template (V, 3)."""
    generator = torch.Generator().manual_seed(0)

    def noise(other: Representation) -> Tensor:
        shape = (_CHECKED, *other.shape)
        if other.dtype == np.uint8:
            return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        return torch.rand(shape, generator=generator) * 2 - 1

    if isinstance(representation, PhotoMorphable):
        return representation.pack(noise(representation.photo), noise(representation.parameters))
    if template is not None:
        mesh = torch.from_numpy(np.array(template, dtype=np.float32))
        return mesh + torch.randn((_CHECKED, *mesh.shape), generator=generator)
    return noise(representation)


def _convert(network: Network, parts: tuple[Tensor, ...], names: tuple[str, ...], metadata: dict[str, str]) -> bytes:
    batch = torch.export.Dim("batch")
    loud = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    before = [logger.level for logger in loud]
    for logger in loud:
        logger.setLevel(logging.CRITICAL)  # what they call an error may end well, and what does not is raised
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                tuple(part[:2] for part in parts),
                input_names=names,
                output_names=network.names,
                dynamic_shapes=(tuple({0: batch} for _ in parts),),
                dynamo=True,
                verbose=False,
            )
        assert program is not None
        model = program.model_proto
        for key, value in metadata.items():
            model.metadata_props.add(key=key, value=value)
        if model.ByteSize() > _MOST_BYTES:
            raise CannotExport("its weights take more than the 2 GiB that a single ONNX file can hold.")
        content: bytes = model.SerializeToString()
        return content
    except FerBenchError:
        raise
    except Exception as error:  # the exporter raises many kinds
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        reason = next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
        raise CannotExport(f"torch cannot export {type(network.method).__name__}: {reason.rstrip('.')}.") from None
    finally:
        for logger, level in zip(loud, before, strict=True):
            logger.setLevel(level)


def _compare(
    network: Network, parts: tuple[Tensor, ...], names: tuple[str, ...], content: bytes
) -> tuple[float, float]:
    """Largest absolute and relative difference of ONNX Runtime's outputs from torch's, of all inputs and of one."""
    import onnxruntime

    absolute = relative = 0.0
    for count in (len(parts[0]), 1):
        inputs = tuple(part[:count] for part in parts)
        with torch.inference_mode():
            expected = [output.numpy() for output in network(*inputs)]
        try:
            session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
            found = session.run(list(network.names), {n: part.numpy() for n, part in zip(names, inputs, strict=True)})
        except Exception as error:  # of no common kind
            why = " ".join(str(error).split())
            raise CannotExport(f"ONNX Runtime cannot run what was exported on {count} inputs: {why:.300}") from None
        for mine, theirs in zip(expected, found, strict=True):
            apart = float(np.abs(mine - theirs).max())
            absolute = float(np.maximum(absolute, apart))  # keeps NaN
            relative = float(np.maximum(relative, apart / max(1.0, float(np.abs(mine).max()))))
    return absolute, relative


def run(folder: Path, out: Path | None) -> None:
    """Export the network of a cell, and print its largest difference from torch; raises as `export`."""
    finished = open_finished(folder)
    path = out or folder / "network.onnx"
    if path.suffix.lower() != ".onnx" or path.is_dir():
        raise FerBenchError(f"--out {path}: is not the name of an ONNX file; end it with .onnx.")
    refuse_unwritable(path.parent)
    with console.status(f"exporting {finished.cell.id} ..."):
        found = export(finished)
    write(found, path)
    _print(f"wrote {path}: {len(found.content) / 2**20:.1f} MiB")
    for name, shape in found.inputs.items():
        _print(f"  input   {name} (batch, {', '.join(map(str, shape))})")
    _print(f"  output  {', '.join(found.outputs)}")
    of = f"{found.checked} {'inputs of the cell' if found.real else 'random inputs'}"
    _print(
        f"  differs from torch by {found.difference:.2g} at most ({found.relative:.2g} of the largest output), on {of}"
    )


def _print(line: str) -> None:
    """Print a line as it is."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)
