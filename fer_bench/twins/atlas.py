"""Where each part of a face lies in its texture.

As in BU-3DFE, the texture holds two views side by side, one of each half of the face, which meet in a seam along the
midline: the vertices there have two texture coordinates. A view is a cylinder unrolled. A strip below them holds what
the views would not show when the face is at rest: an eyeball (both share it) and the inside of the mouth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_bench.twins.sculpt_mesh import EYE, MOUTH, SKIN

Floats = NDArray[np.float64]

STRIP = 0.14
"""Height of the strip at the bottom, as a share of the texture."""
EYE_BOX = (0.01, 0.01, 0.13, 0.13)
"""Left, bottom, right, top of the eyeball in the strip (u, v)."""
MOUTH_BOX = (0.20, 0.01, 0.32, 0.13)
EYE_FIELD = 30.0
"""Width and height in millimetres of what `EYE_BOX` shows."""

_RADIUS = 80.0  # mm; turns angles around the axis into lengths
_AXIS_BEHIND_NOSE = 98.0  # mm
_MARGIN = 8.0  # mm that each view shows beyond the midline
_ROUND = 176.0  # mm around the cylinder that each view shows


@dataclass(frozen=True)
class Unrolling:
    """The cylinder around a face.

    Attributes:
        axis: z of the cylinder's vertical axis (mm).
        low, high: y of its lower and its upper end (mm).
    """

    axis: float
    low: float
    high: float

    @classmethod
    def around(cls, template: Floats) -> Unrolling:
        """Of a face's template (V, 3)."""
        y = template[:, 1]
        return cls(float(template[:, 2].max()) - _AXIS_BEHIND_NOSE, float(y.min()) - 2.0, float(y.max()) + 2.0)

    def flatten(self, points: Floats) -> Floats:
        """(N, 3) points -> (N, 2) length around (0 at the midline, + on the subject's left) and height, mm."""
        around = _RADIUS * np.arctan2(points[:, 0], points[:, 2] - self.axis)
        return np.stack([around, points[:, 1]], axis=1)

    def to_uv(self, flat: Floats, side: int) -> Floats:
        """(N, 2) flattened points -> (N, 2) texture coordinates in the view of one side (-1 or 1)."""
        along = np.clip((side * flat[:, 0] + _MARGIN) / _ROUND, 0.0, 1.0)
        u = 0.5 * along if side > 0 else 1.0 - 0.5 * along
        v = STRIP + (1.0 - STRIP) * (flat[:, 1] - self.low) / (self.high - self.low)
        return np.stack([u, v], axis=1)

    def from_uv(self, uv: Floats) -> Floats:
        """The inverse of `to_uv`, of either view, for points above the strip."""
        left = uv[:, 0] < 0.5
        along = np.where(left, uv[:, 0], 1.0 - uv[:, 0]) / 0.5 * _ROUND - _MARGIN
        height = self.low + (uv[:, 1] - STRIP) / (1.0 - STRIP) * (self.high - self.low)
        return np.stack([np.where(left, along, -along), height], axis=1)


def unwrap(
    template: Floats, triangles: NDArray[np.int32], parts: NDArray[np.uint8]
) -> tuple[Floats, NDArray[np.int32]]:
    """Texture coordinates (U, 2) of a face, and the triangles' corners among them (F, 3)."""
    cylinder = Unrolling.around(template)
    centre_x = template[triangles, 0].mean(axis=1)
    side = np.where(centre_x >= 0, 1, -1)
    uv = np.zeros((0, 2))
    uv_triangles = np.zeros_like(triangles)
    for part in (SKIN, EYE, MOUTH):
        for half in (1, -1):
            chosen = (parts == part) & (side == half)
            used, corners = np.unique(triangles[chosen], return_inverse=True)
            if len(used) == 0:
                continue
            points = template[used]
            if part == SKIN:
                coordinates = cylinder.to_uv(cylinder.flatten(points), half)
            elif part == EYE:
                middle = (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2
                # The eye looks ahead: its foremost point is the pupil's centre.
                middle = points[points[:, 2].argmax(), :2] * 0.5 + middle * 0.5
                coordinates = _in_box(EYE_BOX, (points[:, :2] - middle) / EYE_FIELD + 0.5)
            else:
                low, high = template[:, 0].min(), template[:, 0].max()
                inside = np.stack([(points[:, 0] - low) / (high - low), np.full(len(points), 0.5)], axis=1)
                coordinates = _in_box(MOUTH_BOX, inside)
            uv_triangles[chosen] = corners.reshape(-1, 3) + len(uv)
            uv = np.concatenate([uv, coordinates])
    return np.round(uv, 6), uv_triangles


def _in_box(box: tuple[float, float, float, float], share: Floats) -> Floats:
    low, high = np.array(box[:2]), np.array(box[2:])
    return low + (high - low) * np.clip(share, 0.0, 1.0)
