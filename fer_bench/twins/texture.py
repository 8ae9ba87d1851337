"""A face's albedo: colour without shading, painted in texture space around the landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fer_bench.twins.atlas import EYE_BOX, EYE_FIELD, MOUTH_BOX, STRIP, Unrolling
from fer_bench.twins.face import FaceModel
from fer_bench.twins.landmarks import inside_polygon

Floats = NDArray[np.float64]

_LIGHT, _TAN, _DARK = (np.array(rgb, dtype=float) for rgb in ((236, 198, 176), (198, 148, 116), (104, 68, 50)))
_REACH = 8.0  # mm
_IRISES = np.array([(92, 60, 38), (70, 44, 28), (88, 108, 120), (96, 104, 70)], dtype=float)
_HAIRS = np.array([(44, 34, 28), (28, 24, 22), (84, 62, 44), (120, 92, 62)], dtype=float)


@dataclass(frozen=True)
class Complexion:
    """One person's colours.

    Attributes:
        skin, lips, hair, iris: (3,) RGB, 0..255.
        flush: How red cheeks and nose are, about 0..1.
        brow: Half the thickness of the brows (mm).
    """

    skin: Floats
    lips: Floats
    hair: Floats
    iris: Floats
    flush: float
    brow: float

    @classmethod
    def draw(cls, rng: np.random.Generator, darkness: float) -> Complexion:
        """A random complexion around a darkness of the skin in [0, 1]."""
        t = float(np.clip(darkness + 0.07 * rng.standard_normal(), 0.0, 1.0))
        skin = _LIGHT + (_TAN - _LIGHT) * min(2 * t, 1.0) + (_DARK - _TAN) * max(2 * t - 1, 0.0)
        skin = skin * (1.0 + 0.012 * rng.standard_normal(3))
        lips = skin * [0.82, 0.58, 0.60] + np.array([12.0, 4.0, 8.0]) * rng.uniform(0.0, 1.0)
        pick = int(rng.integers(len(_HAIRS))) if t < 0.3 else int(rng.integers(2))
        return cls(skin, lips, _HAIRS[pick], _IRISES[pick], float(rng.uniform(0.2, 1.0)), float(rng.uniform(2.4, 4.0)))


def paint(model: FaceModel, complexion: Complexion, rng: np.random.Generator, size: int = 192) -> NDArray[np.uint8]:
    """(size, size, 3) uint8 albedo, first row at the top."""
    cylinder = Unrolling.around(model.template)
    marks = cylinder.flatten(model.template[model.landmarks68])
    v, u = np.meshgrid((np.arange(size)[::-1] + 0.5) / size, (np.arange(size) + 0.5) / size, indexing="ij")
    uv = np.stack([u.ravel(), v.ravel()], axis=1)
    colour = _skin(cylinder.from_uv(uv), marks, complexion, rng)
    strip = uv[:, 1] < STRIP
    colour[strip] = complexion.skin
    for box, fill in ((EYE_BOX, _eyeball), (MOUTH_BOX, _mouth)):
        share = (uv - box[:2]) / (np.array(box[2:]) - box[:2])
        inside = strip & (np.abs(share - 0.5) <= 0.5 + 1.5 / size / (box[2] - box[0])).all(axis=1)
        colour[inside] = fill(share[inside] - 0.5, complexion)
    colour += 2.0 * rng.standard_normal((len(colour), 1))
    return np.clip(np.rint(colour), 0, 255).astype(np.uint8).reshape(size, size, 3)


def _skin(at: Floats, marks: Floats, complexion: Complexion, rng: np.random.Generator) -> Floats:
    colour = np.tile(complexion.skin, (len(at), 1))
    # Blotches: plane waves, so that the two halves of the texture meet in the same colour.
    waves, phases = rng.standard_normal((24, 2)) * 2 * np.pi / 28.0, rng.uniform(0, 2 * np.pi, 24)
    colour *= 1.0 + 0.005 * np.cos(at @ waves.T + phases).sum(axis=1, keepdims=True) * [0.7, 1.0, 1.0]
    unit = np.linalg.norm(marks[45] - marks[36]) / 90.0
    for x, y, width in ((42.0, -28.0, 15.0), (-42.0, -28.0, 15.0), (0.0, -32.0, 9.0), (0.0, -92.0, 14.0)):
        centre = (marks[36] + marks[45]) / 2 + unit * np.array([x, y])
        blush = np.exp(-0.5 * ((at - centre) ** 2).sum(axis=1) / (unit * width) ** 2)[:, None]
        colour *= 1.0 - 0.16 * complexion.flush * blush * [0.0, 1.0, 0.8]
    for lids in (range(36, 42), range(42, 48)):
        rim = _distance(at, marks[[*lids, lids[0]]])
        colour = _blend(colour, complexion.skin * [0.72, 0.62, 0.60], 0.55 * _fade(rim, 1.0, 5.5))
        colour = _blend(colour, complexion.hair * 0.7, 0.9 * _fade(rim, 0.6, 1.7))
        colour = _blend(colour, np.array([190.0, 120.0, 110.0]), inside_polygon(at, marks[list(lids)]).astype(float))
    for brow, eye in ((range(17, 22), slice(36, 42)), (range(22, 27), slice(42, 48))):
        # The landmarks follow the upper edge of the hair.
        line = 0.84 * marks[list(brow)] + 0.16 * marks[eye].mean(axis=0)
        hair = _fade(_distance(at, line), 0.5 * complexion.brow, 1.4 * complexion.brow)
        colour = _blend(colour, complexion.hair, 0.85 * hair)
    outer, inner = marks[48:60], marks[60:68]
    # The edge of the red is soft.
    edge = np.where(inside_polygon(at, outer), 0.0, _distance(at, np.concatenate([outer, outer[:1]])))
    colour = _blend(colour, complexion.lips, _fade(edge, 0.0, 1.6))
    return _blend(colour, complexion.lips * 0.55, 0.8 * _fade(_distance(at, inner[:5]), 0.2, 1.4))


def _eyeball(at: Floats, complexion: Complexion) -> Floats:
    radius = np.hypot(*(at.T * EYE_FIELD))
    colour = np.tile(np.array([234.0, 230.0, 226.0]), (len(at), 1))
    colour = _blend(colour, np.array([205.0, 150.0, 140.0]), 0.7 * (1.0 - _fade(radius, 10.0, 13.5)))
    colour = _blend(colour, complexion.iris, _fade(radius, 5.4, 6.2))
    return _blend(colour, np.array([14.0, 12.0, 12.0]), _fade(radius, 2.2, 3.0))


def _mouth(at: Floats, complexion: Complexion) -> Floats:
    return np.tile(complexion.lips * [0.42, 0.30, 0.30], (len(at), 1))


def _blend(colour: Floats, paint_: Floats, share: Floats) -> Floats:
    return colour + (paint_ - colour) * share[:, None]


def _fade(distance: Floats, full: float, none: float) -> Floats:
    """1 up to a distance of `full`, 0 from `none` on."""
    t = np.clip((none - distance) / (none - full), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _distance(at: Floats, line: Floats) -> Floats:
    """Distance (N,) of points (N, 2) to a polyline (M, 2); infinite beyond `_REACH`, where no stroke goes."""
    distance = np.full(len(at), np.inf)
    near = ((at > line.min(axis=0) - _REACH) & (at < line.max(axis=0) + _REACH)).all(axis=1)
    points, nearest = at[near], np.full(int(near.sum()), np.inf)
    for a, b in pairwise(line):
        d = b - a
        t = np.clip((points - a) @ d / max(float(d @ d), 1e-12), 0.0, 1.0)
        nearest = np.minimum(nearest, np.hypot(*(points - a - t[:, None] * d).T))
    distance[near] = nearest
    return distance
