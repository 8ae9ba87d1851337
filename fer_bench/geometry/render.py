"""Views of a scan: what a camera at a yaw and a pitch sees of its surface, in channels of bytes."""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fer_bench.geometry.alignment import UnusableScan
from fer_bench.geometry.rasteriser import Fragments, rasterise, snap
from fer_bench.geometry.scan import Scan
from fer_bench.geometry.surface import mean_curvature, vertex_normals

PLANES = {  # of each channel
    "texture": 3,
    "shaded": 1,
    "depth": 1,
    "normal_x": 1,
    "normal_y": 1,
    "normal_z": 1,
    "curvature": 1,
}
# The depth channel's range, towards the camera from the origin, mm: in the canonical frame from behind the ears to
# beyond the nose tip, at every yaw up to 90 degrees. One range for all scans keeps millimetres comparable.
DEPTH_FAR, DEPTH_NEAR = -100.0, 60.0
# The curvature channel's range, 1 / mm: beyond it lie only a lip's edge, a nostril and noise.
CURVATURE = 0.1


def camera_axes(yaw: float, pitch: float) -> NDArray[np.float64]:
    """(3, 3) rows: the image's right, its up, and the direction towards the camera, in the scan's frame.

    At 0, 0 the camera looks along -z. The one convention for turning it: a positive yaw moves the camera towards the
    subject's left (+x), so that the left cheek comes into view; a positive pitch moves it up. Both in degrees.
    """
    cy, sy, cp, sp = (f(np.radians(angle)) for angle in (yaw, pitch) for f in (np.cos, np.sin))
    return np.array([[cy, 0.0, -sy], [-sp * sy, cp, -sp * cy], [cp * sy, sp, cp * cy]])


def render(
    scan: Scan,
    *,
    size: int,
    field_mm: float,
    channels: Sequence[str],
    yaw: float = 0.0,
    pitch: float = 0.0,
    distance_mm: float | None = None,
) -> NDArray[np.uint8]:
    """One view, (C, size, size); see `render_views`."""
    return render_views(
        scan, size=size, field_mm=field_mm, channels=channels, angles=[(yaw, pitch)], distance_mm=distance_mm
    )[0]


def render_views(
    scan: Scan,
    *,
    size: int,
    field_mm: float,
    channels: Sequence[str],
    angles: Sequence[tuple[float, float]],
    distance_mm: float | None = None,
) -> NDArray[np.uint8]:
    """Draw a scan from several sides: (A, C, size, size) uint8, 0 where nothing is seen.

    The origin is at the image's centre and `field_mm` millimetres span its width, for every scan; +x points right
    and +y up. Both faces of a triangle are drawn, because a scan is an open surface.

    Args:
        scan: the mesh, usually aligned.
        size: pixels across.
        field_mm: millimetres across, in the plane through the origin.
        channels: names, drawn in this order:
            `texture`: (3 planes) the texture's colours, bilinear;
            `shaded`: white Lambert surface lit from the camera, |cos| of the angle between normal and view, 1..255;
            `depth`: `DEPTH_FAR` to `DEPTH_NEAR` mm as 1..255, near is bright, clipped;
            `normal_x`, `normal_y`, `normal_z`: the smooth surface normal's part along the image's right, its up and
            towards the camera, -1..1 as 1..255; of a back face, the normal that points to the camera's side;
            `curvature`: mean curvature, -`CURVATURE` to `CURVATURE` as 1..255, convex is bright, clipped.
        angles: (yaw, pitch) of each view in degrees, see `camera_axes`.
        distance_mm: of a perspective camera from the origin; None draws orthographic views. Triangles nearer to it than
            a tenth of that are left out.

    Raises:
        UnusableScan: no triangles, an index or coordinate that is not valid, or no texture where one is needed.
    """
    _check(scan, "texture" in channels)
    axes = np.stack([camera_axes(yaw, pitch) for yaw, pitch in angles])
    columns, rows, near, triangles = _project(scan, axes, size / field_mm, size, distance_mm)
    seen = rasterise(columns, rows, near, triangles, size)
    if distance_mm is not None:
        seen = _in_space(seen, near, triangles, distance_mm)

    normals = curvature = np.empty(0, dtype=np.float32)
    if set(channels) - {"texture", "depth"}:
        normals = vertex_normals(scan.vertices, scan.triangles)
    if "curvature" in channels:
        curvature = mean_curvature(scan.vertices, scan.triangles, normals)
    views = np.zeros((len(axes), sum(PLANES[channel] for channel in channels), size, size), dtype=np.uint8)
    for view, (depth, triangle, weights) in enumerate(zip(*seen, strict=True)):
        facing = np.empty(0)
        if any(channel == "shaded" or channel.startswith("normal") for channel in channels):
            turned = normals @ axes[view].T.astype(np.float32)
            facing = _interpolate_normals(triangle, weights, triangles, turned, columns[view], rows[view])
        plane = 0
        for channel in channels:
            image = views[view, plane]
            if channel == "texture":
                _sample_texture(triangle, weights, scan.uv_triangles, scan.uv, scan.texture, views[view, plane:])
            elif channel == "depth":
                _to_bytes(depth, DEPTH_FAR, DEPTH_NEAR, triangle, image)
            elif channel == "curvature":
                _to_bytes(_interpolate(triangle, weights, triangles, curvature), -CURVATURE, CURVATURE, triangle, image)
            elif channel == "shaded":
                _to_bytes(np.abs(facing[2]), 0.0, 1.0, triangle, image)
            else:
                _to_bytes(facing["xyz".index(channel[-1])], -1.0, 1.0, triangle, image)
            plane += PLANES[channel]
    return views


def value_map(
    scan: Scan, values: NDArray[np.floating], *, size: int, field_mm: float, yaw: float = 0.0, pitch: float = 0.0
) -> NDArray[np.float32]:
    """(size, size) of a value a vertex (V,), as `render` would draw it orthographically; NaN where nothing is seen.

    Raises:
        UnusableScan: see `render_views`.
    """
    _check(scan, False)
    columns, rows, near, triangles = _project(scan, camera_axes(yaw, pitch)[None], size / field_mm, size, None)
    _, triangle, weights = rasterise(columns, rows, near, triangles, size)
    found = _interpolate(triangle[0], weights[0], triangles, np.asarray(values, dtype=np.float32))
    return np.where(triangle[0] >= 0, found, np.float32(np.nan))


def _project(
    scan: Scan, axes: NDArray[np.float64], scale: float, size: int, distance: float | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int32]]:
    """Columns, rows and nearness (A, V) of the vertices, and the triangles, those too near made empty."""
    x, y, z = np.moveaxis(axes @ scan.vertices.T.astype(np.float64), 1, 0)
    triangles = scan.triangles
    if distance is not None:
        behind = (z > 0.9 * distance).any(axis=0)
        if behind.any():
            triangles = np.where(behind[triangles].any(axis=1)[:, None], np.int32(0), triangles)
        # Of a point's distance it is the inverse that is linear in a perspective image.
        z = 1 / np.maximum(distance - z, 0.1 * distance)
        x, y = x * distance * z, y * distance * z
    return snap(size / 2 + x * scale), snap(size / 2 - y * scale), z, triangles


def _in_space(seen: Fragments, near: NDArray[np.float64], triangles: NDArray[np.int32], distance: float) -> Fragments:
    """From what is linear in a perspective image to depth in millimetres and weights that are linear on the surface."""
    view = np.arange(len(near))[:, None, None, None]
    weights = seen.weights * near[view, triangles[seen.triangle]].astype(np.float32)
    total = weights.sum(axis=3)
    covered = seen.triangle >= 0
    depth = np.where(covered, distance - 1 / np.where(covered, seen.depth, 1), -np.inf).astype(np.float32)
    weights /= np.where(covered, total, 1)[..., None]
    return Fragments(depth, seen.triangle, weights)


def _check(scan: Scan, textured: bool) -> None:
    # The compiled loops below do not check bounds: a bad index there would read foreign memory.
    pairs = [("vertices", scan.vertices, scan.triangles)]
    if textured:
        if scan.texture is None or scan.uv is None or scan.uv_triangles is None or scan.texture.size == 0:
            raise UnusableScan("the scan has no texture; ask for the channels depth, normal_x and normal_y instead")
        pairs.append(("texture coordinates", scan.uv, scan.uv_triangles))
    for name, points, triangles in pairs:
        if len(triangles) == 0 or triangles.min() < 0 or triangles.max() >= len(points):
            raise UnusableScan(f"the scan has no triangles, or some that refer to {name} it lacks")
        if not np.isfinite(points).all():
            raise UnusableScan(f"some of the scan's {name} are not finite")
    if len(pairs[-1][2]) != len(scan.triangles):
        counts = f"{len(scan.triangles)} triangles, but {len(pairs[-1][2])} with texture coordinates"
        raise UnusableScan(f"the scan has {counts}")


@njit(cache=True, nogil=True)
def _to_bytes(values, low, high, triangle, image):  # type: ignore[no-untyped-def]
    """Fill an (H, W) uint8 image: `low` to `high` as 1 to 255, and 0 where no triangle is seen."""
    low, scale = np.float32(low), np.float32(254.0 / (high - low))
    for row in range(len(image)):
        for column in range(len(image)):
            if triangle[row, column] >= 0:
                value = (values[row, column] - low) * scale
                image[row, column] = np.uint8(np.rint(np.float32(1) + min(max(value, np.float32(0)), np.float32(254))))


@njit(cache=True, nogil=True)
def _interpolate(triangle, weights, triangles, values):  # type: ignore[no-untyped-def]
    """(H, W) float32 of a value a vertex."""
    image = np.zeros(triangle.shape, dtype=np.float32)
    for row in range(len(image)):
        for column in range(len(image)):
            t = triangle[row, column]
            if t >= 0:
                for corner in range(3):
                    image[row, column] += weights[row, column, corner] * values[triangles[t, corner]]
    return image


@njit(cache=True, nogil=True)
def _interpolate_normals(triangle, weights, triangles, normals, x, y):  # type: ignore[no-untyped-def]
    """(3, H, W) float32 unit normals, turned over on triangles seen from behind."""
    size = len(triangle)
    image = np.zeros((3, size, size), dtype=np.float32)
    for row in range(size):
        for column in range(size):
            t = triangle[row, column]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            wa, wb, wc = weights[row, column, 0], weights[row, column, 1], weights[row, column, 2]
            nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
            ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
            nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
            length = np.sqrt(nx * nx + ny * ny + nz * nz)
            if length > 0:
                # Rows grow downwards, so the corners of a triangle facing the camera run clockwise in them.
                if (x[b] - x[a]) * (y[c] - y[a]) > (y[b] - y[a]) * (x[c] - x[a]):
                    length = -length
                image[0, row, column] = nx / length
                image[1, row, column] = ny / length
                image[2, row, column] = nz / length
    return image


@njit(cache=True, nogil=True)
def _sample_texture(triangle, weights, uv_triangles, uv, texture, image):  # type: ignore[no-untyped-def]
    """Fill three planes (H, W) uint8 with colours, bilinear between texel centres; beyond the texture's border its edge
    goes on."""
    size = len(triangle)
    height, width = texture.shape[:2]
    for row in range(size):
        for column in range(size):
            t = triangle[row, column]
            if t < 0:
                continue
            u = v = 0.0
            for corner in range(3):
                u += weights[row, column, corner] * uv[uv_triangles[t, corner], 0]
                v += weights[row, column, corner] * uv[uv_triangles[t, corner], 1]
            # v = 0 is the texture's bottom edge, its last row.
            across = min(max(u * width - 0.5, 0.0), width - 1.0)
            down = min(max((1.0 - v) * height - 0.5, 0.0), height - 1.0)
            left, top = int(across), int(down)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            across, down = across - left, down - top
            for i in range(3):
                above = texture[top, left, i] * (1 - across) + texture[top, right, i] * across
                below = texture[bottom, left, i] * (1 - across) + texture[bottom, right, i] * across
                image[i, row, column] = np.uint8(above * (1 - down) + below * down + 0.5)
