"""The mean face that scans without landmarks are aligned to, and that all are registered to."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).with_name("mean_face.npz")


@dataclass(frozen=True, eq=False)  # equal only to itself, so that it can be a cache's key
class MeanFace:
    """A neutral face in the canonical frame (`alignment.CANONICAL`): the skin without eyeballs and mouth cavity.

    It is the mean of the suite's own procedural face (`fer_bench.twins.make_mean_face` writes the file), so that it may
    be given away with the suite; those of BFM, FLAME or ICT may not, or not with every scan registered to them.

    Attributes:
        vertices: (V, 3) float32 millimetres.
        triangles: (F, 3) int32, counter-clockwise from outside.
        landmarks: the names of `alignment.CANONICAL` and `nose_tip` -> rows of `vertices`.
        template: (V,) int64 the vertices of the procedural face that they are.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    landmarks: dict[str, int]
    template: NDArray[np.int64]


@lru_cache(maxsize=1)
def mean_face() -> MeanFace:
    """The one mean face; its arrays must not be written to."""
    with np.load(FILE, allow_pickle=False) as file:
        names, rows = file["landmark_names"].tolist(), file["landmarks"].tolist()
        return MeanFace(
            vertices=file["vertices"],
            triangles=file["triangles"].astype(np.int32),
            landmarks=dict(zip(names, rows, strict=True)),
            template=file["template"].astype(np.int64),
        )
