"""Inputs of `fer-bench predict`: files and folders, found and read as the datasets' readers do.

A file below the folder of the cell's dataset is the sample that the dataset makes of it, with that sample's id; any
other is read by its suffix, with what lies beside it.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fer_bench import registry
from fer_bench.cells.cell import Cell
from fer_bench.errors import FerBenchError
from fer_bench.geometry.frames import Clip
from fer_bench.geometry.scan import Scan
from fer_bench.io.photo import Photo
from fer_bench.io.scan_files import IMAGES, LANDMARKS, MESHES, beside, read_scan
from fer_bench.representations.crops import UnusablePhoto
from fer_bench.representations.sample_source import Load

MOVING = ("sequence", "video")
_MOST_OBLONG = 1.25  # a crop of a face is a square; AffectNet's boxes are within a few per cent of it
_WORDS = {"mesh": "scan", "photo": "photograph", "sequence": "scan", "video": "photograph"}


@dataclass(frozen=True)
class Input:
    """A sample.

    Attributes:
        given: What the user gave, or the file in a folder that the user gave.
        sample: The dataset's id of it, or else the file's name without its suffix.
        root, files, load: Where it is, as of a dataset's sample.
    """

    given: Path
    sample: str
    root: Path
    files: tuple[str, ...]
    load: Load


def find_inputs(
    given: Sequence[Path], kind: str, cell: Cell, sequence: bool, pixels: bool = True
) -> tuple[list[Input], list[tuple[Path, str]]]:
    """The samples among files and folders, in order, and the problems of the others.

    Args:
        kind: See `Finished.kind`. Of single scans or photographs a folder is all that are in it; of
            sequences it is one.
        sequence: Take a folder as a sequence under any names of its frames.
        pixels: Whether photographs are needed, and not their parameters alone.
    """
    own = _Own(cell, given)
    found: list[Input] = []
    problems: list[tuple[Path, str]] = []
    for path in given:
        try:
            if kind in MOVING:
                found.append(own.find(path) or _sequence(path, kind, sequence))
            else:
                files = _inside(path, kind) if path.is_dir() else [path]
                found += [own.find(file) or _single(file, kind, pixels) for file in files]
        except FerBenchError as error:
            problems.append((path, str(error).rstrip(".")))
        except OSError as error:
            problems.append((path, f"cannot be looked into ({error.strerror})"))
    return found, problems


class _Own:
    """The samples of the cell's datasets, by the file or folder that a user may give for them.

    Args:
        given: Where none of these lies in a dataset's folder, its index is not read.
    """

    def __init__(self, cell: Cell, given: Sequence[Path]) -> None:
        self.samples: dict[Path, Input] = {}
        places = {_place(path) for path in given}
        for part in cell.parts:
            root = Path(part.root)
            whole = root.resolve()
            if not root.is_dir() or not any(place.is_relative_to(whole) for place in places):
                continue
            dataset = registry.load_dataset(part.dataset)
            moving = dataset.modalities.intersection(MOVING)
            with suppress(FerBenchError):  # no longer the dataset's folder: its files are read as any others
                index = dataset.index(root)
                for sample, files in zip(index["id"], index["files"], strict=True):
                    name = sample if len(cell.parts) == 1 else f"{part.dataset}/{sample}"
                    first = PurePosixPath(files[0])
                    key = whole / (first.parent if moving else first)
                    self.samples[key] = Input(key, name, root, tuple(files), dataset.load)

    def find(self, path: Path) -> Input | None:
        """The sample that a path is of, as it was given."""
        own = self.samples.get(_place(path))
        return None if own is None else Input(path, own.sample, own.root, own.files, own.load)


def _place(path: Path) -> Path:
    """Where a path is; a link that is itself the file stays one, as in a dataset's index."""
    return path.resolve() if path.is_dir() else path.parent.resolve() / path.name


def _single(path: Path, kind: str, pixels: bool) -> Input:
    if pixels and not path.exists():
        raise FerBenchError("there is no such file or folder")
    if path.suffix.lower() not in (suffixes := _suffixes(kind)):
        raise FerBenchError(f"its name is not a {_WORDS[kind]}'s ({', '.join(suffixes)})")
    load: Load = _load_scan if kind == "mesh" else _load_photo if pixels else _name_photo
    return Input(path, path.stem, path.parent, (path.name,), load)


def _sequence(path: Path, kind: str, requested: bool) -> Input:
    word = _WORDS[kind]
    if not path.is_dir():
        what = f"is one file, and the cell sees sequences; give a folder of {word}s"
        raise FerBenchError(what if path.exists() else "there is no such folder")
    frames = [file.name for file in _inside(path, kind)]
    if not requested and not _numbered(frames):
        raise FerBenchError(
            f"its {word}s are not called alike but for one number ({frames[0]}, {frames[-1]}), so they may be no "
            "sequence; give --sequence if they are, in the order of their names"
        )
    load: Load = _load_scans if kind == "sequence" else _load_video
    return Input(path, path.resolve().name, path, tuple(frames), load)


def _inside(folder: Path, kind: str) -> list[Path]:
    """The scans or photographs in a folder, in the natural order of their names, without those that are textures."""
    suffixes = _suffixes(kind)
    found = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")]
    if not found:
        deeper = "; folders in it are not looked through" if any(path.is_dir() for path in folder.iterdir()) else ""
        raise FerBenchError(f"the folder holds no {_WORDS[kind]} ({', '.join(suffixes)}){deeper}")
    return sorted(found, key=lambda path: natural(path.name))


def natural(name: str) -> tuple[tuple[str, int, str], ...]:
    """A key that sorts names as people count: `frame9` before `frame10`."""
    parts = re.split(r"(\d+)", name.casefold(), flags=re.ASCII)
    return tuple((text, int(number or -1), number) for text, number in zip(parts[::2], [*parts[1::2], ""], strict=True))


def _numbered(names: Sequence[str]) -> bool:
    """Whether names are alike but for one number."""
    parts = [re.split(r"(\d+)", PurePosixPath(name).stem.casefold(), flags=re.ASCII) for name in names]
    if len({len(each) for each in parts}) > 1:
        return False
    different = [place for place, values in enumerate(zip(*parts, strict=True)) if len(set(values)) > 1]
    return len(different) <= 1 and all(place % 2 for place in different)


def _suffixes(kind: str) -> tuple[str, ...]:
    return MESHES if kind in ("mesh", "sequence") else IMAGES


def _load_scan(root: Path, files: tuple[str, ...]) -> Scan:
    return read_scan(root / files[0])


def _load_photo(root: Path, files: tuple[str, ...]) -> Photo:
    """A photograph that is a crop of a face already: nothing here finds faces."""
    photo = Photo(root / files[0], aligned=True)
    height, width = photo.pixels().shape[:2]
    if max(height, width) > _MOST_OBLONG * min(height, width):
        raise UnusablePhoto(
            f"it has {width} x {height} pixels, and a square crop of a face is needed, as those that the network was "
            "trained on; crop it first"
        )
    return photo


def _name_photo(root: Path, files: tuple[str, ...]) -> Photo:
    """A photograph of which only the parameters are needed; the file need not exist."""
    return Photo(root / files[0], aligned=True)


def _load_scans(root: Path, files: tuple[str, ...]) -> Clip[Scan]:
    return Clip(tuple((root / name,) for name in files), _read_frame)


def _load_video(root: Path, files: tuple[str, ...]) -> Clip[Photo]:
    return Clip(tuple((root / name,) for name in files), _read_still)


def _read_frame(files: tuple[Path, ...]) -> Scan:
    return read_scan(files[0])


def _read_still(files: tuple[Path, ...]) -> Photo:
    return Photo(files[0], aligned=False)


def notes_on(inputs: Sequence[Input], cell: Cell) -> list[str]:
    """What a user should know of how inputs were taken that are no samples of the cell's dataset; sentences."""
    said = []
    others = [one for one in inputs if one.load in (_load_scan, _load_scans)]
    bare = sum(beside(one.root / one.files[0], LANDMARKS) is None for one in others)
    if bare and all("landmarks" in registry.load_dataset(part.dataset).modalities for part in cell.parts):
        # The two alignments do not put a face in exactly the same place.
        said.append(
            f"{bare} of {len(inputs)} inputs were aligned by their surface, for no landmarks ({', '.join(LANDMARKS)}) "
            "are beside them; the network was trained on scans with landmarks."
        )
    whole = sum(one.load is _load_photo for one in inputs)
    if whole:
        names = " and ".join(part.dataset for part in cell.parts)
        said.append(f"{whole} photographs were taken whole, as crops of a face like those of {names}.")
    return said
