"""FaceScape's topologically uniform models, as distributed by Nanjing University."""

import re
from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd

from fer_bench.data.base import FaceDataModule
from fer_bench.data.copies import one_copy
from fer_bench.data.layouts import Tree
from fer_bench.errors import BrokenScan, InvalidFile
from fer_bench.expressions import FACESCAPE_CODES
from fer_bench.geometry.scan import Scan
from fer_bench.io.file_bytes import REMEDY
from fer_bench.io.images import read_image
from fer_bench.io.obj import read_obj
from fer_bench.records import make_index

SUBJECTS = 847
_FOLDER = re.compile(r"(?:(.*)/)?([1-9]\d{0,3})(/models_reg)?", re.IGNORECASE | re.ASCII)
_FILE = re.compile(r"(\d{1,2}_[a-z_]+)\.(obj|jpg)", re.IGNORECASE | re.ASCII)
_INFO, _PUBLISHABLE = "info_list_v2.txt", "publishable_list_v1.txt"
_FLAGS = re.compile(r"[01]{5}")

_Key = tuple[int, str]  # subject, code


class FaceScape(FaceDataModule):
    """FaceScape: registered scans of 847 people with twenty expressions each.

    What: 16,940 meshes nominally, about 16,900 in copies, of one topology (26,317 vertices and 52,261 faces in version
        1.0, others in later ones), so that a vertex is the same point of every face; with textures. Millimetres, +y up,
        +z out of the face.
    On disk: `1/models_reg/1_neutral.obj`, `1_neutral.obj.mtl` and `1_neutral.jpg` for each person, merged in one folder
        or in `facescape_trainset_001_100/` and so on; or `1/1_neutral.obj`. Displacement maps are not read.
    Classes: neutral, anger and sad (14_sadness); the other seventeen keep their own names, for a smile on request
        (`smile`) or a jaw moved to the left says nothing about an emotion.
    Splits: none is published. The protocol here tests the 253 people that the public code of one paper draws.
    Licence and how to obtain: free for non-commercial research, by agreement with Nanjing University; no
        redistribution. Only the people of `publishable_list_v1.txt` may be shown.
    Cite: Yang, Zhu, Wang, Huang, Shen, Yang, Cao, "FaceScape: a large-scale high quality 3D face dataset and detailed
        riggable 3D face prediction", CVPR 2020.
    Uncertain: whether raw files hold quads or triangles (both are read); how the columns of `info_list_v2.txt` are
        separated. Textures of the people from 360 on are mosaicked at the eyes.
    """

    modalities = frozenset({"mesh", "texture", "topology"})
    unit = "a registered mesh of FaceScape"
    expected = "files like 1/models_reg/1_neutral.obj and 1/models_reg/1_neutral.jpg below it."
    obtain = "FaceScape is free for non-commercial research on request at facescape.nju.edu.cn."

    @classmethod
    def examine(cls, tree: Tree) -> pd.DataFrame:
        copies: dict[_Key, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
        twice: list[str] = []
        strange: list[str] = []
        astray: Counter[str] = Counter()
        subjects: dict[str, int | None] = {}
        for path in tree.files:
            folder, _, name = path.rpartition("/")
            if folder not in subjects:
                match = _FOLDER.fullmatch(folder)
                subjects[folder] = int(match[2]) if match else None
            subject, file = subjects[folder], _FILE.fullmatch(name)
            if file is None:
                continue
            code, suffix = file[1].lower(), file[2].lower()
            if subject is None:
                astray[folder] += code in FACESCAPE_CODES and suffix == "obj"
            elif code not in FACESCAPE_CODES:
                strange.append(path)
            elif copies[subject, code][folder].setdefault(suffix, path) != path:
                twice.append(path)
        scans: dict[_Key, dict[str, str]] = {}
        for key, folders in copies.items():
            scans[key], spare = one_copy(folders, "obj")
            twice += spare
        rows = [
            {
                "id": f"{subject}_{code}",
                "subject": str(subject),
                "label": FACESCAPE_CODES[code],
                "files": tuple(files[suffix] for suffix in ("obj", "jpg") if suffix in files),
            }
            for (subject, code), files in scans.items()
            if "obj" in files
        ]
        tree.findings.add_if(strange, "warning", "files whose number and expression do not belong together, left out")
        tree.findings.add_if(twice, "warning", "files of scans that were already found elsewhere, left out")
        tree.findings.add_if(
            [f"{folder or '.'}: {count}" for folder, count in astray.items() if count],
            "warning",
            "folders with meshes but not of a subject, which is a number without zeros before it; left out",
        )
        if rows:
            _compare(tree, scans)
        return make_index(rows)

    @classmethod
    def load(cls, root: Path, files: tuple[str, ...]) -> Scan:
        """One mesh, in the file's vertex order, with its texture where there is one."""
        mesh = read_obj(root / files[0])
        texture = None
        if len(files) > 1:
            if mesh.uv is None:
                raise BrokenScan(root / files[0], "has a texture beside it but no texture coordinates", REMEDY)
            texture = read_image(root / files[1])
        return Scan(mesh.vertices, mesh.triangles, mesh.uv, mesh.uv_triangles, texture)


def _compare(tree: Tree, scans: dict[_Key, dict[str, str]]) -> None:
    """Say how the folder differs from the distribution."""
    found = tree.findings
    present = {key for key, files in scans.items() if "obj" in files}
    subjects = sorted({subject for subject, _ in present})
    found.add(
        "found",
        f"{len(present):,} meshes of {len(subjects)} subjects (the distribution: about 16,900 of 847)",
    )
    layouts = Counter(_layout(files["obj"]) for files in scans.values() if "obj" in files)
    found.add("found", "layout of folders", [f"{layout} ({count:,} meshes)" for layout, count in layouts.items()])
    if not tree.is_twin:
        absent = [str(n) for n in range(1, SUBJECTS + 1) if n not in set(subjects)]
        found.add_if(absent, "missing", "subjects without any mesh")
    found.add_if([str(n) for n in subjects if n > SUBJECTS], "warning", "subjects that the distribution does not have")
    declared = _declared(tree)
    lacking = {
        "obj": [f"{s}_{code}" for s in subjects for code in FACESCAPE_CODES if (s, code) not in present],
        "jpg": [f"{s}_{code}" for s, code in sorted(present) if "jpg" not in scans[s, code]],
    }
    for suffix, what in (("obj", "meshes"), ("jpg", "textures (.jpg) of meshes that are there")):
        known = [name for name in lacking[suffix] if suffix in declared.get(int(name.partition("_")[0]), ())]
        found.add_if(known, "found", f"{what}, missing as {_INFO} says")
        found.add_if([name for name in lacking[suffix] if name not in set(known)], "missing", what)
    if any(path.rpartition("/")[2].lower() == _PUBLISHABLE for path in tree.files):
        found.add("found", f"{_PUBLISHABLE}: only the people in it may be shown in print")
    found.add("assumed", "all meshes are of one topology; the reading of each tells how many vertices it has")
    found.add("assumed", "2_smile is a smile on request and no happiness; its label is smile")


def _layout(path: str) -> str:
    match = _FOLDER.fullmatch(path.rpartition("/")[0])
    assert match
    return f"{match[1] + '/' if match[1] else ''}<number>{match[3] or ''}"


def _declared(tree: Tree) -> dict[int, set[str]]:
    """Subject -> kinds of files that the distribution itself says are missing; none without the list."""
    lists = [path for path in tree.files if path.rpartition("/")[2].lower() == _INFO]
    if not lists:
        return {}
    try:
        text = tree.read_text(lists[0])
    except InvalidFile as error:
        tree.findings.add("warning", str(error))
        return {}
    declared: dict[int, set[str]] = {}
    odd = []
    for number, line in enumerate(text.split("\n"), start=1):
        words = re.split(r"[^0-9A-Za-z]+", line.strip())
        flags = next((word for word in (*words[1:], "".join(words[1:6])) if _FLAGS.fullmatch(word)), None)
        if words and words[0].isascii() and words[0].isdigit() and len(words[0]) < 6 and flags:
            kinds = ("obj", "mtl", "jpg", "png")
            declared[int(words[0])] = {kind for kind, flag in zip(kinds, flags[1:], strict=True) if flag == "1"}
        elif line.strip() and number > 1:  # the first may be a header
            odd.append(f"line {number} ({line.strip()[:40]!r})")
    tree.findings.add_if(odd, "warning", f"lines of {_INFO} without a number and five flags, passed over")
    if declared:
        tree.findings.add(
            "assumed",
            f"{_INFO} has a number and five flags a line, which say what is missing, however they are separated",
        )
    return declared
