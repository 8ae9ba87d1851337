"""Faces beyond the six expressions: contempt, pain, single action units, and what CoMA and FaceScape record.

Emotions are sets of action units, from the sources named beside them; single actions are blendshapes, because that is
what they are. Left and right are the subject's.
"""

import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fer_bench.twins.expression_recipes import ACTION_UNITS, EXPRESSIVITY, RECIPES, Style, perform
from fer_bench.twins.face import EXPRESSION_NAMES

Floats = NDArray[np.float64]

COMPOUNDS: dict[str, dict[str, float]] = {
    # One corner of the mouth tightened and raised (Ekman & Friesen, Motivation and Emotion 10, 1986); X is one side,
    # always the same of a person.
    "contempt": {"14X": 1.0, "12X": 0.6, "24": 0.2},
    # A smile that is held back, and a gaze turned down (Keltner, J. Pers. Soc. Psychol. 68, 1995).
    "embarrassment": {"12": 0.55, "24": 0.6, "14": 0.3, "64": 0.7},
    # Prkachin & Solomon, Pain 139, 2008.
    "pain": {"4": 0.85, "6": 0.6, "7": 0.7, "9": 0.5, "10": 0.5, "20": 0.4, "25": 0.4, "43": 0.5},
    # 4DME's labels of micro-expressions, which group emotions; its `surprise` is the expression.
    "positive": {"6": 0.6, "12": 0.9},
    "negative": {"4": 0.9, "7": 0.6, "10": 0.3, "15": 0.4},
    "repression": {"14": 0.6, "17": 0.7, "24": 0.9},
    "others": {"2X": 0.8, "45": 0.6, "16": 0.4},
}
"""Emotion -> action units at full strength."""

MORE_UNITS: dict[int, dict[str, float]] = {
    13: {"cheekPuff": 0.4, "mouthSmile": 0.5},  # sharp lip puller
    18: {"mouthPucker": 1.0},  # lip pucker
    27: {"jawOpen": 1.0},  # mouth stretch
    28: {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},  # lip suck
    34: {"cheekPuff": 1.0},  # cheek puff
    35: {"cheekPuff": -0.8, "mouthPucker": 0.3},  # cheek suck
    44: {"eyeSquint": 1.0, "browDown": 0.4},  # squint
    45: {"eyeBlink": 1.0},  # blink
    64: {"eyeLookDown": 1.0},  # eyes down
}
"""Action units that no recipe of the six expressions uses."""

ACTIONS: dict[str, dict[str, float]] = {
    # CoMA's sequences, by their names. Of four of them, in which the mouth goes to both sides, one side is named.
    "bareteeth": {"mouthUpperUp": 0.9, "mouthLowerDown": 0.9, "mouthStretch": 0.6, "noseSneer": 0.3},
    "cheeks_in": {"cheekPuff": -0.8, "mouthPucker": 0.5},
    "eyebrow": {"browInnerUp": 0.9, "browOuterUp": 1.0, "eyeWide": 0.3},
    "high_smile": {"mouthSmile": 1.0, "cheekSquint": 0.7, "mouthUpperUp": 0.4, "mouthLowerDown": 0.2},
    "lips_back": {"mouthRollLower": 0.8, "mouthRollUpper": 0.8, "mouthStretch": 0.6},
    "lips_up": {"mouthShrugUpper": 1.0, "mouthUpperUp": 0.3, "mouthShrugLower": 0.5, "mouthPucker": 0.4},
    "mouth_down_left": {"mouthLeft": 0.9, "mouthFrown": 0.6, "mouthLowerDown": 0.5, "jawOpen": 0.15},
    "mouth_extreme": {"jawOpen": 1.0, "mouthStretch": 0.7, "mouthUpperUp": 0.5, "mouthLowerDown": 0.6, "eyeWide": 0.4},
    "mouth_middle_left": {"mouthLeft": 0.9, "jawOpen": 0.35},
    "mouth_open": {"jawOpen": 0.9},
    "mouth_side_left": {"mouthLeft": 1.0, "mouthPucker": 0.4},
    "mouth_up_left": {"mouthLeft": 0.9, "mouthShrugLower": 0.9, "mouthShrugUpper": 0.5},
    # FaceScape's twenty, less the two that are among the six; the names of two are others' too, and mean the same here.
    "smile": {"mouthSmile": 0.9, "cheekSquint": 0.5},
    "mouth_stretch": {"jawOpen": 1.0},
    "jaw_left": {"jawLeft": 1.0},
    "jaw_forward": {"jawForward": 1.0},
    "mouth_left": {"mouthLeft": 1.0},
    "dimpler": {"mouthDimple": 1.0},
    "chin_raiser": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.3},
    "lip_puckerer": {"mouthPucker": 1.0},
    "lip_funneler": {"mouthFunnel": 1.0},
    "lip_roll": {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    "grin": {"mouthSmile": 0.5, "mouthStretch": 0.5, "mouthUpperUp": 0.7, "mouthLowerDown": 0.7},
    "cheek_blowing": {"cheekPuff": 1.0, "mouthPress": 0.3},
    "eye_closed": {"eyeBlink": 1.0},
    "brow_raiser": {"browInnerUp": 1.0, "browOuterUp": 1.0},
    "brow_lower": {"browDown": 1.0, "eyeSquint": 0.2},
}
"""Action -> blendshapes at full strength; a name without side is both sides. `..._left` has a mirror image."""

TWO_SIDED = ("mouth_down", "mouth_middle", "mouth_side", "mouth_up")
"""Actions of ACTIONS in which the mouth goes to one side, then to the other."""

_ALIASES = {"sadness": "sad", "angry": "anger"}
_INDEX = {name: number for number, name in enumerate(EXPRESSION_NAMES)}
_ALL_UNITS = ACTION_UNITS | MORE_UNITS
# Action units that one blendshape shows.
_CODED = tuple(sorted({*ACTION_UNITS, 18, 27, 28, 34}))
# FACS letters A to E: from which activation on.
_INTENSITIES = np.array([0.12, 0.25, 0.45, 0.68, 0.88])


def act(style: Style, expression: str, strength: float, rng: np.random.Generator) -> Floats:
    """One performance by one person.

    Args:
        style: The person.
        expression: `neutral`, a basic expression, a name in `COMPOUNDS` or `ACTIONS`, action units (`AU12`, `AU12L`,
            `AU22+AU25`), or several of these joined by `+`.
        strength: 0 to 1.
        rng: Randomness of this take.

    Returns:
        (53,) blendshape weights in [0, 1], in the order of `EXPRESSION_NAMES`; cheeks that are drawn in have a negative
        `cheekPuff`.

    Raises:
        KeyError: there is no such expression.
    """
    units: dict[int, float] = {}
    shapes = np.zeros(len(EXPRESSION_NAMES))
    for name in expression.split("+"):
        part = _ALIASES.get(name, name)
        if part in TWO_SIDED:
            part += ("_left", "_right")[int(rng.integers(2))]
        if part in RECIPES:
            for unit, activation in style.units[part].items():
                units[unit] = max(units.get(unit, 0.0), activation)
        elif part != "neutral":
            shapes = shapes + _liveliness(style) * full_weights(part, _side(style))
    return perform(style, units, strength, rng, shapes if shapes.any() else None)


@cache
def full_weights(name: str, side: str = "L") -> Floats:
    """(53,) weights of a compound, an action or an action unit (`AU12L`) at full strength, the same for everybody.

    Args:
        side: `L` or `R`: where what is one-sided happens.
    """
    weights = np.zeros(len(EXPRESSION_NAMES))
    if name in COMPOUNDS:
        shares = COMPOUNDS[name]
    elif match := re.fullmatch(r"AU(\d+[LRX]?)", name):
        shares = {match[1]: 1.0}
    else:
        mirrored = name.endswith("_right")
        for shape, weight in ACTIONS[name.removesuffix("_right") + "_left" if mirrored else name].items():
            _add(weights, _mirror(shape) if mirrored else shape, weight, "")
        return weights
    for unit, activation in shares.items():
        of = unit.lstrip("0123456789")
        for shape, share in _ALL_UNITS[int(unit.rstrip("LRX"))].items():
            _add(weights, shape, activation * share, side if of == "X" else of)
    return weights


def _add(weights: Floats, shape: str, weight: float, side: str) -> None:
    for name in (shape,) if shape in _INDEX else tuple(f"{shape}_{s}" for s in side or "LR"):
        weights[_INDEX[name]] += weight


def _mirror(shape: str) -> str:
    return shape.replace("Left", "Right") if "Left" in shape else shape


def _liveliness(style: Style) -> float:
    """How strongly this person expresses, about 1: from the six expressions, for it is the same person; but what is
    done on request differs less between people than what is felt."""
    ratios = [
        style.units[e][unit] / core for e, recipe in RECIPES.items() for unit, core in recipe.core.items() if core
    ]
    return 0.5 + 0.5 * float(np.median(ratios)) / EXPRESSIVITY[0]


def _side(style: Style) -> str:
    return "L" if style.asymmetry[_INDEX["mouthDimple_L"]] >= style.asymmetry[_INDEX["mouthDimple_R"]] else "R"


def units_of(expression: str) -> tuple[int, ...]:
    """The action units of an expression's prototype, in order; none of an action that is not made of them."""
    units: set[int] = set()
    for name in expression.split("+"):
        part = _ALIASES.get(name, name)
        if part in RECIPES:
            units |= set(RECIPES[part].core)
        elif part in COMPOUNDS:
            units |= {int(unit.rstrip("LRX")) for unit in COMPOUNDS[part]}
        elif match := re.fullmatch(r"AU(\d+)[LRX]?", part):
            units.add(int(match[1]))
    return tuple(sorted(units))


def unit_intensities(weights: Floats) -> dict[int, NDArray[np.int64]]:
    """What a FACS coder would see: action unit -> intensity 0 (absent), 1 (A, a trace) to 5 (E), (...).

    Args:
        weights: (..., 53) blendshape weights.
    """
    seen: dict[int, NDArray[np.int64]] = {}
    for unit in _CODED:
        main, share = next(iter(_ALL_UNITS[unit].items()))
        activation = _stronger_side(weights, main) / share
        if unit == 7:  # cheeks that rise push the lids too
            activation = activation - 0.25 * _stronger_side(weights, "cheekSquint")
        if unit == 27:  # begins where a dropped jaw ends
            activation = 2.0 * activation - 1.0
        if unit == 25:  # a jaw that drops parts the lips
            activation = np.maximum(activation, _stronger_side(weights, "jawOpen") / 0.4)
        seen[unit] = np.searchsorted(_INTENSITIES, activation, side="right")
    return seen


def _stronger_side(weights: Floats, shape: str) -> Floats:
    sides = (shape,) if shape in _INDEX else (f"{shape}_L", f"{shape}_R")
    stronger: Floats = weights[..., [_INDEX[name] for name in sides]].max(axis=-1)
    return stronger
