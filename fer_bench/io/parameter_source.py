"""Where a dataset's 3D morphable model parameters are: beside its images, or in one table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import BrokenScan, DatasetNotFound
from fer_bench.io.file_bytes import open_regular
from fer_bench.io.morphable_parameters import MAX_JSON, parts_of, parts_separator, read_json, read_parts, read_table

_ABSENT = "Run the regressor on it too, or have absent parameters read as zeros."
_PROBES = 1000


@dataclass(frozen=True)
class ParameterSource:
    """Where the parameters of one dataset's images are, and what an image without any gets.

    Attributes:
        root: The dataset's root.
        vector: A key of `VECTORS`.
        kind: `json` and `parts` beside each image, or one `table`.
        missing: Whether an image without parameters is an error or a vector of zeros, which is what Ig3D took. An image
            with some of its parts, or with a damaged file, is an error either way.
        table: What `read_table` gave.
        path: The table's file.
    """

    root: Path
    vector: str
    kind: Literal["json", "parts", "table"]
    missing: Literal["error", "zero"] = "error"
    table: Mapping[str, NDArray[np.float32]] = field(default_factory=dict, repr=False, compare=False)
    path: Path | None = None

    def has(self, sample: str, image: str) -> bool:
        """Whether a sample has parameters; `image` is its file relative to the root."""
        if self.kind == "table":
            return sample in self.table
        stem = _stem(self.root, image)
        return Path(f"{stem}.json").is_file() if self.kind == "json" else parts_separator(stem, self.vector) is not None

    def read(self, sample: str, image: str) -> NDArray[np.float32]:
        """A sample's parameters, (P,) float32; raises `BrokenScan`."""
        if not self.has(sample, image):
            if self.missing == "error":
                raise BrokenScan(self.root / image, f"has no {self.vector} parameters", _ABSENT)
            return np.zeros(sum(size for _, size in parts_of(self.vector)), dtype=np.float32)
        if self.kind == "table":
            return self.table[sample]
        stem = _stem(self.root, image)
        return read_json(f"{stem}.json", self.vector) if self.kind == "json" else read_parts(stem, self.vector)

    def files(self, images: Iterable[str]) -> Iterator[Path]:
        """The files that parameters of these images are read from, or would be."""
        if self.path is not None:
            yield self.path
            return
        for stem in (_stem(self.root, image) for image in images):
            if self.kind == "json":
                yield Path(f"{stem}.json")
            else:
                separator = parts_separator(stem, self.vector)
                yield from (Path(f"{stem}{separator}{part}.npy") for part, _ in parts_of(self.vector))

    def without(self, samples: Iterable[tuple[str, str]]) -> list[str]:
        """Ids of the (id, image) pairs that have no parameters: with `missing="zero"`, how many vectors are zeros."""
        return [sample for sample, image in samples if not self.has(sample, image)]


def find_parameters(
    root: Path, images: Sequence[str], vector: str, missing: Literal["error", "zero"] = "error"
) -> ParameterSource:
    """Find the parameters of a dataset's images, all in the first of these forms that is there.

    1. `<image's stem>.json` beside the images, if it holds one of the vector's parts. EMOCA and SMIRK name theirs
       differently, so that one file may hold both.
    2. One `.npy` a part, in a folder of the image's stem or beside the image, see `read_parts`.
    3. `<vector>` or its first word, `.parquet` or `.csv`, in the root: `emoca-334.csv`, `emoca.parquet`. Its `id` is
       the sample's in the index.

    Args:
        root: The dataset's root.
        images: Files relative to the root; of many, a thousand spread evenly are checked.
        vector: A key of `VECTORS`.
        missing: See `ParameterSource`.

    Raises:
        DatasetNotFound: there are none. InvalidFile: the table is damaged.
    """
    first, _ = parts_of(vector)[0]
    stems = [_stem(root, image) for image in images[:: max(1, len(images) // _PROBES)]]
    if any(_mentions(Path(f"{stem}.json"), vector) for stem in stems):
        return ParameterSource(root, vector, "json", missing)
    if any(parts_separator(stem, vector) for stem in stems):
        return ParameterSource(root, vector, "parts", missing)
    tables = [f"{name}.{suffix}" for name in (vector, vector.partition("-")[0]) for suffix in ("parquet", "csv")]
    for name in tables:
        if (root / name).is_file():
            return ParameterSource(root, vector, "table", missing, read_table(root / name, vector), root / name)
    beside = f"NAME.json, NAME/{first}.npy and NAME_{first}.npy beside the images (NAME.jpg)"
    obtain = "Run the regressor on the images, and leave what it gives in one of these places."
    raise DatasetNotFound(f"{root}: no {vector} parameters; looked for {beside}, and for {', '.join(tables)}. {obtain}")


def _mentions(path: Path, vector: str) -> bool:
    """Whether a JSON file has to do with a vector at all; what is damaged is left to `read_json` to report."""
    try:
        with open_regular(path) as file:
            text = file.read(MAX_JSON)
    except OSError:
        return False
    return any(f'"{part}"'.encode() in text for part, _ in parts_of(vector))


def _stem(root: Path, image: str) -> str:
    return f"{root}/{PurePosixPath(image).with_suffix('')}"
