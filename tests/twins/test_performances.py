"""Expressions beyond the six, and expressions in time."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from fer_bench.expressions import BASIC_SIX, EXPRESSIONS
from fer_bench.twins.actions import (
    ACTIONS,
    COMPOUNDS,
    MORE_UNITS,
    TWO_SIDED,
    act,
    full_weights,
    unit_intensities,
    units_of,
)
from fer_bench.twins.expression_recipes import ACTION_UNITS, Style, unit_weights
from fer_bench.twins.face import EXPRESSION_NAMES
from fer_bench.twins.identity import generator
from fer_bench.twins.performance import MICRO, POSED, SPONTANEOUS, Timing, apex, head_motion, performance

NAMES = list(EXPRESSION_NAMES)
COMA = (
    *("bareteeth", "cheeks_in", "eyebrow", "high_smile", "lips_back", "lips_up", "mouth_down", "mouth_extreme"),
    *("mouth_middle", "mouth_open", "mouth_side", "mouth_up"),
)
FACESCAPE = (
    *(
        "neutral",
        "smile",
        "mouth_stretch",
        "anger",
        "jaw_left",
        "jaw_right",
        "jaw_forward",
        "mouth_left",
        "mouth_right",
    ),
    *("dimpler", "chin_raiser", "lip_puckerer", "lip_funneler", "sadness", "lip_roll", "grin", "cheek_blowing"),
    *("eye_closed", "brow_raiser", "brow_lower"),
)
BP4D = ("happy", "sad", "surprise", "embarrassment", "fear", "pain", "anger", "disgust")
FOURDME = ("positive", "negative", "surprise", "repression", "others")
EVERYTHING = sorted({*EXPRESSIONS, *COMA, *FACESCAPE, *BP4D, *FOURDME, "AU12L", "AU22+AU25", "positive+surprise"})
assert (len(COMA), len(FACESCAPE)) == (12, 20)


def person(key: int) -> Style:
    return Style.draw(generator("person", key))


def takes(names: tuple[str, ...], people: range, strength: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    weights = [act(person(k), name, strength, generator("take", k, name)) for k in people for name in names]
    return np.array(weights), np.array(list(names) * len(people))


@settings(max_examples=80)
@given(st.integers(0, 10**6), st.sampled_from(EVERYTHING), st.floats(0, 1))
def test_weights_are_weights(key: int, expression: str, strength: float) -> None:
    weights = act(person(key), expression, strength, generator(key))
    assert weights.shape == (53,)
    assert weights.max() <= 1
    assert (weights < 0).sum() <= (2 if expression == "cheeks_in" else 0)
    assert weights.min() >= -1
    assert np.array_equal(weights, act(person(key), expression, strength, generator(key)))


def test_tables_name_what_exists() -> None:
    for unit, shapes in (ACTION_UNITS | MORE_UNITS).items():
        for shape in shapes:
            assert shape in NAMES or {f"{shape}_L", f"{shape}_R"} <= set(NAMES), unit
    for name in (*COMPOUNDS, *ACTIONS):
        assert np.abs(full_weights(name)).max() >= 0.5
    with pytest.raises(KeyError):
        act(person(0), "no such thing", 1.0, generator(0))
    with pytest.raises(KeyError):
        full_weights("lip_roll_right")  # it has no side


@pytest.mark.parametrize("names", [EXPRESSIONS, COMA, FACESCAPE, BP4D, FOURDME])
def test_a_linear_classifier_tells_the_expressions_of_other_people(names: tuple[str, ...]) -> None:
    train, test = takes(names, range(20)), takes(names, range(20, 30))
    accuracy = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(*train).score(*test)
    assert accuracy > 0.8
    train, test = takes(names, range(20), 0.1), takes(names, range(20, 30), 0.1)
    weak = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(*train).score(*test)
    assert 1.5 / len(names) < weak < accuracy - 0.05, "what is hardly there is hard to tell"


def test_sides_are_the_subjects() -> None:
    left, right = full_weights("mouth_left"), full_weights("mouth_right")
    assert left[NAMES.index("mouthLeft")] == right[NAMES.index("mouthRight")] == 1
    assert full_weights("AU12L")[NAMES.index("mouthSmile_L")] == 1
    assert full_weights("AU12L")[NAMES.index("mouthSmile_R")] == 0
    np.testing.assert_array_equal(full_weights("AU12"), unit_weights({12: 1.0}))
    smiles = [act(person(k), "contempt", 1.0, generator("c", k)) for k in range(30)]
    away = [w[NAMES.index("mouthDimple_L")] - w[NAMES.index("mouthDimple_R")] for w in smiles]
    assert np.abs(away).min() > 0.3, "contempt is one-sided"
    assert 5 < np.sum(np.array(away) > 0) < 25, "on either side"


def test_joined_labels_show_both() -> None:
    joined, _ = takes(("positive+surprise",), range(20))
    single, _ = takes(("positive",), range(20))
    brow, smile = NAMES.index("browOuterUp_L"), NAMES.index("mouthSmile_L")
    assert joined[:, brow].mean() > single[:, brow].mean() + 0.4
    assert joined[:, smile].mean() == pytest.approx(single[:, smile].mean(), abs=0.15)


def test_units_are_those_of_the_prototype_and_are_seen() -> None:
    assert units_of("happy") == (6, 12, 25)
    assert units_of("pain") == (4, 6, 7, 9, 10, 20, 25, 43)
    assert units_of("contempt") == (12, 14, 24)
    assert units_of("AU22+AU25") == (22, 25)
    assert units_of("bareteeth") == units_of("neutral") == ()
    for unit in (1, 2, 4, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 26):
        seen = unit_intensities(np.stack([np.zeros(53), unit_weights({unit: 0.5}), unit_weights({unit: 1.0})]))
        assert seen[unit].tolist() == [0, 3, 5]
        others = [other for other, value in seen.items() if value[-1] >= 3 and other != unit]
        assert set(others) <= {23, 24, 25, 28}, (unit, others)
    sequence = performance(person(1), "happy", 20, generator("seen"))
    smile = unit_intensities(sequence)[12]
    assert smile.shape == (20,)
    assert smile[10] >= 3 > smile[0]


@pytest.mark.parametrize("timing", [POSED, SPONTANEOUS, MICRO])
@pytest.mark.parametrize("frames", [6, 40])
def test_a_performance_begins_and_ends_at_rest(timing: Timing, frames: int) -> None:
    ends, peaks, places = [], [], []
    for key in range(25):
        expression = BASIC_SIX[key % 6]
        weights = performance(person(key), expression, frames, generator("p", key), timing=timing)
        assert weights.shape == (frames, 53)
        assert weights.min() >= 0
        assert weights.max() <= 1
        away = np.abs(weights - weights[0]).max(axis=1)
        top = apex(weights)
        peaks.append(np.abs(weights[top] - weights[0]).max())
        ends.append(away[-1])
        places.append(top / (frames - 1))
        assert np.abs(weights[0] - person(key).resting).mean() < 0.03
    assert np.mean(ends) < (0.2 if timing is SPONTANEOUS else 0.06)
    assert np.mean(peaks) > {id(POSED): 0.7, id(SPONTANEOUS): 0.4, id(MICRO): 0.15}[id(timing)]
    assert np.mean(peaks) < {id(POSED): 1.01, id(SPONTANEOUS): 0.75, id(MICRO): 0.5}[id(timing)]
    assert np.mean(places) == pytest.approx(0.7 if timing is SPONTANEOUS else 0.5, abs=0.08)


def test_a_performance_is_smooth_and_a_persons_own() -> None:
    weights = performance(person(3), "disgust", 100, generator("smooth", 2))
    blinks = [NAMES.index("eyeBlink_L"), NAMES.index("eyeBlink_R")]
    assert np.abs(np.diff(np.delete(weights, blinks, axis=1), axis=0)).max() < 0.09
    again = performance(person(3), "disgust", 100, generator("smooth", 2))
    assert np.array_equal(weights, again)
    takes_of = [
        [
            np.argmax(
                performance(person(k), "happy", 200, generator("tempo", k, t))[:, NAMES.index("mouthSmile_L")] > 0.3
            )
            for t in range(12)
        ]
        for k in range(20)
    ]
    between, within = np.var(np.mean(takes_of, axis=1)), np.mean(np.var(takes_of, axis=1))
    assert between > 0.3 * within, "people have a tempo"
    assert within > 0, "and yet no two takes are alike"


@pytest.mark.parametrize("name", TWO_SIDED)
def test_the_mouth_goes_to_both_sides(name: str) -> None:
    weights = np.mean([performance(person(key), name, 21, generator(name, key)) for key in range(10)], axis=0)
    left, right = weights[:, NAMES.index("mouthLeft")], weights[:, NAMES.index("mouthRight")]
    assert left[:10].max() > 0.6 > 0.3 > left[14:].max()
    assert right[11:].max() > 0.6 > 0.3 > right[:7].max()


def test_a_head_moves_little_and_smoothly() -> None:
    poses = head_motion(60, generator("head"), degrees=2.0, mm=3.0)
    shifts = np.array([pose.shift for pose in poses])
    assert 0.5 < shifts.std() < 6
    assert np.abs(np.diff(shifts, axis=0)).max() < 2.5
    angles = [
        np.degrees(np.arccos((np.trace(a.rotation.T @ b.rotation) - 1) / 2)) for a, b in itertools.pairwise(poses)
    ]
    assert max(angles) < 2
    start = head_motion(3, generator("head"), start=poses[7])[0]
    assert np.allclose(start.rotation @ start.rotation.T, np.eye(3))
