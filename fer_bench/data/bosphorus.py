"""Bosphorus as distributed by Boğaziçi University."""

import re
from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd

from fer_bench.data.base import FaceDataModule
from fer_bench.data.copies import one_copy
from fer_bench.data.layouts import Tree
from fer_bench.errors import BrokenScan
from fer_bench.expressions import BOSPHORUS_CODES
from fer_bench.geometry.scan import Scan
from fer_bench.io.bnt import grid_scan, read_bnt
from fer_bench.io.file_bytes import REMEDY
from fer_bench.io.images import read_image
from fer_bench.io.landmark_lists import named_landmarks, read_lm3
from fer_bench.io.scan_files import photographed
from fer_bench.records import make_index

_SUBJECTS = [f"bs{number:03d}" for number in range(105)]
_NAME = re.compile(
    r"(?P<subject>bs\d{3})_(?P<type>E|N|LFAU|UFAU|CAU|YR|PR|CR|O|IGN)_(?P<code>[^\s/]+)_(?P<take>\d{1,3})"
    r"\.(?P<suffix>bnt|png|lm3|lm2)",
    re.IGNORECASE | re.ASCII,
)
_ALIKE = re.compile(r"bs\d{3}_.*\.(bnt|png|lm3|lm2)", re.IGNORECASE | re.ASCII)
_KINDS = {
    "E": "expressions",
    "N": "neutral",
    "LFAU": "lower-face action units",
    "UFAU": "upper-face action units",
    "CAU": "combined action units",
    "YR": "turned sideways",
    "PR": "turned up or down",
    "CR": "turned both ways",
    "O": "occluded",
    "IGN": "set aside",
}


class Bosphorus(FaceDataModule):
    """Bosphorus: depth scans of 105 people with expressions, action units, head rotations and occlusions.

    What: 4,666 scans with photographs, one take or more of each: the six expressions (453 scans; 65 people have all
        six), neutral ones, single and combined action units, rotations and occlusions. Millimetres, +y up, +z towards
        the camera.
    On disk: `bs000/bs000_E_HAPPY_0.bnt` (a grid of points, little-endian), `.png` the photograph on it, `.lm3` and
        `.lm2` up to 24 landmarks on the scan and on the photograph. Wrapper folders are looked through.
    Classes: neutral, anger, disgust, fear, happy, sad, surprise; the other scans have no label.
    Splits: none is published. Protocols here divide the people who have all six expressions.
    Licence and how to obtain: free for research, by agreement with Boğaziçi University; no redistribution.
    Cite: Savran, Alyüz, Dibeklioğlu, Çeliktutan, Gökberk, Sankur, Akarun, "Bosphorus database for 3D face analysis",
        BioID 2008.
    Uncertain: all codes, and how many takes of each there are; the sign of the yaw in `YR`; how ear lobes are
        spelled. Where take 0 of an expression is absent, protocols use the lowest that is there.
    """

    modalities = frozenset({"mesh", "texture", "landmarks"})
    unit = "a Bosphorus scan"
    expected = "files like bs000/bs000_E_HAPPY_0.bnt below it."
    obtain = "Bosphorus is free for research on request at bosphorus.ee.boun.edu.tr."

    @classmethod
    def examine(cls, tree: Tree) -> pd.DataFrame:
        copies: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
        subjects: dict[str, tuple[str, str]] = {}
        twice: list[str] = []
        odd: list[str] = []
        for path in tree.files:
            folder, _, file = path.rpartition("/")
            match = _NAME.fullmatch(file)
            if match is None:
                if _ALIKE.fullmatch(file):
                    odd.append(path)
                continue
            kind = f"{match['type']}_{match['code']}".upper()
            name = f"{match['subject'].lower()}_{kind}_{match['take']}"
            subjects[name] = match["subject"].lower(), kind
            if copies[name][folder].setdefault(match["suffix"].lower(), path) != path:
                twice.append(path)
        scans: dict[str, dict[str, str]] = {}
        for name, folders in copies.items():
            scans[name], spare = one_copy(folders, "bnt")
            twice += spare
        rows = [
            {
                "id": name,
                "subject": subjects[name][0],
                "label": BOSPHORUS_CODES.get(subjects[name][1]),
                "files": tuple(files[suffix] for suffix in ("bnt", "png", "lm3", "lm2") if suffix in files),
            }
            for name, files in scans.items()
            if "bnt" in files
        ]
        index = make_index(rows)
        if rows:
            _compare(tree, index, scans)
            tree.findings.add_if(odd, "warning", "files whose names are not like bs000_E_HAPPY_0, left out")
            tree.findings.add_if(twice, "warning", "files of scans that were already found elsewhere, left out")
        return index

    @classmethod
    def load(cls, root: Path, files: tuple[str, ...]) -> Scan:
        """One scan, its vertices the measured points in the grid's order; the photograph is its texture."""
        path = {name.rpartition(".")[2].lower(): root / name for name in files}
        vertices, triangles, uv = grid_scan(read_bnt(path["bnt"]))
        if not len(triangles):
            raise BrokenScan(path["bnt"], "no three of its points are neighbours, so it has no surface", REMEDY)
        landmarks = named_landmarks(read_lm3(path["lm3"])) if "lm3" in path else {}
        if "png" not in path:
            return Scan(vertices, triangles, landmarks=landmarks)
        photograph = read_image(path["png"])
        return Scan(vertices, triangles, photographed(uv, photograph), triangles, photograph, landmarks)


def _compare(tree: Tree, index: pd.DataFrame, scans: dict[str, dict[str, str]]) -> None:
    """Say how the folder differs from the distribution, whose numbers of scans are known only roughly."""
    found, subjects = tree.findings, sorted(set(index["subject"]))
    found.add("found", f"{len(index):,} scans of {len(subjects)} subjects (the distribution: 4,666 of 105)")
    kinds = Counter(name.split("_")[1] for name in index["id"])
    parts = "; ".join(f"{kinds[kind]:,} {message}" for kind, message in _KINDS.items() if kinds[kind])
    found.add("found", f"{parts} (the distribution: about 453 expressions and 299 neutral)")
    found.add("found", _layout(index))
    if not tree.is_twin:
        found.add_if(sorted(set(_SUBJECTS) - set(subjects)), "missing", "subjects without any scan")
    found.add_if(sorted(set(subjects) - set(_SUBJECTS)), "warning", "subjects that the distribution does not have")
    _compare_expressions(tree, index, subjects)
    present = set(index["id"])
    for suffix, what in (("png", "photographs (.png)"), ("lm3", "landmarks (.lm3)"), ("lm2", "landmarks (.lm2)")):
        absent = sorted(name for name in present if suffix not in scans[name])
        found.add_if(absent, "missing", f"{what} of scans that are there")
    orphans = sorted(name for name in scans if name not in present)
    found.add_if(orphans, "missing", "scans (.bnt) whose other files are there")
    found.add("assumed", "the photograph of a scan is the .png of the same name, whatever the .bnt calls it")
    found.add("assumed", "left in the landmarks' labels is the image's left, which is the subject's right")
    found.add("assumed", "ear lobes may have any label in the landmark files, for they are not used")
    found.add("assumed", "the sign of the yaw in YR is not known; no protocol uses it")


def _layout(index: pd.DataFrame) -> str:
    """Where the scans are, in words."""
    folders = [files[0].rpartition("/")[0] for files in index["files"]]
    if all(folder.rpartition("/")[2].lower() == s for folder, s in zip(folders, index["subject"], strict=True)):
        above = sorted({folder.rpartition("/")[0] for folder in folders} - {""})
        return "the scans are in a folder for each subject" + (f", below {', '.join(above)}" if above else "")
    return "the scans are in folders that are not named like their subjects"


def _compare_expressions(tree: Tree, index: pd.DataFrame, subjects: list[str]) -> None:
    found = tree.findings
    six = set(BOSPHORUS_CODES.values()) - {"neutral"}
    has: dict[str, set[str]] = {subject: set() for subject in subjects}
    takes: dict[str, list[str]] = defaultdict(list)  # bs000_E_HAPPY -> its takes
    for name, subject, label in zip(index["id"], index["subject"], index["label"], strict=True):
        code, _, take = name.rpartition("_")
        takes[code].append(take)
        has[subject].add(label)
    complete = sum(six <= labels for labels in has.values())
    found.add("found", f"{complete} subjects have all six expressions (the distribution: 65)")
    if tree.is_twin:
        # All subjects of a twin have the same scans, unlike those of the distribution.
        codes = sorted({code.partition("_")[2] for code in takes})
        absent = [f"{subject}_{code}" for subject in subjects for code in codes if f"{subject}_{code}" not in takes]
        found.add_if(absent, "missing", "scans that the twin's other subjects have")
    else:
        lacking = [f"{s}: {', '.join(sorted(six - labels))}" for s, labels in has.items() if not six <= labels]
        found.add_if(lacking, "found", "subjects without some of the six expressions, as 40 of the distribution")
    lowest = {code: min(numbers, key=int) for code, numbers in sorted(takes.items()) if code[6:8] == "E_"}
    found.add_if(
        [f"{code}_{take}" for code, take in lowest.items() if int(take) > 0],
        "assumed",
        "expressions without a take 0, of which protocols use the lowest that is there",
    )
