import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.expressions import BASIC_SIX
from fer_bench.twins.expression_recipes import ACTION_UNITS, RECIPES, Style, prototype, sample, unit_weights
from fer_bench.twins.face import EXPRESSION_NAMES
from fer_bench.twins.identity import generator

KINDS = ("neutral", *BASIC_SIX)


def test_every_action_unit_drives_blendshapes_that_exist() -> None:
    for unit in ACTION_UNITS:
        assert unit_weights({unit: 1.0}).sum() > 0
    for recipe in RECIPES.values():
        for units in (recipe.core, *recipe.variants):
            assert set(units) <= set(ACTION_UNITS)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from(KINDS), st.integers(1, 4))
def test_weights_are_weights(key: int, expression: str, level: int) -> None:
    rng = generator("test", key)
    weights = sample(Style.draw(rng), expression, level, rng)
    assert weights.shape == (53,)
    assert weights.min() >= 0
    assert weights.max() <= 1
    again = generator("test", key)
    assert np.array_equal(weights, sample(Style.draw(again), expression, level, again)), "a function of the key"


@pytest.mark.parametrize("expression", BASIC_SIX)
def test_intensity_grows_with_the_level(expression: str) -> None:
    means = []
    for level in (1, 2, 3, 4):
        rngs = [generator("level", expression, level, i) for i in range(60)]
        means.append(np.mean([sample(Style.draw(rng), expression, level, rng).sum() for rng in rngs]))
    assert means == sorted(means)
    assert means[3] > 1.7 * means[0]


def test_prototypes_differ_and_neutral_rests() -> None:
    assert prototype("neutral").sum() == 0
    for one in BASIC_SIX:
        for two in BASIC_SIX:
            if one < two:
                assert np.abs(prototype(one) - prototype(two)).max() > 0.3


def test_people_differ_in_the_same_expression_and_sides_differ_in_one() -> None:
    names = list(EXPRESSION_NAMES)
    left, right = names.index("mouthSmile_L"), names.index("mouthSmile_R")
    takes = []
    for person in range(30):
        rng = generator("people", person)
        takes.append(sample(Style.draw(rng), "happy", 2, rng))
    smiles = np.array(takes)[:, [left, right]]
    assert smiles.std(axis=0).min() > 0.08
    assert np.abs(smiles[:, 0] / smiles[:, 1] - 1).mean() > 0.1
