"""Landmarks: the 68 of Multi-PIE on the procedural face, and BU-3DFE's 83 on any face."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fer_bench.twins.sculpt_mesh import EYE_COLUMNS, MOUTH_COLUMNS, SculptMesh
from fer_bench.twins.sculpture import MOUTH_Q, Floats, lip_height

Indices = NDArray[np.int64]

# Flat coordinates (p, q) of landmarks on the right half of the subject's face (p < 0), in Multi-PIE order.
_JAW = [(-86, 4), (-87, -16), (-87, -36), (-85, -58), (-76, -80), (-60, -92), (-42, -98), (-21, -101)]
_BROW = [(-48, 18), (-40, 22.5), (-31, 23.5), (-21.5, 22), (-12, 18.5)]
_BRIDGE = [4.0, -8.0, -20.0, -31.5]
_NOSE_BASE = [(-14.5, -39), (-7, -42), (0, -42.5)]
_LID_COLUMNS = (17, 10)


def sculpture_landmarks68(mesh: SculptMesh) -> Indices:
    """(68,) vertices of the procedural face in Multi-PIE order, which starts on the subject's right."""
    middle = len(mesh.columns) // 2
    eye_row, mouth_row = int(np.abs(mesh.rows).argmin()), int(np.abs(mesh.rows - MOUTH_Q).argmin())

    def at(p: float, q: float) -> int:
        return int(mesh.grid[np.abs(mesh.rows - q).argmin(), np.abs(mesh.columns - p).argmin()])

    def both(points: Sequence[tuple[float, float]]) -> list[int]:
        return [at(p, q) for p, q in points] + [at(-p, q) for p, q in points[::-1]]

    def rim(row: int, columns: list[int], lower: bool) -> list[int]:
        return [mesh.lower[row, middle + c] if lower else int(mesh.grid[row, middle + c]) for c in columns]

    def lip(p: float, sign: float) -> tuple[float, float]:
        upper, lower = lip_height(np.array([p * 0.93]))
        return p, MOUTH_Q + float(upper[0] if sign > 0 else -lower[0])

    jaw = both(_JAW)
    jaw.insert(len(_JAW), at(0, -102))
    nose = [at(0, q) for q in _BRIDGE] + both(_NOSE_BASE[:2])
    nose.insert(6, at(*_NOSE_BASE[2]))
    eyes = []
    for side in (-1, 1):
        outer, inner = ([int(mesh.grid[eye_row, middle + side * c])] for c in EYE_COLUMNS[::-1])
        upper = rim(eye_row, [side * c for c in _LID_COLUMNS], False)
        lower = rim(eye_row, [side * c for c in _LID_COLUMNS[::-1]], True)
        eyes += outer + upper + inner + lower if side < 0 else inner + upper[::-1] + outer + lower[::-1]
    corners = [int(mesh.grid[mouth_row, middle + c]) for c in (-MOUTH_COLUMNS, MOUTH_COLUMNS)]
    upper = [at(*lip(p, 1.0)) for p in (-17.0, -6.3, 0.0, 6.3, 17.0)]
    lower = [at(*lip(p, -1.0)) for p in (17.0, 7.5, 0.0, -7.5, -17.0)]
    inner_upper = rim(mouth_row, [-11, -4, 0, 4, 11], False)
    inner_lower = rim(mouth_row, [4, 0, -4], True)
    mouth = [corners[0], *upper, corners[1], *lower, *inner_upper, *inner_lower]
    landmarks = np.array([*jaw, *both(_BROW), *nose, *eyes, *mouth], dtype=np.int64)
    assert len(np.unique(landmarks)) == 68
    return landmarks


def landmarks83(
    template: Floats, triangles: NDArray[np.int32], skin: NDArray[np.bool_], landmarks68: Indices
) -> Indices:
    """(83,) distinct vertices in the order of BU-3DFE's groups.

    Eyes (8 each, from the inner corner over the upper lid), brows (10 each, upper edge outwards, lower edge back), nose
    (12, down one side, along the base, up the other), mouth (12 outer, 8 inner), contour (15). Each group starts on the
    image's left, the subject's right, as the mouth and the contour do in Multi-PIE; for eyes and brows this order of
    sides is an assumption. Curves through the 68 landmarks are resampled and snapped to the nearest vertices.

    Args:
        skin: (F,) which triangles are skin.
    """
    p = template[landmarks68]

    def path(*numbers: int, share: tuple[float, ...]) -> list[Floats]:
        """Points at shares of the length of the line through some of the 68 landmarks."""
        line = p[list(numbers)]
        at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        return [np.array([np.interp(s * at[-1], at, line[:, axis]) for axis in range(3)]) for s in share]

    quarter, fifth = (0.25, 0.5, 0.75), (0.0, 0.25, 0.5, 0.75, 1.0)
    edge = np.array([0.0, 3.0, 0.0])
    wanted: list[Floats] = []
    for upper, lower in (((39, 38, 37, 36), (36, 41, 40, 39)), ((42, 43, 44, 45), (45, 46, 47, 42))):
        wanted += [p[upper[0]], *path(*upper, share=quarter), p[upper[-1]], *path(*lower, share=quarter)]
    for brow in ((21, 20, 19, 18, 17), (22, 23, 24, 25, 26)):
        wanted += [point + edge for point in path(*brow, share=fifth)]
        wanted += [point - edge for point in path(*brow[::-1], share=fifth)]
    sides = [_nose_side(p, *side) for side in ((39, 31, -1.0), (42, 35, 1.0))]
    base = [(p[31] + p[32]) / 2, p[32], p[33], p[34]]
    wanted += [*sides[0], *base, *sides[1][::-1]]
    mouth = list(p[48:68])
    contour = path(*range(17), share=tuple(np.linspace(0, 1, 15)))
    wanted += [*mouth, *contour]
    return _snap(template, np.unique(triangles[skin]), np.array(wanted), _exact(landmarks68))


def _nose_side(p: Floats, eye: int, wing: int, side: float) -> list[Floats]:
    """Four points down a side of the nose, the last one the alare: the most lateral point of the wing."""
    alare = p[wing] + [side * 2.5, 4.0, -1.0]
    root = 0.55 * p[27] + 0.45 * p[eye]
    return [root, root + 0.4 * (alare - root), root + 0.75 * (alare - root), alare]


def _exact(landmarks68: Indices) -> dict[int, int]:
    """Rows of the 83 that are one of the 68 themselves: they are not snapped, for lips touch."""
    exact = {0: 39, 4: 36, 8: 42, 12: 45, 42: 33, 75: 8}
    exact |= {row: row for row in range(48, 68)}
    return {row: int(landmarks68[number]) for row, number in exact.items()}


def _snap(template: Floats, candidates: Indices, wanted: Floats, exact: dict[int, int]) -> Indices:
    free = candidates[~np.isin(candidates, list(exact.values()))]
    found = np.zeros(len(wanted), dtype=np.int64)
    for row, point in enumerate(wanted):
        if row in exact:
            found[row] = exact[row]
            continue
        # Chords between landmarks run below the surface, so depth counts less.
        away = ((template[free] - point) * [1.0, 1.0, 0.35]) ** 2
        nearest = int(away.sum(axis=1).argmin())
        found[row] = free[nearest]
        free = np.delete(free, nearest)
    return found


def inside_polygon(points: Floats, polygon: Floats) -> NDArray[np.bool_]:
    """(N,) which points (N, 2) lie inside a closed polygon (M, 2), by the parity of crossings."""
    odd = np.zeros(len(points), dtype=bool)
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crosses = (a[1] > points[:, 1]) != (b[1] > points[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            x = a[0] + (points[:, 1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
        odd ^= crosses & (points[:, 0] < x)
    return odd
