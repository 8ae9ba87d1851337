"""`make perf`: reading each dataset's files, timed against a named peer in the same run on one core, as a ratio."""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"  # before anything that reads them is imported

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import trimesh
from timing import OUT, against, height_field, machine, write_csv

from fer_bench.io.bnt import grid_scan, read_bnt, write_bnt
from fer_bench.io.obj import read_obj, write_obj
from fer_bench.io.ply import read_ply, write_ply
from fer_bench.io.ply_header import FORMATS
from fer_bench.io.vrml import read_vrml
from fer_bench.io.vrml_writer import write_vrml, write_vrml_sequence_frame


class Timing(NamedTuple):
    """Median seconds of what we do and of a peer that does the same."""

    what: str
    ours: float
    peer: str
    theirs: float


def parsing(folder: Path) -> Iterator[Timing]:
    """Each dataset's file of a face at its usual size, from a warm disk.

    The peer is trimesh on the same file. It has no reader for .wrl, so there it reads the same mesh as .obj, the text
    format that says as much; nor for .bnt, so there it reads the same mesh as binary .ply.
    """

    def timing(what: str, ours: Callable[[], object], peer: str, path: Path) -> Timing:
        mine, theirs = against(ours, lambda: trimesh.load(path, process=False, maintain_order=True))
        return Timing(what, mine, peer, theirs)

    scan = height_field(8_100)
    wrl, obj = folder / "bu3dfe.wrl", folder / "bu3dfe.obj"
    triangles = scan.triangles.tolist()
    write_vrml(wrl, scan.vertices, triangles, scan.uv, triangles, "face.bmp")
    write_obj(obj, scan.vertices, triangles, scan.uv, triangles)
    what = "read a BU-3DFE .wrl, 8,100 vertices"
    yield timing(what, lambda wrl=wrl: read_vrml(wrl), "trimesh, the same as .obj", obj)

    scan = height_field(29_929)
    wrl, obj = folder / "bu4dfe.wrl", folder / "bu4dfe.obj"
    write_vrml_sequence_frame(wrl, scan.vertices, scan.triangles, scan.uv, "000.jpg")
    write_obj(obj, scan.vertices, scan.triangles, scan.uv, scan.triangles)
    what = "read a BU-4DFE .wrl, 29,929 vertices"
    yield timing(what, lambda wrl=wrl: read_vrml(wrl), "trimesh, the same as .obj", obj)

    scan = height_field(26_244)
    obj = folder / "facescape.obj"
    write_obj(obj, scan.vertices, scan.triangles, scan.uv, scan.triangles)
    yield timing("read a FaceScape .obj, 26,244 vertices", lambda: read_obj(obj), "trimesh", obj)

    scan = height_field(5_041)
    for format in FORMATS:
        ply = folder / f"coma_{format}.ply"
        write_ply(ply, scan.vertices, scan.triangles, format=format)
        what = f"read a CoMA .ply, 5,041 vertices, {format}"
        yield timing(what, lambda ply=ply: read_ply(ply), "trimesh", ply)

    scan = height_field(43_264)
    bnt, ply = folder / "bosphorus.bnt", folder / "bosphorus.ply"
    side = round(len(scan.vertices) ** 0.5)
    fields = np.column_stack([scan.vertices, scan.uv]).reshape(side, side, 5)
    write_bnt(bnt, fields, np.ones((side, side), dtype=bool), "face.png")
    write_ply(ply, scan.vertices, scan.triangles)
    peer = "trimesh, the same as binary .ply"
    yield timing("read a Bosphorus .bnt, 43,264 points", lambda: read_bnt(bnt), peer, ply)
    yield timing("read a Bosphorus .bnt and triangulate it", lambda: grid_scan(read_bnt(bnt)), peer, ply)


def main() -> None:
    """Time, print, and write perf.csv."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for timing in parsing(Path(folder)):
            mine, theirs = f"{1000 * timing.ours:.2f}", f"{1000 * timing.theirs:.2f}"
            ratio = f"{timing.ours / timing.theirs:.3f}"
            rows.append([timing.what, mine, timing.peer, theirs, ratio, machine()])
            print(f"{timing.what}: {mine} ms; {timing.peer} {theirs} ms; ratio {ratio}", flush=True)
    write_csv(OUT / "perf.csv", ["what", "ours_ms", "peer", "peer_ms", "ratio", "machine"], rows)


if __name__ == "__main__":
    main()
