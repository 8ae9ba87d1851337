from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from fer_bench.expressions import EXPRESSIONS
from fer_bench.twins.actions import act
from fer_bench.twins.coefficients import EMOCA_PARTS, SMIRK_PARTS, emoca, smirk
from fer_bench.twins.face import EXPRESSION_NAMES, procedural_face
from fer_bench.twins.photographs import ALIGNED, YAW_LIMIT, Photograph, Setting, photograph, valence_arousal
from fer_bench.twins.population import Population
from fer_bench.twins.portrait import Light

FACE = procedural_face()
PEOPLE = Population("photographs", FACE, 0, 128)
STILL = np.zeros(53)
# Light from the front in a plain room, so that a test knows where it looks.
PLAIN = replace(
    Setting.draw(PEOPLE.rng("plain"), wild=False),
    **{"pitch": 0.0, "yaw": 0.0, "roll": 0.0, "backdrop": np.full((2, 2, 3), [0, 255, 0], dtype=np.uint8)},
    **{
        "hair": 0.0,
        "noise": 0.0,
        "blur": 0.0,
        "light": Light(np.array([0.0, 0.0, 1.0]), np.full(3, 0.65), np.full(3, 0.4), 0.1),
        "clothes": np.array([0.0, 255.0, 0.0]),
    },
)


def shoot(
    key: object = 0, weights: np.ndarray = STILL, size: int | tuple[int, int] = 160, **options: object
) -> Photograph:
    return photograph(FACE, PEOPLE.person("a", 0.1), weights, PEOPLE.rng(str(key)), size, **options)  # type: ignore[arg-type]


def test_a_photograph_is_a_function_of_its_key() -> None:
    one, two, other = shoot(1), shoot(1), shoot(2)
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.landmarks, two.landmarks)
    assert np.abs(one.image.astype(int) - other.image).mean() > 10


@pytest.mark.parametrize(("size", "shape"), [(64, (64, 64)), (224, (224, 224)), ((320, 240), (240, 320))])
@pytest.mark.parametrize("grey", [True, False])
def test_sizes(size: int | tuple[int, int], shape: tuple[int, int], grey: bool) -> None:
    taken = shoot(3, size=size, grey=grey)
    assert taken.image.shape == (shape if grey else (*shape, 3))
    assert taken.image.dtype == np.uint8
    assert taken.landmarks.shape == (68, 2)
    assert taken.image.std() > 10
    x, y, w, h = taken.box
    assert x >= 0 <= y
    assert w > 0 < h
    assert x + w <= shape[1]
    assert y + h <= shape[0]


def test_landmarks_lie_on_the_face() -> None:
    for key in range(30):
        setting = replace(PLAIN, yaw=float(PEOPLE.rng(key).uniform(-YAW_LIMIT, YAW_LIMIT)), roll=float(key % 20 - 10))
        image, marks, _ = shoot(
            key, act(PEOPLE.person("a", 0.1).style, "surprise", 1.0, PEOPLE.rng(key)), setting=setting
        )
        inner = np.rint(marks[27:68]).astype(int)
        green = (image[..., 1].astype(int) > 1.3 * image[..., 0]) & (image[..., 1] > 150)
        assert green.mean() > 0.15, "there is background"
        assert not green[inner[:, 1], inner[:, 0]].any()


def test_landmarks_name_what_is_seen() -> None:
    image, marks, _ = shoot(setting=PLAIN, size=224)
    redness = image[..., 0].astype(float) - image[..., 1]
    mouth, cheek = marks[48:60].mean(axis=0), (marks[2] + marks[48]) / 2
    assert redness[int(mouth[1]) + 4, int(mouth[0])] > 1.5 * redness[int(cheek[1]), int(cheek[0])]
    bright = image.sum(axis=2)
    for lids in (slice(36, 42), slice(42, 48)):
        x, y = np.rint(marks[lids].mean(axis=0)).astype(int)
        assert bright[y - 2 : y + 3, x - 2 : x + 3].min() < 0.5 * np.median(bright[y + 20 : y + 26, x]), "a pupil"
    assert marks[36:42, 0].max() < marks[42:48, 0].min(), "the subject's right is on the image's left"
    assert marks[8, 1] > marks[57, 1] > marks[33, 1] > marks[27, 1] > marks[19, 1]


def test_light_and_pose_come_from_where_the_setting_says() -> None:
    def halves(image: np.ndarray, marks: np.ndarray) -> tuple[float, float]:
        row, nose = int(marks[30, 1]), int(marks[30, 0])
        return image[row, nose - 30 : nose].mean(), image[row, nose : nose + 30].mean()

    for side in (-1, 1):
        light = replace(PLAIN.light, towards=np.array([side * 0.8, 0.0, 0.6]))
        left, right = halves(*shoot(setting=replace(PLAIN, light=light), size=224)[:2])
        assert (right - left) * side > 20
        marks = shoot(setting=replace(PLAIN, yaw=side * 30.0), size=224).landmarks
        eyes = (marks[36:42].mean(axis=0) + marks[42:48].mean(axis=0)) / 2
        assert (marks[30, 0] - eyes[0]) * side > 5, "a positive yaw turns the nose to the image's right"


@pytest.mark.parametrize("size", [100, 224])
def test_aligned_photographs_have_eyes_and_mouth_in_place(size: int) -> None:
    for key in range(12):
        taken = shoot(key, act(PEOPLE.person("a", 0.1).style, "happy", 1.0, PEOPLE.rng(key)), size, aligned=True)
        parts = [taken.landmarks[part].mean(axis=0) for part in (slice(36, 42), slice(42, 48), slice(48, 68))]
        assert np.abs(np.array(parts) / size - ALIGNED).max() < 0.12
        assert abs(parts[0][1] - parts[1][1]) < 0.12 * size, "upright"


def test_the_camera_does_not_follow_an_expression() -> None:
    opened = (np.array(EXPRESSION_NAMES) == "jawOpen").astype(float)
    shut, wide = (shoot(setting=PLAIN, weights=w).landmarks for w in (STILL, opened))
    assert np.abs(shut[27:31] - wide[27:31]).max() < 0.5
    assert (wide[8] - shut[8])[1] > 5


def test_an_expression_can_be_seen() -> None:
    smile = np.isin(EXPRESSION_NAMES, ["mouthSmile_L", "mouthSmile_R"]).astype(float)
    (one, marks, _), (two, _, _) = shoot(setting=PLAIN), shoot(setting=PLAIN, weights=smile)
    changed = np.abs(one.astype(int) - two).max(axis=2)
    x, y = marks[48:68].mean(axis=0).astype(int)
    assert changed[y - 12 : y + 12, x - 25 : x + 25].mean() > 5 * changed[: int(marks[19, 1]) - 10].mean()


@settings(max_examples=100)
@given(st.sampled_from(EXPRESSIONS), st.floats(0, 1), st.integers(0, 10**6))
def test_valence_and_arousal_are_in_the_circle(expression: str, intensity: float, key: int) -> None:
    valence, arousal = valence_arousal(expression, intensity, PEOPLE.rng("va", key))
    assert np.hypot(valence, arousal) <= 1 + 1e-6
    assert (valence, arousal) == valence_arousal(expression, intensity, PEOPLE.rng("va", key))


def test_valence_and_arousal_are_ordered_as_feelings_are() -> None:
    def mean(expression: str, intensity: float = 1.0) -> np.ndarray:
        return np.mean([valence_arousal(expression, intensity, PEOPLE.rng(expression, k)) for k in range(200)], axis=0)

    at = {expression: mean(expression) for expression in EXPRESSIONS}
    assert np.abs(at["neutral"]).max() < 0.05
    assert (
        at["happy"][0]
        > at["surprise"][0]
        > at["neutral"][0]
        > max(at[e][0] for e in ("sad", "anger", "fear", "disgust"))
    )
    assert at["sad"][1] < at["neutral"][1] < at["happy"][1] < min(at[e][1] for e in ("fear", "surprise", "anger"))
    for expression in set(EXPRESSIONS) - {"neutral"}:
        lengths = [np.linalg.norm(mean(expression, strength)) for strength in (0.1, 0.5, 1.0)]
        assert lengths == sorted(lengths)


def test_settings_vary_in_the_wild_and_hardly_in_a_laboratory() -> None:
    wild, laboratory = ([Setting.draw(PEOPLE.rng("s", k), wild=w) for k in range(200)] for w in (True, False))
    yaws = np.array([s.yaw for s in wild])
    assert np.abs(yaws).max() <= YAW_LIMIT
    assert np.abs(yaws).max() > 0.8 * YAW_LIMIT
    assert np.std([s.yaw for s in laboratory]) < 0.25 * yaws.std()
    for s in wild:
        assert s.light.towards[2] > 0
        assert np.linalg.norm(s.light.towards) == pytest.approx(1)


def test_coefficients_have_the_published_parts() -> None:
    weights = act(PEOPLE.person("a").style, "surprise", 1.0, PEOPLE.rng("c"))
    for regress, parts, total in ((emoca, EMOCA_PARTS, 334), (smirk, SMIRK_PARTS, 358)):
        made = regress(PEOPLE.person("a"), weights, PEOPLE.rng("c"), yaw=20.0)
        assert {name: len(values) for name, values in made.items()} == parts
        assert list(made) == list(parts)
        assert sum(map(len, made.values())) == total
        assert all(type(value) is float for values in made.values() for value in values)
        assert made == regress(PEOPLE.person("a"), weights, PEOPLE.rng("c"), yaw=20.0)


def test_coefficients_say_pose_lids_and_jaw() -> None:
    shapes = np.array(EXPRESSION_NAMES)
    a, blink, opened = PEOPLE.person("a"), (shapes == "eyeBlink_L").astype(float), (shapes == "jawOpen").astype(float)
    closed = smirk(a, blink, PEOPLE.rng(1))["eyelid_params"]
    assert closed[0] > 0.8 > 0.2 > closed[1] >= 0
    for made, rest in (
        (smirk(a, opened, PEOPLE.rng(1))["jaw_params"], smirk(a, STILL, PEOPLE.rng(1))["jaw_params"]),
        (emoca(a, opened, PEOPLE.rng(1))["pose"][3:], emoca(a, STILL, PEOPLE.rng(1))["pose"][3:]),
    ):
        assert made[0] > 0.25 > 0.05 > abs(rest[0])
    assert emoca(a, STILL, PEOPLE.rng(1), yaw=30.0)["pose"][1] == pytest.approx(np.radians(30), abs=0.1)


@pytest.mark.parametrize("regress", [emoca, smirk])
def test_an_expression_can_be_learned_from_coefficients(regress: object) -> None:
    people = Population("coefficients", FACE, 0, 16)

    def rows(numbers: range) -> tuple[np.ndarray, list[str]]:
        found, labels = [], []
        for number in numbers:
            who = people.person(f"p{number}")
            for expression in EXPRESSIONS:
                rng = people.rng(number, expression)
                made = regress(who, act(who.style, expression, rng.uniform(0.3, 1), rng), rng)  # type: ignore[operator]
                found.append(np.concatenate(list(made.values())))
                labels.append(expression)
        return np.array(found), labels

    train, test = rows(range(40)), rows(range(40, 55))
    accuracy = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(*train).score(*test)
    assert 0.5 < accuracy < 1.0
