"""A twin of CoMA: synthetic people performing its twelve sequences, all in one topology."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.geometry.scan import Scan
from fer_bench.io.ply import Format, write_ply
from fer_bench.twins.base import NewTwin, TwinWriter
from fer_bench.twins.coarse import coarse
from fer_bench.twins.face import FaceModel
from fer_bench.twins.performance import performance
from fer_bench.twins.population import Population
from fer_bench.twins.preview import lit

FRAMES = 30
VERTICES = 1200
SUBJECTS = (
    *("170725_00137", "170728_03272", "170731_00024", "170809_00138", "170811_03274", "170811_03275"),
    *("170904_00128", "170904_03276", "170908_03277", "170912_03278", "170913_03279", "170915_00223"),
)
SEQUENCES = (
    *("bareteeth", "cheeks_in", "eyebrow", "high_smile", "lips_back", "lips_up", "mouth_down", "mouth_extreme"),
    *("mouth_middle", "mouth_open", "mouth_side", "mouth_up"),
)
# Sources do not say which format the distribution has.
_FORMATS: dict[str, Format] = {"eyebrow": "ascii", "lips_up": "binary_big_endian"}
_GAP = (12, 13)  # frames that one sequence lacks
_METRES = 0.001


def _fill(twin: NewTwin) -> None:
    """Twelve sequences a subject of 30 meshes each, in metres, without noise and in the order of one template, as
    registered ones are.
    """
    people = Population("coma", coarse(twin.model, VERTICES), twin.seed)
    names = SUBJECTS[: twin.subjects]
    twin.map(_Work(twin.folder, people), [(name, sequence) for name in names for sequence in SEQUENCES])
    _vary(twin, names)


def _identity(model: FaceModel, seed: int, subjects: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    people = Population("coma", coarse(model, VERTICES), seed)
    return {name: people.person(name.removeprefix("FaceTalk_").removesuffix("_TA")).neutral for name in subjects}


write_twin = TwinWriter(
    "coma", "CoMA", _fill, default_subjects=12, max_subjects=12, layouts=("sequences",), identity=_identity
)


def sequence_shapes(people: Population, name: str, sequence: str) -> NDArray[np.float64]:
    """(FRAMES, V, 3) metres: a person's sequence, a function of the names alone."""
    person, rng = people.person(name), people.rng(name, sequence)
    weights = performance(person.style, sequence, FRAMES, rng)
    return np.stack([people.shape(person, frame) for frame in weights]) * _METRES


@dataclass(frozen=True)
class _Work:
    """Writes one sequence."""

    root: Path
    people: Population

    def __call__(self, item: tuple[str, str]) -> None:
        name, sequence = item
        folder, kind = self.root / f"FaceTalk_{name}_TA" / sequence, _FORMATS.get(sequence, "binary_little_endian")
        for number, shape in enumerate(sequence_shapes(self.people, name, sequence), start=1):
            write_ply(folder / f"{sequence}.{number:06d}.ply", shape, self.people.model.triangles, format=kind)


def _vary(twin: NewTwin, names: tuple[str, ...]) -> None:
    first, last = (f"FaceTalk_{name}_TA" for name in (names[0], names[-1]))
    for sequence, kind in _FORMATS.items():
        twin.variants.append(f"The meshes of {sequence} are {kind}, the others binary_little_endian.")
    for number in _GAP:
        (twin.folder / first / "high_smile" / f"high_smile.{number:06d}.ply").unlink()
    twin.quirks.append(f"{first}/high_smile lacks the numbers {_GAP[0]:06d}-{_GAP[1]:06d}.")
    shutil.rmtree(twin.folder / last / "mouth_up")
    twin.quirks.append(f"{last}/mouth_up is missing.")
    twin.write(f"{first}/bareteeth/bareteeth.000001.obj", "# a mesh in another format\n")
    twin.quirks.append(f"{first}/bareteeth holds bareteeth.000001.obj, which is no part of the data.")


def preview(model: FaceModel, seed: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """Each sequence of one person at its height."""
    people = Population("coma", coarse(model, VERTICES), seed)
    cells = []
    for sequence in SEQUENCES:
        shapes = sequence_shapes(people, SUBJECTS[0], sequence) / _METRES
        height = int(np.linalg.norm(shapes - shapes[0], axis=2).mean(axis=1).argmax())
        scan = Scan(shapes[height].astype(np.float32), people.model.triangles)
        cells.append((sequence, lit(scan, textured=False)))
    return cells
