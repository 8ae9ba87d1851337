"""A twin of BU-3DFE: synthetic faces in the distribution's own files, names and sex ratio."""

from __future__ import annotations

import gc
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import FerBenchError, InvalidFile
from fer_bench.expressions import BU3DFE_CODES
from fer_bench.geometry.alignment import align
from fer_bench.geometry.bnd import named_landmarks, write_bnd
from fer_bench.geometry.images import write_image
from fer_bench.geometry.render import render
from fer_bench.geometry.scan import Scan
from fer_bench.geometry.vrml import write_vrml
from fer_bench.processes import fork_server, map_processes
from fer_bench.records import TWIN_MARKER, read_json, write_json
from fer_bench.twins.expressions import RECIPE, Style, sample
from fer_bench.twins.face import FaceModel, procedural_face
from fer_bench.twins.identity import generator
from fer_bench.twins.landmarks import landmarks83
from fer_bench.twins.scans import ScannedMesh, scan_face
from fer_bench.twins.sculpt_mesh import SKIN
from fer_bench.twins.texture import Complexion, paint

PHOTOGRAPH_PIXELS = 128

# The distribution's ethnic codes of F0001..F0056 and M0001..M0044.
_RACES = {
    "F": "WH BL LA LA AE WH WH WH WH WH AE WH AE WH WH WH WH WH AE WH WH WH WH LA WH WH WH AE WH BL WH WH WH WH AE AE "
    "WH AE AE WH AE AE BL LA BL AE LA AE WH BL WH WH BL WH BL LA",
    "M": "AM BL WH WH IN AE AE WH WH AE WH AE AE WH WH WH WH WH IN IN WH WH IN AE AE AE AE WH WH WH LA WH AM WH WH WH "
    "IN BL AE WH WH LA AE IN",
}
_DARKNESS = {"WH": 0.10, "AE": 0.22, "AM": 0.35, "LA": 0.40, "IN": 0.60, "BL": 0.85}

Progress = Callable[[int, int], None]


def write_twin(
    root: Path,
    *,
    subjects: int = 20,
    seed: int = 0,
    face_model: FaceModel | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> None:
    """Write a twin: 25 scans a subject with meshes, textures, landmarks and photographs, and the marker file.

    The bytes depend on subjects, seed and face model, and not on the number of workers. The folder appears when it is
    complete; stopped earlier, nothing is left.

    Args:
        root: Folder to create; an empty one may be there.
        subjects: 1 to 100, women and men as in the distribution.
        seed: Another seed gives other people.
        face_model: By default the procedural face.
        workers: Processes.
        progress: Told (scans done, scans in all).

    Raises:
        FerBenchError: the folder is not empty, or there are too many subjects.
    """
    if not 1 <= subjects <= 100:
        raise FerBenchError(f"--subjects {subjects}: BU-3DFE has 100 subjects; ask for 1 to 100.")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FerBenchError(f"{root}: is not empty; name another folder with --out, or delete this one first.")
    model = face_model or procedural_face()
    root.parent.mkdir(parents=True, exist_ok=True)
    temporary = root.with_name(f".{root.name}.{uuid.uuid4().hex[:8]}")
    names = [scan for subject in subject_names(subjects) for scan in scan_names(subject)]
    try:
        for subject in subject_names(subjects):
            (temporary / subject).mkdir(parents=True)
        fork_server("fer_bench.twins.bu3dfe")
        work = _Work(temporary, Population(model, seed))
        for done, _ in enumerate(map_processes(work, names, workers), start=1):
            if progress:
                progress(done, len(names))
        write_json(
            temporary / TWIN_MARKER,
            {
                "dataset": "bu3dfe",
                "recipe": RECIPE,
                "face_model": f"{model.name}-{model.digest[:12]}",
                "seed": seed,
                "subjects": subjects,
            },
        )
        if root.exists():
            root.rmdir()
        temporary.rename(root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def subject_names(count: int) -> list[str]:
    """The first women and men, 56 to 44."""
    women = round(0.56 * count)
    return [f"F{n:04d}" for n in range(1, women + 1)] + [f"M{n:04d}" for n in range(1, count - women + 1)]


def scan_names(subject: str) -> list[str]:
    """The 25 scans of a subject: `F0001_NE00WH`, `F0001_AN01BL`, ..."""
    race = _RACES[subject[0]].split()[int(subject[1:]) - 1]
    codes = ["NE00", *(f"{code}{level:02d}" for code in sorted(BU3DFE_CODES) if code != "NE" for level in (1, 2, 3, 4))]
    return [f"{subject}_{code}{race}" for code in codes]


@dataclass(frozen=True)
class Person:
    """Identity weights (K,), style of expression, and albedo (H, W, 3) uint8."""

    identity: NDArray[np.float64]
    style: Style
    albedo: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Population:
    """Everybody that a face model and a seed make; each scan is a function of its name."""

    model: FaceModel
    seed: int

    @cached_property
    def landmarks(self) -> NDArray[np.int64]:
        """(83,) template vertices in the order of BU-3DFE's landmark files."""
        model = self.model
        return landmarks83(model.template, model.triangles, model.parts == SKIN, model.landmarks68)

    @lru_cache(maxsize=2)  # noqa: B019 - scans come subject by subject, and the population lives as long as the process
    def person(self, subject: str, race: str) -> Person:
        """The person behind a subject's name."""
        rng = generator("bu3dfe", self.seed, subject)
        identity = rng.standard_normal(len(self.model.identity))
        style = Style.draw(rng)
        return Person(identity, style, paint(self.model, Complexion.draw(rng, _DARKNESS[race]), rng))

    def scan(self, name: str) -> tuple[ScannedMesh, NDArray[np.uint8]]:
        """The mesh and albedo of a scan, by its name `F0001_AN03WH`."""
        subject, code = name.split("_")
        person = self.person(subject, code[4:])
        rng = generator("bu3dfe", self.seed, name)
        weights = sample(person.style, BU3DFE_CODES[code[:2]], int(code[2:4]), rng)
        shape = self.model.vertices(person.identity, weights)
        return scan_face(self.model, shape, self.landmarks, rng), person.albedo


def true_correspondence(root: Path, name: str, face_model: FaceModel | None = None) -> NDArray[np.int64]:
    """(N,) the template vertex that each vertex of a twin's scan is: what a registration should find.

    Computed again from the twin's marker, not stored.

    Raises:
        InvalidFile: the twin was made with another face model, or by another version.
    """
    model = face_model or procedural_face()
    marker = read_json(root / TWIN_MARKER)
    made_with, have = (marker.get("face_model"), marker.get("recipe")), (f"{model.name}-{model.digest[:12]}", RECIPE)
    if made_with != have:
        raise InvalidFile(
            root / TWIN_MARKER,
            f"was made with face model {made_with[0]}, recipe {made_with[1]}, not {have[0]}, {have[1]}",
            "Give the face model it was made with, or make the twin again.",
        )
    return Population(model, int(marker["seed"])).scan(name)[0].correspondence


@dataclass(frozen=True)
class _Work:
    """Writes the files of one scan."""

    root: Path
    population: Population

    def __call__(self, name: str) -> None:
        # A scan is tens of thousands of short lists and no cycle; to look for cycles among them takes half the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._write(name)
        finally:
            if collecting:
                gc.enable()

    def _write(self, name: str) -> None:
        mesh, albedo = self.population.scan(name)
        stem = self.root / name[:5] / name
        write_vrml(f"{stem}_F3D.wrl", mesh.vertices, mesh.polygons, mesh.uv, mesh.uv_polygons, f"{name}_F3D.bmp")
        write_bnd(f"{stem}_F3D.bnd", mesh.landmarks, mesh.vertices[mesh.landmarks])
        write_image(f"{stem}_F3D.bmp", albedo)
        write_image(f"{stem}_F2D.bmp", photograph(mesh, albedo))


def photograph(mesh: ScannedMesh, albedo: NDArray[np.uint8], size: int = PHOTOGRAPH_PIXELS) -> NDArray[np.uint8]:
    """(size, size, 3) uint8: the scan from the front, its albedo under a light beside the camera."""
    scan = align(as_scan(mesh, albedo))
    image = render(scan, size=size, field_mm=240.0, channels=("texture", "shaded"))
    lit = image[:3] * (0.25 + 0.75 * image[3:] / 255.0)
    return np.ascontiguousarray(lit.astype(np.uint8).transpose(1, 2, 0))


def as_scan(mesh: ScannedMesh, albedo: NDArray[np.uint8]) -> Scan:
    """The scan as a reader would give it, but for the order of its triangles."""
    vertices, uv = mesh.vertices.astype(np.float32), mesh.uv.astype(np.float32)
    triangles, uv_triangles = mesh.triangles.astype(np.int32), mesh.uv_triangles.astype(np.int32)
    return Scan(vertices, triangles, uv, uv_triangles, albedo, named_landmarks(vertices[mesh.landmarks]))
