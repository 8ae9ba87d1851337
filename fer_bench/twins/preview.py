"""A contact sheet of a twin's people, to look at before trusting it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fer_bench.expressions import BASIC_SIX, BU3DFE_CODES
from fer_bench.geometry.alignment import align
from fer_bench.geometry.images import write_image
from fer_bench.geometry.render import render
from fer_bench.twins.bu3dfe import Population, as_scan, photograph, scan_names, subject_names
from fer_bench.twins.expressions import prototype
from fer_bench.twins.face import FaceModel, procedural_face
from fer_bench.twins.identity import generator
from fer_bench.twins.scans import ScannedMesh, scan_face

_CODES = {expression: code for code, expression in BU3DFE_CODES.items()}
_PIXELS, _MARGIN, _PEOPLE = 180, 18, 4


def contact_sheet(face_model: FaceModel | None, path: Path, seed: int = 0) -> None:
    """Draw people x expressions at full intensity, with texture and without, and the four intensities of one of them.

    Args:
        face_model: By default the procedural face.
        path: A .png file.
        seed: The twin's seed; the people are the first of each sex in it.
    """
    population = Population(face_model or procedural_face(), seed)
    columns = ["neutral", *BASIC_SIX]
    people = subject_names(100)[:: 100 // _PEOPLE][:_PEOPLE]
    # First what everybody varies: the mean face with the textbook expressions.
    rows = [[(f"mean face, {name}", _textbook(population, people[0], name), False) for name in columns]]
    rows += [
        [(f"{s} {name}", _scan(population, s, name, 4), textured) for name in columns]
        for s in people
        for textured in (True, False)
    ]
    levels = [("happy", level) for level in (1, 2, 3, 4)] + [("anger", level) for level in (2, 3, 4)]
    rows.append([(f"{people[0]} {n} level {k}", _scan(population, people[0], n, k), False) for n, k in levels])
    sheet = Image.new("RGB", (_PIXELS * len(columns), (_PIXELS + _MARGIN) * len(rows)), "white")
    pen = ImageDraw.Draw(sheet)
    for i, row in enumerate(rows):
        for j, (text, scan, textured) in enumerate(row):
            corner = (j * _PIXELS, i * (_PIXELS + _MARGIN))
            pen.text((corner[0] + 4, corner[1] + 3), text, fill="black")
            sheet.paste(Image.fromarray(_draw(scan, textured)), (corner[0], corner[1] + _MARGIN))
    write_image(path, np.array(sheet))


Shot = tuple[ScannedMesh, NDArray[np.uint8]]


def _textbook(population: Population, subject: str, expression: str) -> Shot:
    model = population.model
    shape = model.vertices(np.zeros(len(model.identity)), prototype(expression))
    rng = generator("preview", population.seed)
    return scan_face(model, shape, population.landmarks, rng), population.scan(scan_names(subject)[0])[1]


def _scan(population: Population, subject: str, expression: str, level: int) -> Shot:
    code = f"{_CODES[expression]}{level if expression != 'neutral' else 0:02d}"
    return population.scan(next(name for name in scan_names(subject) if name[6:10] == code))


def _draw(scan: Shot, textured: bool) -> NDArray[np.uint8]:
    mesh, albedo = scan
    if textured:
        return photograph(mesh, albedo, _PIXELS)
    image = render(align(as_scan(mesh, albedo)), size=_PIXELS, field_mm=240.0, channels=("shaded",))
    return np.repeat(image[0][:, :, None], 3, axis=2)
