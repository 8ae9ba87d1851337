"""`make perf`: what the suite does often, timed against a named peer in the same run on one core, as a ratio."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"  # before anything that reads them is imported

import csv
import io
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import fpsample
import numpy as np
import trimesh

from fer_bench.geometry.render import rasterise, render
from fer_bench.geometry.sampling import farthest_point_sample
from fer_bench.geometry.scan import Scan
from fer_bench.records import atomic_write

OUT = Path("leaderboards") / "perf.csv"
SIZE, FIELD_MM, SIDE = 224, 220.0, 106


def seconds(work: Callable[[], object], rounds: int = 15) -> float:
    """Median time of a call, after two calls to compile and warm up."""
    times = []
    for number in range(rounds + 2):
        start = time.perf_counter()
        work()
        if number > 1:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def height_field() -> Scan:
    """A domed, rough surface of 22,050 triangles, about a BU-3DFE scan."""
    axis = np.linspace(-90, 90, SIDE)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    z = 40 - (x**2 + y**2) / 250 + np.random.default_rng(0).normal(0, 0.5, x.size)
    corner = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    triangles = np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])]).astype(np.int32)
    return Scan(np.column_stack([x, y, z]).astype(np.float32), triangles)


def visibility(scan: Scan) -> tuple[Callable[[], object], Callable[[], object]]:
    """The nearest triangle at each pixel: our z-buffer, and embree through trimesh, its tree built beforehand."""
    x, y, z = scan.vertices.T.astype(np.float64)
    columns, rows = (np.rint((SIZE / 2 + s * SIZE / FIELD_MM) * 1024).astype(np.int64) for s in (x, -y))
    mesh = trimesh.Trimesh(scan.vertices, scan.triangles, process=False, maintain_order=True)
    centre = (np.arange(SIZE) + 0.5 - SIZE / 2) * FIELD_MM / SIZE
    px, py = np.meshgrid(centre, -centre)
    origins = np.column_stack([px.ravel(), py.ravel(), np.full(px.size, 200.0)])
    directions = np.tile([0.0, 0.0, -1.0], (px.size, 1))
    rays = trimesh.ray.ray_pyembree.RayMeshIntersector(mesh)
    theirs = rays.intersects_first(origins, directions).reshape(SIZE, SIZE)
    ours = rasterise(columns, rows, z, scan.triangles, SIZE)[1]
    assert (ours == theirs).mean() > 0.99, "the two must answer the same question"
    return (
        lambda: rasterise(columns, rows, z, scan.triangles, SIZE),
        lambda: rays.intersects_first(origins, directions),
    )


def main() -> None:
    """Time, print, and write leaderboards/perf.csv."""
    scan = height_field()
    cloud = np.random.default_rng(1).normal(size=(11_000, 3)).astype(np.float32)
    ours, embree = visibility(scan)
    rows = [
        ("visibility, 224 x 224, 22,050 triangles", "embree (trimesh)", seconds(ours), seconds(embree)),
        (
            "farthest-point sampling, 11,000 to 2,048",
            "fpsample (exact)",
            seconds(lambda: farthest_point_sample(cloud, 2048)),
            seconds(lambda: fpsample.fps_sampling(cloud, 2048, start_idx=0), rounds=5),
        ),
    ]
    whole = seconds(
        lambda: render(scan, size=SIZE, field_mm=FIELD_MM, channels=("depth", "normal_x", "normal_y"), yaw=20.0)
    )
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["what", "ours_ms", "peer", "peer_ms", "ratio", "machine"])
    machine = f"{platform.machine()}, Python {platform.python_version()}, one core"
    for what, peer, mine, theirs in rows:
        writer.writerow([what, f"{1000 * mine:.2f}", peer, f"{1000 * theirs:.2f}", f"{mine / theirs:.3f}", machine])
        print(f"{what}: {1000 * mine:.2f} ms; {peer} {1000 * theirs:.2f} ms; ratio {mine / theirs:.3f}")
    writer.writerow(["a whole view, depth and two normals", f"{1000 * whole:.2f}", "", "", "", machine])
    print(f"a whole view, depth and two normals: {1000 * whole:.2f} ms")
    with atomic_write(OUT) as file:
        file.write(table.getvalue().encode())


if __name__ == "__main__":
    main()
