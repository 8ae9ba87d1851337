"""Contact sheets of a twin's faces, for visual inspection.

A twin whose module defines `preview(model, seed) -> list[(title, image)]` has one.
"""

import importlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.geometry.alignment import align
from fer_bench.geometry.contact_sheet import CELL_PIXELS, sheet
from fer_bench.geometry.render import render
from fer_bench.geometry.scan import Scan
from fer_bench.io.images import write_image
from fer_bench.twins.face import FaceModel, procedural_face

Images = NDArray[np.uint8]

_FIELD_MM, _BACKGROUND = 225.0, 48.0
_LIGHT = np.array([-0.45, 0.55, 0.70]) / np.linalg.norm([-0.45, 0.55, 0.70])  # from above, on the image's left


def contact_sheet(face_model: FaceModel | None, path: Path, seed: int = 0, dataset: str = "bu3dfe") -> bool:
    """Draw what the dataset's twin shows of itself; False, and nothing drawn, where it shows nothing.

    Args:
        face_model: By default the procedural face.
        path: A .png file.
        seed: The twin's seed.
        dataset: Whose twin.
    """
    preview = getattr(importlib.import_module(f"fer_bench.twins.{dataset}"), "preview", None)
    if preview is None:
        return False
    write_image(path, sheet(preview(face_model or procedural_face(), seed)))
    return True


def lit(scan: Scan, textured: bool, pixels: int = 2 * CELL_PIXELS) -> Images:
    """(pixels, pixels, 3) a scan lit from the side: from the front, shading hides what moves.

    Args:
        scan: With the named landmarks, by which it is aligned, or else facing the camera.
        textured: In its colours, or as plaster.
    """
    colours = ("texture",) if textured else ()
    image = render(
        align(scan), size=pixels, field_mm=_FIELD_MM, channels=(*colours, "normal_x", "normal_y", "normal_z")
    ).astype(np.float64)
    normals = image[-3:]
    light = 0.30 + 0.75 * np.clip(np.tensordot(_LIGHT, (normals - 1.0) / 127.0 - 1.0, axes=1), 0.0, None)
    colour = image[:3] if textured else np.full_like(normals, 215.0)
    face = np.where(normals.any(axis=0), np.clip(colour * light, 0, 255), _BACKGROUND)
    return np.ascontiguousarray(face.astype(np.uint8).transpose(1, 2, 0))
