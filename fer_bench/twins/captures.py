"""4D captures: a person is filmed, and each frame is a scan of its own, with the faults that stereo cameras make."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_bench.io.images import write_image
from fer_bench.io.obj import write_obj
from fer_bench.twins.performance import POSED, Timing, head_motion, performance
from fer_bench.twins.population import Population
from fer_bench.twins.scans import Indices, Pose, ScannedMesh, scan_face

TEXTURE_PIXELS = (96, 128)
"""Width and height: upright, as the real ones are."""

_DISTANCE_MM = -75.0  # beyond where single scans have the head: meshes lie around z = -118
_HOLE, _HOLE_MM = 0.15, (4.0, 9.0)  # how likely in a frame, and its radius
_SPIKES, _SPIKE_MM = 0.10, (4.0, 14.0)


@dataclass(frozen=True)
class Captured:
    """One frame.

    Attributes:
        mesh: With one index for vertices and texture coordinates.
        texture: (128, 96, 3) uint8.
        weights: (53,) the expression.
    """

    mesh: ScannedMesh
    texture: NDArray[np.uint8]
    weights: NDArray[np.float64]

    def write_obj(self, folder: Path, stem: str) -> None:
        """Write the frame as `{stem}.obj` with its material `{stem}.mtl` and its texture `{stem}.jpg`."""
        mesh = self.mesh
        path = folder / f"{stem}.obj"
        write_obj(path, mesh.vertices, mesh.polygons, mesh.uv, mesh.uv_polygons, f"{stem}.mtl", "face")
        material = f"newmtl face\nKd 1 1 1\nmap_Kd {stem}.jpg\n"
        (folder / f"{stem}.mtl").write_bytes(material.encode())
        write_image(folder / f"{stem}.jpg", self.texture)


def capture(
    people: Population,
    subject: str,
    sequence: str,
    expression: str,
    frames: int,
    *,
    timing: Timing = POSED,
    degrees: float = 3.0,
) -> Iterator[Captured]:
    """Film a person; a function of the names alone.

    The outline of the face is the sequence's, while noise, faults and the order of the vertices are the frame's.

    Args:
        subject, sequence: Names.
        expression: As `performance` takes it.
        frames: How many, evenly over the performance.
        timing: When the expression happens.
        degrees: How much the head moves.
    """
    rng = people.rng(subject, sequence)
    weights = performance(people.person(subject).style, expression, frames, rng, timing=timing)
    poses = head_motion(frames, rng, degrees=degrees, start=seat(rng))
    yield from scan_frames(people, subject, sequence, weights, poses)


def seat(rng: np.random.Generator) -> Pose:
    """The position of a person before the cameras."""
    sits = Pose.draw(rng)
    return Pose(sits.rotation, sits.shift + np.array([0.0, 0.0, _DISTANCE_MM]))


def scan_frames(
    people: Population, subject: str, sequence: str, weights: NDArray[np.float64], poses: Sequence[Pose]
) -> Iterator[Captured]:
    """Film a performance that is given.

    Args:
        people: Whose population.
        subject, sequence: Names, which decide noise and faults.
        weights: (frames, 53) as `performance` gives them.
        poses: Of the head, one a frame.
    """
    person = people.person(subject)
    for number, pose in enumerate(poses):
        own = people.rng(subject, sequence, number)
        mesh = scan_face(
            people.model,
            people.shape(person, weights[number]),
            people.landmarks83,
            own,
            pose=pose,
            outline=people.rng(subject, sequence, "outline"),
            polygons=False,
        )
        yield Captured(_with_faults(mesh.split_at_seams(), own), _exposed(person.albedo, own), weights[number])


def _exposed(albedo: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The texture of one frame: lamps flicker."""
    small = np.array(Image.fromarray(albedo).resize(TEXTURE_PIXELS, Image.Resampling.BILINEAR), dtype=np.float64)
    flicker = 1.0 + 0.02 * rng.standard_normal()
    return np.clip(np.rint(small * flicker), 0, 255).astype(np.uint8)


def _with_faults(mesh: ScannedMesh, rng: np.random.Generator) -> ScannedMesh:
    """A hole or some spikes now and then, none of them at a landmark."""
    if rng.random() < _HOLE:
        mesh = _with_hole(mesh, rng)
    if rng.random() < _SPIKES:
        vertices = mesh.vertices.copy()
        free = np.setdiff1d(np.arange(len(vertices)), mesh.landmarks)
        tips = rng.choice(free, size=int(rng.integers(1, 4)), replace=False)
        vertices[tips, 2] += np.round(rng.uniform(*_SPIKE_MM, len(tips)), 2)
        mesh = replace(mesh, vertices=vertices)
    return mesh


def _with_hole(mesh: ScannedMesh, rng: np.random.Generator) -> ScannedMesh:
    centre, radius = mesh.vertices[rng.integers(len(mesh.vertices))], rng.uniform(*_HOLE_MM)
    gone = np.linalg.norm(mesh.vertices - centre, axis=1) < radius
    stays = ~gone[mesh.triangles].any(axis=1) | np.isin(mesh.triangles, mesh.landmarks).any(axis=1)
    triangles = mesh.triangles[stays]
    used = np.unique(triangles)
    row: Indices = np.full(len(mesh.vertices), -1, dtype=np.int64)
    row[used] = np.arange(len(used))
    triangles = row[triangles]
    polygons = triangles.tolist()
    return replace(
        mesh,
        vertices=mesh.vertices[used],
        uv=mesh.uv[used],
        triangles=triangles,
        uv_triangles=triangles,
        polygons=polygons,
        uv_polygons=polygons,
        landmarks=row[mesh.landmarks],
        correspondence=mesh.correspondence[used],
    )
