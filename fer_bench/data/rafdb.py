"""RAF-DB: photographs from the web with one of seven basic expressions."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.base import FaceDataModule
from fer_bench.data.class_sums import compare_class_sums
from fer_bench.data.layouts import Tree, below_root
from fer_bench.errors import BrokenScan
from fer_bench.expressions import RAFDB_CODES
from fer_bench.io.file_bytes import REMEDY, read_bytes
from fer_bench.io.photo import Photo
from fer_bench.records import make_index

# The distribution spells it "patition".
_LIST = re.compile(r"(?:(.*)/)?list_par?tition_label\.txt", re.IGNORECASE)
_NAME = re.compile(r"(train|test)_\d+", re.IGNORECASE)
_PLACED = re.compile(r"(?:.*/)?(aligned|original)/([^/]+?)(_aligned)?\.(?:jpe?g|png)", re.IGNORECASE)
_ATTRIBUTES = re.compile(r"(?:.*/)?([^/]+)_manu_attri\.txt", re.IGNORECASE)
_CLASS_FOLDER = re.compile(r"(?:.*/)?(train|test)/(\d)/([^/]+?)(?:_aligned)?\.(?:jpe?g|png)", re.IGNORECASE)
_TRAIN = {"surprise": 1290, "fear": 281, "disgust": 717, "happy": 4772, "sad": 1982, "anger": 705, "neutral": 2524}
_TEST = {"surprise": 329, "fear": 74, "disgust": 160, "happy": 1185, "sad": 478, "anger": 162, "neutral": 680}
# The distribution's other half, whose list has the same name, has eleven.
_COMPOUND_CODES = range(8, 12)


@dataclass(frozen=True, eq=False)
class Attributes:
    """What annotators noted about an original photograph.

    Attributes:
        landmarks: (5, 2) float64 pixels: eyes, nose, corners of the mouth.
        gender: 0 male, 1 female, 2 unsure.
        race: 0 Caucasian, 1 African-American, 2 Asian.
        age: 0 up to 3 years, 1 up to 19, 2 up to 39, 3 up to 69, 4 older.
    """

    landmarks: NDArray[np.float64]
    gender: int
    race: int
    age: int


class RAFDB(FaceDataModule):
    """RAF-DB: photographs from the web, each with one of seven basic expressions.

    What: 15,339 photographs, 12,271 for training and 3,068 for testing, as they were found and aligned to 100 x 100.
    On disk: `basic/EmoLabel/list_patition_label.txt` (lines `train_00001.jpg 5`),
        `basic/Image/aligned/train_00001_aligned.jpg`, `basic/Image/original/train_00001.jpg`, and
        `basic/Annotation/manual/train_00001_manu_attri.txt` with five landmarks, gender, race and age. Copies without a
        list, whose folders are `train/1` to `train/7` or `train/0` to `train/6`, are read too.
        `fer-bench data morphable` cuts the faces out of the originals, with the margin that the regressors were trained
        with, where these and their landmarks are there; else the regressors see the whole aligned photograph.
    Classes: surprise, fear, disgust, happy, sad, anger, neutral.
    Splits: train and test. Nobody says who is who.
    Licence and how to obtain: free for research, by agreement with Beijing University of Posts and
        Telecommunications; no redistribution.
    Cite: Li, Deng, Du, "Reliable crowdsourcing and deep locality-preserving learning for expression recognition in the
        wild", CVPR 2017.
    Uncertain: the order of the five landmarks; what the numbers of the age groups mean. The compound expressions of the
        distribution's other half are not read.
    """

    modalities = frozenset({"photo", "landmarks"})
    unit = "a RAF-DB photograph with a label"
    expected = (
        "basic/EmoLabel/list_patition_label.txt and basic/Image/aligned/train_00001_aligned.jpg and so on below it."
    )
    obtain = "RAF-DB is free for research on request from BUPT (Shan Li and Weihong Deng)."
    class_counts: ClassVar[Mapping[str, Mapping[str, int]]] = {"train": _TRAIN, "test": _TEST}

    @classmethod
    def examine(cls, tree: Tree) -> pd.DataFrame:
        lists = {path: match[1] or "" for path in tree.files if (match := _LIST.fullmatch(path))}
        # A root above `basic` may hold `compound` too.
        chosen = min(lists, key=lambda path: ("compound/" in path.lower(), path.count("/"), path), default=None)
        rows = _listed(tree, chosen, lists[chosen]) if chosen else _foldered(tree)
        index = make_index(rows)
        if chosen and not rows:
            raise cls.not_found(tree.root, f"{chosen} gives no photograph that is there a label")
        if len(index):
            count = index["split"].value_counts()
            tree.findings.add(
                "found",
                f"{count.get('train', 0):,} training and {count.get('test', 0):,} test photographs (the distribution: "
                "12,271 and 3,068)",
            )
            if not tree.is_twin:
                compare_class_sums(tree.findings, index, cls.class_counts, "photographs")
        return index

    @classmethod
    def load(cls, root: Path, files: tuple[str, ...]) -> Photo:
        """The aligned photograph; where there is none, the original with its five landmarks."""
        if len(files) == 1:
            aligned = Path(files[0]).parent.name.lower() != "original"
            return Photo(root / files[0], aligned, original=partial(_original, root / files[0]) if aligned else None)
        return Photo(root / files[0], aligned=False, landmarks=read_attributes(root / files[1]).landmarks)


def _original(aligned: Path) -> Photo | None:
    """The photograph that an aligned one was cut from, with its five landmarks; None where one of both is not there."""
    name = aligned.stem.removesuffix("_aligned")
    attributes = aligned.parents[2] / "Annotation" / "manual" / f"{name}_manu_attri.txt"
    path = aligned.parents[1] / "original" / f"{name}{aligned.suffix}"
    if not (path.is_file() and attributes.is_file()):
        return None
    return Photo(path, aligned=False, landmarks=read_attributes(attributes).landmarks)


def read_attributes(path: Path | str) -> Attributes:
    """Read `*_manu_attri.txt`: five lines `x y`, then gender, race and age, a line each.

    Raises:
        BrokenScan: the file is missing, or holds anything else.
    """
    words = read_bytes(path)[:4096].decode("latin-1").split()
    try:
        landmarks = np.array([float(word) for word in words[:10]]).reshape(5, 2)
        gender, race, age = (int(word) for word in words[10:])
    except ValueError:
        raise BrokenScan(path, "is not five points, gender, race and age", REMEDY) from None
    if not np.isfinite(landmarks).all() or gender not in range(3) or race not in range(3) or age not in range(5):
        raise BrokenScan(path, "holds a landmark that is not finite, or an attribute out of range", REMEDY)
    return Attributes(landmarks, gender, race, age)


def _listed(tree: Tree, chosen: str, folder: str) -> list[dict[str, Any]]:
    """Rows from the list; photographs are looked for beside the list's own folder."""
    found = tree.findings
    base = folder.rpartition("/")[0] if folder.rpartition("/")[2].lower() == "emolabel" else folder
    images, attributes = _beside(tree, base)
    labels = _labels(tree, chosen)
    rows = []
    for name, code in labels.items():
        aligned, original = (images[place].get(name) for place in ("aligned", "original"))
        if aligned:
            files: tuple[str, ...] = (aligned,)
        elif original:
            files = (original, attributes[name]) if name in attributes else (original,)
        else:
            continue
        rows.append({"id": name, "label": RAFDB_CODES[code], "split": name.partition("_")[0], "files": files})
    absent = [f"{name}.jpg" for name in labels if name not in images["aligned"] and name not in images["original"]]
    unaligned = [name for name in labels if name not in images["aligned"] and name in images["original"]]
    found.add_if(absent, "missing", "photographs that the list names")
    found.add_if(unaligned, "missing", "aligned photographs; the originals are taken instead")
    found.add_if(
        [name for name in unaligned if name not in attributes], "missing", "landmarks (_manu_attri.txt) of these"
    )
    spare = [path for place in images.values() for name, path in place.items() if name not in labels]
    found.add_if(spare, "warning", "photographs below Image that the list does not name, left out")
    found.add("found", f"labels from {chosen}; attributes of {len(attributes):,} photographs")
    return rows


def _beside(tree: Tree, base: str) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """aligned|original -> name -> photograph; name -> attribute file."""
    images: dict[str, dict[str, str]] = {"aligned": {}, "original": {}}
    attributes: dict[str, str] = {}
    twice: list[str] = []
    for path in tree.files:
        if base and not path.startswith(f"{base}/"):
            continue
        below = path[len(base) + 1 :] if base else path
        if match := _PLACED.fullmatch(below):
            place, name = match[1].lower(), match[2].lower()
            if (other := images[place].setdefault(name, path)) is not path:
                # Only train_00001_aligned.jpg is the aligned train_00001.jpg for certain.
                proper = place == "aligned" and match[3] and "_aligned." not in other.lower().rpartition("/")[2]
                images[place][name] = path if proper else other
                twice.append(other if proper else path)
        elif match := _ATTRIBUTES.fullmatch(below):
            attributes.setdefault(match[1].lower(), path)
    tree.findings.add_if(twice, "warning", "photographs of a name that another file has too, left out")
    return images, attributes


def _labels(tree: Tree, path: str) -> dict[str, int]:
    """Name without suffix -> code, in the list's order."""
    labels: dict[str, int] = {}
    told: dict[str, list[str]] = defaultdict(list)
    codes: set[int] = set()
    for number, line in enumerate(tree.read_text(path).split("\n"), start=1):
        words = line.split()
        if not words:
            continue
        where = f"line {number} ({line.strip()[:60]})"
        name = (below_root(words[0]) or "/").rpartition(".")[0].lower()
        if len(words) != 2 or not _NAME.fullmatch(name) or not re.fullmatch(r"\d{1,9}", words[1]):
            told["malformed"].append(where)
            continue
        code = int(words[1])
        codes.add(code)
        if code not in RAFDB_CODES:
            told["unknown"].append(where)
        elif labels.setdefault(name, code) != code:
            told["twice"].append(where)
    found = tree.findings
    if len(told["unknown"]) > 0.05 * len(labels) and codes & set(_COMPOUND_CODES):
        found.add("error", f"{path} has labels above 7: it is the list of compound expressions; name the basic folder")
    found.add_if(told["malformed"], "warning", f"lines of {path} that are not a name and a number, left out")
    found.add_if(told["unknown"], "warning", f"lines of {path} whose label is not 1 to 7, left out")
    found.add_if(told["twice"], "warning", f"lines of {path} that give a photograph a second label, left out")
    return labels


def _foldered(tree: Tree) -> list[dict[str, Any]]:
    """Rows of a copy without list, whose folders are the labels."""
    found = tree.findings
    placed = [(path, match) for path in tree.files if (match := _CLASS_FOLDER.fullmatch(path))]
    codes = {int(match[2]) for _, match in placed}
    first = 0 if 0 in codes else 1
    rows: dict[str, dict[str, Any]] = {}
    unknown, twice = [], []
    for path, match in placed:
        code, split, name = int(match[2]) + 1 - first, match[1].lower(), match[3].lower()
        sample = name if name.startswith(f"{split}_") else f"{split}_{name}"
        if code not in RAFDB_CODES:
            unknown.append(path)
        elif sample in rows:
            twice.append(path)
        else:
            rows[sample] = {"id": sample, "label": RAFDB_CODES[code], "split": split, "files": (path,)}
    if not rows:
        return []
    found.add("found", "a copy without list: labels are folders")
    found.add("assumed", "photographs in class folders are the aligned ones")
    numbering = "0 to 6 are the labels 1 to 7 less one, as in Ig3D's copy" if first == 0 else "1 to 7 are the labels"
    found.add("assumed", f"folders {numbering}")
    if not codes & {0, 7}:
        found.add("warning", "there is no class folder 0 and none 7: nothing tells labels from labels less one")
    if {0, 7} <= codes:
        found.add("error", "there are class folders from 0 to 7: RAF-DB has seven classes, so the labels are unclear")
    found.add_if(unknown, "warning", "photographs in folders that are no class of RAF-DB, left out")
    found.add_if(twice, "warning", "photographs whose name occurs in another class folder too, left out")
    return list(rows.values())
