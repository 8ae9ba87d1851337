"""A twin of AffectNet: photographs of synthetic people with expression, valence and arousal."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_bench.expressions import AFFECTNET_CODES
from fer_bench.io.images import write_image
from fer_bench.io.morphable_parameters import write_table
from fer_bench.records import atomic_write, digest
from fer_bench.twins.actions import act
from fer_bench.twins.base import NewTwin, TwinWriter
from fer_bench.twins.coefficients import emoca, smirk
from fer_bench.twins.face import FaceModel
from fer_bench.twins.photographs import Photograph, Setting, photograph, valence_arousal
from fer_bench.twins.population import Population
from fer_bench.twins.quotas import apportion

ALIGNED_PIXELS = 224

# A person of the twin is photographed so often for training.
_TRAIN_EACH = 60
# Code -> training photographs in the distribution; for validation all have as many.
_TRAIN = {0: 74874, 1: 134415, 2: 25459, 3: 14090, 4: 6378, 5: 3803, 6: 24882, 7: 3750}
_UNRATED = (9, 10)
_NO_FACE = 10
_COLUMNS = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"


def _fill(twin: NewTwin) -> None:
    """60 training photographs a person (of whom the dataset tells nothing), their annotations, and what EMOCA and SMIRK
    would say of them. Layouts: `2021`, aligned photographs and a file an annotation; `2017`, photographs as taken and
    two lists.
    """
    people = Population("affectnet", twin.model, twin.seed)
    shots = plan(people, twin.subjects, twin.layout)
    # Person by person, whose face is then made once.
    order = sorted(range(len(shots)), key=lambda place: (shots[place].person, place))
    taken = dict(zip(order, twin.map(_Work(twin.folder, people), [shots[place] for place in order]), strict=True))
    rows = {shot.sample: taken[place].smirk for place, shot in enumerate(shots)}
    write_table(twin.folder / "smirk.parquet", "smirk-358", rows)
    if twin.layout == "2021":
        _vary_2021(twin, shots)
    else:
        _lists_2017(twin, [(shot, taken[place].row) for place, shot in enumerate(shots)])
    gap = next(shot for shot in shots if shot.code == 1)
    (twin.folder / gap.image).with_suffix(".json").unlink()
    twin.quirks.append(f"{gap.sample} has no EMOCA parameters.")


write_twin = TwinWriter(
    "affectnet", "AffectNet", _fill, default_subjects=20, max_subjects=1000, layouts=("2021", "2017")
)


class Shot(NamedTuple):
    """One photograph.

    Attributes:
        sample: Its id in the index: `train_12`, or `1/abcdef` in the layout of 2017.
        split: `train` or `val`.
        code: Its expression.
        person: Who is on it.
        image: The file.
        aligned: Whether eyes and mouth have fixed places in it, as in the release of 2021.
    """

    sample: str
    split: str
    code: int
    person: str
    image: str
    aligned: bool


def plan(people: Population, subjects: int, layout: str) -> list[Shot]:
    """All photographs, training first."""
    each = max(2, round(subjects / 2))
    extra = dict.fromkeys((8, 9, 10) if layout == "2017" else (), each)
    quotas = {
        "train": apportion(_TRAIN_EACH * subjects, _TRAIN, least=2) | extra,
        "val": dict.fromkeys(_TRAIN, each) | extra,
    }
    shots = []
    for split, wanted in quotas.items():
        rng = people.rng("plan", split)
        codes = rng.permutation([code for code, count in wanted.items() for _ in range(count)]).tolist()
        # The distribution's numbers have gaps.
        numbers = np.cumsum(rng.integers(1, 7 if split == "train" else 3, len(codes))) - 1
        for place, (code, number) in enumerate(zip(codes, (numbers - numbers[0]).tolist(), strict=True)):
            sample, image = f"{split}_{number}", f"{split}_set/images/{number}.jpg"
            if layout == "2017":
                sample = f"{number % 7 + 1}/{digest([split, number, people.seed], 40)}"
                suffix = ("jpg", "jpg", "jpg", "JPG", "png")[number % 5]
                image = f"Manually_Annotated/Manually_Annotated_Images/{sample}.{suffix}"
            shots.append(Shot(sample, split, code, f"P{place % subjects:03d}", image, layout == "2021"))
    return shots


class _Taken(NamedTuple):
    """What the tables say of a photograph: its SMIRK parameters (358,), and its row of a list of 2017 but the path."""

    smirk: NDArray[np.float64]
    row: list[str]


@dataclass(frozen=True)
class _Work:
    """Writes the files of one photograph."""

    folder: Path
    people: Population

    def __call__(self, shot: Shot) -> _Taken:
        view = make_photograph(self.people, shot)
        path = self.folder / shot.image
        write_image(path, view.photograph.image)
        if shot.aligned:
            _annotate(path, shot.code, view.rating, view.photograph.landmarks)
        person, rng = self.people.person(shot.person), self.people.rng("regressors", shot.sample)
        pose = {"pitch": view.setting.pitch, "yaw": view.setting.yaw, "roll": view.setting.roll}
        with atomic_write(path.with_suffix(".json")) as file:
            file.write(json.dumps(emoca(person, view.weights, rng, **pose)).encode())
        regressed = np.concatenate(list(smirk(person, view.weights, rng, **pose).values()))
        points = ";".join(f"{value:.2f}" for value in view.photograph.landmarks.ravel().tolist())
        box = [f"{value:.0f}" for value in view.photograph.box]
        return _Taken(regressed, [*box, points, str(shot.code), *map(str, view.rating)])


class _View(NamedTuple):
    photograph: Photograph
    setting: Setting
    weights: NDArray[np.float64]
    rating: tuple[float, float]


def make_photograph(people: Population, shot: Shot) -> _View:
    """A photograph and all that annotations and parameters are made from."""
    person, rng = people.person(shot.person), people.rng("photograph", shot.sample)
    strength, setting = float(rng.uniform(0.5, 1.0)), Setting.draw(rng)
    size = ALIGNED_PIXELS if shot.aligned else int(rng.integers(200, 400))
    if shot.code in _TRAIN:
        expression = AFFECTNET_CODES[shot.code]
        rating = valence_arousal(expression, strength, rng)
    else:  # something between two
        expression, strength = "happy+disgust", 0.3
        rating = (0.1, -0.1) if shot.code not in _UNRATED else (-2.0, -2.0)
    weights = act(person.style, expression, strength, rng)
    taken = photograph(people.model, person, weights, rng, size, setting=setting, aligned=shot.aligned)
    if shot.code == _NO_FACE:
        empty = np.asarray(Image.fromarray(setting.backdrop).resize((size, size)))
        taken = Photograph(empty, np.zeros((0, 2)), (-1.0, -1.0, -1.0, -1.0))
    return _View(taken, setting, weights, rating)


def preview(model: FaceModel, seed: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """Seven validation photographs of each expression."""
    people = Population("affectnet", model, seed)
    shots = [shot for shot in plan(people, write_twin.default_subjects, write_twin.layouts[0]) if shot.split == "val"]
    cells = []
    for code in _TRAIN:
        for shot in [shot for shot in shots if shot.code == code][:7]:
            view = make_photograph(people, shot)
            title = f"{AFFECTNET_CODES[code]} {view.rating[0]:+.2f} {view.rating[1]:+.2f}"
            cells.append((title, view.photograph.image))
    return cells


def _annotate(image: Path, code: int, rating: tuple[float, float], landmarks: NDArray[np.float64]) -> None:
    """The four files of 2021: texts, as in the distribution, but of every fifth photograph numbers."""
    text = int(image.stem) % 5 > 0
    values: dict[str, NDArray[np.generic]] = {
        "exp": np.array(str(code) if text else code),
        "val": np.array(str(rating[0]) if text else rating[0]),
        "aro": np.array(str(rating[1]) if text else rating[1]),
        "lnd": landmarks.ravel(),
    }
    for kind, value in values.items():
        with atomic_write(image.parent.parent / f"annotations/{image.stem}_{kind}.npy") as file:
            np.save(file, value, allow_pickle=False)


def _vary_2021(twin: NewTwin, shots: list[Shot]) -> None:
    """Missing and surplus files, as in real copies."""
    happy = [shot.image for shot in shots if shot.code == 1 and shot.split == "train"]

    def note(image: str, kind: str) -> str:
        return image.replace("images/", "annotations/").replace(".jpg", f"_{kind}.npy")

    for image, kind, message in (
        (happy[1], "exp", "has no expression"),
        (happy[2], "val", "has no valence"),
        (happy[3], "lnd", "has no landmarks"),
    ):
        (twin.folder / note(image, kind)).unlink()
        twin.quirks.append(f"{image} {message}: {note(image, kind)} is absent.")
    with io.BytesIO() as file:
        np.save(file, np.array("0"))
        orphan = twin.write("train_set/annotations/999999_exp.npy", file.getvalue())
    twin.quirks.append(f"{orphan.name} belongs to no photograph.")
    twin.write("train_set/images/Thumbs.db", b"\xd0\xcf\x11\xe0")
    twin.variants.append("Thumbs.db is no part of the data.")
    twin.variants.append("The annotations of every fifth number are numbers instead of texts.")


def _lists_2017(twin: NewTwin, rows: list[tuple[Shot, list[str]]]) -> None:
    """The two lists, of which one has no header."""
    happy = [shot for shot, _ in rows if shot.code == 1 and shot.split == "train"]
    lines: dict[str, list[str]] = {"train": [_COLUMNS], "val": []}
    for shot, row in rows:
        box = ["-1"] * 4 if shot is happy[1] else row[:4]
        lines[shot.split].append(",".join([shot.image.split("Images/")[1], *box, *row[4:]]))
    twin.quirks.append(f"The box of {happy[1].sample} is -1 on all sides.")
    lines["train"].append(f"7/{'0' * 40}.jpg,{','.join(rows[0][1])}")
    twin.quirks.append(f"training.csv names 7/{'0' * 40}.jpg, which is absent.")
    lines["train"].append(f"../../outside.jpg,{','.join(rows[0][1])}")
    twin.quirks.append(f"training.csv:{len(lines['train'])} names ../../outside.jpg, a path outside the folder.")
    for split, name in (("train", "training"), ("val", "validation")):
        twin.write(f"Manually_Annotated_file_lists/{name}.csv", "\n".join([*lines[split], ""]))
    twin.variants.append("validation.csv has no header.")
    twin.variants.append("Valence and arousal are -2 where there is no face or the expression is uncertain.")
