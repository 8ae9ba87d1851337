"""Whether a mesh can be a face in millimetres that faces the camera: copies exist in other units and mirrored."""

import numpy as np
from numpy.typing import NDArray

from fer_bench.geometry.scan import Scan

_CELLS = 7
# Heights of what scanners keep, from chin to brow up to head and shoulders. The ranges of the three units are disjoint.
_HEIGHT_MM = (80.0, 600.0)


def implausible(scan: Scan) -> str | None:
    """What is wrong with a scan as a face in millimetres, +y up and +z to the camera, in words that follow "are"; or
    None.

    Landmarks decide what is up and which side is left, where there are any; without them only size and the direction of
    the surface can be decided.
    """
    return _wrong_size(scan) or _wrong_landmarks(scan) or _wrong_surface(scan)


def _wrong_size(scan: Scan) -> str | None:
    low, high = np.percentile(scan.vertices[:, 1], [1, 99])
    for unit, scale in (("metres", 1000.0), ("centimetres", 10.0)):
        if _HEIGHT_MM[0] <= (high - low) * scale < _HEIGHT_MM[1]:
            return f"in {unit} where millimetres are expected"
    return None if _HEIGHT_MM[0] <= high - low < _HEIGHT_MM[1] else "of a size that no face has"


def _wrong_landmarks(scan: Scan) -> str | None:
    marks = scan.landmarks
    left, right = marks.get("left_eye_outer"), marks.get("right_eye_outer")
    if left is None or right is None:
        return None
    if left[0] <= right[0]:
        return "mirrored or seen from behind, for the left eye is on the right"
    below = [marks[name][1] for name in ("chin", "subnasale", "nose_tip") if name in marks]
    if below and min(below) >= max(left[1], right[1]):
        return "upside down, for the eyes are below the chin"
    return None


def _wrong_surface(scan: Scan) -> str | None:
    bulges, outwards = _front(scan)
    if bulges:
        return None if outwards else "inside out, for their triangles are clockwise"
    return "turned away, or mirrored in depth, for the middle is behind the rim"


def _front(scan: Scan) -> tuple[bool, bool]:
    """Whether the surface nearest to the camera lies further in front in the middle than at the rim, and whether its
    triangles there face the camera."""
    if not len(scan.triangles):
        return True, True
    corners = scan.vertices[scan.triangles].astype(np.float64)  # (F, 3, 3)
    middles = corners.mean(axis=1)
    low, high = np.percentile(middles[:, :2], [1, 99], axis=0)
    place = np.clip((middles[:, :2] - low) / np.maximum(high - low, 1e-9) * _CELLS, 0, _CELLS - 1).astype(np.int64)
    cell = place[:, 1] * _CELLS + place[:, 0]
    order = np.lexsort((middles[:, 2], cell))  # within a cell the foremost triangle comes last
    last = order[np.flatnonzero(np.diff(cell[order], append=-1))]
    depth: NDArray[np.float64] = np.full(_CELLS**2, np.nan)
    depth[cell[last]] = middles[last, 2]
    grid = depth.reshape(_CELLS, _CELLS)
    centre, rim = grid[2:-2, 2:-2], grid.copy()
    rim[1:-1, 1:-1] = np.nan
    if np.isnan(centre).all() or np.isnan(rim).all():
        return True, True  # a ring, or a strip: undecided
    inner = last[
        np.isin(cell[last] % _CELLS, range(2, _CELLS - 2)) & np.isin(cell[last] // _CELLS, range(2, _CELLS - 2))
    ]
    a, b, c = corners[inner, 0], corners[inner, 1], corners[inner, 2]
    facing = np.cross(b - a, c - a)[:, 2]
    return bool(np.nanmedian(centre) > np.nanmedian(rim)), bool((facing > 0).mean() > 0.5)
