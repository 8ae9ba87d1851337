"""A twin of BU-3DFE: synthetic faces in the distribution's own files, names and sex ratio."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.expressions import BASIC_SIX, BU3DFE_CODES
from fer_bench.geometry.alignment import align
from fer_bench.geometry.render import render
from fer_bench.geometry.scan import Scan
from fer_bench.io.bnd import write_bnd
from fer_bench.io.images import write_image
from fer_bench.io.vrml_writer import write_vrml
from fer_bench.twins.base import NewTwin, TwinWriter, crlf, read_marker
from fer_bench.twins.expression_recipes import prototype, sample
from fer_bench.twins.face import FaceModel, procedural_face
from fer_bench.twins.identity import generator
from fer_bench.twins.population import Population
from fer_bench.twins.preview import lit
from fer_bench.twins.scans import ScannedMesh, scan_face, scan_of

PHOTOGRAPH_PIXELS = 128

# The distribution's ethnic codes of F0001..F0056 and M0001..M0044.
_RACES = {
    "F": "WH BL LA LA AE WH WH WH WH WH AE WH AE WH WH WH WH WH AE WH WH WH WH LA WH WH WH AE WH BL WH WH WH WH AE AE "
    "WH AE AE WH AE AE BL LA BL AE LA AE WH BL WH WH BL WH BL LA",
    "M": "AM BL WH WH IN AE AE WH WH AE WH AE AE WH WH WH WH WH IN IN WH WH IN AE AE AE AE WH WH WH LA WH AM WH WH WH "
    "IN BL AE WH WH LA AE IN",
}
_DARKNESS = {"WH": 0.10, "AE": 0.22, "AM": 0.35, "LA": 0.40, "IN": 0.60, "BL": 0.85}


def _fill(twin: NewTwin) -> None:
    """25 scans a subject with meshes, textures, landmarks and photographs."""
    names = [scan for subject in subject_names(twin.subjects) for scan in scan_names(subject)]
    people = population(twin.model, twin.seed)
    twin.map(_Work(twin.folder, people), names)
    _vary(twin, people)


write_twin = TwinWriter("bu3dfe", "BU-3DFE", _fill, default_subjects=20, max_subjects=100, layouts=("distribution",))


def _vary(twin: NewTwin, people: Population) -> None:
    """What copies of the distribution have beside the plain files, or otherwise; no reader's result changes by it."""
    first, last = subject_names(twin.subjects)[0], subject_names(twin.subjects)[-1]
    for name in scan_names(last):
        crlf(twin.folder / last / f"{name}_F3D.wrl")
    twin.variants.append(f"The meshes of {last} have the line ends of Windows.")
    for name in scan_names(first):
        path = twin.folder / first / f"{name}_F3D.bnd"
        path.write_bytes(path.read_bytes().replace(b"\t\t", b" "))
    twin.variants.append(f"The landmarks of {first} are separated by single spaces instead of tabs.")
    name = scan_names(first)[0]
    whole, _ = make_scan(people, name, cropped=False)
    path = twin.folder / first / f"{name}_RAW.wrl"
    write_vrml(path, whole.vertices, whole.polygons, whole.uv, whole.uv_polygons, f"{name}_F3D.bmp")
    twin.variants.append(f"{path.name} is a scan that is not cropped.")
    twin.write(f"{first}/Thumbs.db", b"\xd0\xcf\x11\xe0")
    twin.write("BU_WrlViewer_V2/readme.txt", "A viewer for VRML files.\r\n")
    twin.variants.append(f"{first}/Thumbs.db and BU_WrlViewer_V2/readme.txt are no part of the data.")


def subject_names(count: int) -> list[str]:
    """The first women and men, 56 to 44."""
    women = round(0.56 * count)
    return [f"F{n:04d}" for n in range(1, women + 1)] + [f"M{n:04d}" for n in range(1, count - women + 1)]


def scan_names(subject: str) -> list[str]:
    """The 25 scans of a subject: `F0001_NE00WH`, `F0001_AN01BL`, ..."""
    race = _RACES[subject[0]].split()[int(subject[1:]) - 1]
    codes = ["NE00", *(f"{code}{level:02d}" for code in sorted(BU3DFE_CODES) if code != "NE" for level in (1, 2, 3, 4))]
    return [f"{subject}_{code}{race}" for code in codes]


def population(model: FaceModel, seed: int) -> Population:
    """The twin's people."""
    return Population("bu3dfe", model, seed)


def make_scan(people: Population, name: str, cropped: bool = True) -> tuple[ScannedMesh, NDArray[np.uint8]]:
    """The mesh and albedo of a scan, by its name `F0001_AN03WH`."""
    subject, code = name.split("_")
    person = people.person(subject, _DARKNESS[code[4:]])
    rng = people.rng(name)
    weights = sample(person.style, BU3DFE_CODES[code[:2]], int(code[2:4]), rng)
    shape = people.shape(person, weights)
    return scan_face(people.model, shape, people.landmarks83, rng, cropped=cropped), person.albedo


def true_correspondence(root: Path, name: str, face_model: FaceModel | None = None) -> NDArray[np.int64]:
    """(N,) the template vertex that each vertex of a twin's scan is: what a registration should find.

    Computed again from the twin's marker, not stored.

    Raises:
        InvalidFile: the twin was made with another face model, or by another version.
    """
    model = face_model or procedural_face()
    seed = int(read_marker(root, model)["seed"])
    return make_scan(population(model, seed), name)[0].correspondence


@dataclass(frozen=True)
class _Work:
    """Writes the files of one scan."""

    root: Path
    people: Population

    def __call__(self, name: str) -> None:
        mesh, albedo = make_scan(self.people, name)
        stem = self.root / name[:5] / name
        write_vrml(f"{stem}_F3D.wrl", mesh.vertices, mesh.polygons, mesh.uv, mesh.uv_polygons, f"{name}_F3D.bmp")
        write_bnd(f"{stem}_F3D.bnd", mesh.landmarks, mesh.vertices[mesh.landmarks])
        write_image(f"{stem}_F3D.bmp", albedo)
        write_image(f"{stem}_F2D.bmp", photograph(mesh, albedo))


def photograph(mesh: ScannedMesh, albedo: NDArray[np.uint8], size: int = PHOTOGRAPH_PIXELS) -> NDArray[np.uint8]:
    """(size, size, 3) uint8: the scan from the front, its albedo under a light beside the camera."""
    scan = align(scan_of(mesh, albedo))
    image = render(scan, size=size, field_mm=240.0, channels=("texture", "shaded"))
    lit = image[:3] * (0.25 + 0.75 * image[3:] / 255.0)
    return np.ascontiguousarray(lit.astype(np.uint8).transpose(1, 2, 0))


def preview(model: FaceModel, seed: int, count: int = 4) -> list[tuple[str, NDArray[np.uint8]]]:
    """People x expressions at full intensity, with texture and without, and the four intensities of two of them."""
    people = population(model, seed)
    subjects = subject_names(write_twin.max_subjects)[:: write_twin.max_subjects // count][:count]
    kinds = ("neutral", *BASIC_SIX)
    codes = {expression: code for code, expression in BU3DFE_CODES.items()}

    def take(subject: str, expression: str, level: int) -> Scan:
        wanted = f"{codes[expression]}{level if expression != 'neutral' else 0:02d}"
        return scan_of(*make_scan(people, next(name for name in scan_names(subject) if name[6:10] == wanted)))

    # First what everybody varies: the mean face with the textbook expressions.
    albedo = make_scan(people, scan_names(subjects[0])[0])[1]
    cells = []
    for kind in kinds:
        shape = model.vertices(np.zeros(len(model.identity)), prototype(kind))
        mesh = scan_face(model, shape, people.landmarks83, generator("preview", seed))
        cells.append((f"mean face: {kind}", lit(scan_of(mesh, albedo), False)))
    for subject in subjects:
        takes = [(f"{subject} {kind}", take(subject, kind, 4)) for kind in kinds]
        cells += [(title, lit(scan, textured)) for textured in (True, False) for title, scan in takes]
    for kind in ("happy", "anger"):
        cells.append((f"{subjects[0]} neutral", lit(take(subjects[0], "neutral", 0), False)))
        for level in (1, 2, 3, 4):
            cells.append((f"{subjects[0]} {kind}, level {level}", lit(take(subjects[0], kind, level), False)))
        cells += [("", np.full((8, 8, 3), 255, dtype=np.uint8))] * 2
    return cells
