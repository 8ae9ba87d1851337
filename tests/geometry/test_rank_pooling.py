import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.geometry.rank_pooling import Pooling, coefficients, dynamic_images, to_bytes, windows


def test_coefficients_of_eight_frames_are_the_published_ones() -> None:
    published = [-8.4607, -1.4607, 1.0393, 2.0393, 2.2893, 2.0893, 1.5893, 0.8750]
    np.testing.assert_allclose(coefficients(8), published, atol=5e-5)
    np.testing.assert_array_equal(coefficients(8, "plain"), [-7, -5, -3, -1, 1, 3, 5, 7])


@given(frames=st.integers(1, 400))
def test_coefficients_are_the_sum_they_stand_for(frames: int) -> None:
    direct = [sum((2 * k - frames - 1) / k for k in range(t, frames + 1)) for t in range(1, frames + 1)]
    np.testing.assert_allclose(coefficients(frames), direct if frames > 1 else [1.0], atol=1e-9)
    for pooling in ("averaged", "plain"):
        assert coefficients(frames, pooling).sum() == pytest.approx(float(frames == 1), abs=1e-8)


@given(frames=st.integers(1, 60), window=st.integers(1, 70) | st.none(), stride=st.integers(1, 70) | st.none())
def test_windows_cover_what_they_can_and_end_with_the_sequence(
    frames: int, window: int | None, stride: int | None
) -> None:
    spans = windows(frames, window, stride)
    assert spans[0][0] == 0
    assert spans[-1][1] == frames
    assert {end - first for first, end in spans} == {min(window or frames, frames)}
    starts = [first for first, _ in spans]
    assert starts == sorted(set(starts))
    step = stride or window or 1
    assert all(b - a == step for a, b in itertools.pairwise(starts[:-1]))
    assert all(b - a <= step for a, b in itertools.pairwise(starts))


@given(
    frames=st.integers(1, 30),
    window=st.integers(1, 12) | st.none(),
    stride=st.integers(1, 12) | st.none(),
    pooling=st.sampled_from(["averaged", "plain"]),
    seed=st.integers(0, 99),
)
def test_frame_by_frame_is_the_sum_at_once(
    frames: int, window: int | None, stride: int | None, pooling: Pooling, seed: int
) -> None:
    video = np.random.default_rng(seed).integers(0, 256, (frames, 3, 4, 5), dtype=np.uint8)
    read: list[int] = []

    def play() -> Iterator[np.ndarray]:
        for number, frame in enumerate(video):
            read.append(number)
            yield frame

    spans = windows(frames, window, stride)
    images = list(dynamic_images(play(), spans, pooling))
    assert read == list(range(frames)), "each frame is read once"
    assert len(images) == len(spans)
    for image, (first, end) in zip(images, spans, strict=True):
        direct = np.tensordot(coefficients(end - first, pooling), video[first:end].astype(np.float64), axes=1)
        assert image.dtype == np.float32
        np.testing.assert_allclose(image, direct, atol=0.05)


@pytest.mark.parametrize("pooling", ["averaged", "plain"])
@pytest.mark.parametrize("frames", [2, 9, 1100])
def test_where_nothing_moves_nothing_is_seen(frames: int, pooling: Pooling) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    (image,) = dynamic_images([picture] * frames, windows(frames), pooling)
    assert (to_bytes(image) == 0).all()
    (alone,) = dynamic_images([picture], windows(1), pooling)
    np.testing.assert_array_equal(alone, picture)


def test_bytes_are_stretched_over_all_channels_and_a_constant_stays_one() -> None:
    image = np.array([[[-3.0, 1.0]], [[2.0, 7.0]]], dtype=np.float32)
    np.testing.assert_array_equal(to_bytes(image), [[[0, 102]], [[128, 255]]])
    for value in (0.0, -4.5, np.float32(1e-30)):
        assert (to_bytes(np.full((3, 4, 4), value)) == 0).all()
