"""The renderer against shapes whose images are known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.geometry.alignment import UnusableScan
from fer_bench.geometry.render import CURVATURE, DEPTH_FAR, DEPTH_NEAR, PLANES, camera_axes, render, render_views
from fer_bench.geometry.scan import Scan

NORMALS = ("normal_x", "normal_y", "normal_z")


def mesh(vertices, triangles) -> Scan:
    return Scan(np.array(vertices, dtype=np.float32), np.array(triangles, dtype=np.int32))


def rectangle(left: float, bottom: float, right: float, top: float, z: float = 0.0) -> Scan:
    corners = [[left, bottom, z], [right, bottom, z], [right, top, z], [left, top, z]]
    return mesh(corners, [[0, 1, 2], [0, 2, 3]])


def together(*scans: Scan) -> Scan:
    starts = np.cumsum([0] + [len(scan.vertices) for scan in scans])
    triangles = [scan.triangles + start for scan, start in zip(scans, starts, strict=False)]
    return mesh(np.concatenate([scan.vertices for scan in scans]), np.concatenate(triangles))


def sphere(radius: float, steps: int = 120) -> Scan:
    """A closed sphere around the origin, triangles counter-clockwise seen from outside."""
    polar, turn = np.linspace(0, np.pi, steps + 1), np.linspace(0, 2 * np.pi, 2 * steps, endpoint=False)
    p, t = np.meshgrid(polar, turn, indexing="ij")
    vertices = radius * np.stack([np.sin(p) * np.sin(t), np.cos(p), np.sin(p) * np.cos(t)], axis=-1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(steps), np.arange(2 * steps), indexing="ij")
    a, b = i * 2 * steps + j, i * 2 * steps + (j + 1) % (2 * steps)
    c, d = a + 2 * steps, b + 2 * steps
    return mesh(vertices, np.stack([a, c, d, a, d, b], axis=-1).reshape(-1, 3))


def seen(scan: Scan, **options) -> np.ndarray:
    return render(scan, channels=["depth"], **({"size": 100, "field_mm": 100} | options))[0] > 0


def test_a_rectangle_covers_its_pixels() -> None:
    # 100 pixels of 1 mm: column c spans x from c - 50 to c - 49, row r spans y from 50 - r to 49 - r.
    image = seen(rectangle(-30, -20, 10, 40))
    expected = np.zeros((100, 100), dtype=bool)
    expected[10:70, 20:60] = True
    np.testing.assert_array_equal(image, expected)


def test_a_pixel_belongs_to_whoever_holds_its_centre_and_edges_to_one_side_only() -> None:
    # Edges exactly on pixel centres: the left and top ones are inside, the right and bottom ones are not.
    image = seen(rectangle(-30.5, -20.5, 10.5, 40.5))
    rows, columns = np.nonzero(image)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (9, 69, 19, 59)
    assert image.sum() == 61 * 41


def test_triangles_that_share_an_edge_share_no_pixel() -> None:
    scan = rectangle(-30.5, -30.5, 30.5, 30.5)  # the diagonal runs through pixel centres
    halves = [seen(replace(scan, triangles=scan.triangles[[k]])) for k in (0, 1)]
    assert not (halves[0] & halves[1]).any()
    np.testing.assert_array_equal(halves[0] | halves[1], seen(scan))


@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.sampled_from([7, 64, 101]), st.booleans())
@settings(max_examples=40)
def test_a_height_field_has_no_cracks(seed: int, steps: int, size: int, flipped: bool) -> None:
    random = np.random.default_rng(seed)
    line = np.linspace(-51, 51, steps + 1)
    x, y = np.meshgrid(line, line)
    inner = (slice(1, -1), slice(1, -1))
    x[inner] += random.uniform(-0.35, 0.35, x[inner].shape) * 102 / steps
    y[inner] += random.uniform(-0.35, 0.35, x[inner].shape) * 102 / steps
    vertices = np.stack([x, y, random.normal(0, 5, x.shape)], axis=-1).reshape(-1, 3)
    index = np.arange((steps + 1) ** 2).reshape(steps + 1, steps + 1)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    turned = np.where(random.random(len(a))[:, None] < 0.5, np.stack([a, b, c], 1), np.stack([a, b, d], 1))
    other = np.where((turned[:, 2] == c)[:, None], np.stack([a, c, d], 1), np.stack([b, c, d], 1))
    triangles = np.concatenate([turned, other])
    assert seen(mesh(vertices, triangles[:, ::-1] if flipped else triangles), size=size).all()


def test_silhouette_depth_and_normals_of_a_sphere() -> None:
    size, radius = 200, 55.0
    planes = render(sphere(radius), size=size, field_mm=150, channels=["depth", *NORMALS, "shaded"]).astype(float)
    depth, nx, ny, nz, shaded = planes
    centres = (np.arange(size) + 0.5) * 150 / size - 75
    x, y = np.meshgrid(centres, -centres)
    distance = np.hypot(x, y)
    assert np.pi * radius**2 / (150 / size) ** 2 == pytest.approx((depth > 0).sum(), rel=0.003)
    assert not planes[:, distance > radius].any()
    inside = distance < radius - 2
    z = np.sqrt(np.maximum(radius**2 - distance**2, 0))
    millimetres = DEPTH_FAR + (depth - 1) / 254 * (DEPTH_NEAR - DEPTH_FAR)
    step = (DEPTH_NEAR - DEPTH_FAR) / 254
    np.testing.assert_allclose(millimetres[inside], z[inside], atol=step / 2 + 0.15)
    for plane, truth in ((nx, x), (ny, y), (nz, z)):
        np.testing.assert_allclose((plane[inside] - 1) / 127 - 1, truth[inside] / radius, atol=0.5 / 127 + 0.005)
    np.testing.assert_allclose((shaded[inside] - 1) / 254, z[inside] / radius, atol=0.5 / 254 + 0.005)


def test_normals_turn_with_the_camera() -> None:
    wall = mesh([[-40, -40, 0], [40, -40, 0], [0, 40, 0]], [[0, 1, 2]])
    images = render(wall, size=20, field_mm=100, yaw=30, channels=NORMALS)[:, 10, 10].astype(float)
    np.testing.assert_allclose((images - 1) / 127 - 1, [-0.5, 0, 3**0.5 / 2], atol=0.005)


@pytest.mark.parametrize("channel", ["shaded", *NORMALS])
def test_a_back_face_looks_like_a_front_face(channel: str) -> None:
    front = mesh([[-40, -40, 5], [40, -40, -9], [0, 40, 20]], [[0, 1, 2]])
    images = [
        render(replace(front, triangles=t), size=40, field_mm=100, channels=[channel])
        for t in (front.triangles, front.triangles[:, ::-1].copy())
    ]
    assert images[0].any()
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_surface_is_seen(order: tuple[int, int]) -> None:
    planes = rectangle(-40, -40, 40, 40, -30), rectangle(-10, -10, 10, 10, 30)
    image = render(together(*(planes[k] for k in order)), size=100, field_mm=100, channels=["depth"])[0]
    assert image[50, 50] > image[20, 20] > 0
    assert (image == image[50, 50]).sum() == 20 * 20


def test_a_positive_yaw_sees_the_left_cheek_and_a_positive_pitch_the_forehead() -> None:
    # A small patch on each side of a sphere, beyond the frontal view's horizon's middle.
    ball = sphere(60.0)

    def middle(x: float, y: float, **angles: float) -> tuple[float, float]:
        """Image position (right, down), pixels from the centre, of a spot on the sphere's front; checks it is seen."""
        z = (60.0**2 - x**2 - y**2) ** 0.5
        spot = rectangle(x - 2, y - 2, x + 2, y + 2, z + 2)
        with_spot, without = (
            render(s, size=200, field_mm=200, channels=["depth"], **angles)[0] for s in (together(ball, spot), ball)
        )
        rows, columns = np.nonzero(with_spot != without)
        return columns.mean() - 99.5, rows.mean() - 99.5

    front, turned = middle(40, 0), middle(40, 0, yaw=20)
    assert front[0] == pytest.approx(40, abs=0.6)
    assert 0 < turned[0] < front[0] - 10  # the left cheek comes towards the image's centre
    assert middle(0, 0, yaw=20)[0] == pytest.approx(-62 * np.sin(np.radians(20)), abs=1)
    assert middle(0, 30)[1] == pytest.approx(-30, abs=0.6)  # +y is up
    assert middle(0, 30, pitch=20)[1] > -30 + 10  # the forehead comes down towards the centre

    def near(yaw: float) -> tuple[float, float]:
        """Depths at which the camera sees the left and the right end of a bar across the face."""
        bar = render(rectangle(-40, -5, 40, 5), size=200, field_mm=200, channels=["depth"], yaw=yaw)[0]
        columns = np.flatnonzero(bar[100])
        return float(bar[100, columns[-1]]), float(bar[100, columns[0]])

    left, right = near(20)
    assert left > right and near(-20) == (right, left)


@given(st.floats(-180, 180), st.floats(-90, 90))
def test_camera_axes_are_a_rotation(yaw: float, pitch: float) -> None:
    axes = camera_axes(yaw, pitch)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.cross(axes[0], axes[1]), axes[2], atol=1e-12)
    np.testing.assert_allclose(camera_axes(0, 0), np.eye(3), atol=1e-12)


def textured(colours: np.ndarray) -> Scan:
    uv = np.float32([[0, 0], [1, 0], [1, 1], [0, 1]])
    scan = rectangle(-40, -40, 40, 40)
    return replace(scan, uv=uv, uv_triangles=scan.triangles, texture=colours.astype(np.uint8))


def test_texture_corners_land_in_their_image_corners() -> None:
    colours = np.zeros((8, 16, 3))
    colours[0, 0], colours[0, -1], colours[-1, 0], colours[-1, -1] = [255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]
    image = render(textured(colours), size=100, field_mm=100, channels=["texture"])
    assert image.shape == (3, 100, 100)
    corners = {(10, 10): [255, 0, 0], (10, 89): [0, 255, 0], (89, 10): [0, 0, 255], (89, 89): [9, 9, 9]}
    for (row, column), colour in corners.items():
        assert image[:, row, column].tolist() == colour
    assert not image[:, :10].any() and not image[:, :, 90:].any()


def test_texture_is_bilinear_between_texel_centres() -> None:
    ramp = np.zeros((2, 4, 3))
    ramp[:, :, 0] = [0, 80, 160, 240]
    ramp[1, :, 1] = 200
    image = render(textured(ramp), size=80, field_mm=80, channels=["texture"]).astype(float)
    across = (np.arange(80) + 0.5) / 20 - 0.5  # texels
    np.testing.assert_allclose(image[0, 40], 80 * np.clip(across, 0, 3), atol=0.6)
    down = (np.arange(80) + 0.5) / 40 - 0.5
    np.testing.assert_allclose(image[1, :, 40], 200 * np.clip(down, 0, 1), atol=0.6)


def test_uv_seams_use_their_own_coordinates() -> None:
    scan = textured(np.stack([np.full((4, 4), 250), np.zeros((4, 4)), np.zeros((4, 4))], axis=-1))
    assert scan.texture is not None
    scan.texture[:, 2:] = [0, 0, 250]
    uv = np.float32([[0.1, 0.1], [0.2, 0.1], [0.2, 0.2], [0.8, 0.8], [0.9, 0.9], [0.8, 0.9]])
    image = render(
        replace(scan, uv=uv, uv_triangles=np.int32([[0, 1, 2], [3, 4, 5]])), size=80, field_mm=80, channels=["texture"]
    )
    assert image[:, 60, 70].tolist() == [250, 0, 0] and image[:, 20, 10].tolist() == [0, 0, 250]


def test_channels_come_in_the_order_asked_for() -> None:
    scan = textured(np.full((2, 2, 3), 77))
    images = {c: render(scan, size=16, field_mm=100, yaw=25, channels=[c]) for c in PLANES}
    order = ["normal_z", "texture", "depth", "normal_x", "shaded", "normal_y"]
    stack = render(scan, size=16, field_mm=100, yaw=25, channels=order)
    np.testing.assert_array_equal(stack, np.concatenate([images[c] for c in order]))
    assert {c: len(image) for c, image in images.items()} == PLANES and stack.dtype == np.uint8


def test_far_and_degenerate_triangles_do_no_harm() -> None:
    face = rectangle(-20, -20, 20, 20)
    line = mesh([[-45, -45, 0], [45, 45, 0], [0, 0, 0]], [[0, 1, 2], [0, 0, 1]])
    far = mesh([[1e30, 1e30, 0], [1e30, -1e30, 0], [3e38, 0, 0]], [[0, 1, 2]])
    outside = rectangle(60, 60, 90, 90)
    np.testing.assert_array_equal(seen(together(face, line, far, outside)), seen(face))
    assert seen(mesh([[-1e20, -1e20, 0], [1e20, -1e20, 0], [0, 1e20, 0]], [[0, 1, 2]])).all()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"triangles": np.empty((0, 3), dtype=np.int32)}, "no triangles"),
        ({"triangles": np.int32([[0, 1, 4]])}, "refer to vertices it lacks"),
        ({"triangles": np.int32([[0, 1, -1]])}, "refer to vertices it lacks"),
        ({"vertices": np.full((4, 3), np.nan, dtype=np.float32)}, "vertices are not finite"),
        ({"texture": None}, "no texture; ask for the channels depth"),
        ({"uv": None}, "no texture"),
        ({"uv_triangles": np.int32([[0, 1, 2]])}, "2 triangles, but 1 with texture"),
        ({"uv_triangles": np.int32([[0, 1, 2], [0, 2, 4]])}, "refer to texture coordinates it lacks"),
        ({"uv": np.full((4, 2), np.inf, dtype=np.float32)}, "texture coordinates are not finite"),
    ],
)
def test_unusable_scans(change: dict[str, np.ndarray | None], problem: str) -> None:
    scan = replace(textured(np.ones((2, 2, 3))), **change)
    with pytest.raises(UnusableScan, match=problem):
        render(scan, size=8, field_mm=100, channels=["texture"])


def test_a_perspective_camera_sees_what_is_nearer_larger() -> None:
    # At 40 of 400 mm towards the camera everything is 400 / 360 times as large; in the plane of the origin, as it is.
    for z, scale in ((0.0, 1.0), (40.0, 400 / 360), (-100.0, 0.8)):
        rows, columns = np.nonzero(seen(rectangle(-30, -20, 10, 40, z), size=400, field_mm=200, distance_mm=400.0))
        edges = [columns.min(), columns.max() + 1, rows.min(), rows.max() + 1]
        np.testing.assert_allclose(edges, [200 + 2 * scale * e for e in (-30, 10, -40, 20)], atol=0.51)


def test_depth_and_texture_are_right_in_perspective() -> None:
    """On a slope, the middle of an edge is not in the middle of its image."""
    slope = mesh([[-40, -40, -60], [40, -40, 40], [40, 40, 40], [-40, 40, -60]], [[0, 1, 2], [0, 2, 3]])
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float32)
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    scan = replace(slope, uv=uv, uv_triangles=slope.triangles, texture=ramp)
    image = render(scan, size=201, field_mm=201, channels=["depth", "texture"], distance_mm=300.0)
    for x in (-30.0, 0.0, 25.0):
        z = -10 + x * 100 / 80
        column = int(100.5 + x * 300 / (300 - z))
        # The pixel's centre, back on the slope.
        u = column + 0.5 - 100.5
        there = u * (300 + 10) / (300 + u * 100 / 80)
        expected = 1 + 254 * ((-10 + there * 100 / 80) - DEPTH_FAR) / (DEPTH_NEAR - DEPTH_FAR)
        assert abs(int(image[0, 100, column]) - expected) <= 1
        assert abs(int(image[1, 100, column]) - (256 * (there + 40) / 80 - 0.5)) <= 1


def test_what_is_too_near_a_perspective_camera_is_left_out() -> None:
    scan = together(rectangle(-30, -30, 30, 30), rectangle(-5, -5, 5, 5, 380), rectangle(-5, -5, 5, 5, 500))
    options = {"size": 100, "field_mm": 100, "channels": ["depth"], "distance_mm": 400.0}
    np.testing.assert_array_equal(render(scan, **options), render(rectangle(-30, -30, 30, 30), **options))


def test_curvature_of_spheres_and_planes() -> None:
    for radius in (20.0, 40.0):
        ball = sphere(radius)
        for triangles, sign in ((ball.triangles, 1), (ball.triangles[:, ::-1], -1)):  # inside out it is a bowl
            image = render(mesh(ball.vertices, triangles), size=50, field_mm=100, channels=["curvature"])[0]
            np.testing.assert_allclose(image[20:30, 20:30], 128 + sign * 127 / radius / CURVATURE, atol=1.5)
    flat = render(rectangle(-30, -30, 30, 30), size=50, field_mm=100, channels=["curvature"])[0]
    assert set(np.unique(flat)) == {0, 128}


def test_views_are_the_single_views() -> None:
    angles, channels = [(-30.0, 0.0), (0.0, 15.0), (30.0, -15.0)], [*NORMALS, "depth", "shaded", "curvature"]
    for distance in (None, 500.0):
        options = {"size": 60, "field_mm": 120, "channels": channels, "distance_mm": distance}
        together_ = render_views(sphere(40, 20), angles=angles, **options)
        for image, (yaw, pitch) in zip(together_, angles, strict=True):
            np.testing.assert_array_equal(image, render(sphere(40, 20), yaw=yaw, pitch=pitch, **options))
