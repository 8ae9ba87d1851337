import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_bench.errors import InvalidSuite
from fer_bench.geometry.alignment import CANONICAL, UnusableScan, align
from fer_bench.geometry.frames import Clip
from fer_bench.geometry.rank_pooling import coefficients, to_bytes
from fer_bench.geometry.scan import Scan
from fer_bench.io.images import write_image
from fer_bench.io.photo import Photo
from fer_bench.representations.dynamic_views import DynamicViews
from fer_bench.representations.views import Views

BOTH = frozenset({"sequence", "texture"})


def frame(smile: float, texture: bool = True, landmarks: bool = True, shift: float = 0.0) -> Scan:
    """A bowed square whose lower edge rises in the middle."""
    line = np.linspace(-1, 1, 21)
    u, v = np.meshgrid(line, line)
    x, y = 70 * u, 90 * v - smile * (v < -0.4) * u**2
    vertices = np.stack([x + shift, y, 30 - 60 * u**2], axis=-1).reshape(-1, 3).astype(np.float32)
    index = np.arange(21 * 21).reshape(21, 21)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    uv = np.stack([u + 1, v + 1], axis=-1).reshape(-1, 2).astype(np.float32) / 2
    paint = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    marks = {name: np.float32(place) + np.float32([shift, 0, 0]) for name, place in CANONICAL.items()}
    scan = Scan(vertices, triangles, uv, triangles, paint, marks if landmarks else {})
    return scan if texture else replace(scan, uv=None, uv_triangles=None, texture=None)


def clip_of(frames: list[Scan]) -> Clip[Scan]:
    return Clip(tuple((Path(str(number)),) for number in range(len(frames))), lambda files: frames[int(str(files[0]))])


def test_a_row_is_the_pooled_views_of_a_window() -> None:
    frames = [frame(smile) for smile in (0, 5, 10, 15, 10)]
    views = DynamicViews(size=24, window=3, stride=2, channels=("depth", "texture"))
    assert views.rows(clip_of(frames)) == 2
    rows = views.extract(clip_of(frames))
    assert rows.shape == (2, *views.shape) == (2, 3, 4, 24, 24)
    single = Views(size=24, channels=("depth", "texture"))
    drawn = np.stack([single.extract(scan) for scan in frames]).astype(np.float64)
    for row, start in zip(rows, (0, 2), strict=True):
        pooled = np.tensordot(coefficients(3), drawn[start : start + 3], axes=1)
        for view in range(3):
            assert np.abs(row[view].astype(int) - to_bytes(pooled[view])).max() <= 1
    plain = replace(views, pooling="plain").extract(clip_of(frames))
    assert (plain != rows).any()


def test_where_nothing_moves_the_image_is_constant() -> None:
    (row,) = DynamicViews(size=24, channels=("depth",)).extract(clip_of([frame(3)] * 6))
    assert (row == 0).all()


def test_frames_are_spread_evenly() -> None:
    frames = [frame(smile) for smile in range(9)]
    few = DynamicViews(size=16, frames=3, channels=("depth",)).extract(clip_of(frames))
    np.testing.assert_array_equal(
        few, DynamicViews(size=16, channels=("depth",)).extract(clip_of([frames[0], frames[4], frames[8]]))
    )
    assert DynamicViews(frames=99, channels=("depth",)).rows(clip_of(frames)) == 1


def test_landmarks_hold_each_frame_and_without_them_the_first_frame_holds_all() -> None:
    views = DynamicViews(size=24, channels=("depth",))
    moving = [frame(0, shift=4.0 * number) for number in range(5)]
    assert (views.extract(clip_of(moving)) == 0).all(), "a head that moves as a whole is held by its landmarks"
    without = [replace(scan, landmarks={}) for scan in moving]
    assert np.ptp(views.extract(clip_of(without))) > 0, "its motion stays where nothing tells it apart"
    one = Views(size=24, channels=("depth",)).draw(align(without[0]))
    (row,) = DynamicViews(size=24, channels=("depth",)).extract(clip_of(without[:1]))
    np.testing.assert_array_equal(row, np.stack([to_bytes(view.astype(np.float32)) for view in one]))


def test_frames_without_texture_are_passed_over_unless_they_are_many() -> None:
    frames = [frame(smile) for smile in (0, 5, 10, 15)]
    bare = [frame(5, texture=False), *frames[1:]]
    views = DynamicViews(size=16, channels=("texture",))
    np.testing.assert_array_equal(
        views.extract(clip_of(bare)), views.extract(clip_of([frames[1], frames[1], *frames[2:]]))
    )
    with pytest.raises(UnusableScan, match="of the sequence's 4 frames have no texture"):
        views.extract(clip_of([bare[0], bare[0], bare[0], frames[3]]))
    with pytest.raises(UnusableScan, match="the sequence has no frame"):
        views.rows(clip_of([]))


def test_a_video_has_one_view(tmp_path: Path) -> None:
    for number in range(4):
        image = np.zeros((20, 30, 3), dtype=np.uint8)
        image[5:15, 5 + 3 * number : 15 + 3 * number] = 200
        write_image(tmp_path / f"{number}.png", image)
    video = Clip(tuple((tmp_path / f"{n}.png",) for n in range(4)), lambda files: Photo(files[0], aligned=False))
    views = DynamicViews(size=20).resolve(frozenset({"video"}))
    (row,) = views.extract(video)
    assert row.shape == views.shape == (1, 3, 20, 20)
    # The square left the left side and came to the right one.
    assert row[0, 0, 10, 2] < row[0, 0, 1, 1] < row[0, 0, 10, 17]


def test_a_video_has_no_side() -> None:
    video = frozenset({"video"})
    for yaws, pitches in (((-30.0,), ()), ((-20.0, 20.0), ()), ((0.0, 20.0), (15.0, 0.0))):
        views = DynamicViews(yaws=yaws, pitches=pitches)
        with pytest.raises(InvalidSuite, match=r"^dynamic_views: asks for .* a video shows the front alone; .*\.$"):
            views.resolve(video)
        assert views.resolve(BOTH).yaws == yaws, "meshes show every side"
    for yaws in ((0.0,), (-20.0, 0.0, 20.0), (-30, -0.0)):
        front = DynamicViews(yaws=yaws).resolve(video)
        assert (front.yaws, front.pitches, front.channels) == ((0.0,), (), ("texture",))


def test_resolve_label_and_parameters() -> None:
    views = DynamicViews().resolve(BOTH)
    assert views.channels == ("texture",)
    assert views.label == "dynamicviews-20+0+20-224-texture"
    full = replace(views, window=30, stride=10, frames=90, pooling="plain")
    assert full.label == "dynamicviews-20+0+20-224-texture-window30-stride10-frames90-plain"
    assert re.fullmatch(r"[a-z0-9.+-]+", full.label)
    assert len({views.digest, full.digest, Views().resolve(frozenset({"mesh", "texture"})).digest}) == 3
    with pytest.raises(InvalidSuite, match="dynamic_views: needs a dataset with a sequence or a video, and this one"):
        DynamicViews().resolve(frozenset({"mesh"}))
    for wrong in ({"window": 0}, {"stride": -1}, {"frames": 0}, {"pooling": "mean"}):
        with pytest.raises(InvalidSuite, match=next(iter(wrong))):
            DynamicViews(**wrong)
