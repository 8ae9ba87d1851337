"""Multi-view renders as a representation, and what every representation shares."""

import re
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fer_bench.errors import FerBenchError, InvalidSuite
from fer_bench.geometry.alignment import CANONICAL, UnusableScan
from fer_bench.geometry.render import render
from fer_bench.geometry.scan import Scan
from fer_bench.representations.views import Views

TEXTURED, GEOMETRIC = frozenset({"mesh", "texture"}), frozenset({"mesh"})


def face(chin: float = -85.0) -> Scan:
    """A face in the canonical frame, its left half red and its right half blue; the left eye sits on a bump."""
    line = np.linspace(-1, 1, 61)
    u, v = np.meshgrid(line, line)
    x, y = 75 * u, np.where(v < 0, -chin, 105) * v
    z = 15 - 90 * u**2 * (0.5 + 0.5 * v**2) + 25 * np.exp(-((x / 12) ** 2) - (y / 18) ** 2)
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)
    index = np.arange(61 * 61).reshape(61, 61)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    texture = np.zeros((64, 64, 3), dtype=np.uint8)
    texture[:, 32:, 0] = texture[:, :32, 2] = 200
    uv = np.stack([u + 1, v + 1], axis=-1).reshape(-1, 2).astype(np.float32) / 2
    return Scan(vertices, triangles, uv, triangles, texture, {n: np.float32(p) for n, p in CANONICAL.items()})


def test_shape_dtype_and_order_of_views() -> None:
    views = Views(size=64).resolve(TEXTURED)
    images = views.extract(face())
    assert images.shape == views.shape == (3, 3, 64, 64) and images.dtype == views.dtype == np.uint8
    red, blue = (images[:, plane] > 0 for plane in (0, 2))
    # The first view has the camera at -20 degrees, where the subject's right cheek (blue) takes up more of the face.
    share = red.sum(axis=(1, 2)) / (red.sum(axis=(1, 2)) + blue.sum(axis=(1, 2)))
    assert share[0] < 0.45 < share[1] < 0.55 < share[2]
    for image, yaw in zip(images, (-20, 0, 20), strict=True):
        np.testing.assert_array_equal(image, render(face(), size=64, field_mm=220, channels=["texture"], yaw=yaw))


def test_pitches_and_a_perspective_camera() -> None:
    views = Views(yaws=(0, 20), pitches=(15, -15), size=48, channels=("depth",), distance_mm=600)
    for image, (yaw, pitch) in zip(views.extract(face()), ((0, 15), (20, -15)), strict=True):
        expected = render(face(), size=48, field_mm=220, channels=["depth"], yaw=yaw, pitch=pitch, distance_mm=600)
        np.testing.assert_array_equal(image, expected)


def test_geometric_channels() -> None:
    views = Views(yaws=(0,), size=32, channels=("depth", "normal_x", "normal_y", "normal_z", "shaded"))
    assert views.shape == (1, 5, 32, 32)
    assert views.extract(replace(face(), texture=None, uv=None, uv_triangles=None)).shape == views.shape


def test_open_channels_follow_the_dataset() -> None:
    assert Views().resolve(TEXTURED).channels == ("texture",)
    assert Views().resolve(GEOMETRIC).channels == ("depth", "normal_x", "normal_y")
    fixed = Views(channels=("shaded",))
    assert fixed.resolve(TEXTURED) is fixed and fixed.resolve(GEOMETRIC) is fixed
    assert Views().resolve(TEXTURED).shape == Views().resolve(GEOMETRIC).shape == (3, 3, 224, 224)
    with pytest.raises(InvalidSuite, match=r"use \[depth, normal_x, normal_y\]"):
        Views(channels=("texture",)).resolve(GEOMETRIC)


def test_open_channels_cannot_be_extracted_or_cached() -> None:
    for use in (lambda: Views().shape, lambda: Views().digest, lambda: Views().extract(face())):
        with pytest.raises(InvalidSuite, match="call resolve"):
            use()


@pytest.mark.parametrize("chin", [-85.0, -105.0])
@pytest.mark.parametrize("yaw", [-30, -20, 0, 20, 30])
def test_a_whole_face_fits_with_its_mouth_open(chin: float, yaw: float) -> None:
    seen = Views(yaws=(yaw,), channels=("depth",)).extract(face(chin))[0, 0] > 0
    assert seen.any()
    for border in (seen[0], seen[-1], seen[:, 0], seen[:, -1]):
        assert not border.any()


def test_the_pose_of_the_input_does_not_matter() -> None:
    views, scan = Views(size=64, channels=("depth", "normal_x", "texture")), face()
    rotation, shift = Rotation.from_euler("xyz", [25, -40, 160], degrees=True).as_matrix(), [400, -90, 33]
    moved = replace(
        scan,
        vertices=(scan.vertices @ rotation.T + shift).astype(np.float32),
        landmarks={n: (p @ rotation.T + shift).astype(np.float32) for n, p in scan.landmarks.items()},
    )
    expected, actual = (views.extract(s).astype(int) for s in (scan, moved))
    # Rounding moves an outline by less than a pixel: almost all bytes are the same, and the rest one step off.
    assert (np.abs(expected - actual) > 1).mean() < 0.002


def test_digest_changes_with_every_parameter_and_with_nothing_else() -> None:
    base = Views(channels=("texture",))
    assert base.digest == Views().resolve(TEXTURED).digest and re.fullmatch("[0-9a-f]{12}", base.digest)
    assert base.digest == Views(yaws=[-20, 0, 20], field_mm=220, channels=["texture"]).digest  # as YAML gives them
    others = [
        replace(base, yaws=(-30, 0, 30)),
        replace(base, yaws=(20, 0, -20)),
        replace(base, size=112),
        replace(base, field_mm=200),
        replace(base, channels=("depth",)),
        replace(base, pitches=(10, 0, 0)),
        replace(base, distance_mm=500),
    ]

    class Newer(Views):
        version = Views.version + 1

    digests = {base.digest, Newer(channels=("texture",)).digest, *(other.digest for other in others)}
    assert len(digests) == len(others) + 2


def test_digest_does_not_drift() -> None:
    # A cache made by an earlier release is found again only while this holds; raise `version` when arrays change.
    assert Views(channels=("texture",)).digest == "9c2d8aa1ccf2"


def test_labels_name_folders() -> None:
    assert Views().resolve(TEXTURED).label == "views-20+0+20-224-texture"
    assert Views().resolve(GEOMETRIC).label == "views-20+0+20-224-depth+normalx+normaly"
    assert Views().label == "views-20+0+20-224-auto"
    other = Views(yaws=(-12.5,), size=64, field_mm=180, channels=("shaded",))
    assert other.label == "views-12.5-64-180mm-shaded"
    tilted = Views(yaws=(0, 0), pitches=(-10, 10), distance_mm=600, channels=("curvature",))
    assert tilted.label == "views+0+0-up-10+10-224-from600mm-curvature"
    for views in (Views(), other, tilted):
        assert re.fullmatch(r"[a-z0-9.+-]+", views.label)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"yaws": ()}, "yaws"),
        ({"yaws": (float("nan"),)}, "yaws"),
        ({"yaws": (0, 120)}, "yaws"),
        ({"pitches": (1, 2)}, "2 pitches for 3 yaws"),
        ({"pitches": (0, 0, 91)}, "pitches"),
        ({"distance_mm": 299}, "distance_mm"),
        ({"distance_mm": float("nan")}, "distance_mm"),
        ({"size": 0}, "size"),
        ({"size": 10**6}, "size"),
        ({"field_mm": 0}, "field_mm"),
        ({"field_mm": float("inf")}, "field_mm"),
        ({"channels": ()}, "channels"),
        ({"channels": ("texture", "colour")}, "give some of texture, shaded, depth"),
    ],
)
def test_parameters_are_checked(parameters: dict, problem: str) -> None:
    with pytest.raises(InvalidSuite, match=problem):
        Views(**parameters)


def test_parameters_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Views().size = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"texture": None}, "no texture; ask for the channels depth, normal_x and normal_y instead"),
        ({"vertices": np.full((3, 3), np.nan, dtype=np.float32)}, "not finite"),
        ({"triangles": np.empty((0, 3), dtype=np.int32)}, "no triangles"),
    ],
)
def test_unusable_scans(change: dict, problem: str) -> None:
    with pytest.raises(UnusableScan, match=problem) as caught:
        Views(channels=("texture",)).extract(replace(face(), **change))
    assert isinstance(caught.value, FerBenchError)
