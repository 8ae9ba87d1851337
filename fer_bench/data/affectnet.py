"""AffectNet: photographs from the web, each with an expression, valence and arousal, in the release of 2017 or 2021."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from fer_bench.data.affectnet_2017 import LISTS, examine_2017, read_face
from fer_bench.data.base import FaceDataModule
from fer_bench.data.class_sums import compare_class_sums
from fer_bench.data.layouts import Tree
from fer_bench.errors import BrokenScan
from fer_bench.expressions import AFFECTNET_CODES
from fer_bench.io.npy import read_scalar, read_vector
from fer_bench.io.photo import Photo
from fer_bench.records import make_index

IMAGE_SUFFIXES = frozenset({"jpg", "jpeg", "png", "bmp", "tif", "tiff", "gif"})
_SPLITS = {"train_set": "train", "val_set": "val", "valid_set": "val", "validation_set": "val"}
_KINDS = ("exp", "val", "aro", "lnd")
_LANDMARKS = 68
_TRAIN = {
    "neutral": 74874,
    "happy": 134415,
    "sad": 25459,
    "surprise": 14090,
    "fear": 6378,
    "disgust": 3803,
    "anger": 24882,
    "contempt": 3750,
}
_VAL = {**dict.fromkeys(_TRAIN, 500), "contempt": 499}
# Fewer ratings say little of a mean.
_RATED = 50


class AffectNet(FaceDataModule):
    """AffectNet: photographs from the web, labelled by hand with eight expressions, valence and arousal.

    What: 287,651 training and 3,999 validation photographs of eight expressions, each with valence and arousal in
        [-1, 1] and 68 landmarks. The release of 2017 also has photographs without an expression or without a face.
    On disk: of 2021, `train_set/images/12.jpg` (224 x 224, aligned) and `train_set/annotations/12_exp.npy`, `_val.npy`,
        `_aro.npy`, `_lnd.npy`; numbers have gaps; `val_set` or `valid_set`. Of 2017, `training.csv` and
        `validation.csv` and the photographs, as they were found, below `Manually_Annotated_Images/`, with a box.
    Classes: neutral, happy, sad, surprise, fear, disgust, anger, contempt; in 2017 also none, uncertain, no_face.
    Splits: train and val; the test split was never published, and papers test on val. Nobody says who is who.
    Licence and how to obtain: free for research, by agreement with the University of Denver; no redistribution.
    Cite: Mollahosseini, Hasani, Mahoor, "AffectNet: A database for facial expression, valence, and arousal computing in
        the wild", IEEE Transactions on Affective Computing 10(1), 2019.
    Uncertain: whether the label files hold text or numbers (both are read). Boxes of -1 are taken as the whole
        photograph. The automatically annotated photographs are not used.
    """

    modalities = frozenset({"photo", "landmarks"})
    unit = "an AffectNet photograph with its annotation"
    expected = (
        "train_set/images/0.jpg and train_set/annotations/0_exp.npy and so on below it (2021), or training.csv, "
        "validation.csv and Manually_Annotated_Images/ (2017)."
    )
    obtain = "AffectNet is free for research on request from the University of Denver (Mohammad Mahoor)."
    class_counts: ClassVar[Mapping[str, Mapping[str, int]]] = {"train": _TRAIN, "val": _VAL}

    @classmethod
    def examine(cls, tree: Tree) -> pd.DataFrame:
        rows = _examine_2021(tree)
        released, sums = "2021", cls.class_counts
        if rows:
            # The ending first: there are 1.4 million names.
            lists = [path for path in tree.files if path[-4:].lower() == ".csv" and Path(path).name.lower() in LISTS]
            tree.findings.add_if(
                lists,
                "warning",
                "lists of the release of 2017, left aside because that of 2021 is here too; name the folder of one",
            )
        else:
            rows = examine_2017(tree, IMAGE_SUFFIXES)
            released, sums = "2017", {"train": _TRAIN, "val": {**_VAL, "contempt": 500}}
        index = make_index(rows)
        if len(index):
            cls._compare(tree, index, released)
            if not tree.is_twin:
                compare_class_sums(tree.findings, index, sums, "photographs")
        return index

    @classmethod
    def load(cls, root: Path, files: tuple[str, ...]) -> Photo:
        """One photograph with its landmarks; of 2017 also with the face's box, and not aligned."""
        image = root / files[0]
        if len(files) == 1:
            return Photo(image, aligned=True)
        if re.search(r"\.csv#\d+$", files[1], re.IGNORECASE):  # any folder may have a # in its name
            landmarks, box = read_face(root, files[0], files[1])
            return Photo(image, aligned=False, landmarks=landmarks, box=box)
        return Photo(image, aligned=True, landmarks=read_vector(root / files[1], 2 * _LANDMARKS).reshape(-1, 2))

    @classmethod
    def _compare(cls, tree: Tree, index: pd.DataFrame, released: str) -> None:
        found = tree.findings
        count = index["split"].value_counts()
        nominal = {
            "2021": "287,651 and 3,999",
            "2017": "414,799 and 5,500, of which 287,651 and 4,000 show one of the eight expressions",
        }[released]
        found.add(
            "found",
            f"{count.get('train', 0):,} training and {count.get('val', 0):,} validation photographs, the release of "
            f"{released} (the distribution: {nominal})",
        )
        for split, rated in index[index["valence"].notna()].groupby("split"):
            mean = rated.groupby("label")["valence"].mean()
            if "happy" in mean and len(rated) >= _RATED and (above := sorted(mean.index[mean > mean["happy"]])):
                found.add(
                    "error",
                    f"{split}: photographs read as {', '.join(above)} have a higher valence than those read as happy: "
                    "the classes are in another order than the distribution's",
                )
        lacking = [name for name in ("train", "val") if name not in count]
        found.add_if(lacking, "missing", "splits without any photograph")


def _examine_2021(tree: Tree) -> list[dict[str, Any]]:
    """Rows from one file an annotation."""
    images, notes = _files_2021(tree)
    if not images or not notes["exp"]:
        return []
    found = tree.findings
    kinds = {"exp": "expression, left out", "val": "valence", "aro": "arousal", "lnd": "landmarks"}
    for kind, what in kinds.items():
        lacking = [images[key] for key in images if key not in notes[kind]]
        found.add_if(lacking, "missing", f"annotations (_{kind}.npy) of photographs that are there: {what}")
    orphans = [path for key, path in notes["exp"].items() if key not in images]
    found.add_if(orphans, "missing", "photographs of annotations that are there")

    root = str(tree.root)
    damaged: list[str] = []
    odd: dict[str, list[str]] = {"exp": [], "val": [], "aro": []}

    def number(kind: str, key: str) -> float | None:
        if (path := notes[kind].get(key)) is None:
            return None
        try:
            value = float(read_scalar(f"{root}/{path}"))
        except BrokenScan as error:
            damaged.append(f"{path} {error.problem}")
            return None
        except ValueError:  # text that is no number
            value = math.nan
        valid = value in AFFECTNET_CODES if kind == "exp" else -1.0 <= value <= 1.0
        if valid:
            return value
        odd[kind].append(f"{path} ({value:g})")
        return None

    rows = []
    for key, image in images.items():
        if (code := number("exp", key)) is None:
            continue
        landmarks = notes["lnd"].get(key)
        rows.append(
            {
                "id": key,
                "label": AFFECTNET_CODES[int(code)],
                "valence": number("val", key),
                "arousal": number("aro", key),
                "split": key.partition("_")[0],
                "files": (image, landmarks) if landmarks else (image,),
            }
        )
    found.add_if(damaged, "warning", "annotations that cannot be read")
    found.add_if(odd["exp"], "warning", "expressions that are no class of AffectNet; their photographs are left out")
    for kind, what in (("val", "valence"), ("aro", "arousal")):
        found.add_if(odd[kind], "warning", f"values outside [-1, 1], taken as no {what}")
    return rows


@dataclass
class _SetFolder:
    """One `train_set` or `val_set`.

    Attributes:
        split: `train` or `val`.
        images: `train_12` -> its photograph.
        notes: Kind of annotation -> `train_12` -> its file.
        twice: Files of numbers that have one of the kind already, as `12.png` beside `12.jpg`.
    """

    split: str
    images: dict[str, str] = field(default_factory=dict)
    notes: dict[str, dict[str, str]] = field(default_factory=lambda: {kind: {} for kind in _KINDS})
    twice: list[str] = field(default_factory=list)


def _files_2021(tree: Tree) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """`train_12` -> its photograph, and for each kind of annotation `train_12` -> its file.

    A split is read from one folder, because another copy may number its photographs otherwise.
    """
    sets = _set_folders(tree)
    # The one with most labelled photographs, then the first by name.
    order = sorted(sets, key=lambda name: (-len(sets[name].images.keys() & sets[name].notes["exp"].keys()), name))
    images: dict[str, str] = {}
    notes: dict[str, dict[str, str]] = {kind: {} for kind in _KINDS}
    read: set[str] = set()
    others: list[str] = []
    twice: list[str] = []
    for name in order:
        one = sets[name]
        if one.split in read:
            others.append(name)
            continue
        read.add(one.split)
        twice += one.twice
        images |= one.images
        for kind in _KINDS:
            notes[kind] |= one.notes[kind]
    tree.findings.add_if(others, "warning", "folders of a split that is read from another folder, left out")
    tree.findings.add_if(twice, "warning", "files of photographs that were already found, left out")
    return images, notes


def _set_folders(tree: Tree) -> dict[str, _SetFolder]:
    """Folder -> its content, for all folders with the name of a split."""
    sets: dict[str, _SetFolder] = {}
    places: dict[str, tuple[_SetFolder, bool] | None] = {}
    for path in tree.files:
        folder, _, name = path.rpartition("/")
        if folder not in places:
            places[folder] = _place(folder, sets)
        place = places[folder]
        if place is None:
            continue
        one, holds_images = place
        stem, _, suffix = name.rpartition(".")
        if holds_images:
            paths = one.images if suffix.lower() in IMAGE_SUFFIXES else None
        else:
            stem, _, kind = stem.rpartition("_")
            paths = one.notes.get(kind.lower()) if suffix.lower() == "npy" else None
        if paths is not None and paths.setdefault(f"{one.split}_{stem}", path) is not path:
            one.twice.append(path)
    return sets


def _place(folder: str, sets: dict[str, _SetFolder]) -> tuple[_SetFolder, bool] | None:
    """The split of a folder, and whether it holds photographs or annotations."""
    above, _, last = folder.rpartition("/")
    split = _SPLITS.get(above.rpartition("/")[2].lower())
    if split is None or last.lower() not in ("images", "annotations"):
        return None
    return sets.setdefault(above, _SetFolder(split)), last.lower() == "images"
