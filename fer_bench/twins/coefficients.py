"""What a perfect regressor of 3D morphable models would say of a twin's faces, give or take its errors.

EMOCA and SMIRK describe a face by numbers of FLAME's shape and expression spaces. A twin's faces have identity and
expression weights of another model; a fixed projection turns the one into the other, so that everything that can be
learned from such numbers can be learned here.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fer_bench.twins.blendshapes import JAW_OPEN_ANGLE
from fer_bench.twins.face import EXPRESSION_NAMES
from fer_bench.twins.identity import generator
from fer_bench.twins.population import Person
from fer_bench.twins.scans import Pose

Floats = NDArray[np.float64]
Coefficients = dict[str, list[float]]

EMOCA_PARTS = {"exp": 50, "pose": 6, "tex": 50, "detail": 128, "shape": 100}
"""Part -> numbers, 334 in all; `pose` is the head's rotation and the jaw's, each an axis times an angle."""

SMIRK_PARTS = {"pose_params": 3, "shape_params": 300, "expression_params": 50, "eyelid_params": 2, "jaw_params": 3}
"""Part -> numbers, 358 in all."""

_INDEX = {name: number for number, name in enumerate(EXPRESSION_NAMES)}
_EXPRESSION_NOISE, _SHAPE_NOISE, _POSE_NOISE = 0.5, 0.15, 0.02  # standard deviations; radians for the pose
_JAW_SIDE = 0.12  # radians of a jaw that is shifted to one side


def emoca(
    person: Person,
    weights: Floats,
    rng: np.random.Generator,
    *,
    pitch: float = 0.0,
    yaw: float = 0.0,
    roll: float = 0.0,
) -> Coefficients:
    """EMOCA's numbers of one face, by the names of `EMOCA_PARTS` and in their order.

    Args:
        person: Whose face.
        weights: (53,) expression weights.
        rng: Randomness of the regressor's errors on this image.
        pitch, yaw, roll: Of the head, degrees, as in `Pose.turned`.
    """
    colours = np.concatenate([person.complexion.skin, person.complexion.lips, person.complexion.hair]) / 128.0 - 1.0
    parts = {
        "exp": _expression("emoca", weights, 50, rng),
        "pose": np.concatenate([_head(pitch, yaw, roll, rng), _jaw(weights, rng)]),
        "tex": _project("emoca tex", colours, 50) + _SHAPE_NOISE * rng.standard_normal(50),
        # Wrinkles are half the expression's, half the person's.
        "detail": 0.5 * _expression("emoca detail", weights, 128, rng) + 0.5 * _shape("emoca detail", person, 128, rng),
        "shape": _shape("emoca", person, 100, rng),
    }
    return _listed(parts, EMOCA_PARTS)


def smirk(
    person: Person,
    weights: Floats,
    rng: np.random.Generator,
    *,
    pitch: float = 0.0,
    yaw: float = 0.0,
    roll: float = 0.0,
) -> Coefficients:
    """SMIRK's numbers of one face, by the names of `SMIRK_PARTS` and in their order; arguments as of `emoca`.

    The eyelids are 0 (open) to 1 (closed), and the jaw opens by an angle that is not negative.
    """
    lids = weights[[_INDEX["eyeBlink_L"], _INDEX["eyeBlink_R"]]] + 0.05 * rng.standard_normal(2)
    jaw = _jaw(weights, rng)
    parts = {
        "pose_params": _head(pitch, yaw, roll, rng),
        "shape_params": _shape("smirk", person, 300, rng),
        "expression_params": _expression("smirk", weights, 50, rng),
        "eyelid_params": np.clip(lids, 0.0, 1.0),
        "jaw_params": np.array([max(jaw[0], 0.0), *np.clip(jaw[1:], -0.2, 0.2)]),
    }
    return _listed(parts, SMIRK_PARTS)


def _expression(space: str, weights: Floats, count: int, rng: np.random.Generator) -> Floats:
    """The expression in some space, about a unit in each direction for a strong one, with errors."""
    return 3.0 * _project(f"{space} expression", weights, count) + _EXPRESSION_NOISE * rng.standard_normal(count)


def _shape(space: str, person: Person, count: int, rng: np.random.Generator) -> Floats:
    return _project(f"{space} shape", person.identity, count) + _SHAPE_NOISE * rng.standard_normal(count)


@cache
def _directions(space: str, size: int, count: int) -> Floats:
    """(count, size) a fixed matrix with rows of length about 1."""
    return generator("coefficients", space, size).standard_normal((count, size)) / np.sqrt(size)


def _project(space: str, values: Floats, count: int) -> Floats:
    projected: Floats = _directions(space, len(values), count) @ values
    return projected


def _head(pitch: float, yaw: float, roll: float, rng: np.random.Generator) -> Floats:
    turned = Rotation.from_matrix(Pose.turned(pitch, yaw, roll).rotation).as_rotvec()
    return turned + _POSE_NOISE * rng.standard_normal(3)


def _jaw(weights: Floats, rng: np.random.Generator) -> Floats:
    """(3,) about the axes of opening, of going to the side, and of tilting."""
    opening = JAW_OPEN_ANGLE * weights[_INDEX["jawOpen"]]
    side = _JAW_SIDE * (weights[_INDEX["jawLeft"]] - weights[_INDEX["jawRight"]])
    return np.array([opening, side, 0.0]) + 0.5 * _POSE_NOISE * rng.standard_normal(3)


def _listed(parts: dict[str, Floats], sizes: dict[str, int]) -> Coefficients:
    # Rounded: processors differ in the last bits of a product of matrices, and a twin must not.
    listed = {name: (np.round(parts[name], 5) + 0.0).tolist() for name in sizes}
    assert {name: len(values) for name, values in listed.items()} == sizes
    return listed
