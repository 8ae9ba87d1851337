"""BU-4DFE as distributed by Binghamton University."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from fer_bench.data.base import FaceDataModule
from fer_bench.data.frame_numbers import gaps, spans
from fer_bench.data.layouts import Tree
from fer_bench.errors import BrokenScan
from fer_bench.expressions import BU4DFE_CODES
from fer_bench.geometry.frames import Clip, group_frames
from fer_bench.geometry.scan import Scan
from fer_bench.io.bnd import named_landmarks, read_bnd
from fer_bench.io.file_bytes import REMEDY
from fer_bench.io.images import read_image
from fer_bench.io.vrml import read_vrml
from fer_bench.records import make_index

_FOLDER = re.compile(rf"(?:^|/)([FM]\d{{3}})/({'|'.join(BU4DFE_CODES)})$", re.IGNORECASE | re.ASCII)
_FRAME = re.compile(r"(\d{3})\.(wrl|jpg|bnd)", re.IGNORECASE | re.ASCII)
_PACKAGE = "BU4DFE_BND"
_USUAL_FRAMES = range(60, 131)

_Key = tuple[str, str]  # subject, expression
# Frame number -> suffix -> file.
_Frames = dict[int, dict[str, str]]


class BU4DFE(FaceDataModule):
    """BU-4DFE: 3D videos of 101 people performing six expressions.

    What: 606 sequences of textured scans, one of each of anger, disgust, fear, happiness, sadness and surprise of 58
        women and 43 men; about 100 frames each at 25 frames a second. Millimetres, +y up, +z towards the camera.
    On disk: `F001/Angry/000.wrl` (VRML 2.0, triangles) and `000.jpg` its texture, and so on. The 83 landmarks of each
        frame are a package of their own, `BU4DFE_BND_V1.1/F001/Angry/000.bnd`, inside the folder or beside it. Wrapper
        folders are looked through; other files beside the frames are ignored.
    Classes: anger, disgust, fear, happy, sad, surprise; there is no neutral one.
    Splits: none is published. Protocols here divide subjects into ten folds.
    Licence and how to obtain: free for research, by agreement with Binghamton University; no redistribution.
    Cite: Yin, Chen, Sun, Worm, Reale, "A high-resolution 3D dynamic facial expression database", FG 2008.
    Uncertain: whether every mesh has `coordIndex` (where it is absent, `texCoordIndex` serves); what a mesh's `url`
        says (the texture is the image of the same number); whose left the landmark groups mean (decided by position).
    """

    modalities = frozenset({"sequence", "texture", "landmarks"})
    unit = "a frame of BU-4DFE"
    expected = "files like F001/Angry/000.wrl and F001/Angry/000.jpg below it."
    obtain = "BU-4DFE is free for research on request from Binghamton University (Lijun Yin)."

    @classmethod
    def examine(cls, tree: Tree) -> pd.DataFrame:
        package = _landmark_package(tree)
        sequences, others, twice = _sequences(tree.files)
        complete = {
            key: [number for number in sorted(frames) if {"wrl", "jpg"} <= frames[number].keys()]
            for key, frames in sequences.items()
        }
        rows = [
            {
                "id": _id(key),
                "subject": key[0],
                "label": BU4DFE_CODES[key[1]],
                "files": tuple(
                    files[suffix]
                    for files in map(sequences[key].__getitem__, numbers)
                    for suffix in ("wrl", "jpg", "bnd")
                    if suffix in files
                ),
            }
            for key, numbers in complete.items()
            if numbers
        ]
        index = make_index(rows)
        kinds = {suffix for frames in sequences.values() for files in frames.values() for suffix in files}
        if len(index):
            _compare(tree, index, sequences, complete, package)
            tree.findings.add_if(others, "found", "other files beside the frames, ignored")
            tree.findings.add_if(twice, "warning", "files of frames that were already found elsewhere, left out")
        elif kinds:
            pair = (
                " or ".join(f".{suffix}" for suffix in ("wrl", "jpg") if suffix not in kinds) or "pair of .wrl and .jpg"
            )
            problem = (
                f"the folder has {' and '.join(f'.{k}' for k in sorted(kinds))} files of BU-4DFE but no {pair} for them"
            )
            raise cls.not_found(tree.root, problem)
        return index

    @classmethod
    def load(cls, root: Path, files: tuple[str, ...]) -> Clip[Scan]:
        """One sequence; frames are read on access."""
        return Clip(group_frames(root, files, lambda name: name.lower().endswith(".wrl")), read_frame)


def read_frame(files: tuple[Path, ...]) -> Scan:
    """One frame from its mesh, texture and, where there are any, landmarks; raises `BrokenScan`."""
    path = {file.suffix.lower(): file for file in files}
    mesh = read_vrml(path[".wrl"])
    if mesh.uv is None:
        raise BrokenScan(path[".wrl"], "has no texture coordinates", REMEDY)
    # Positions, not vertex indices, are taken as the truth: they also hold in copies whose meshes were written again.
    landmarks = named_landmarks(read_bnd(path[".bnd"])[1]) if ".bnd" in path else {}
    texture = read_image(path[".jpg"])
    return Scan(mesh.vertices, mesh.triangles, mesh.uv, mesh.uv_triangles, texture, landmarks)


def _id(key: _Key) -> str:
    return "_".join(key)


def _sequences(names: Iterable[str]) -> tuple[dict[_Key, _Frames], list[str], list[str]]:
    """(subject, expression) -> the files of each frame number, in order of their keys; then the files beside them that
    are no frames, and those of frames that were found before."""
    copies: dict[_Key, dict[str, _Frames]] = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    twice, others = [], []
    for path in names:
        folder, _, name = path.rpartition("/")
        place = _FOLDER.search(folder)
        if place is None:
            continue
        frame = _FRAME.fullmatch(name)
        if frame is None:
            others.append(path)
            continue
        files = copies[place[1].upper(), place[2].capitalize()][folder][int(frame[1])]
        if files.setdefault(frame[2].lower(), path) != path:
            twice.append(path)
    sequences = {}
    for key, folders in sorted(copies.items()):
        sequences[key], spare = _one_copy(folders)
        twice += spare
    return sequences, others, twice


def _one_copy(folders: dict[str, _Frames]) -> tuple[_Frames, list[str]]:
    """The sequence of the folder with most meshes that have a texture, and the files left out; as `copies.one_copy`,
    what it lacks comes from folders without meshes."""
    meshes = {folder for folder, frames in folders.items() if any("wrl" in files for files in frames.values())}

    def worse(folder: str) -> tuple[int, int, str]:
        frames = [files.keys() for files in folders[folder].values()]
        return -sum({"wrl", "jpg"} <= kinds for kinds in frames), -sum("wrl" in kinds for kinds in frames), folder

    sequence: _Frames = defaultdict(dict)
    spare = []
    for folder in (*sorted(meshes, key=worse), *sorted(folders.keys() - meshes)):
        other = folder in meshes and len(sequence) > 0
        for number, files in folders[folder].items():
            for suffix, path in files.items():
                if other or sequence[number].setdefault(suffix, path) != path:
                    spare.append(path)
    return sequence, spare


def _landmark_package(tree: Tree) -> str:
    """Look for the landmarks' package beside the root if nothing inside is one; says where it is, in words."""
    if any(path[-4:].lower() == ".bnd" for path in tree.files):
        return "inside the folder"
    try:
        # A package that comes later makes the stored index invalid.
        tree.folders[".."] = (tree.root / "..").stat().st_mtime_ns
        with os.scandir(tree.root / "..") as entries:
            beside = sorted(e.name for e in entries if e.name.upper().startswith(_PACKAGE) and e.is_dir())
    except OSError:
        return ""
    found = [name for name in beside if any(path[-4:].lower() == ".bnd" for path in tree.add_beside(name))]
    return f"beside it, in ../{found[0]}" if found else ""


def _compare(
    tree: Tree,
    index: pd.DataFrame,
    sequences: dict[_Key, _Frames],
    complete: dict[_Key, list[int]],
    package: str,
) -> None:
    """Say how the folder differs from the distribution."""
    found, subjects = tree.findings, sorted(set(index["subject"]))
    women, frames = sum(s.startswith("F") for s in subjects), sum(map(len, complete.values()))
    found.add(
        "found",
        f"{len(index)} sequences of {len(subjects)} subjects, {women} women and {len(subjects) - women} men, "
        f"{frames:,} frames (the distribution: 606 of 101, 58 and 43, about 60,600)",
    )
    nominal = [f"{sex}{n:03d}" for sex, count in (("F", 58), ("M", 43)) for n in range(1, count + 1)]
    if not tree.is_twin:
        found.add_if(sorted(set(nominal) - set(subjects)), "missing", "subjects without any sequence")
    found.add_if(sorted(set(subjects) - set(nominal)), "warning", "subjects that the distribution does not have")
    present = set(index["id"])
    absent = [
        _id((subject, name))
        for subject in subjects
        for name in sorted(BU4DFE_CODES)
        if _id((subject, name)) not in present
    ]
    found.add_if(absent, "missing", "sequences")
    _compare_frames(tree, sequences, complete)
    _compare_landmarks(tree, sequences, complete, package)
    found.add("assumed", "the texture of a mesh is the .jpg of the same number, whatever the mesh calls it")
    found.add("assumed", "where a mesh has no coordIndex, its texCoordIndex numbers the vertices too")
    found.add("assumed", "the subject's left is +x, which decides whose left the landmark groups mean")


def _compare_frames(tree: Tree, sequences: dict[_Key, _Frames], complete: dict[_Key, list[int]]) -> None:
    found = tree.findings
    for suffix, what, other in (("wrl", "texture (.jpg)", "jpg"), ("jpg", "mesh (.wrl)", "wrl")):
        alone = [
            files[suffix]
            for frames in sequences.values()
            for _, files in sorted(frames.items())
            if suffix in files and other not in files
        ]
        found.add_if(alone, "warning", f"frames without their {what}, left out")
    lacking = {
        key: gaps((n for n, files in frames.items() if files.keys() - {"bnd"}), 3, 0)
        for key, frames in sequences.items()
    }
    found.add_if(
        [f"{_id(key)}: {numbers}" for key, numbers in lacking.items() if numbers],
        "warning",
        "sequences with gaps in their frame numbers, which are joined over the gap",
    )
    odd = [
        f"{_id(key)}: {len(numbers)}"
        for key, numbers in complete.items()
        if numbers and len(numbers) not in _USUAL_FRAMES
    ]
    if not tree.is_twin:
        found.add_if(odd, "warning", "sequences with fewer than 60 or more than 130 frames")


def _compare_landmarks(
    tree: Tree, sequences: dict[_Key, _Frames], complete: dict[_Key, list[int]], package: str
) -> None:
    if not package:
        tree.findings.add("missing", "the landmarks: no folder BU4DFE_BND_V1.1 inside the folder or beside it")
        return
    tree.findings.add("found", f"landmarks (.bnd) are {package}")
    lacking = {key: [n for n in numbers if "bnd" not in sequences[key][n]] for key, numbers in complete.items()}
    tree.findings.add_if(
        [_id(key) for key, numbers in lacking.items() if numbers and numbers == complete[key]],
        "missing",
        "landmarks (.bnd) of all frames of sequences that are there",
    )
    tree.findings.add_if(
        [
            f"{_id(key)}: {spans(numbers, 3)}"
            for key, numbers in lacking.items()
            if numbers and numbers != complete[key]
        ],
        "missing",
        "landmarks (.bnd) of some frames of sequences that are there",
    )
