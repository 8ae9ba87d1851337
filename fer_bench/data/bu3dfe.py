"""BU-3DFE as distributed by Binghamton University."""

import re
from collections import defaultdict
from pathlib import Path

import pandas as pd

from fer_bench.data.base import FaceDataModule
from fer_bench.data.copies import one_copy
from fer_bench.data.layouts import Tree
from fer_bench.errors import BrokenScan
from fer_bench.expressions import BU3DFE_CODES
from fer_bench.geometry.scan import Scan
from fer_bench.io.bnd import named_landmarks, read_bnd
from fer_bench.io.images import read_image
from fer_bench.io.vrml import read_vrml
from fer_bench.records import make_index

_NAME = re.compile(
    r"^(?P<subject>[FM]\d{4})_(?P<code>AN|DI|FE|HA|NE|SA|SU)(?P<level>0[0-4])(?P<race>WH|BL|LA|AE|AM|IN)"
    r"_(?P<kind>F3D)\.(?P<suffix>wrl|bmp|bnd)$",
    re.IGNORECASE | re.ASCII,
)
_CODES = [("NE", 0), *((code, level) for code in sorted(BU3DFE_CODES) if code != "NE" for level in (1, 2, 3, 4))]


class BU3DFE(FaceDataModule):
    """BU-3DFE: 3D faces of 100 people posing six expressions at four intensities.

    What: 2,500 textured scans, 25 of each of 56 women and 44 men: one neutral, and anger, disgust, fear, happiness,
        sadness and surprise from level 1 (weak) to 4 (strong). Millimetres, +y up, +z towards the camera.
    On disk: `F0001/F0001_AN01WH_F3D.wrl` (VRML 2.0, triangles with some quads and pentagons), `_F3D.bmp` its texture,
        `_F3D.bnd` 83 landmarks, `_F2D.bmp` a photograph, `_RAW.wrl` the uncropped scan. Subject folders, one wrapper
        folder around them, and all files in one folder are all read.
    Classes: neutral, anger, disgust, fear, happy, sad, surprise.
    Splits: none is published. Protocols here divide subjects into ten folds.
    Licence and how to obtain: free for research, by agreement with Binghamton University; no redistribution.
    Cite: Yin, Wei, Sun, Wang, Rosato, "A 3D facial expression database for facial behavior research", FG 2006.
    Uncertain: whose left the landmark groups mean (decided by position); the format of the `.pse` files (not read).
        Some papers count 101 subjects; the distribution has 100.
    """

    modalities = frozenset({"mesh", "texture", "landmarks"})
    unit = "a BU-3DFE scan"
    expected = "files like F0001/F0001_AN01WH_F3D.wrl below it."
    obtain = "BU-3DFE is free for research on request from Binghamton University (Lijun Yin)."

    @classmethod
    def examine(cls, tree: Tree) -> pd.DataFrame:
        copies: dict[tuple[str, str, int], dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
        twice: list[str] = []
        odd: list[str] = []
        for path in tree.files:
            folder, _, file = path.rpartition("/")
            if (match := _NAME.match(file)) is None:
                continue
            code, level = match["code"].upper(), int(match["level"])
            if (code == "NE") != (level == 0):
                odd.append(path)
                continue
            # A scan under two races is two copies of one scan.
            place = copies[match["subject"].upper(), code, level][f"{folder}/{file.rpartition('_')[0].upper()}"]
            if place.setdefault(match["suffix"].lower(), path) != path:
                twice.append(path)
        rows = []
        for (subject, code, level), places in copies.items():
            files, spare = one_copy(places, "wrl")
            twice += spare
            if "wrl" in files:
                rows.append(
                    {
                        "id": files["wrl"].rpartition("/")[2].rpartition("_")[0].upper(),
                        "subject": subject,
                        "label": BU3DFE_CODES[code],
                        "level": level,
                        "files": tuple(files[suffix] for suffix in ("wrl", "bmp", "bnd") if suffix in files),
                    }
                )
        tree.findings.add_if(odd, "warning", "scans whose level is not 0 for neutral or 1 to 4 for others, left out")
        tree.findings.add_if(twice, "warning", "files of scans that were already found elsewhere, left out")
        index = make_index(rows)
        if len(index):
            cls._compare(tree, index)
        return index

    @classmethod
    def load(cls, root: Path, files: tuple[str, ...]) -> Scan:
        """One scan; texture and landmarks where their files are there."""
        path = {name.rpartition(".")[2].lower(): root / name for name in files}
        mesh = read_vrml(path["wrl"])
        landmarks = {}
        if "bnd" in path:
            # The distribution stores both a vertex index and a position; the position is taken as the truth, because
            # copies exist whose meshes were written again and whose indices no longer fit.
            landmarks = named_landmarks(read_bnd(path["bnd"])[1])
        texture = None
        if "bmp" in path:
            if mesh.uv is None:
                raise BrokenScan(path["wrl"], "has a texture beside it but no texture coordinates", "Copy it again.")
            texture = read_image(path["bmp"])
        return Scan(mesh.vertices, mesh.triangles, mesh.uv, mesh.uv_triangles, texture, landmarks)

    @classmethod
    def _compare(cls, tree: Tree, index: pd.DataFrame) -> None:
        """Say how the folder differs from the distribution, whose every file is known by name."""
        found, subjects = tree.findings, sorted(set(index["subject"]))
        women = sum(s.startswith("F") for s in subjects)
        found.add(
            "found",
            f"{len(index)} scans of {len(subjects)} subjects, {women} women and {len(subjects) - women} men "
            "(the distribution: 2,500 of 100, 56 and 44)",
        )
        nominal = [f"{sex}{n:04d}" for sex, count in (("F", 56), ("M", 44)) for n in range(1, count + 1)]
        if not tree.is_twin:
            found.add_if(sorted(set(nominal) - set(subjects)), "missing", "subjects without any scan")
        found.add_if(sorted(set(subjects) - set(nominal)), "warning", "subjects that the distribution does not have")
        present = {(row.subject, row.id.split("_")[1][:4]) for row in index.itertuples()}
        absent = [f"{s}_{c}{n:02d}" for s in subjects for c, n in _CODES if (s, f"{c}{n:02d}") not in present]
        found.add_if(absent, "missing", "scans")
        for suffix, what in (("bmp", "texture"), ("bnd", "landmarks")):
            lacking = [row.id for row in index.itertuples() if not any(f.lower().endswith(suffix) for f in row.files)]
            found.add_if(lacking, "missing", f"{what} (_F3D.{suffix}) of scans that are there")
        found.add("assumed", "the subject's left is +x, which decides whose left the landmark groups mean")
