"""Expression recipes: which facial action units make an expression, and how people differ in using them.

An expression is a set of FACS action units (Ekman, Friesen & Hager, Facial Action Coding System, 2002), after the
prototypes and major variants of the EMFACS tables. An action unit drives blendshapes, so the one table below serves
every face model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_bench.expressions import BASIC_SIX
from fer_bench.twins.face import EXPRESSION_NAMES

RECIPE = 1
"""Version of everything below that decides a weight; part of a twin's identity."""

ACTION_UNITS: dict[int, dict[str, float]] = {
    1: {"browInnerUp": 1.0},  # inner brow raiser
    2: {"browOuterUp": 1.0},  # outer brow raiser
    4: {"browDown": 1.0},  # brow lowerer
    5: {"eyeWide": 1.0},  # upper lid raiser
    6: {"cheekSquint": 1.0, "eyeSquint": 0.25},  # cheek raiser
    7: {"eyeSquint": 1.0},  # lid tightener
    9: {"noseSneer": 1.0},  # nose wrinkler
    10: {"mouthUpperUp": 1.0},  # upper lip raiser
    12: {"mouthSmile": 1.0},  # lip corner puller
    14: {"mouthDimple": 1.0},  # dimpler
    15: {"mouthFrown": 1.0},  # lip corner depressor
    16: {"mouthLowerDown": 1.0},  # lower lip depressor
    17: {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.2},  # chin raiser
    20: {"mouthStretch": 1.0},  # lip stretcher
    22: {"mouthFunnel": 1.0},  # lip funneler
    23: {"mouthRollLower": 0.5, "mouthRollUpper": 0.5, "mouthPress": 0.3},  # lip tightener
    24: {"mouthPress": 1.0, "mouthPucker": 0.15},  # lip pressor
    25: {"mouthLowerDown": 0.4, "mouthUpperUp": 0.2, "jawOpen": 0.1},  # lips part
    26: {"jawOpen": 0.5},  # jaw drop
    43: {"eyeBlink": 1.0},  # eye closure
}
"""Action unit -> blendshapes at full activation; a name without side is both sides."""


@dataclass(frozen=True)
class Recipe:
    """An expression at level 4.

    Attributes:
        core: Action unit -> activation, as in the prototype.
        variants: Sets of action units that replace or join core ones in some people; a person has at most one.
    """

    core: dict[int, float]
    variants: tuple[dict[int, float], ...]


RECIPES: dict[str, Recipe] = {
    # 4+5+7+23/24: pressed lips; or a shouting mouth (10+22+25+26)
    "anger": Recipe(
        {4: 0.95, 5: 0.35, 7: 0.6, 17: 0.3, 23: 0.7, 24: 0.6},
        ({23: 0.1, 24: 0.0, 10: 0.5, 25: 0.8, 26: 0.5, 22: 0.25}, {24: 0.9, 23: 0.3, 9: 0.3}, {10: 0.35}),
    ),
    # 9+10+16 or 17
    "disgust": Recipe(
        {9: 0.9, 10: 0.75, 4: 0.3, 7: 0.35, 17: 0.35},
        ({17: 0.0, 16: 0.6, 25: 0.5, 26: 0.35}, {15: 0.45}, {6: 0.5, 9: 0.6}),
    ),
    # 1+2+4+5+7+20+26
    "fear": Recipe(
        {1: 0.85, 2: 0.4, 4: 0.4, 5: 0.8, 7: 0.25, 20: 0.85, 25: 0.4, 26: 0.4},
        ({26: 0.9, 20: 0.5}, {26: 0.05, 25: 0.1}, {4: 0.7, 2: 0.15}),
    ),
    # 6+12+25
    "happy": Recipe(
        {6: 0.75, 12: 0.95, 25: 0.5},
        ({26: 0.6, 25: 0.8}, {25: 0.0, 14: 0.3}, {6: 0.25, 12: 0.75}, {1: 0.3, 2: 0.3, 26: 0.3}),
    ),
    # 1+4+15+17
    "sad": Recipe(
        {1: 0.85, 4: 0.4, 15: 0.85, 17: 0.55},
        ({43: 0.3, 17: 0.2}, {20: 0.4, 15: 0.5}, {1: 0.4, 4: 0.7}, {6: 0.4, 7: 0.3}),
    ),
    # 1+2+5+26
    "surprise": Recipe(
        {1: 0.85, 2: 0.9, 5: 0.75, 26: 0.95},
        ({26: 1.6}, {26: 0.4, 25: 0.5}, {5: 0.3}, {22: 0.4}),
    ),
}
"""The prototypes, and what varies between people."""
assert tuple(RECIPES) == BASIC_SIX

LEVEL_GAIN = {1: 0.30, 2: 0.52, 3: 0.76, 4: 1.0}
_INDEX = {name: number for number, name in enumerate(EXPRESSION_NAMES)}

# What makes the task hard; set so that a linear classifier of aligned vertices leaves room above it.
EXPRESSIVITY = (1.2, 0.20)
ABSENT = 0.04
VARIANT = 0.20
EXTRA_UNITS = 0.3
EXTRA_GAIN = 0.30
RESTING = 0.08
UNIT_SPREAD = 0.18
TAKE_SPREAD = 0.16
ASYMMETRY = 0.12
CO_ACTIVATION = (0.10, 0.08)


def unit_weights(units: dict[int, float]) -> NDArray[np.float64]:
    """(53,) blendshape weights of action units at given activations, not clipped."""
    weights = np.zeros(len(EXPRESSION_NAMES))
    for unit, activation in units.items():
        for name, share in ACTION_UNITS[unit].items():
            for sided in (name,) if name in _INDEX else (f"{name}_L", f"{name}_R"):
                weights[_INDEX[sided]] += activation * share
    return weights


def prototype(expression: str, level: int = 4) -> NDArray[np.float64]:
    """(53,) weights of the textbook expression, the same for everybody."""
    if expression == "neutral":
        return np.zeros(len(EXPRESSION_NAMES))
    return np.clip(LEVEL_GAIN[level] * unit_weights(RECIPES[expression].core), 0.0, 1.0)


@dataclass(frozen=True)
class Style:
    """How one person expresses.

    Attributes:
        units: Expression -> action unit -> activation at level 4: the recipe as this person performs it.
        resting: (53,) weights of the face at rest, which are never quite zero.
        asymmetry: (53,) factors near 1; one side of a person's face is stronger.
    """

    units: dict[str, dict[int, float]]
    resting: NDArray[np.float64]
    asymmetry: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Style:
        """A random person."""
        expressivity = np.clip(EXPRESSIVITY[0] + EXPRESSIVITY[1] * rng.standard_normal(), 0.4, 1.4)
        units = {name: _own_version(recipe, expressivity, rng) for name, recipe in RECIPES.items()}
        resting = RESTING * np.abs(rng.standard_normal(len(EXPRESSION_NAMES)))
        resting = both_sides(np.where(rng.random(len(EXPRESSION_NAMES)) < 0.3, resting, 0.0))
        # No face rests with an open jaw or closed eyes.
        for name, limit in (("jawOpen", 0.02), ("eyeBlink_L", 0.1), ("eyeBlink_R", 0.1), ("mouthClose", 0.0)):
            resting[_INDEX[name]] = min(resting[_INDEX[name]], limit)
        asymmetry = 1.0 + ASYMMETRY * rng.standard_normal(len(EXPRESSION_NAMES))
        return cls(units, resting, asymmetry)


def _own_version(recipe: Recipe, expressivity: float, rng: np.random.Generator) -> dict[int, float]:
    """A recipe with a variant perhaps, units missing or weak, and others added."""
    units = dict(recipe.core)
    if rng.random() < VARIANT:
        units |= recipe.variants[int(rng.integers(len(recipe.variants)))]
    gains = np.clip(1.0 + UNIT_SPREAD * rng.standard_normal(len(units)), 0.3, 1.6)
    gains *= np.where(rng.random(len(units)) < ABSENT, 0.15, 1.0)
    own = {
        unit: expressivity * gain * activation for (unit, activation), gain in zip(units.items(), gains, strict=True)
    }
    others = [unit for unit in ACTION_UNITS if unit not in (25, 26, 43)]
    for unit in rng.choice(others, size=rng.poisson(EXTRA_UNITS), replace=False).tolist():
        own[unit] = own.get(unit, 0.0) + EXTRA_GAIN * float(rng.uniform(0.3, 1.0))
    return own


def sample(style: Style, expression: str, level: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """One performance by one person.

    Args:
        style: The person.
        expression: `neutral` or one of the six basic expressions.
        level: 1 (slight) to 4 (strongest); ignored for `neutral`.
        rng: Randomness of this take.

    Returns:
        (53,) blendshape weights in [0, 1], in the order of `EXPRESSION_NAMES`.
    """
    if expression == "neutral":
        return perform(style, {}, 0.0, rng)
    return perform(style, style.units[expression], LEVEL_GAIN[level], rng)


def perform(
    style: Style,
    units: dict[int, float],
    gain: float,
    rng: np.random.Generator,
    shapes: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """One performance of given action units or blendshapes.

    Args:
        style: The person.
        units: Action unit -> activation, this person's.
        gain: Strength, 1 is full.
        rng: Randomness of this take.
        shapes: (53,) weights at full strength, in [-1, 1]; None for none.

    Returns:
        (53,) blendshape weights in [0, 1]; down to -1 where `shapes` is negative.
    """
    count = len(EXPRESSION_NAMES)
    weights = style.resting * (1.0 + 0.3 * rng.standard_normal(count))
    if units or shapes is not None:
        gain = gain * (1.0 + 0.07 * rng.standard_normal())
        takes = np.clip(1.0 + TAKE_SPREAD * rng.standard_normal(len(units)), 0.2, 1.8)
        performed = {
            unit: gain * take * activation for (unit, activation), take in zip(units.items(), takes, strict=True)
        }
        weights = weights + unit_weights(performed)
    least = np.zeros(count)
    if shapes is not None:
        weights = (
            weights + gain * both_sides(np.clip(1.0 + TAKE_SPREAD * rng.standard_normal(count), 0.2, 1.8)) * shapes
        )
        least = np.where(shapes < 0, -1.0, 0.0)
    chance, size = CO_ACTIVATION
    stray = np.where(rng.random(count) < chance, size * np.abs(rng.standard_normal(count)), 0.0)
    stray[[_INDEX["mouthClose"], _INDEX["jawOpen"]]] *= [0.0, 0.3]
    weights = weights * style.asymmetry * (1.0 + 0.05 * rng.standard_normal(count)) + both_sides(stray)
    # A jaw that opens is no mouth that presses: lips cannot do both.
    pressed = [_INDEX[name] for name in EXPRESSION_NAMES if name.startswith(("mouthPress", "mouthRoll"))]
    weights[pressed] *= 1.0 - np.clip(1.5 * weights[_INDEX["jawOpen"]], 0.0, 0.9)
    return np.clip(weights, least, 1.0)


def both_sides(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Right sides follow left ones, for most activity is bilateral."""
    weights = weights.copy()
    for name, number in _INDEX.items():
        if name.endswith("_R"):
            weights[number] = 0.75 * weights[_INDEX[name[:-1] + "L"]] + 0.25 * weights[number]
    return weights
