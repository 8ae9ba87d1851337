"""4DME: micro-expressions, as grey videos or as meshes."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from fer_bench.data.base import FaceDataModule
from fer_bench.data.class_sums import compare_class_sums
from fer_bench.data.fourdme_clips import (
    are_textured,
    clip_folders,
    compare_frames,
    has_meshes,
    is_mesh,
    mostly_meshes,
    of_one_kind,
)
from fer_bench.data.fourdme_labels import (
    ActionUnit,
    Labelled,
    Table,
    clip_key,
    has_only_action_units,
    parse_action_units,
    read_tables,
    same_subject,
)
from fer_bench.data.layouts import Tree
from fer_bench.geometry.frames import Clip, group_frames
from fer_bench.geometry.scan import Scan
from fer_bench.io.images import read_image
from fer_bench.io.obj import read_obj
from fer_bench.io.photo import Photo
from fer_bench.records import make_index

_PUBLIC = re.compile(r"(?:.*/)?(?:gray_micro|micro_short_gray_video)\w*/[^/]+/[^/]+", re.IGNORECASE)
_SPLIT = re.compile(r"(?:^|/)(train|test)$", re.IGNORECASE)
_PERSON = re.compile(r"([A-Za-z]+\d{1,3})_")
_CLIPS = 267
# Rows of the distribution's spreadsheet, counted from 0, whose columns from `AUs` on are exchanged.
_EXCHANGED = (144, 145)

# Clips a class in the distribution.
_COUNTS: Mapping[str, Mapping[str, int]] = {
    "": {"positive": 55, "negative": 142, "surprise": 54, "repression": 24, "others": 31}
}


class FourDME(FaceDataModule):
    """4DME: micro-expressions of 41 people, several emotions of which can hold at once.

    What: 267 micro-expressions, each filmed in 4D, in grey at 60 frames a second (640 x 480), and in colour and depth.
        Read here are videos of one kind, or the meshes; labels are positive, negative, surprise, repression and others.
    On disk: a spreadsheet with the columns `sub_ID`, `fold_name`, `Emotion` (`Surprise+Positive`), `AUs`, and
        `gray_micro/{sub_ID}/{fold_name}/*.jpg`; or `SubID`, `fold_name`, `Emotion`, and
        `micro_short_gray_video_cropped/{SubID}/{fold_name}/Frame_000000123.jpg`; or the challenge's table
        `Id,Negative,Positive,Repression,Surprise,Others` and a folder a clip, whose frames show two views side by side.
        Meshes are read where a table's clips are folders `{sub_ID}/{fold_name}` with one `.obj` a frame, its texture
        the photograph of its name (`12.obj`, `12.jpg`), and no folder of videos fits the table.
    Classes: positive, negative, surprise, repression, others; several are joined by a plus.
    Splits: none is published. Protocols here divide subjects into ten folds.
    Licence and how to obtain: free for research, by agreement with the University of Oulu; no redistribution.
    Cite: Li, Cheng, Li, Behzad, Shen, Zafeiriou, Pantic, Zhao, "4DME: A spontaneous 4D micro-expression dataset with
        multimodalities", IEEE Transactions on Affective Computing 14(4), 2023.
    Uncertain: how the 4D meshes are stored, for no source tells; the above is a guess. Action units of two rows are
        known to be exchanged by their position only. The challenge's views are not taken apart.
    """

    modalities = frozenset({"video"})
    unit = "a clip of 4DME"
    expected = "a label table (.xlsx or .csv) and gray_micro/{sub_ID}/{fold_name}/*.jpg below it."
    obtain = "4DME is free for research on request from the University of Oulu (Guoying Zhao, Xiaobai Li)."

    @classmethod
    def examine(cls, tree: Tree) -> pd.DataFrame:
        folders = clip_folders(tree.files)
        choice = _choose(read_tables(tree), folders) if folders else None
        rows = _labelled(tree, choice, folders) if choice else []
        index = make_index(of_one_kind(tree, rows or _unlabelled(tree, folders)))
        if not len(index):
            return index
        found = tree.findings
        people = index["subject"].nunique()
        found.add("found", f"{len(index)} clips of {people} subjects (the distribution: {_CLIPS} of 41)")
        compare_frames(tree, index, folders)
        if choice and not choice.table.challenge and not tree.is_twin:
            compare_class_sums(found, index, _COUNTS, "clips")
        return index

    @classmethod
    def load(cls, root: Path, files: tuple[str, ...]) -> Clip[Any]:
        """A clip of photographs; of scans where the clip's folder holds meshes."""
        if has_meshes(files):
            return Clip(group_frames(root, files, is_mesh), _scan)
        return Clip(tuple((root / name,) for name in files), _photo)

    @classmethod
    def offers(cls, root: Path) -> frozenset[str]:
        """A copy of meshes gives a sequence, with texture where most clips have one; else `modalities`."""
        clips = cls.index(root)["files"].tolist()
        if not has_meshes(clips[0]):
            return cls.modalities
        return frozenset({"sequence", "texture"} if are_textured(root, clips) else {"sequence"})

    @classmethod
    def action_units(cls, root: Path) -> dict[str, tuple[ActionUnit, ...]]:
        """Clip id -> its action units, none where the table has none.

        Raises:
            InvalidFile: the only label table is damaged.
        """
        tree = Tree(root)
        choice = _choose(read_tables(tree), clip_folders(tree.files))
        if choice is None:
            return {}
        written = [row.units for row in choice.table.rows]
        if _has_exchanged(tree, choice.table):
            first, second = _EXCHANGED
            written[first], written[second] = written[second], written[first]
        found: dict[str, tuple[ActionUnit, ...]] = {}
        for row, units in zip(choice.table.rows, written, strict=True):
            if row in choice.folders:  # of rows that name one clip the first counts, as for its label
                found.setdefault(_id(choice.table, choice.folders[row]), parse_action_units(units))
        return found


@dataclass(frozen=True)
class _Choice:
    """A label table and the folder whose clips it labels.

    Attributes:
        table: The table.
        place: The path before `{subject}/{clip}`.
        folders: Each row's clip, for the rows that have one.
        doubtful: Clips that a row may mean, for the rows that may mean several.
    """

    table: Table
    place: str
    folders: dict[Labelled, str]
    doubtful: dict[Labelled, list[str]]


def _choose(tables: list[Table], folders: Mapping[str, list[str]]) -> _Choice | None:
    """The table and the place that fit best: videos before meshes, then by the number of clips, then grey ones."""
    choices = [choice for table in tables for choice in _matches(table, folders)]

    def worse(choice: _Choice) -> tuple[Any, ...]:
        meshes = mostly_meshes(folders[clip] for clip in chain(choice.folders.values(), *choice.doubtful.values()))
        combined = sum(len(row.emotions or ()) > 1 for row in choice.table.rows)
        place = choice.place.lower()
        return meshes, -len(choice.folders), -combined, "gray" not in place, "crop" in place, place, choice.table.name

    return min(choices, key=worse, default=None)


def _matches(table: Table, folders: Iterable[str]) -> list[_Choice]:
    """The rows' clips, for each place that holds any."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for folder in folders:
        by_name[clip_key(folder.rpartition("/")[2])].append(folder)
    found: dict[str, dict[Labelled, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in table.rows:
        for folder in by_name.get(clip_key(row.clip), ()):
            subject = folder.rpartition("/")[0].rpartition("/")[2]
            if table.challenge or same_subject(row.subject, subject):
                found[_place(table, folder)][row].append(folder)
    choices = []
    for place, matches in found.items():
        meant = {row: _exact(row, fitting) or fitting for row, fitting in matches.items()}
        sure = {row: fitting[0] for row, fitting in meant.items() if len(fitting) == 1}
        choices.append(_Choice(table, place, sure, {row: meant[row] for row in meant if row not in sure}))
    return choices


def _exact(row: Labelled, folders: list[str]) -> list[str]:
    """Those of the folders that are named as the row is written."""
    name = f"/{row.subject}/{row.clip}" if row.subject else f"/{row.clip}"
    return [folder for folder in folders if f"/{folder}".lower().endswith(name.lower())]


def _place(table: Table, folder: str) -> str:
    above = folder.rpartition("/")[0]
    # Training and test clips of the challenge are one set.
    return _SPLIT.sub("", above) if table.challenge else above.rpartition("/")[0]


def _labelled(tree: Tree, choice: _Choice, folders: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Rows from a label table."""
    found, table = tree.findings, choice.table
    found.add("found", f"labels from {table.name}, frames from {choice.place or 'the folder itself'}")
    rows: dict[str, dict[str, Any]] = {}
    again = []
    for row, folder in choice.folders.items():
        sample = _id(table, folder)
        if sample in rows:
            again.append(row.where)
            continue
        split = _SPLIT.search(folder.rpartition("/")[0]) if table.challenge else None
        rows[sample] = {
            "id": sample,
            "subject": _subject(table, folder),
            "label": "+".join(row.emotions) if row.emotions else None,
            "split": split[1].lower() if split else None,
            "files": tuple(folders[folder]),
        }
    matched = choice.folders.keys() | choice.doubtful.keys()
    absent = [f"{row.subject}/{row.clip}".strip("/") for row in table.rows if row not in matched]
    found.add_if(absent, "missing", "clip folders that the table names")
    unnamed = {folder for folder in folders if _place(table, folder) == choice.place}
    unnamed -= set(chain(choice.folders.values(), *choice.doubtful.values()))
    found.add_if(sorted(unnamed), "warning", "clip folders that the table does not name")
    several = [f"{row.where} ({' or '.join(fitting)})" for row, fitting in choice.doubtful.items()]
    found.add_if(several, "warning", "rows that fit several clip folders, left out")
    found.add_if(again, "warning", "rows whose clip an earlier row named, left out")
    odd = [row.where for row in table.rows if row.emotions is None]
    found.add_if(odd, "warning", "rows whose emotion is not known; their clips have no label")
    empty = [row.where for row in table.rows if row.emotions == ()]
    found.add_if(empty, "warning", "rows without an emotion; their clips have no label")
    strange = [row.where for row in table.rows if not has_only_action_units(row.units)]
    found.add_if(strange, "warning", "rows whose action units are not all understood; those that are, are taken")
    _assume(tree, choice)
    return list(rows.values())


def _assume(tree: Tree, choice: _Choice) -> None:
    """Report the assumptions that were made."""
    found, table = tree.findings, choice.table
    if table.challenge:
        found.add("assumed", "frames of the challenge show two views side by side, and are taken whole")
        if any(_subject(table, folder) for folder in choice.folders.values()):
            found.add("assumed", "subjects are what stands before the first underscore of a clip's name")
        return
    typed = {row.subject for row, folder in choice.folders.items() if row.subject != _subject(table, folder)}
    typed |= {row.clip for row, folder in choice.folders.items() if row.clip != folder.rpartition("/")[2]}
    what = "subjects and clips as the table spells them, which are taken for the folders of that name or number"
    found.add_if(sorted(typed), "assumed", what)
    if not any(len(row.emotions or ()) > 1 for row in table.rows):
        found.add("assumed", "no clip has two emotions: the table is the one that keeps one a clip")
    if _has_exchanged(tree, table):
        where = ", ".join(table.rows[row].where for row in _EXCHANGED)
        found.add("assumed", f"the action units of two rows are exchanged, as is known of the distribution ({where})")


def _unlabelled(tree: Tree, folders: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Rows of clips that lie where the public layouts have them, without any table that fits."""
    rows = {
        "/".join(folder.split("/")[-2:]): (folder.split("/")[-2], files)
        for folder, files in folders.items()
        if _PUBLIC.fullmatch(folder)
    }
    if rows:
        tree.findings.add("error", "no label table (.xlsx) names these clips, so that none has a label")
    return [{"id": sample, "subject": subject, "files": tuple(files)} for sample, (subject, files) in rows.items()]


def _id(table: Table, folder: str) -> str:
    return folder.rpartition("/")[2] if table.challenge else "/".join(folder.split("/")[-2:])


def _subject(table: Table, folder: str) -> str | None:
    """As its folder spells it; the challenge has it in the clip's name, if at all."""
    above, _, clip = folder.rpartition("/")
    if not table.challenge:
        return above.rpartition("/")[2]
    person = _PERSON.match(clip)
    return person[1] if person else None


def _has_exchanged(tree: Tree, table: Table) -> bool:
    return not table.challenge and len(table.rows) == _CLIPS and not tree.is_twin and any(r.units for r in table.rows)


def _photo(files: tuple[Path, ...]) -> Photo:
    return Photo(files[0], aligned=False)


def _scan(files: tuple[Path, ...]) -> Scan:
    mesh = read_obj(files[0])
    texture = read_image(files[1]) if len(files) > 1 and mesh.uv is not None else None
    return Scan(mesh.vertices, mesh.triangles, mesh.uv, mesh.uv_triangles, texture)
