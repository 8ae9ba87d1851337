"""A twin of FaceScape: synthetic people with its twenty expressions, all in one topology."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.expressions import FACESCAPE_CODES
from fer_bench.geometry.scan import Scan
from fer_bench.io.images import write_image
from fer_bench.io.obj import write_obj
from fer_bench.twins.actions import act
from fer_bench.twins.base import NewTwin, TwinWriter
from fer_bench.twins.coarse import coarse
from fer_bench.twins.face import FaceModel
from fer_bench.twins.population import Population
from fer_bench.twins.preview import lit

VERTICES = 2400
TEXTURE_PIXELS = 192
_MAP_PIXELS = 16
_MATERIAL = "newmtl default\nKa 0 0 0\nKd 1 1 1\nmap_Kd {name}.jpg\n"


def _fill(twin: NewTwin) -> None:
    """Twenty meshes a subject with textures, without noise and in the order of one template, as registered ones are;
    and the lists that come with them. Layouts: `merged` (`1/models_reg/`), `zips` (the same in
    `facescape_trainset_001_100/`), `imface` (`1/1_neutral.obj`).
    """
    twin.map(_Work(twin.folder, population(twin.model, twin.seed), twin.layout), list(range(1, twin.subjects + 1)))
    _vary(twin)


def _identity(model: FaceModel, seed: int, subjects: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    people = population(model, seed)
    return {name: people.person(name).neutral for name in subjects}


write_twin = TwinWriter(
    "facescape",
    "FaceScape",
    _fill,
    default_subjects=20,
    max_subjects=847,
    layouts=("merged", "zips", "imface"),
    identity=_identity,
)


def population(model: FaceModel, seed: int) -> Population:
    """The twin's people."""
    return Population("facescape", coarse(model, VERTICES), seed, TEXTURE_PIXELS)


def shape_of(people: Population, subject: int, code: str) -> NDArray[np.float64]:
    """(V, 3) millimetres: a person with an expression by its name `4_anger`, at full strength."""
    person, rng = people.person(str(subject)), people.rng(subject, code)
    return people.shape(person, act(person.style, FACESCAPE_CODES[code], 1.0, rng))


def place(layout: str, subject: int) -> str:
    """The folder of a subject's meshes."""
    if layout == "imface":
        return str(subject)
    first = (subject - 1) // 100 * 100 + 1
    wrapper = (
        f"facescape_trainset_{first:03d}_{min(first + 99, write_twin.max_subjects):03d}/" if layout == "zips" else ""
    )
    return f"{wrapper}{subject}/models_reg"


@dataclass(frozen=True)
class _Work:
    """Writes one subject."""

    root: Path
    people: Population
    layout: str

    def __call__(self, subject: int) -> None:
        folder, model = self.root / place(self.layout, subject), self.people.model
        for code in FACESCAPE_CODES:
            write_obj(
                folder / f"{code}.obj",
                np.round(shape_of(self.people, subject, code), 4),
                model.triangles,
                model.uv,
                model.uv_triangles,
                f"{code}.obj.mtl",
                "default",
            )
            (folder / f"{code}.obj.mtl").write_text(_MATERIAL.format(name=code))
            write_image(folder / f"{code}.jpg", self.people.person(str(subject)).albedo)
            if self.layout != "imface":
                flat = np.full((_MAP_PIXELS, _MAP_PIXELS), 128, dtype=np.uint8)
                write_image(folder.parent / "dpmap" / f"{code}.png", flat)


def _vary(twin: NewTwin) -> None:
    last = twin.subjects
    (twin.folder / place(twin.layout, 1) / "3_mouth_stretch.jpg").unlink()
    twin.quirks.append("1_3_mouth_stretch has no texture.")
    for suffix in ("obj", "obj.mtl", "jpg"):
        (twin.folder / place(twin.layout, last) / f"16_grin.{suffix}").unlink()
    twin.quirks.append(f"{last}_16_grin is missing.")
    lines = ["index gender age label"]
    for subject in range(1, twin.subjects + 1):
        flags = "00010" if subject == 1 else "10000"
        lines.append(f"{subject} {'mf'[subject % 2]} {'-' if subject == 2 else 20 + subject % 40} {flags}")
    twin.write("info_list_v2.txt", "\n".join(lines) + "\n")
    twin.variants.append("info_list_v2.txt says that subject 1 lacks a texture, and nothing of the missing mesh.")
    twin.write("publishable_list_v1.txt", "122, 212, 340, 344, 393, 395, 421, 527, 594, 610\n")
    twin.variants.append("publishable_list_v1.txt names people whom the twin may not have.")


def preview(model: FaceModel, seed: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """The twenty expressions of one person, and the neutral faces of eight."""
    people = population(model, seed)

    def cell(subject: int, code: str, textured: bool) -> tuple[str, NDArray[np.uint8]]:
        m = people.model
        scan = Scan(
            shape_of(people, subject, code).astype(np.float32),
            m.triangles,
            m.uv.astype(np.float32),
            m.uv_triangles,
            people.person(str(subject)).albedo,
        )
        return f"{subject} {code}", lit(scan, textured)

    return [cell(1, code, False) for code in FACESCAPE_CODES] + [cell(n, "1_neutral", True) for n in range(1, 9)]
