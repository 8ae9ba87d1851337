"""A twin of BU-4DFE: synthetic 3D videos in the distribution's own files, names and sex ratio."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.expressions import BU4DFE_CODES
from fer_bench.io.bnd import write_bnd
from fer_bench.io.images import write_image
from fer_bench.io.vrml_writer import write_vrml_sequence_frame
from fer_bench.twins.base import NewTwin, TwinWriter, crlf
from fer_bench.twins.captures import capture
from fer_bench.twins.coarse import coarse
from fer_bench.twins.face import FaceModel
from fer_bench.twins.population import Population
from fer_bench.twins.preview import lit
from fer_bench.twins.scans import scan_of

FRAMES = 12
VERTICES = 1200
_PACKAGE = "BU4DFE_BND_V1.1"


def _fill(twin: NewTwin) -> None:
    """Six sequences of twelve frames a subject with meshes and textures, and landmarks of the women."""
    work = _Work(twin.folder, population(twin.model, twin.seed))
    twin.map(work, [(subject, folder) for subject in subject_names(twin.subjects) for folder in BU4DFE_CODES])
    _vary(twin)
    _damage(twin)


write_twin = TwinWriter("bu4dfe", "BU-4DFE", _fill, default_subjects=20, max_subjects=101, layouts=("distribution",))


def subject_names(count: int) -> list[str]:
    """The first women and men, 58 to 43."""
    women = round(58 / 101 * count)
    return [f"F{n:03d}" for n in range(1, women + 1)] + [f"M{n:03d}" for n in range(1, count - women + 1)]


def population(model: FaceModel, seed: int) -> Population:
    """The twin's people."""
    return Population("bu4dfe", coarse(model, VERTICES), seed)


@dataclass(frozen=True)
class _Work:
    """Writes the files of one sequence, by subject and folder."""

    root: Path
    people: Population

    def __call__(self, item: tuple[str, str]) -> None:
        subject, folder = item
        for number, frame in enumerate(capture(self.people, subject, folder, BU4DFE_CODES[folder], FRAMES)):
            stem, mesh = f"{subject}/{folder}/{number:03d}", frame.mesh
            write_vrml_sequence_frame(
                self.root / f"{stem}.wrl",
                mesh.vertices,
                mesh.triangles,
                mesh.uv,
                f"{number:03d}.jpg",
                coord_index=subject[0] == "F",  # whether real files have it is not known
            )
            write_image(self.root / f"{stem}.jpg", frame.texture)
            if subject[0] == "F":
                landmarks = self.root / _PACKAGE / f"{stem}.bnd"
                write_bnd(landmarks, mesh.landmarks, mesh.vertices[mesh.landmarks])
                # Single spaces, and a blank line at the end.
                landmarks.write_bytes(landmarks.read_bytes().replace(b"\t\t", b" ") + b"\n")


def _vary(twin: NewTwin) -> None:
    """Unusual but valid content."""
    last = subject_names(twin.subjects)[-1]
    for path in sorted((twin.folder / last / "Sad").glob("*.wrl")):
        crlf(path)
    twin.variants.append(f"The meshes of {last}/Sad have the line ends of Windows.")
    twin.write("BU_WrlViewer_V2/readme.txt", "A viewer for VRML files.\r\n")
    twin.variants.append("BU_WrlViewer_V2/readme.txt is no part of the data.")
    twin.variants.append("The meshes of men have no coordIndex: texCoordIndex numbers the vertices too.")
    twin.variants.append("Some frames have a hole, or a few spikes.")


def _damage(twin: NewTwin) -> None:
    """Faults, as in real copies."""
    names = subject_names(twin.subjects)
    first, last = names[0], names[-1]
    shot = (twin.folder / f"{first}/Angry/000.jpg").read_bytes()
    twin.write(f"{first}/Angry/000 3d.jpg", shot)
    twin.quirks.append(f"{first}/Angry/000 3d.jpg is no frame.")
    for suffix in ("wrl", "jpg"):
        (twin.folder / f"{first}/Happy/005.{suffix}").unlink()
    (twin.folder / _PACKAGE / f"{first}/Happy/005.bnd").unlink(missing_ok=True)
    twin.quirks.append(f"{first}/Happy has no frame 005.")
    (twin.folder / f"{last}/Fear/003.jpg").unlink()
    twin.quirks.append(f"{last}/Fear/003.wrl has no texture.")
    men = [name for name in names if name[0] == "M"]
    if men:
        twin.quirks.append(f"{', '.join(men)}: no landmarks, for the package is of the women only.")


def preview(model: FaceModel, seed: int, frames: int = 7) -> list[tuple[str, NDArray[np.uint8]]]:
    """A row a sequence: some frames over its course, one person in colours, another as plaster."""
    people, cells = population(model, seed), []
    for subject, textured in (("F001", True), ("M001", False)):
        for folder, expression in BU4DFE_CODES.items():
            for number, frame in enumerate(capture(people, subject, folder, expression, frames)):
                title = f"{subject}/{folder} {number}"
                cells.append((title, lit(scan_of(frame.mesh, frame.texture), textured)))
    return cells
