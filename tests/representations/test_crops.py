from pathlib import Path

import numpy as np
import pytest

from fer_bench.io.images import write_image
from fer_bench.io.photo import Photo
from fer_bench.representations.crops import FIVE_POINTS, Alignment, UnusablePhoto, crop, five_points, similarity


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return scale * points @ np.array([[c, -s], [s, c]]).T + shift


def dotted(path: Path, points: np.ndarray, size: tuple[int, int] = (300, 400)) -> Path:
    """A grey photograph with a white square of 15 pixels at each point."""
    image = np.full((*size, 3), 90, dtype=np.uint8)
    for x, y in points:
        image[round(y) - 7 : round(y) + 8, round(x) - 7 : round(x) + 8] = 255
    write_image(path, image)
    return path


@pytest.mark.parametrize("degrees", [0, 25, -40, 170])
@pytest.mark.parametrize("size", [112, 224])
def test_five_points_come_to_their_places(tmp_path: Path, degrees: float, size: int) -> None:
    points = turned(FIVE_POINTS - FIVE_POINTS.mean(axis=0), degrees, 2.0, (200, 150))
    image = crop(Photo(dotted(tmp_path / "a.png", points), aligned=False, landmarks=points), size)
    assert image.shape == (3, size, size) and image.dtype == np.uint8
    for x, y in FIVE_POINTS * (size / 112):
        assert (image[:, round(y), round(x)] > 230).all()
    assert (image == 90).mean() > 0.8


def test_similarity_is_exact_where_it_can_be() -> None:
    aim = turned(FIVE_POINTS, 33, 0.7, (12, -5))
    matrix = similarity(FIVE_POINTS, aim)
    np.testing.assert_allclose(FIVE_POINTS @ matrix[:, :2].T + matrix[:, 2], aim, atol=1e-9)
    mirrored = FIVE_POINTS * [-1, 1]
    assert np.linalg.det(similarity(FIVE_POINTS, mirrored)[:, :2]) > 0, "a face is never mirrored"


def test_68_points_give_five() -> None:
    points = np.arange(136, dtype=np.float64).reshape(68, 2)
    five = five_points(points)
    assert five is not None
    np.testing.assert_allclose(five[0], points[36:42].mean(axis=0))
    np.testing.assert_allclose(five[2:], points[[30, 48, 54]])
    assert five_points(points[:20]) is None
    assert five_points(np.full((5, 2), np.nan)) is None


def test_an_aligned_photograph_is_taken_as_it_is(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    write_image(tmp_path / "a.png", image)
    photo = Photo(tmp_path / "a.png", aligned=True, landmarks=FIVE_POINTS)
    np.testing.assert_array_equal(crop(photo, 100), image.transpose(2, 0, 1))
    assert (crop(photo, 100, "five_points") != image.transpose(2, 0, 1)).any()


def test_a_box_and_what_lies_beyond_the_photograph(tmp_path: Path) -> None:
    image = np.full((60, 80, 3), 200, dtype=np.uint8)
    write_image(tmp_path / "a.png", image)
    inside = crop(Photo(tmp_path / "a.png", False, box=(20.0, 10.0, 30.0, 40.0)), 48)
    assert (inside == 200).all()
    beyond = crop(Photo(tmp_path / "a.png", False, box=(-20.0, 10.0, 40.0, 40.0)), 48)
    assert (beyond[:, :, :16] == 0).all() and (beyond[:, 5:43, 26:] == 200).all()
    middle = crop(Photo(tmp_path / "a.png", False), 60)
    np.testing.assert_array_equal(middle, image[:, 10:70].transpose(2, 0, 1))


def test_shrinking_averages(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.tile(np.uint8([[[0] * 3, [255] * 3]]), (400, 200, 1)))
    for landmarks in (None, FIVE_POINTS * 3.5):
        image = crop(Photo(tmp_path / "a.png", False, landmarks=landmarks), 50)
        assert abs(image[:, 10:40, 10:40].mean() - 127.5) < 2 and image[:, 10:40, 10:40].std() < 40


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    photo = Photo(dotted(tmp_path / "a.png", np.empty((0, 2))), aligned=False)
    with pytest.raises(UnusablePhoto, match="landmarks are not known"):
        crop(photo, 10, "five_points")
    with pytest.raises(UnusablePhoto, match="box is not known"):
        crop(photo, 10, "box")


@pytest.mark.parametrize(("alignment", "margin"), [("emoca", 1.375), ("smirk", 1.4)])
def test_a_regressor_sees_the_square_it_was_trained_on(tmp_path: Path, alignment: Alignment, margin: float) -> None:
    points = np.random.default_rng(0).uniform(0, 1, (68, 2)) * [120, 80] + [150, 100]
    points[:2] = [[150, 100], [270, 180]]  # a box of 120 x 80 about (210, 140), whose mean side is 100
    photo = Photo(dotted(tmp_path / "a.png", np.array([[210.0, 140.0]])), aligned=True, landmarks=points)
    size = 140
    image = crop(photo, size, alignment)
    assert (image[:, 70, 70] > 230).all(), "its middle is the box's"
    wide = (image[0, 70] > 160).sum() * margin * 100 / size
    assert wide == pytest.approx(15, abs=1.5), "and its side the margin times the mean side"


@pytest.mark.parametrize(("alignment", "margin"), [("emoca", 1.375), ("smirk", 1.4)])
def test_of_five_landmarks_a_regressor_sees_the_square_of_a_mean_face(
    tmp_path: Path, alignment: Alignment, margin: float
) -> None:
    """In the aligned frame, twice as large: x 13.8 to 98.0, y 36.3 to 115.4."""
    middle, side = 2 * np.array([55.9, 75.85]), 2 * (84.2 + 79.1) / 2
    dotted(tmp_path / "original.png", middle[None] + 60)
    original = Photo(tmp_path / "original.png", aligned=False, landmarks=2 * FIVE_POINTS + 60)
    image = crop(original, 140, alignment)
    assert (image[:, 70, 70] > 230).all(), "its middle is the face's"
    wide = (image[0, 70] > 160).sum() * margin * side / 140
    assert wide == pytest.approx(15, abs=2)
    dotted(tmp_path / "aligned.png", np.array([[20.0, 20.0]]))
    aligned = Photo(tmp_path / "aligned.png", aligned=True, original=lambda: original)
    np.testing.assert_array_equal(crop(aligned, 140, alignment), image)
    whole = crop(Photo(tmp_path / "aligned.png", aligned=True), 140, alignment)
    np.testing.assert_array_equal(
        crop(Photo(tmp_path / "aligned.png", True, original=lambda: None), 140, alignment), whole
    )
    np.testing.assert_array_equal(crop(aligned, 112), crop(Photo(tmp_path / "aligned.png", aligned=True), 112))


@pytest.mark.parametrize("landmarks", [None, np.full((68, 2), np.nan), np.zeros((3, 2))])
def test_without_landmarks_a_regressor_sees_all(tmp_path: Path, landmarks: np.ndarray | None) -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    write_image(tmp_path / "a.png", image)
    photo = Photo(tmp_path / "a.png", aligned=False, landmarks=landmarks, box=(3.0, 3.0, 5.0, 5.0))
    np.testing.assert_array_equal(crop(photo, 90, "emoca"), image.transpose(2, 0, 1))
