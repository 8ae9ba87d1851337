"""The surface of the neutral procedural face, as a function of flat coordinates.

The frame is the subject's, in millimetres: x = 0 is the midline and +x the subject's left, y = 0 the pupils, z = 0
near the glabella, +z forward. Proportions are textbook adult anthropometry (inter-canthal 33, bizygomatic 138, nasion
to gnathion 112, mouth 50); nothing is taken from any scan or model.

Flat coordinates are p around the head and q down it, in millimetres. The base surface is a stack of elliptic arcs, on
which smooth hills and grooves are added along the surface normal.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Floats = NDArray[np.float64]

MOUTH_Q = -62.0
"""Height of the line between the lips."""
MOUTH_HALF = 24.5
"""Half the width of the mouth."""
EYE_X = 31.0
"""Distance of a pupil from the midline."""
EYE_HALF = 14.0
"""Half the width of the opening between the lids."""


def hill(x: Floats, y: Floats, centre: tuple[float, float], widths: tuple[float, float]) -> Floats:
    """A Gaussian hill of height 1, mirrored about the midline when its centre is off it."""
    cx, cy = centre
    away = np.abs(x) if cx else x
    value: Floats = np.exp(-0.5 * (((away - cx) / widths[0]) ** 2 + ((y - cy) / widths[1]) ** 2))
    return value


def step(x: Floats, start: float, end: float) -> Floats:
    """A smooth step from 0 at `start` to 1 at `end`."""
    t = np.clip((x - start) / (end - start), 0.0, 1.0)
    value: Floats = t * t * (3.0 - 2.0 * t)
    return value


def _curve(points: Iterable[tuple[float, float]]) -> PchipInterpolator:
    at, value = np.array(sorted(points)).T
    return PchipInterpolator(at, value)


# Half width of the head, depth of its arc, and the midline's z without the nose, at heights q.
_WIDTH = _curve([(80, 56), (55, 65), (25, 69), (0, 70), (-25, 69.5), (-50, 67), (-70, 64.5), (-90, 62), (-115, 58)])
_DEPTH = _curve([(80, 82), (20, 88), (-20, 92), (-60, 88), (-90, 80), (-115, 66)])
_PROFILE = _curve(
    [
        *((80, -25), (66, -13), (48, -5), (30, -0.5), (10, 0), (-20, 0), (-50, 0)),
        *((-80, -1.5), (-96, -5.5), (-103, -10), (-108, -17), (-112, -27), (-116, -38)),
    ]
)
_NOSE = _curve(
    [
        (9, 0),
        (3, 2),
        (-5, 6.5),
        (-15, 12.5),
        (-24, 18.5),
        (-29, 20.5),
        (-33, 20.5),
        (-36, 17),
        (-39, 8),
        (-42, 2),
        (-46, 0),
    ]
)
_NOSE_WIDTH = _curve([(9, 9), (0, 7.5), (-12, 7), (-22, 8), (-30, 9.0), (-38, 8), (-46, 7)])


def lid_opening(x: Floats) -> tuple[Floats, Floats]:
    """Heights of the upper and the lower lid's rim (y, mm) at x, of either eye."""
    t = np.clip((np.abs(x) - EYE_X) / EYE_HALF, -1.0, 1.0)
    arch = 1.0 - t * t
    tilt = 1.0 * t  # the outer corner is a little higher
    return tilt + 5.6 * arch**0.8 * (1.0 - 0.15 * t), tilt - 4.0 * arch**0.85 * (1.0 + 0.2 * t)


def eye_surface(x: Floats, y: Floats) -> Floats:
    """z of the closed lids' surface over the eyeball."""
    value: Floats = -8.5 - (np.abs(x) - EYE_X) ** 2 / 30.0 - y * y / 40.0
    return value


def _nose(x: Floats, y: Floats) -> Floats:
    width = _NOSE_WIDTH(np.clip(y, -46, 9))
    ridge = _NOSE(np.clip(y, -46, 9)) * np.exp(-((x / width) ** 2))
    tip = 2.5 * hill(x, y, (0, -31.5), (6.0, 4.0))
    alae = 9.0 * hill(x, y, (12.4, -33.8), (3.6, 4.0))
    crease = -1.6 * hill(x, y, (18.5, -33), (1.8, 5))
    nostrils = -5.5 * hill(x, y, (6.8, -39.6), (2.7, 1.7))
    return ridge + tip + alae + crease + nostrils


def lip_height(x: Floats) -> tuple[Floats, Floats]:
    """Height of the upper and of the lower lip's red part (mm) at x."""
    t = np.clip(np.abs(x) / MOUTH_HALF, 0.0, 1.0)
    bow = 1.0 - 0.16 * np.exp(-((x / 3.2) ** 2)) + 0.08 * np.exp(-(((np.abs(x) - 6.0) / 4.0) ** 2))
    return 7.6 * (1.0 - t**2.2) * bow + 0.4, 9.4 * (1.0 - t**2.4) + 0.4


def _lips(x: Floats, d: Floats) -> Floats:
    """Relief of the lips, `d` above (+) or below (-) their line."""
    upper, lower = lip_height(x)
    inside = step(np.abs(x), MOUTH_HALF + 6.0, MOUTH_HALF - 8.0)
    u, v = np.clip(d, 0, None) / upper, np.clip(-d, 0, None) / lower
    # A roll that starts at the line, is fullest at 60 % and ends in the edge of the red.
    top = 2.7 * np.exp(-(((u - 0.62) / 0.5) ** 2)) - 0.13 * upper * np.exp(-(((u - 1.25) / 0.28) ** 2))
    bottom = 3.2 * np.exp(-(((v - 0.52) / 0.46) ** 2)) - 0.09 * lower * np.exp(-(((v - 1.35) / 0.35) ** 2))
    line = -2.2 * np.exp(-((d / 1.8) ** 2)) * step(np.abs(x), MOUTH_HALF + 5.0, MOUTH_HALF - 3.0)
    value: Floats = inside * np.where(d >= 0, top, bottom) + line
    return value


def relief(x: Floats, y: Floats) -> Floats:
    """Height of the sculpted features over the base surface (mm), all but the lids."""
    brow = 19.0 + 3.0 * np.sin(np.clip((np.abs(x) - 12.0) / 34.0, -0.3, 1.3) * np.pi) * 0.9
    ridge = (
        np.exp(-0.5 * ((y - brow + 2.0) / 5.5) ** 2) * step(np.abs(x), 56, 40) * (0.55 + 0.45 * step(np.abs(x), 2, 14))
    )
    fold = np.abs(x) - np.interp(y, [-66, -34], [33.0, 20.0])
    nasolabial = np.exp(-0.5 * (fold / 2.6) ** 2) * step(y, -70, -56) * step(y, -28, -38)
    beside = np.exp(-0.5 * ((fold - 7.0) / 6.0) ** 2) * step(y, -70, -54) * step(y, -18, -36)
    return (
        2.6 * ridge
        - 6.5 * hill(x, y, (30, 3), (14, 10))
        - 4.0 * hill(x, y, (14.5, 3), (5.5, 8))
        - 3.5 * hill(x, y, (62, 22), (12, 18))
        + 6.0 * hill(x, y, (47, -20), (15, 12))
        + 3.2 * hill(x, y, (29, -27), (13, 13))
        - 3.5 * hill(x, y, (47, -58), (12, 16))
        + 5.5 * hill(x, y, (0, -56), (24, 14))
        - 4.5 * hill(x, y, (0, 5), (13, 7))
        - 1.4 * nasolabial
        + 1.3 * beside
        - 1.3 * hill(x, y, (0, -48.5), (2.0, 5.0))
        + 0.8 * hill(x, y, (4.3, -49), (1.8, 5.0))
        - 3.6 * hill(x, y, (0, -77.5), (17, 4.5))
        - 1.6 * hill(x, y, (27, -66), (5, 6))
        + 5.0 * hill(x, y, (0, -92), (14, 8.5))
        + 1.6 * hill(x, y, (0, 44), (30, 18))
        + _nose(x, y)
    )


def surface(p: Floats, q: Floats, above: NDArray[np.bool_]) -> Floats:
    """The outer skin (N, 3) at flat coordinates p, q (N,).

    Args:
        above: For points on a slit, whether they belong to its upper side.
    """
    angle = p / 70.0
    x = _WIDTH(q) * np.sin(angle)
    bend = 1.0 - np.cos(angle)
    y = q + bend * (58.0 * step(q, -40, -120) ** 1.4)
    # The lids: rows part around the slit, less and less away from it.
    upper, lower = lid_opening(x)
    along = np.abs(np.abs(x) - EYE_X) / EYE_HALF
    inside = step(along, 1.25, 0.95)
    y = y + np.where(above, upper, lower) * np.exp(-((np.abs(q) / 9.0) ** 1.5)) * inside
    height = relief(x, y)
    d = q - MOUTH_Q
    height = height + np.where(np.abs(d) < 22, _lips(x, np.where(above, np.abs(d), -np.abs(d))), 0.0)
    z = _PROFILE(q) - _DEPTH(q) * bend
    # Straight forward on the front, along the normal on the sides.
    sideways = np.sin(angle) * step(np.abs(p), 40, 80)
    out = np.array([x + height * sideways, y, z + height * np.sqrt(1.0 - sideways**2)]).T
    # The tip of the nose hangs over its base.
    out[:, 1] -= 3.6 * hill(x, y, (0, -35.0), (6.5, 3.4)) + 0.8 * hill(x, y, (12, -35.5), (4, 3))
    out[:, 0] += np.sign(x) * 1.6 * hill(x, y, (13.5, -35), (4, 4))
    out[:, 1] -= 0.8 * (np.abs(x) / MOUTH_HALF) ** 2 * np.exp(-((d / 8) ** 2)) * step(np.abs(x), 40, 26)
    # Lids hug the eyeball, with the crease of the upper lid between them and the brow.
    reach = step(np.hypot(along, y / 15.0), 1.5, 0.85)
    crease = -1.3 * np.exp(-0.5 * ((y - upper - 4.6) / 1.3) ** 2) * step(along, 1.1, 0.6)
    over = 0.9 * np.exp(-0.5 * ((y - upper - 7.4) / 2.0) ** 2) * step(along, 1.2, 0.6)
    out[:, 2] += reach * (eye_surface(x, y) - out[:, 2]) + crease + over
    return out
