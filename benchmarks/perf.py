"""`make perf`: what the suite does often, timed against a named peer in the same run on one core, as a ratio."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"  # before anything that reads them is imported

import csv
import io
import itertools
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import fpsample
import numpy as np
import trimesh

from fer_bench.geometry.bnt import grid_scan, read_bnt, write_bnt
from fer_bench.geometry.obj import read_obj, write_obj
from fer_bench.geometry.ply import read_ply, write_ply
from fer_bench.geometry.ply_header import FORMATS
from fer_bench.geometry.rasteriser import rasterise, snap
from fer_bench.geometry.render import render
from fer_bench.geometry.sampling import farthest_point_sample
from fer_bench.geometry.scan import Scan
from fer_bench.geometry.vrml import read_vrml
from fer_bench.geometry.vrml_writer import write_vrml, write_vrml_sequence_frame
from fer_bench.records import atomic_write

OUT = Path("leaderboards") / "perf.csv"
SIZE, FIELD_MM = 224, 220.0


class Timing(NamedTuple):
    """Median seconds of what we do and of a peer that does the same; a peer of "" is none."""

    what: str
    ours: float
    peer: str = ""
    theirs: float = float("nan")


def seconds(work: Callable[[], object], rounds: int = 15) -> float:
    """Median time of a call, after two calls to compile and warm up."""
    times = []
    for number in range(rounds + 2):
        start = time.perf_counter()
        work()
        if number > 1:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def height_field(vertices: int) -> Scan:
    """A domed, rough surface of a square number of vertices, twice as many triangles, and texture coordinates."""
    side = round(vertices**0.5)
    axis = np.linspace(-90, 90, side)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    z = 40 - (x**2 + y**2) / 250 + np.random.default_rng(0).normal(0, 0.5, x.size)
    corner = np.arange(side * side).reshape(side, side)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    triangles = np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])]).astype(np.int32)
    uv = np.column_stack([x, y]).astype(np.float32) / 180 + 0.5
    return Scan(np.column_stack([x, y, z]).astype(np.float32), triangles, uv=uv)


def visibility(scan: Scan) -> tuple[Callable[[], object], Callable[[], object]]:
    """The nearest triangle at each pixel: our z-buffer, and embree through trimesh, its tree built beforehand."""
    x, y, z = scan.vertices.T.astype(np.float64)
    columns, rows = (snap(SIZE / 2 + s * SIZE / FIELD_MM)[None] for s in (x, -y))
    mesh = trimesh.Trimesh(scan.vertices, scan.triangles, process=False, maintain_order=True)
    centre = (np.arange(SIZE) + 0.5 - SIZE / 2) * FIELD_MM / SIZE
    px, py = np.meshgrid(centre, -centre)
    origins = np.column_stack([px.ravel(), py.ravel(), np.full(px.size, 200.0)])
    directions = np.tile([0.0, 0.0, -1.0], (px.size, 1))
    rays = trimesh.ray.ray_pyembree.RayMeshIntersector(mesh)
    theirs = rays.intersects_first(origins, directions).reshape(SIZE, SIZE)
    ours = rasterise(columns, rows, z[None], scan.triangles, SIZE).triangle[0]
    assert (ours == theirs).mean() > 0.99, "the two must answer the same question"
    return (
        lambda: rasterise(columns, rows, z[None], scan.triangles, SIZE),
        lambda: rays.intersects_first(origins, directions),
    )


def drawing() -> Iterator[Timing]:
    """Rendering and sampling, at the sizes of a BU-3DFE scan."""
    scan = height_field(11_236)
    ours, embree = visibility(scan)
    yield Timing("visibility, 224 x 224, 22,050 triangles", seconds(ours), "embree (trimesh)", seconds(embree))
    cloud = np.random.default_rng(1).normal(size=(11_000, 3)).astype(np.float32)
    yield Timing(
        "farthest-point sampling, 11,000 to 2,048",
        seconds(lambda: farthest_point_sample(cloud, 2048)),
        "fpsample (exact)",
        seconds(lambda: fpsample.fps_sampling(cloud, 2048, start_idx=0), rounds=5),
    )
    channels = ("depth", "normal_x", "normal_y")
    whole = seconds(lambda: render(scan, size=SIZE, field_mm=FIELD_MM, channels=channels, yaw=20.0))
    yield Timing("a whole view, depth and two normals", whole)


def parsing(folder: Path) -> Iterator[Timing]:
    """Each dataset's file of a face at its usual size, from a warm disk.

    The peer is trimesh on the same file. It has no reader for .wrl, so there it reads the same mesh as .obj, the text
    format that says as much; nor for .bnt, so there it reads the same mesh as binary .ply.
    """

    def theirs(path: Path) -> float:
        return seconds(lambda: trimesh.load(path, process=False, maintain_order=True))

    scan = height_field(8_100)
    wrl, obj = folder / "bu3dfe.wrl", folder / "bu3dfe.obj"
    triangles = scan.triangles.tolist()
    write_vrml(wrl, scan.vertices, triangles, scan.uv, triangles, "face.bmp")
    write_obj(obj, scan.vertices, triangles, scan.uv, triangles)
    what = "read a BU-3DFE .wrl, 8,100 vertices"
    yield Timing(what, seconds(lambda: read_vrml(wrl)), "trimesh, the same as .obj", theirs(obj))

    scan = height_field(29_929)
    wrl, obj = folder / "bu4dfe.wrl", folder / "bu4dfe.obj"
    write_vrml_sequence_frame(wrl, scan.vertices, scan.triangles, scan.uv, "000.jpg")
    write_obj(obj, scan.vertices, scan.triangles, scan.uv, scan.triangles)
    what = "read a BU-4DFE .wrl, 29,929 vertices"
    yield Timing(what, seconds(lambda: read_vrml(wrl)), "trimesh, the same as .obj", theirs(obj))

    scan = height_field(26_244)
    obj = folder / "facescape.obj"
    write_obj(obj, scan.vertices, scan.triangles, scan.uv, scan.triangles)
    yield Timing("read a FaceScape .obj, 26,244 vertices", seconds(lambda: read_obj(obj)), "trimesh", theirs(obj))

    scan = height_field(5_041)
    for format in FORMATS:
        ply = folder / f"coma_{format}.ply"
        write_ply(ply, scan.vertices, scan.triangles, format=format)
        what = f"read a CoMA .ply, 5,041 vertices, {format}"
        yield Timing(what, seconds(lambda ply=ply: read_ply(ply)), "trimesh", theirs(ply))

    scan = height_field(43_264)
    bnt, ply = folder / "bosphorus.bnt", folder / "bosphorus.ply"
    side = round(len(scan.vertices) ** 0.5)
    fields = np.column_stack([scan.vertices, scan.uv]).reshape(side, side, 5)
    write_bnt(bnt, fields, np.ones((side, side), dtype=bool), "face.png")
    write_ply(ply, scan.vertices, scan.triangles)
    peer = theirs(ply)
    what = "read a Bosphorus .bnt, 43,264 points"
    yield Timing(what, seconds(lambda: read_bnt(bnt)), "trimesh, the same as binary .ply", peer)
    whole = seconds(lambda: grid_scan(read_bnt(bnt)))
    yield Timing("read a Bosphorus .bnt and triangulate it", whole, "trimesh, the same as binary .ply", peer)


def main() -> None:
    """Time, print, and write leaderboards/perf.csv."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["what", "ours_ms", "peer", "peer_ms", "ratio", "machine"])
    machine = f"{platform.machine()}, Python {platform.python_version()}, one core"
    with tempfile.TemporaryDirectory() as folder:
        for timing in itertools.chain(drawing(), parsing(Path(folder))):
            mine, theirs = f"{1000 * timing.ours:.2f}", f"{1000 * timing.theirs:.2f}" if timing.peer else ""
            ratio = f"{timing.ours / timing.theirs:.3f}" if timing.peer else ""
            writer.writerow([timing.what, mine, timing.peer, theirs, ratio, machine])
            print(f"{timing.what}: {mine} ms" + (f"; {timing.peer} {theirs} ms; ratio {ratio}" if timing.peer else ""))
    with atomic_write(OUT) as file:
        file.write(table.getvalue().encode())


if __name__ == "__main__":
    main()
