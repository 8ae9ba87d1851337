"""Expressions in time: how a face goes from rest to an expression and back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_bench.twins.actions import TWO_SIDED, act
from fer_bench.twins.expression_recipes import Style
from fer_bench.twins.face import EXPRESSION_NAMES
from fer_bench.twins.scans import Pose

Floats = NDArray[np.float64]
Range = tuple[float, float]


@dataclass(frozen=True)
class Timing:
    """When an expression happens, as shares of a sequence's length; each a range between people and takes.

    Attributes:
        onset: The face begins to move.
        apex: It has arrived.
        release: It begins to relax.
        offset: It is back at rest; beyond 1, the sequence ends before.
        strength: Factor of the requested strength.
        residue: Share of the expression that stays afterwards.
    """

    onset: Range
    apex: Range
    release: Range
    offset: Range
    strength: Range = (0.9, 1.0)
    residue: Range = (0.0, 0.02)


POSED = Timing((0.04, 0.12), (0.32, 0.44), (0.54, 0.66), (0.86, 0.94))
"""On request: from rest to the full expression in the middle and back to rest, as in BU-4DFE."""

SPONTANEOUS = Timing((0.15, 0.35), (0.55, 0.68), (0.74, 0.84), (0.95, 1.15), (0.45, 0.8), (0.05, 0.2))
"""Elicited: weaker, later, and not quite over at the end, as in BP4D."""

MICRO = Timing((0.0, 0.05), (0.38, 0.48), (0.5, 0.58), (0.94, 1.0), (0.2, 0.4), (0.0, 0.03))
"""A leak of less than half a second, cut from its first to its last frame, as in 4DME."""

_LAG = 0.03  # of the sequence's length, between the upper and the lower face
_TREMOR = 0.012
_BLINK, _BLINK_SHARE = 0.5, 0.025  # how likely, and how long
_UPPER = np.array([name.startswith(("brow", "eye", "cheekSquint", "nose")) for name in EXPRESSION_NAMES])
_BLINKS = [EXPRESSION_NAMES.index(f"eyeBlink_{side}") for side in "LR"]


def performance(
    style: Style,
    expression: str,
    frames: int,
    rng: np.random.Generator,
    *,
    strength: float = 1.0,
    timing: Timing = POSED,
) -> Floats:
    """One performance by one person: onset, apex, offset.

    Args:
        style: The person.
        expression: As `act` takes it. In CoMA's `mouth_side` and the like the mouth goes to the left, then right.
        frames: How many, evenly spaced in time.
        rng: Randomness of this take.
        strength: 0 to 1.
        timing: When; every person has a tempo of their own.

    Returns:
        (frames, 53) blendshape weights, as `act` gives them.
    """
    rest = act(style, "neutral", 0.0, rng)
    strength = strength * float(rng.uniform(*timing.strength))
    time = np.linspace(0.0, 1.0, frames) if frames > 1 else np.array([0.5])
    if expression in TWO_SIDED:
        halves = [time / 0.55, (time - 0.45) / 0.55]
        acts = [act(style, f"{expression}_{side}", strength, rng) for side in ("left", "right")]
        moves = [(way - rest) * _envelope(style, t, rng, timing) for way, t in zip(acts, halves, strict=True)]
        weights = rest + moves[0] + moves[1]
    else:
        apex = act(style, expression, strength, rng)
        weights = rest + (apex - rest) * _envelope(style, time, rng, timing)
    weights = weights + _TREMOR * _tremor(time, rng)
    weights[:, _BLINKS] = np.maximum(weights[:, _BLINKS], _blink(time, rng)[:, None])
    return np.clip(weights, np.where(weights.min(axis=0) < -0.2, -1.0, 0.0), 1.0)


def _envelope(style: Style, time: Floats, rng: np.random.Generator, timing: Timing) -> Floats:
    """(frames, 53) from 0 at rest to 1 at the apex, the upper and the lower face a little apart."""
    tempo = (style.asymmetry.mean() - 1.0) / 0.016  # about N(0, 1), and a person's for ever

    def moment(between: Range) -> float:
        share = 0.5 + 0.2 * tempo + 0.2 * float(rng.standard_normal())
        return between[0] + (between[1] - between[0]) * float(np.clip(share, 0.0, 1.0))

    onset, apex, release, offset = map(moment, (timing.onset, timing.apex, timing.release, timing.offset))
    residue = float(rng.uniform(*timing.residue))
    lag = _LAG * float(rng.uniform(-1.0, 1.0))
    curves = []
    for shift in (0.0, lag):
        at = time + shift
        curves.append(
            _rise((at - onset) / (apex - onset)) * (1 - (1 - residue) * _rise((at - release) / (offset - release)))
        )
    return np.where(_UPPER, curves[0][:, None], curves[1][:, None])


def _rise(share: Floats) -> Floats:
    """From 0 at 0 to 1 at 1 without a jerk."""
    s = np.clip(share, 0.0, 1.0)
    rise: Floats = s**3 * (10.0 + s * (6.0 * s - 15.0))
    return rise


def _waves(time: Floats, count: int, rng: np.random.Generator) -> Floats:
    """(frames, count) smooth noise of variance about 1."""
    cycles, phases = rng.uniform(0.4, 2.5, (4, count)), rng.uniform(0.0, 2 * np.pi, (4, count))
    waves: Floats = np.sin(2 * np.pi * cycles * time[:, None, None] + phases).sum(axis=1) / np.sqrt(2.0)
    return waves


def _tremor(time: Floats, rng: np.random.Generator) -> Floats:
    """(frames, 53) what a face does that holds still: a few movements of many blendshapes."""
    return _waves(time, 5, rng) @ np.where(rng.random((5, len(EXPRESSION_NAMES))) < 0.2, 1.0, 0.0)


def _blink(time: Floats, rng: np.random.Generator) -> Floats:
    """(frames,) at most one blink, neither at the beginning nor at the end."""
    middle, happens = rng.uniform(0.12, 0.88), rng.random() < _BLINK
    return happens * 0.95 * np.exp(-(((time - middle) / _BLINK_SHARE) ** 2))


def head_motion(
    frames: int, rng: np.random.Generator, *, degrees: float = 3.0, mm: float = 2.0, start: Pose | None = None
) -> list[Pose]:
    """Poses of a head that does not quite hold still.

    Args:
        degrees, mm: Standard deviations of pitch, yaw and roll, and of the position.
        start: About which it moves; None for upright at the origin.
    """
    time = np.linspace(0.0, 1.0, frames)
    moves = _waves(time, 6, rng) * [degrees, degrees, 0.5 * degrees, mm, mm, mm]
    around = start or Pose.turned(0.0, 0.0, 0.0)
    poses = [Pose.turned(pitch, yaw, roll, shift) for pitch, yaw, roll, *shift in moves.tolist()]
    return [Pose(pose.rotation @ around.rotation, pose.shift + around.shift) for pose in poses]


def apex(weights: Floats) -> int:
    """The frame farthest from the first, blinks apart: (frames, 53) -> 0-based number."""
    moved = np.delete(weights - weights[0], _BLINKS, axis=1)
    return int((moved**2).sum(axis=1).argmax())
