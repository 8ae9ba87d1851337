"""CoMA as distributed by the Max Planck Institute for Intelligent Systems."""

import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from fer_bench.data.base import FaceDataModule
from fer_bench.data.frame_numbers import gaps
from fer_bench.data.layouts import Tree
from fer_bench.errors import BrokenScan
from fer_bench.geometry.scan import Scan
from fer_bench.io.file_bytes import REMEDY
from fer_bench.io.ply import read_ply
from fer_bench.records import make_index

SUBJECTS = tuple(
    f"FaceTalk_{name}_TA"
    for name in (
        *("170725_00137", "170728_03272", "170731_00024", "170809_00138", "170811_03274", "170811_03275"),
        *("170904_00128", "170904_03276", "170908_03277", "170912_03278", "170913_03279", "170915_00223"),
    )
)
SEQUENCES = (
    *("bareteeth", "cheeks_in", "eyebrow", "high_smile", "lips_back", "lips_up", "mouth_down", "mouth_extreme"),
    *("mouth_middle", "mouth_open", "mouth_side", "mouth_up"),
)
_SPELLED = {subject.lower(): subject for subject in SUBJECTS}
_FOLDER = re.compile(r"(?:^|/)(FaceTalk_\w+_TA)/(\w+)$", re.IGNORECASE | re.ASCII)
_MESH = re.compile(r"(\w+)\.(\d{1,9})\.ply", re.IGNORECASE | re.ASCII)
_MILLIMETRES = np.float32(1000.0)  # in one of the file's units


class CoMA(FaceDataModule):
    """CoMA: registered 3D sequences of 12 people performing twelve extreme expressions.

    What: 20,466 meshes in 144 sequences, all in the topology of FLAME (5,023 vertices, 9,976 triangles), so that a
        vertex is the same point of every face. Metres on disk, millimetres when read; +y up, +z out of the face.
    On disk: `FaceTalk_170725_00137_TA/bareteeth/bareteeth.000001.ply` and so on, ascii or binary in either byte order.
        Wrapper folders are looked through.
    Classes: no emotions; the twelve sequences, bareteeth, cheeks_in, eyebrow, high_smile, lips_back, lips_up,
        mouth_down, mouth_extreme, mouth_middle, mouth_open, mouth_side and mouth_up.
    Splits: papers slice the list of all meshes, so that everybody is on both sides; protocols here do that too, and
        divide the people besides.
    Licence and how to obtain: free for non-commercial research, by registration with the Max Planck Institute for
        Intelligent Systems; no redistribution.
    Cite: Ranjan, Bolkart, Sanyal, Black, "Generating 3D faces using convolutional mesh autoencoders", ECCV 2018.
    Uncertain: how many meshes each sequence has; whether the distributed files are ascii or binary; the axes.
    """

    modalities = frozenset({"mesh", "topology"})
    vertices = (5023,)
    unit = "a mesh of CoMA"
    expected = "files like FaceTalk_170725_00137_TA/bareteeth/bareteeth.000001.ply below it."
    obtain = "CoMA is free for non-commercial research after registration at coma.is.tue.mpg.de."

    @classmethod
    def examine(cls, tree: Tree) -> pd.DataFrame:
        meshes: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
        twice: list[str] = []
        others: Counter[str] = Counter()
        astray: Counter[str] = Counter()
        places: dict[str, tuple[str, str] | None] = {}
        for path in tree.files:
            folder, _, name = path.rpartition("/")
            if folder not in places:
                match = _FOLDER.search(folder)
                places[folder] = (_SPELLED.get(match[1].lower(), match[1]), match[2].lower()) if match else None
            place, mesh = places[folder], _MESH.fullmatch(name)
            if place is None:
                astray[folder] += mesh is not None
            elif mesh is None or mesh[1].lower() != place[1]:
                others[folder] += 1
            elif meshes[place].setdefault(int(mesh[2]), path) != path:
                twice.append(path)
        rows = [
            {
                "id": f"{subject}/{sequence}/{number:06d}",
                "subject": subject,
                "label": sequence,
                "files": (path,),
            }
            for (subject, sequence), frames in sorted(meshes.items())
            for number, path in sorted(frames.items())
        ]
        tree.findings.add_if(twice, "warning", "meshes whose number was already found elsewhere, left out")
        tree.findings.add_if(
            [f"{folder}: {count}" for folder, count in others.items()], "warning", "folders with other files, ignored"
        )
        tree.findings.add_if(
            [f"{folder or '.'}: {count}" for folder, count in astray.items() if count],
            "warning",
            "folders with meshes but not of a sequence of a subject, left out",
        )
        if rows:
            cls._compare(tree, meshes)
        return make_index(rows)

    @classmethod
    def load(cls, root: Path, files: tuple[str, ...]) -> Scan:
        """One mesh, in the file's vertex order."""
        mesh = read_ply(root / files[0])
        if not len(mesh.triangles):
            raise BrokenScan(root / files[0], "has no faces, so it is no mesh", REMEDY)
        with np.errstate(over="ignore"):  # what overflows is reported below
            vertices = mesh.vertices * _MILLIMETRES
        if not np.isfinite(vertices).all():
            raise BrokenScan(root / files[0], "has a vertex that is too far away for millimetres", REMEDY)
        return Scan(vertices, mesh.triangles)

    @classmethod
    def _compare(cls, tree: Tree, meshes: dict[tuple[str, str], dict[int, str]]) -> None:
        """Say how the folder differs from the distribution."""
        found, subjects = tree.findings, sorted({subject for subject, _ in meshes})
        count = sum(map(len, meshes.values()))
        found.add(
            "found",
            f"{count:,} meshes in {len(meshes)} sequences of {len(subjects)} subjects (the distribution: 20,466 in 144 "
            "of 12)",
        )
        if not tree.is_twin:
            found.add_if(sorted(set(SUBJECTS) - set(subjects)), "missing", "subjects without any mesh")
        found.add_if(sorted(set(subjects) - set(SUBJECTS)), "warning", "subjects that the distribution does not have")
        found.add_if([f"{s}/{q}" for s in subjects for q in SEQUENCES if (s, q) not in meshes], "missing", "sequences")
        found.add_if(
            sorted("/".join(key) for key in meshes if key[1] not in SEQUENCES),
            "warning",
            "sequences that the distribution does not have",
        )
        lacking = {"/".join(key): gaps(frames, 6, 1) for key, frames in sorted(meshes.items())}
        found.add_if(
            [f"{name}: {numbers}" for name, numbers in lacking.items() if numbers],
            "found",
            "sequences with gaps in their numbers, which the distribution may have too",
        )
        found.add("assumed", "meshes are in metres, with y up and z out of the face")
