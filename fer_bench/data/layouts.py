"""Telling datasets apart by their file names, for the error that says which one was found instead."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from fer_bench.errors import FerBenchError
from fer_bench.records import TWIN_MARKER, read_json

NOISE = frozenset({"__MACOSX", "BU_WrlViewer_V2", ".DS_Store", "Thumbs.db"})
"""Files and folders that extraction tools and distributions leave beside the data."""

_TELLTALES = {
    "bu3dfe": (r"[FM]\d{4}_(AN|DI|FE|HA|NE|SA|SU)0[0-4][A-Z]{2}_(F3D|RAW|F2D)\.\w+$", "BU-3DFE"),
    "bosphorus": (r"bs\d{3}_\w+\.(bnt|lm2|lm3)$", "Bosphorus"),
    "bu4dfe": (r"[FM]\d{3}/(Angry|Disgust|Fear|Happy|Sad|Surprise)/\d{3}\.(wrl|jpg)$", "BU-4DFE"),
    "bp4d": (r"[FM]\d{3}/T[1-8]/\d+\.(jpg|obj|wrl)$", "BP4D-Spontaneous"),
    "coma": (r"FaceTalk_\w+_TA/\w+/\w+\.\d+\.ply$", "CoMA"),
    "facescape": (r"\d+/models_reg/\d+_\w+\.obj", "FaceScape"),
    "affectnet": (r"(_set/annotations/\d+_(exp|val|aro|lnd)\.npy|Manually_Annotated.*)$", "AffectNet"),
    "rafdb": (r"(list_patition_label\.txt|(train|test)_\d+(_aligned)?\.jpg)$", "RAF-DB"),
    "fourdme": (r"4DME.*\.xlsx$", "4DME"),
}
# A dataset shows itself within its first few thousand names; a home folder named by mistake is not walked to its end.
_ENOUGH = 5_000


def walk(root: Path) -> Iterator[str]:
    """Files below `root` as posix paths relative to it, folders in sorted order, noise left out."""
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name not in NOISE and not name.startswith("."))
        prefix = Path(folder).relative_to(root).as_posix()
        for file in sorted(files):
            if file not in NOISE and not file.startswith("."):
                yield file if prefix == "." else f"{prefix}/{file}"


def describe_other(root: Path, name: str) -> str | None:
    """What the folder holds if it is some other dataset, or a twin of one, in words."""
    if (root / TWIN_MARKER).is_file():
        try:
            twin_of = read_json(root / TWIN_MARKER).get("dataset")
        except FerBenchError:
            return "a twin with a damaged marker"
        if twin_of != name:
            return f"a twin of {twin_of}"
    for path, _ in zip(walk(root), range(_ENOUGH), strict=False):
        for other, (telltale, title) in _TELLTALES.items():
            if other != name and re.search(telltale, path, re.IGNORECASE):
                return f"{title} ({path})"
    return None
