"""The 83 landmarks of BU-3DFE and BU-4DFE (`.bnd`): one row a landmark, `index x y z`, separated by any whitespace."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import BrokenScan
from fer_bench.io.file_bytes import REMEDY, read_bytes
from fer_bench.records import atomic_write

COUNT = 83
# Possessive quantifiers: without them a long run of digits is tried at every length.
_ROW = re.compile(r"\s*+(\d{1,9})" + r"\s++([+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?)" * 3 + r"\s*+")

# 0-based rows. The groups come in pairs, one on each side of the face.
_PAIRS = {
    "eye": {"inner": (0, 8), "outer": (4, 12)},
    "alare": {"": (39, 44)},
    "mouth": {"corner": (48, 54)},
}
_MIDDLE = {"subnasale": 42, "upper_lip": 51, "lower_lip": 57, "chin": 75}


def read_bnd(path: Path | str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Read a landmark file; blank lines are ignored (BU-4DFE may end with one).

    Returns:
        indices: (83,) int64, 0-based vertices of the mesh they were placed on; a hint, the points are the truth.
        points: (83, 3) float32, in the mesh's unit (millimetres).

    Raises:
        BrokenScan: the file is missing, has another number of rows, or a row is not one index and three finite numbers.
    """
    text = read_bytes(path).decode("latin-1")
    indices, points = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row = _ROW.fullmatch(line)
        if row is None:
            raise BrokenScan(path, f"line {number} is not an index and three numbers ({line.strip()[:40]!r})", REMEDY)
        indices.append(int(row[1]))
        points.append([float(value) for value in row.groups()[1:]])
    if len(points) != COUNT:
        raise BrokenScan(path, f"there are {len(points)} landmarks instead of {COUNT}", REMEDY)
    with np.errstate(over="ignore"):  # what overflows is reported below
        array = np.array(points, dtype=np.float32)
    if not np.isfinite(array).all():
        worst = int((~np.isfinite(array)).any(axis=1).argmax())
        raise BrokenScan(path, f"landmark {worst} is not finite", REMEDY)
    return np.array(indices, dtype=np.int64), array


def write_bnd(path: Path | str, indices: NDArray[np.integer], points: NDArray[np.floating]) -> None:
    """Write (83,) indices and (83, 3) points as BU-3DFE does: index, two tabs, x y z; atomically."""
    rows = [f"{i}\t\t{x:g} {y:g} {z:g}\n" for i, (x, y, z) in zip(indices.tolist(), points.tolist(), strict=True)]
    with atomic_write(Path(path)) as file:
        file.write("".join(rows).encode())


def named_landmarks(points: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The landmarks with anatomical names, as `alignment.CANONICAL` spells them: name -> (3,) float32.

    No source says whose left the file's groups mean, so sides follow from positions: the subject's left is +x, which
    holds for every scan that faces the camera.

    Args:
        points: (83, 3), as `read_bnd` gives them.
    """
    named = {name: points[row] for name, row in _MIDDLE.items()}
    for group, parts in _PAIRS.items():
        first, second = (np.mean([points[rows[side]][0] for rows in parts.values()]) for side in (0, 1))
        left = 0 if first > second else 1
        for part, rows in parts.items():
            stem = "_".join(filter(None, (group, part)))
            named[f"left_{stem}"], named[f"right_{stem}"] = points[rows[left]], points[rows[1 - left]]
    return named
