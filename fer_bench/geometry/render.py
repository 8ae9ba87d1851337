"""Orthographic views of a scan on the CPU, by a z-buffer of our own (or by pytorch3d, where it is asked for).

Each triangle is scanned over the pixel centres it covers, in integer arithmetic with the top-left fill rule, so that
triangles sharing an edge leave no crack and draw no pixel twice (Pineda, SIGGRAPH 1988).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fer_bench.geometry import pytorch3d_rasteriser
from fer_bench.geometry.alignment import UnusableScan, vertex_normals
from fer_bench.geometry.scan import Scan

PLANES = {"texture": 3, "shaded": 1, "depth": 1, "normal_x": 1, "normal_y": 1, "normal_z": 1}  # of each channel
# The depth channel's range, towards the camera from the origin, mm: in the canonical frame from behind the ears to
# beyond the nose tip, at every yaw up to 90 degrees. One range for all scans keeps millimetres comparable.
DEPTH_FAR, DEPTH_NEAR = -100.0, 60.0

SUBPIXEL = 1 << 10  # positions are rounded to 1/1024 pixel
_LIMIT = float(1 << 30)  # and held within 2**20 pixels, where products of two differences still fit 64 bits


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
) -> NDArray[np.uint8]:
    """Draw a scan: (C, size, size) uint8, 0 where nothing is seen.

    The origin is at the image's centre and `field_mm` millimetres span its width, whatever the scan; +x points right
    and +y up. Both faces of a triangle are drawn, because a scan is an open surface.

    Args:
        scan: the mesh, usually aligned.
        size: pixels across.
        field_mm: millimetres across.
        channels: names, drawn in this order:
            `texture`: (3 planes) the texture's colours, bilinear;
            `shaded`: white Lambert surface lit from the camera, |cos| of the angle between normal and view, 1..255;
            `depth`: `DEPTH_FAR` to `DEPTH_NEAR` mm as 1..255, near is bright, clipped;
            `normal_x`, `normal_y`, `normal_z`: the smooth surface normal's part along the image's right, its up and
            towards the camera, -1..1 as 1..255; of a back face, the normal that points to the camera's side.
        yaw: degrees, see `camera_axes`.
        pitch: degrees, see `camera_axes`.

    Raises:
        UnusableScan: no triangles, an index or coordinate that is not valid, or no texture where one is asked for.
    """
    _check(scan, "texture" in channels)
    axes = camera_axes(yaw, pitch)
    x, y, z = axes @ scan.vertices.T.astype(np.float64)
    pixels = np.stack([size / 2 + x * (size / field_mm), size / 2 - y * (size / field_mm)])
    columns, rows = np.rint(np.clip(pixels * SUBPIXEL, -_LIMIT, _LIMIT)).astype(np.int64)
    if pytorch3d_rasteriser.chosen():
        depth, triangle, weights = pytorch3d_rasteriser.rasterise(pixels[0], pixels[1], z, scan.triangles, size)
    else:
        depth, triangle, weights = rasterise(columns, rows, z, scan.triangles, size)
    seen = triangle >= 0

    normal = np.empty(0)
    if set(channels) - {"texture", "depth"}:
        turned = vertex_normals(scan.vertices, scan.triangles) @ axes.T.astype(np.float32)
        normal = _interpolate_normals(triangle, weights, scan.triangles, turned, columns, rows)
    planes = []
    for channel in channels:
        if channel == "texture":
            planes.append(_sample_texture(triangle, weights, scan.uv_triangles, scan.uv, scan.texture))
        elif channel == "depth":
            planes.append(_to_bytes((depth - DEPTH_FAR) / (DEPTH_NEAR - DEPTH_FAR), seen))
        elif channel == "shaded":
            planes.append(_to_bytes(np.abs(normal[2]), seen))
        else:
            planes.append(_to_bytes((normal["xyz".index(channel[-1])] + 1) / 2, seen))
    return np.concatenate([plane.reshape(-1, size, size) for plane in planes])


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


def _to_bytes(values: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(seen, np.rint(1 + 254 * np.clip(values, 0, 1)), 0).astype(np.uint8)


@njit(cache=True, nogil=True)
def rasterise(x, y, z, triangles, size):  # type: ignore[no-untyped-def]
    """Of the nearest surface at each pixel centre: z (H, W), triangle or -1 (H, W), corner weights (H, W, 3)."""
    depth = np.full((size, size), -np.inf, dtype=np.float32)
    nearest = np.full((size, size), -1, dtype=np.int32)
    weights = np.zeros((size, size, 3), dtype=np.float32)
    half = SUBPIXEL // 2
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        first_column = max(0, -((half - min(x[a], x[b], x[c])) // SUBPIXEL))
        last_column = min(size - 1, (max(x[a], x[b], x[c]) - half) // SUBPIXEL)
        first_row = max(0, -((half - min(y[a], y[b], y[c])) // SUBPIXEL))
        last_row = min(size - 1, (max(y[a], y[b], y[c]) - half) // SUBPIXEL)
        if first_column > last_column or first_row > last_row:
            continue  # most triangles of a dense scan hold no pixel centre
        area = (x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a])
        if area == 0:
            continue
        sign = 1 if area > 0 else -1
        # Edge functions: `ea` is positive inside of the edge opposite to a, and its share of the area is a's weight.
        ax, ay = sign * (x[c] - x[b]), sign * (y[c] - y[b])
        bx, by = sign * (x[a] - x[c]), sign * (y[a] - y[c])
        cx, cy = sign * (x[b] - x[a]), sign * (y[b] - y[a])
        # A centre exactly on an edge belongs to the triangle whose top or left edge that is.
        a_bias = 0 if ay < 0 or (ay == 0 and ax > 0) else 1
        b_bias = 0 if by < 0 or (by == 0 and bx > 0) else 1
        c_bias = 0 if cy < 0 or (cy == 0 and cx > 0) else 1
        scale = 1.0 / (sign * area)
        for row in range(first_row, last_row + 1):
            py = row * SUBPIXEL + half
            for column in range(first_column, last_column + 1):
                px = column * SUBPIXEL + half
                ea = ax * (py - y[b]) - ay * (px - x[b])
                eb = bx * (py - y[c]) - by * (px - x[c])
                ec = cx * (py - y[a]) - cy * (px - x[a])
                if ea >= a_bias and eb >= b_bias and ec >= c_bias:
                    wa, wb, wc = ea * scale, eb * scale, ec * scale
                    here = wa * z[a] + wb * z[b] + wc * z[c]
                    if here > depth[row, column]:
                        depth[row, column] = here
                        nearest[row, column] = t
                        weights[row, column, 0] = wa
                        weights[row, column, 1] = wb
                        weights[row, column, 2] = wc
    return depth, nearest, weights


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
def _sample_texture(triangle, weights, uv_triangles, uv, texture):  # type: ignore[no-untyped-def]
    """(3, H, W) uint8 colours, bilinear between texel centres; beyond the texture's border its edge goes on."""
    size = len(triangle)
    height, width = texture.shape[:2]
    image = np.zeros((3, size, size), dtype=np.uint8)
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
    return image
