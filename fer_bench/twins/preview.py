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
from fer_bench.twins.bu3dfe import Population, as_scan, scan_names, subject_names
from fer_bench.twins.expressions import prototype
from fer_bench.twins.face import FaceModel, procedural_face
from fer_bench.twins.identity import generator
from fer_bench.twins.scans import ScannedMesh, scan_face

_CODES = {expression: code for code, expression in BU3DFE_CODES.items()}
_COLUMNS = ("neutral", *BASIC_SIX)
_PIXELS, _MARGIN, _FIELD_MM, _BACKGROUND = 200, 18, 225.0, 48.0
_LIGHT = np.array([-0.45, 0.55, 0.70]) / np.linalg.norm([-0.45, 0.55, 0.70])  # from above, on the image's left

Shot = tuple[ScannedMesh, NDArray[np.uint8]]


def contact_sheet(face_model: FaceModel | None, path: Path, seed: int = 0, people: int = 4) -> None:
    """Draw people x expressions at full intensity, with texture and without, and the four intensities of two of them.

    Args:
        face_model: By default the procedural face.
        path: A .png file.
        seed: The twin's seed.
        people: How many, spread evenly over the 100 there can be.
    """
    population = Population(face_model or procedural_face(), seed)
    subjects = subject_names(100)[:: 100 // people][:people]
    # First what everybody varies: the mean face with the textbook expressions.
    shots = [(f"mean face: {name}", _textbook(population, subjects[0], name)) for name in _COLUMNS]
    cells = [_cell(text, shot, False) for text, shot in shots]
    for subject in subjects:
        shots = [(f"{subject} {name}", _take(population, subject, name, 4)) for name in _COLUMNS]
        cells += [_cell(text, shot, textured) for textured in (True, False) for text, shot in shots]
    for name in ("happy", "anger"):
        cells.append(_cell(f"{subjects[0]} neutral", _take(population, subjects[0], "neutral", 0), False))
        for level in (1, 2, 3, 4):
            cells.append(
                _cell(f"{subjects[0]} {name}, level {level}", _take(population, subjects[0], name, level), False)
            )
        cells += [np.full_like(cells[0], 255)] * 2
    rows = [np.hstack(cells[start : start + len(_COLUMNS)]) for start in range(0, len(cells), len(_COLUMNS))]
    write_image(path, np.vstack(rows))


def _textbook(population: Population, subject: str, expression: str) -> Shot:
    model = population.model
    shape = model.vertices(np.zeros(len(model.identity)), prototype(expression))
    rng = generator("preview", population.seed)
    return scan_face(model, shape, population.landmarks, rng), population.scan(scan_names(subject)[0])[1]


def _take(population: Population, subject: str, expression: str, level: int) -> Shot:
    code = f"{_CODES[expression]}{level if expression != 'neutral' else 0:02d}"
    return population.scan(next(name for name in scan_names(subject) if name[6:10] == code))


def _cell(text: str, shot: Shot, textured: bool) -> NDArray[np.uint8]:
    """(H, W, 3) one face with its title, lit from the side: from the front, shading hides what moves."""
    scan = align(as_scan(*shot))
    image = render(
        scan, size=2 * _PIXELS, field_mm=_FIELD_MM, channels=("texture", "normal_x", "normal_y", "normal_z")
    ).astype(np.float64)
    seen = image[3:].any(axis=0)
    normal = (image[3:] - 1.0) / 127.0 - 1.0
    light = 0.30 + 0.75 * np.clip(np.tensordot(_LIGHT, normal, axes=1), 0.0, None)
    colour = image[:3] if textured else np.full_like(image[:3], 215.0)
    face = np.where(seen, np.clip(colour * light, 0, 255), _BACKGROUND).astype(np.uint8).transpose(1, 2, 0)
    cell = Image.new("RGB", (_PIXELS, _PIXELS + _MARGIN), "white")
    cell.paste(Image.fromarray(face).resize((_PIXELS, _PIXELS), Image.Resampling.LANCZOS), (0, _MARGIN))
    ImageDraw.Draw(cell).text((4, 3), text, fill="black")
    return np.array(cell)
