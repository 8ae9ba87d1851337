"""BP4D-Spontaneous as distributed by Binghamton University."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.action_units import Key, compare_tables, read_tables, tables_below
from fer_bench.data.base import FaceDataModule
from fer_bench.data.frame_numbers import gaps, spans
from fer_bench.data.layouts import Tree
from fer_bench.errors import BrokenScan, FerBenchError
from fer_bench.expressions import BP4D_CODES
from fer_bench.geometry.frames import Clip, group_frames
from fer_bench.geometry.scan import Scan
from fer_bench.io.file_bytes import REMEDY
from fer_bench.io.images import read_image
from fer_bench.io.obj import read_obj
from fer_bench.io.scan_files import millimetres_a_unit
from fer_bench.io.vrml import read_vrml
from fer_bench.records import make_index

_SUBJECTS = [f"{sex}{n:03d}" for sex, count in (("F", 23), ("M", 18)) for n in range(1, count + 1)]
_FOLDER = re.compile(r"(?:^|/)([FM]\d{3})/(T\d{1,2})$", re.IGNORECASE | re.ASCII)

# Found only in BP4D+, and two folders that identify it together: each alone might be of BP4D.
_PLUS = re.compile(
    r"(^|/)((IRFeatures|Thermal|Physiology)(/.*)?|2D\+3D/[FM]\d{3}\.zip|[^/]+\.bndplus)$", re.IGNORECASE | re.ASCII
)
_PLUS_TOGETHER = re.compile(r"(?:^|/)(2D\+3D|2DFeatures)(?:/|$)", re.IGNORECASE)


class BP4D(FaceDataModule):
    """BP4D-Spontaneous: 3D videos of 41 people in eight tasks that elicit emotions.

    What: 328 sequences of textured scans of 23 women and 18 men at 25 frames a second, one a task: T1 happy, T2 sad,
        T3 surprise, T4 embarrassment, T5 fear or nervous, T6 physical pain, T7 anger, T8 disgust. Action units are
        coded for a part of each (`BP4D.action_units`).
    On disk: `F001/T1/2440.obj` with `2440.jpg` its texture, at any depth; `.wrl` in the grammar of BU-4DFE is read too.
        Frame numbers are padded to four, three or two digits or not at all. Tables of action units as in
        `AUCoding/AU_OCC/F001_T1.csv`, flat `AUCoding/F001_T1.csv`, and `AU_INT/AU06/F001_T1_AU06.csv`.
    Classes: anger, disgust, fear, happy, sad, surprise, embarrassment, pain.
    Splits: none is published for recognition. Protocols here divide subjects into ten folds.
    Licence and how to obtain: free for research, by agreement with Binghamton University; no redistribution.
    Cite: Zhang, Yin, Cohn, Canavan, Reale, Horowitz, Liu, Girard, "BP4D-Spontaneous: a high-resolution spontaneous 3D
        dynamic facial expression database", Image and Vision Computing 2014.
    Uncertain: this reader follows the best knowledge of the layout, for no source settles what a mesh file is called
        and which texture belongs to it, nor the unit of the meshes (told by their height). Papers speak of eight
        classes with nervousness; which of T4 and T5 they mean is not said. Landmarks are not read: where they are is
        not known.
        BP4D+, another dataset with more subjects and other tasks, is recognised and refused.
    """

    modalities = frozenset({"sequence", "texture"})
    unit = "a mesh of BP4D (.obj or .wrl)"
    expected = "files like F001/T1/2440.obj and F001/T1/2440.jpg below it."
    obtain = "BP4D is free for research on request from Binghamton University (Lijun Yin)."

    @classmethod
    def examine(cls, tree: Tree) -> pd.DataFrame:
        folders: dict[str, list[str]] = defaultdict(list)
        for path in tree.files:
            folders[path.rpartition("/")[0]].append(path)
        sequences: dict[Key, _Sequence] = defaultdict(_Sequence)
        for folder, paths in folders.items():
            if match := _FOLDER.search(folder):
                key = match[1].upper(), f"T{int(match[2][1:])}"
                sequences[key].add(paths)
        for sequence in sequences.values():
            sequence.settle()
        plus = _signs_of_plus(folders, sequences)
        usable = {key: s for key, s in sorted(sequences.items()) if key[1] in BP4D_CODES and s.meshes}
        if not usable and plus:
            raise cls.not_found(tree.root, f"this is BP4D+ and not BP4D-Spontaneous ({plus[0]})")
        if not usable and any(sequence.photos for sequence in sequences.values()):
            problem = "the folder has photographs of BP4D but no mesh (.obj or .wrl), as copies made for 2D work do"
            raise cls.not_found(tree.root, problem)
        index = make_index(
            [
                {
                    "id": "_".join(key),
                    "subject": key[0],
                    "label": BP4D_CODES[key[1]],
                    "files": sequence.files(),
                }
                for key, sequence in usable.items()
            ]
        )
        if len(index):
            _compare(tree, sequences, usable, plus)
        return index

    @classmethod
    def load(cls, root: Path, files: tuple[str, ...]) -> Clip[Scan]:
        """One sequence; frames are read on access."""
        return Clip(group_frames(root, files, lambda name: name[-4:].lower() in (".obj", ".wrl")), read_frame)

    @classmethod
    def action_units(cls, root: Path, subject: str, task: str, au_frame_offset: int = 0) -> pd.DataFrame:
        """The action units coded in a sequence.

        Args:
            root: The dataset's folder.
            subject, task: `F001`, `T1`.
            au_frame_offset: Added to a table's frame numbers to get those of the meshes. Sources differ in whether a
                table counts as the meshes do (0) or from 1 (-1); `fer-bench data check` says what fits.

        Returns:
            A row a coded frame, indexed by `frame`: columns `AU06` (0 absent, 1 present) and, where there are tables of
            intensity, `AU06_intensity` (0 to 5); Int8, NA where the unit was not coded.

        Raises:
            FerBenchError: there is no table of this sequence.
            InvalidFile: a table is damaged.
        """
        tables, key = tables_below(root), (subject.upper(), task.upper())
        if key not in tables.occurrence and key not in tables.intensity:
            raise FerBenchError(
                f"{root}: there is no table of action units of {subject} in {task}; expected AUCoding/AU_OCC/"
                f"{subject}_{task}.csv below it, from the dataset's distribution."
            )
        return read_tables(root, tables, key, au_frame_offset)


def read_frame(files: tuple[Path, ...]) -> Scan:
    """One frame from its mesh and, where there is one, its texture; raises `BrokenScan`."""
    mesh = read_vrml(files[0]) if files[0].suffix.lower() == ".wrl" else read_obj(files[0])
    vertices = _in_millimetres(mesh.vertices)
    if not np.isfinite(vertices).all():
        raise BrokenScan(files[0], "has coordinates far outside of its face", REMEDY)
    # Without texture coordinates an image beside a mesh is a photograph and nothing more.
    if mesh.uv is None or len(files) == 1:
        return Scan(vertices, mesh.triangles)
    return Scan(vertices, mesh.triangles, mesh.uv, mesh.uv_triangles, read_image(files[1]))


def _in_millimetres(vertices: NDArray[np.float32]) -> NDArray[np.float32]:
    """The height of a head shows whether its file is in centimetres or metres; other sizes are kept."""
    with np.errstate(over="ignore"):  # the caller checks
        return vertices * np.float32(millimetres_a_unit(vertices))


@dataclass
class _Sequence:
    """Files of a sequence by frame number.

    Plain strings in few containers: with one more object a frame, the collector of cyclic garbage takes half the time.

    Attributes:
        meshes, photos: The file of each number.
        several: Further files of numbers that have more than one mesh or photograph.
        others: Files beside them.
    """

    meshes: dict[int, str] = field(default_factory=dict)
    photos: dict[int, str] = field(default_factory=dict)
    several: dict[int, list[str]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def add(self, paths: Iterable[str]) -> None:
        """Sort the files of a folder."""
        kinds = {".obj": self.meshes, ".wrl": self.meshes, ".jpg": self.photos}
        for path in paths:
            stem, suffix = path[path.rfind("/") + 1 : -4], path[-4:].lower()
            if suffix == ".mtl":  # names a texture, which is found by its number
                continue
            # Ten digits and more are a date or an id; no sequence is that long.
            if not (suffix in kinds and stem.isascii() and stem.isdigit() and len(stem) < 10):
                self.others.append(path)
            elif kinds[suffix].setdefault(int(stem), path) != path:
                self.several.setdefault(int(stem), []).append(path)

    def settle(self) -> None:
        """Where a number has several files, take an .obj before a .wrl, the photograph of the mesh's name before
        others, and then the first by name."""
        for number, paths in self.several.items():
            paths += [kind[number] for kind in (self.meshes, self.photos) if number in kind]
            photos = [path for path in paths if path[-4:].lower() == ".jpg"]
            mesh = min(set(paths).difference(photos), key=lambda path: (path[-4:].lower(), path), default="")
            if mesh:
                self.meshes[number] = mesh
            if photos:
                self.photos[number] = min(photos, key=lambda path: (path[:-4] != mesh[:-4], path))

    def files(self) -> tuple[str, ...]:
        """Meshes in the order of their numbers, each with the photograph of its number where there is one."""
        pairs = ((self.meshes[number], self.photos.get(number)) for number in sorted(self.meshes))
        return tuple(path for pair in pairs for path in pair if path)


def _signs_of_plus(folders: Mapping[str, list[str]], sequences: Mapping[Key, _Sequence]) -> list[str]:
    """Evidence that this is BP4D+."""
    signs = {folder for folder in folders if _PLUS.search(folder)}
    for folder, paths in folders.items():
        if not _FOLDER.search(folder):
            signs.update(filter(_PLUS.search, paths))
    signs.update("/".join(key) for key in sequences if key[0] not in _SUBJECTS or key[1] in ("T9", "T10"))
    together = {match[1] for folder in folders if (match := _PLUS_TOGETHER.search(folder))}
    return sorted(signs) or (sorted(together) if len({name.lower() for name in together}) == 2 else [])


def _compare(
    tree: Tree, sequences: Mapping[Key, _Sequence], usable: Mapping[Key, _Sequence], plus: Sequence[str]
) -> None:
    """Say how the folder differs from the distribution, as far as the distribution is known."""
    found, subjects = tree.findings, sorted({subject for subject, _ in usable})
    women, frames = sum(s.startswith("F") for s in subjects), sum(len(sequence.meshes) for sequence in usable.values())
    found.add(
        "found",
        f"{len(usable)} sequences of {len(subjects)} subjects, {women} women and {len(subjects) - women} men, "
        f"{frames:,} frames (the distribution: 328 of 41, 23 and 18)",
    )
    found.add_if(
        plus,
        "error",
        "signs of BP4D+, another dataset: it has more subjects and ten tasks, and the labels of BP4D do not hold for "
        "it; take its files out of this folder",
    )
    strange = sorted("/".join(key) for key in sequences if key[1] not in (*BP4D_CODES, "T9", "T10"))
    found.add_if(strange, "warning", "folders of tasks that BP4D does not have, left out")
    _tell_layout(tree, usable)
    if not tree.is_twin:
        found.add_if(sorted(set(_SUBJECTS) - set(subjects)), "missing", "subjects without any sequence")
    absent = [(subject, task) for subject in subjects for task in BP4D_CODES if (subject, task) not in usable]
    flat = [key for key in sequences if key not in usable and sequences[key].photos]
    found.add_if(["_".join(key) for key in absent if key not in flat], "missing", "sequences")
    found.add_if(
        ["_".join(key) for key in sorted(flat) if key[1] in BP4D_CODES],
        "missing",
        "meshes (.obj or .wrl) of sequences that have photographs only, left out",
    )
    _compare_frames(tree, usable)
    compare_tables(tree, {key: sequence.meshes for key, sequence in usable.items()})
    found.add(
        "assumed", "task 4 is embarrassment and task 5 fear; papers name one class nervousness, and may mean either"
    )
    found.add("assumed", "the unit of each mesh is told by its height, for no source says whether it is mm, cm or m")
    found.add("assumed", "the subject's left is +x and the face looks along +z")


def _tell_layout(tree: Tree, usable: Mapping[Key, _Sequence]) -> None:
    folders: Counter[str] = Counter()
    suffixes: Counter[str] = Counter()
    digits, elsewhere = set(), 0
    for sequence in usable.values():
        for number, mesh in sequence.meshes.items():
            folder = mesh[: mesh.rfind("/")]
            folders[folder] += 1
            suffixes[mesh[-4:].lower()] += 1
            digits.add(len(mesh) - len(folder) - 5)
            elsewhere += not sequence.photos.get(number, mesh).startswith(f"{folder}/")
    parents = sorted({folder.rpartition("/")[0].rpartition("/")[0] or "the folder itself" for folder in folders})
    message = " and ".join(f"{count:,} {suffix}" for suffix, count in sorted(suffixes.items()))
    lengths = ", ".join(map(str, sorted(digits)))
    tree.findings.add(
        "found", f"sequences lie in {', '.join(parents)}; meshes: {message}; digits in frame numbers: {lengths}"
    )
    tree.findings.add(
        "assumed",
        "the layout, as well as it is known: a frame is a mesh (.obj or .wrl), and its texture the .jpg of its number",
    )
    if elsewhere:
        tree.findings.add("assumed", f"{elsewhere:,} textures belong to meshes of the same number in another folder")


def _compare_frames(tree: Tree, usable: Mapping[Key, _Sequence]) -> None:
    said: dict[str, list[str]] = defaultdict(list)
    for key, sequence in usable.items():
        for what, message in (
            ("untextured", spans(sequence.meshes.keys() - sequence.photos.keys())),
            ("unmeshed", spans(sequence.photos.keys() - sequence.meshes.keys())),
            ("gaps", gaps(sequence.meshes)),
            ("several", spans(sequence.several)),
        ):
            if message:
                said[what].append(f"{'_'.join(key)}: {message}")
    found = tree.findings
    found.add_if(said["untextured"], "missing", "textures (.jpg) of frames that are there")
    found.add_if(said["unmeshed"], "warning", "frames with a photograph but no mesh, left out")
    found.add_if(said["gaps"], "warning", "sequences with gaps in their frame numbers, which are joined over the gap")
    found.add_if(
        said["several"],
        "warning",
        "frames whose number has several files (2440.obj and 02440.obj); .obj goes before .wrl, then the first by name",
    )
    others = Counter(path.rpartition("/")[0] for sequence in usable.values() for path in sequence.others)
    found.add_if(
        [f"{folder}: {count}" for folder, count in others.items()], "found", "other files beside the frames, ignored"
    )
