"""The clips of 4DME: folders of photographs, or of meshes with their textures."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_bench.data.layouts import Tree
from fer_bench.errors import BrokenScan
from fer_bench.io.obj import read_obj

_IMAGES = ("jpg", "jpeg", "png", "bmp")
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_READ = 3  # meshes that are looked into for texture coordinates


def is_mesh(name: str) -> bool:
    """Whether a file is a frame's mesh."""
    return name.lower().endswith(".obj")


def has_meshes(files: Iterable[str]) -> bool:
    """Whether a clip is of meshes."""
    return any(is_mesh(name) for name in files)


def mostly_meshes(clips: Iterable[Iterable[str]]) -> bool:
    """Whether the clips of a place are of meshes: at least half of them.

    In a tie the others are textures whose meshes were lost, for no video comes with a mesh.
    """
    kinds = [has_meshes(files) for files in clips]
    return 2 * sum(kinds) >= len(kinds) > 0


def clip_folders(files: Iterable[str]) -> dict[str, list[str]]:
    """Folder -> its frames in order of time, one file each; meshes where there are any, each with its texture."""
    inside: dict[str, list[str]] = defaultdict(list)
    for path in files:
        if (_is_image(path) or is_mesh(path)) and "/" in path:
            inside[_folder(path)].append(path)
    return {folder: _in_time(paths) for folder, paths in inside.items()}


def of_one_kind(tree: Tree, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of an index whose clips are of the kind that most of them are: nothing can be made of both at once."""
    meshes = mostly_meshes(row["files"] for row in rows)
    others = [row["id"] for row in rows if has_meshes(row["files"]) != meshes]
    kinds = ("photographs", "meshes") if meshes else ("meshes", "photographs")
    tree.findings.add_if(others, "warning", f"clips of {kinds[0]} among clips of {kinds[1]}, left out")
    return [row for row in rows if has_meshes(row["files"]) == meshes]


def compare_frames(tree: Tree, index: pd.DataFrame, folders: Mapping[str, list[str]]) -> None:
    """Report files that were ignored, and missing frames."""
    found, taken = tree.findings, {name for files in index["files"] for name in files}
    stems = {_stem(name) for name in taken if _is_image(name)}
    beside = [name for name in tree.files if _is_image(name) and name not in taken]
    spare = [name for name in beside if _stem(name) in stems]
    found.add_if(spare, "warning", "photographs of a frame that another file holds, left out")
    if not has_meshes(taken):
        places = {_place(_folder(files[0])) for files in index["files"]}
        other = {_place(folder) for folder, files in folders.items() if has_meshes(files)} - places
        message = "folders of meshes, left out, for videos go first; a root without the videos gives the meshes"
        found.add_if(sorted(place or "the folder itself" for place in other), "assumed", message)
        return
    found.add("assumed", "no source tells how the 4D meshes are stored; each .obj is taken as one frame")
    inside = {_folder(name) for name in taken}
    loose = [name for name in beside if _folder(name) in inside and _stem(name) not in stems]
    found.add_if(loose, "warning", "photographs that bear the name of no mesh beside them, left out")
    if stems:
        found.add("assumed", "the photograph that bears the name of a mesh is its texture")
        bare = [name for name in sorted(taken) if is_mesh(name) and _stem(name) not in stems]
        found.add_if(bare, "missing", "textures of meshes that are there")
    else:
        materials = any(name.lower().endswith(".mtl") and _folder(name) in inside for name in tree.files)
        named = ", whatever the material files (.mtl) beside them name" if materials else ""
        found.add("assumed", f"the meshes have no texture, for no photograph bears the name of one{named}")


def are_textured(root: Path, clips: Sequence[tuple[str, ...]]) -> bool:
    """Whether most clips of meshes can be drawn in colours.

    At least half of a clip's frames must have a photograph, as dynamic images need. A photograph beside a mesh that
    has no texture coordinates is no texture; some meshes are read for that.

    Args:
        root: Folder that the files are relative to.
        clips: The files of each.
    """
    coloured = [files for files in clips if 2 * sum(map(_is_image, files)) >= sum(map(is_mesh, files))]
    if 2 * len(coloured) <= len(clips):
        return False
    mapped = []
    for number in np.unique(np.linspace(0, len(coloured) - 1, _READ).astype(int)).tolist():
        # The mesh that a photograph belongs to precedes it.
        first = next(place for place, name in enumerate(coloured[number]) if _is_image(name))
        with suppress(BrokenScan):
            mapped.append(read_obj(root / coloured[number][first - 1]).uv is not None)
    return 2 * sum(mapped) >= len(mapped)


def _in_time(paths: list[str]) -> list[str]:
    first: dict[tuple[str, bool], str] = {}
    for path in sorted(paths):
        first.setdefault((_stem(path), is_mesh(path)), path)
    meshes = {stem for stem, mesh in first if mesh}

    def time(path: str) -> tuple[int, str, bool]:
        stem = _stem(path.rpartition("/")[2])
        numbers = _NUMBER.findall(stem)
        return int(numbers[-1]) if numbers else -1, stem, not is_mesh(path)

    return sorted((path for (stem, _), path in first.items() if not meshes or stem in meshes), key=time)


def _is_image(name: str) -> bool:
    return name.rpartition(".")[2].lower() in _IMAGES


def _stem(path: str) -> str:
    return path.rpartition(".")[0]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _place(folder: str) -> str:
    """The path before `{subject}/{clip}`."""
    return _folder(_folder(folder))
