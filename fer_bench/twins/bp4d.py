"""A twin of BP4D-Spontaneous: synthetic 3D videos in the distribution's own files, as far as they are known."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.expressions import BP4D_CODES
from fer_bench.io.images import write_image
from fer_bench.io.vrml_writer import write_vrml_sequence_frame
from fer_bench.twins.actions import unit_intensities
from fer_bench.twins.base import NewTwin, TwinWriter
from fer_bench.twins.captures import Captured, capture
from fer_bench.twins.coarse import coarse
from fer_bench.twins.face import FaceModel
from fer_bench.twins.performance import SPONTANEOUS
from fer_bench.twins.population import Population
from fer_bench.twins.preview import lit
from fer_bench.twins.scans import scan_of

FRAMES = 8
VERTICES = 1200
_HEAD_DEGREES = 4.0

_PLACE = {"sequences": "Sequences/", "fera": "BP4D-training/", "wrl": ""}
_OCCURRENCE = {"sequences": "AUCoding/AU_OCC", "fera": "AUCoding", "wrl": "AUCoding/AU_OCC"}
_INTENSITY = {"sequences": "AUCoding/AU_INT", "fera": "AU Intensity Codes3.0", "wrl": "AUCoding/AU_INT"}
# Coders mark a unit from intensity B on; those that no blendshape shows are never marked.
_PRESENT = 2
_NOT_CODED = 9
_UNITS = (1, 2, 4, 5, 6, 7, *range(9, 21), 22, 23, 24, *range(27, 40))
_INTENSITY_UNITS = (6, 10, 12, 14, 17)


def _fill(twin: NewTwin) -> None:
    """Eight tasks of eight frames a subject with meshes and textures, and tables of action units.

    The names of folders differ between releases, and no source says which meshes each has. Layouts: `sequences`, .obj
    files and tables of a hundred columns; `fera`, the folders of the FERA 2015 release, numbers without padding and
    shorter tables; `wrl`, meshes in the grammar of BU-4DFE and no wrapper.
    """
    names = subject_names(twin.subjects)
    sequences = [(subject, task) for subject in names for task in BP4D_CODES]
    sequences.remove((names[-1], "T4"))
    twin.quirks.append(f"{names[-1]} has no task T4.")
    twin.map(_Work(twin.folder, twin.layout, population(twin.model, twin.seed)), sequences)
    _damage(twin)


write_twin = TwinWriter(
    "bp4d", "BP4D", _fill, default_subjects=20, max_subjects=41, layouts=("sequences", "fera", "wrl")
)


def subject_names(count: int) -> list[str]:
    """The first women, and men from both halves of the numbers, whose files are padded differently; 23 to 18."""
    women = round(23 / 41 * count)
    men = [n for pair in zip(range(1, 9), range(9, 17), strict=True) for n in pair] + [17, 18]
    return [f"F{n:03d}" for n in range(1, women + 1)] + [f"M{n:03d}" for n in sorted(men[: count - women])]


def frame_stems(people: Population, layout: str, subject: str, task: str, frames: int = FRAMES) -> list[str]:
    """Names of a sequence's frames, whose numbers follow each other and begin anywhere."""
    rng = people.rng(subject, task, "numbers")
    if layout == "fera":  # the number of digits changes on the way
        first = int(rng.choice([10, 100, 1000])) - int(rng.integers(1, frames))
        return [str(number) for number in range(first, first + frames)]
    digits = 3 if subject >= "M009" else 4
    first = int(rng.integers(0, 900 if digits == 3 else 2900))
    return [f"{number:0{digits}d}" for number in range(first, first + frames)]


def population(model: FaceModel, seed: int) -> Population:
    """The twin's people."""
    return Population("bp4d", coarse(model, VERTICES), seed)


@dataclass(frozen=True)
class _Work:
    """Writes the files of one sequence, by subject and task."""

    root: Path
    layout: str
    people: Population

    def __call__(self, item: tuple[str, str]) -> None:
        subject, task = item
        stems = frame_stems(self.people, self.layout, subject, task)
        frames = list(film(self.people, subject, task))
        for stem, frame in zip(stems, frames, strict=True):
            self._write_frame(self.root / f"{_PLACE[self.layout]}{subject}/{task}", stem, frame)
        self._write_tables(subject, task, [int(stem) for stem in stems], np.array([f.weights for f in frames]))

    def _write_frame(self, folder: Path, stem: str, frame: Captured) -> None:
        if self.layout == "wrl":
            path, mesh = folder / f"{stem}.wrl", frame.mesh
            write_vrml_sequence_frame(path, mesh.vertices, mesh.triangles, mesh.uv, f"{stem}.jpg")
            write_image(folder / f"{stem}.jpg", frame.texture)
        else:
            frame.write_obj(folder, stem)

    def _write_tables(self, subject: str, task: str, numbers: list[int], weights: NDArray[np.float64]) -> None:
        seen = unit_intensities(weights)
        seen = {unit: seen.get(unit, np.zeros(len(numbers), dtype=np.int64)) for unit in _UNITS}
        # The frame's column is called 1 in some copies, beside that of unit 1.
        units, heading = (_UNITS, "1") if self.layout == "fera" else (tuple(range(1, 100)), "0")
        absent = np.full(len(numbers), _NOT_CODED)
        columns = [np.where(seen[u] >= _PRESENT, 1, 0) if u in seen else absent for u in units]
        rows = [(heading, *units), *zip(numbers, *columns, strict=True)]
        _write_csv(self.root / _OCCURRENCE[self.layout] / f"{subject}_{task}.csv", rows)
        for unit in _INTENSITY_UNITS:
            path = self.root / _INTENSITY[self.layout] / f"AU{unit:02d}" / f"{subject}_{task}_AU{unit:02d}.csv"
            _write_csv(path, zip(numbers, seen[unit], strict=True))


def _write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(",".join(map(str, row)) + "\n" for row in rows).encode())


def film(people: Population, subject: str, task: str, frames: int = FRAMES) -> Iterable[Captured]:
    """The frames of a sequence."""
    return capture(people, subject, task, BP4D_CODES[task], frames, timing=SPONTANEOUS, degrees=_HEAD_DEGREES)


def _damage(twin: NewTwin) -> None:
    """Faults, as in real copies."""
    first, place = subject_names(twin.subjects)[0], twin.folder / _PLACE[twin.layout]
    photographs = sorted((place / first / "T2").glob("*.jpg"))
    photographs[2].unlink()
    twin.quirks.append(f"{first}/T2 has no texture of frame {photographs[2].stem}.")
    if twin.layout == "sequences":
        mesh = min((place / first / "T3").glob("*.obj"))
        mesh.with_name(f"0{mesh.name}").write_bytes(mesh.read_bytes())
        twin.quirks.append(f"{first}/T3 has frame {mesh.stem} twice, also as 0{mesh.name}.")


def preview(model: FaceModel, seed: int, frames: int = 7) -> list[tuple[str, NDArray[np.uint8]]]:
    """A row a task: some frames over its course, one person in colours, another as plaster."""
    people, cells = population(model, seed), []
    for subject, textured in (("F001", True), ("M009", False)):
        for task in BP4D_CODES:
            for number, frame in enumerate(film(people, subject, task, frames)):
                title = f"{subject}/{task} {BP4D_CODES[task]} {number}"
                cells.append((title, lit(scan_of(frame.mesh, frame.texture), textured)))
    return cells
