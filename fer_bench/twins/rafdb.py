"""A twin of RAF-DB: photographs of synthetic people, in the distribution's proportions of expressions."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_bench.expressions import RAFDB_CODES
from fer_bench.io.images import write_image
from fer_bench.io.morphable_parameters import write_table
from fer_bench.records import atomic_write
from fer_bench.twins.actions import act
from fer_bench.twins.base import NewTwin, TwinWriter
from fer_bench.twins.coefficients import emoca, smirk
from fer_bench.twins.face import FaceModel
from fer_bench.twins.photographs import Photograph, Setting, photograph
from fer_bench.twins.population import Person, Population
from fer_bench.twins.quotas import apportion

ALIGNED_PIXELS = 100
# Share of photographs where SMIRK's detector finds no face: of 3,068 test photographs, Ig3D scores about 2,919.
_UNDETECTED = 20

# A person of the twin is photographed so often; code -> photographs in the distribution.
_TRAIN_EACH, _TEST_EACH = 30.0, 7.5
_TRAIN = {1: 1290, 2: 281, 3: 717, 4: 4772, 5: 1982, 6: 705, 7: 2524}
_TEST = {1: 329, 2: 74, 3: 160, 4: 1185, 5: 478, 6: 162, 7: 680}
_DARKNESS = (0.10, 0.85, 0.22)  # of race 0, 1 and 2


def _fill(twin: NewTwin) -> None:
    """30 training and 7 or 8 test photographs a person (of whom the dataset tells nothing), aligned and as they were
    taken, with the list, attributes, and what EMOCA and SMIRK would say of them. Layouts: `basic`; `folders`, aligned
    photographs only, in folders named by their labels.
    """
    people = Population("rafdb", twin.model, twin.seed)
    # Person by person, whose face is then made once.
    shots = sorted(plan(people, twin.subjects), key=lambda shot: (shot.person, shot.name))
    regressed = zip(shots, twin.map(_Work(twin.folder, people, twin.layout), shots), strict=True)
    rows = {
        shot.name: values for shot, values in sorted(regressed, key=lambda pair: pair[0].name) if values is not None
    }
    write_table(twin.folder / "smirk.csv", "smirk-358", rows)
    undetected = sorted({shot.name for shot in shots} - rows.keys())
    twin.quirks.append(f"smirk.csv has no row for {len(undetected)} photographs, {undetected[0]} first.")
    if twin.layout == "basic":
        _finish(twin, plan(people, twin.subjects))


write_twin = TwinWriter("rafdb", "RAF-DB", _fill, default_subjects=20, max_subjects=400, layouts=("basic", "folders"))


@dataclass(frozen=True)
class Shot:
    """One photograph: `train_00001`, its label, and who is on it."""

    name: str
    code: int
    person: str


def plan(people: Population, subjects: int) -> list[Shot]:
    """All photographs, in the order of the list."""
    shots = []
    for split, each, shares, digits in (("train", _TRAIN_EACH, _TRAIN, 5), ("test", _TEST_EACH, _TEST, 4)):
        quotas = apportion(max(round(each * subjects), 2 * len(shares)), shares, least=2)
        codes = [code for code, count in quotas.items() for _ in range(count)]
        order = people.rng("plan", split).permutation(len(codes)).tolist()
        shots += [
            Shot(f"{split}_{number:0{digits}d}", codes[place], f"P{number % subjects:03d}")
            for number, place in enumerate(order, start=1)
        ]
    return shots


@dataclass(frozen=True)
class _Work:
    """Writes the files of one photograph."""

    folder: Path
    people: Population
    layout: str

    def __call__(self, shot: Shot) -> NDArray[np.float64] | None:
        """SMIRK's parameters of the photograph, (358,); None where it finds no face."""
        view = make_photographs(self.people, shot)
        basic, split = self.folder / "basic", shot.name.partition("_")[0]
        place = basic / "Image/aligned" if self.layout == "basic" else self.folder / f"DATASET/{split}/{shot.code}"
        write_image(place / f"{shot.name}_aligned.jpg", view.aligned.image)
        if self.layout == "basic":
            write_image(basic / f"Image/original/{shot.name}.jpg", view.original.image)
            lines = [f"{x:.3f}\t{y:.3f}" for x, y in _five(view.original.landmarks).tolist()]
            with atomic_write(basic / f"Annotation/manual/{shot.name}_manu_attri.txt") as file:
                file.write("\n".join([*lines, *map(str, view.noted), ""]).encode())
        rng = self.people.rng("regressors", shot.name)
        pose = {"pitch": view.setting.pitch, "yaw": view.setting.yaw, "roll": view.setting.roll}
        with atomic_write(place / f"{shot.name}_aligned.json") as file:
            file.write(json.dumps(emoca(view.person, view.weights, rng, **pose)).encode())
        parts = smirk(view.person, view.weights, rng, **pose)
        return np.concatenate(list(parts.values())) if int(shot.name[-4:]) % _UNDETECTED else None


class _View(NamedTuple):
    """`noted` is gender, race and age, as `*_manu_attri.txt` numbers them."""

    aligned: Photograph
    original: Photograph
    setting: Setting
    person: Person
    weights: NDArray[np.float64]
    noted: tuple[int, int, int]


def make_photographs(people: Population, shot: Shot) -> _View:
    """A photograph, aligned and as it was taken, with its annotations."""
    of_person = people.rng(shot.person, "attributes")
    gender, race, age = (
        int(of_person.choice(len(shares), p=shares))
        for shares in ([0.45, 0.5, 0.05], [0.77, 0.08, 0.15], [0.0, 0.1, 0.6, 0.25, 0.05])
    )
    person, rng = people.person(shot.person, _DARKNESS[race]), people.rng("photograph", shot.name)
    weights = act(person.style, RAFDB_CODES[shot.code], float(rng.uniform(0.55, 1.0)), rng)
    setting = Setting.draw(rng)
    width, height = (int(side) for side in rng.integers(180, 321, 2))
    aligned = photograph(people.model, person, weights, rng, ALIGNED_PIXELS, setting=setting, aligned=True)
    original = photograph(people.model, person, weights, rng, (width, height), setting=setting)
    return _View(aligned, original, setting, person, weights, (gender, race, age))


def _five(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of 68 landmarks the eyes, the tip of the nose and the corners of the mouth."""
    return np.array(
        [landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0), landmarks[30], landmarks[48], landmarks[54]]
    )


def _finish(twin: NewTwin, shots: list[Shot]) -> None:
    """The list, and missing and surplus files, as in real copies."""
    twin.write("basic/EmoLabel/list_patition_label.txt", "".join(f"{shot.name}.jpg {shot.code}\r\n" for shot in shots))
    twin.variants.append("The list has the line ends of Windows.")
    image = twin.folder / "basic/Image"
    happy = [shot.name for shot in shots if shot.code == 4 and shot.name.startswith("train")]
    for place in ("aligned/{}_aligned.jpg", "aligned/{}_aligned.json", "original/{}.jpg"):
        (image / place.format(happy[0])).unlink()
    twin.quirks.append(f"The list names {happy[0]}.jpg, which is absent.")
    for suffix in ("jpg", "json"):
        (image / f"aligned/{happy[1]}_aligned.{suffix}").unlink()
    twin.quirks.append(f"{happy[1]}.jpg is there as it was taken, but not aligned.")
    twin.quirks.append(f"{happy[1]}.jpg has no EMOCA parameters.")
    extra = "train_99999"
    write_image(image / f"aligned/{extra}_aligned.jpg", np.full((ALIGNED_PIXELS, ALIGNED_PIXELS, 3), 128, np.uint8))
    twin.quirks.append(f"{extra}_aligned.jpg is not in the list.")
    twin.write("basic/Image/aligned/Thumbs.db", b"\xd0\xcf\x11\xe0")
    twin.variants.append("Thumbs.db is no part of the data.")


def preview(model: FaceModel, seed: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """Of each expression three test photographs aligned, and as they were taken."""
    people = Population("rafdb", model, seed)
    shots = [shot for shot in plan(people, write_twin.default_subjects) if shot.name.startswith("test")]
    cells = []
    for code, expression in RAFDB_CODES.items():
        views = [make_photographs(people, shot) for shot in [shot for shot in shots if shot.code == code][:3]]
        cells += [(expression, image.image) for view in views for image in (view.aligned, view.original)]
        cells += [("", np.full((8, 8, 3), 255, dtype=np.uint8))] * (7 - 2 * len(views))
    return cells
