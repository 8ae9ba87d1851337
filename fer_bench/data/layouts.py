"""A dataset's root and the names below it: walking them, recording what was read, and recognising datasets by them."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from fer_bench.data.survey import Findings
from fer_bench.errors import FerBenchError, InvalidFile
from fer_bench.io.file_bytes import open_regular
from fer_bench.records import TWIN_MARKER, read_json, twin_folder

NOISE = frozenset({"__MACOSX", "BU_WrlViewer_V2", "lost+found", "$RECYCLE.BIN", ".DS_Store", "Thumbs.db"})
"""Files and folders that extraction tools, disks and distributions leave beside the data."""

_TELLTALES = {
    "bu3dfe": (r"[FM]\d{4}_(AN|DI|FE|HA|NE|SA|SU)0[0-4][A-Z]{2}_(F3D|RAW|F2D)\.\w+$", "BU-3DFE"),
    "bosphorus": (r"bs\d{3}_\w+\.(bnt|lm2|lm3)$", "Bosphorus"),
    "bu4dfe": (r"[FM]\d{3}/(Angry|Disgust|Fear|Happy|Sad|Surprise)/\d{3}\.(wrl|jpg)$", "BU-4DFE"),
    "bp4d": (r"[FM]\d{3}/T[1-8]/\d+\.(jpg|obj|wrl)$", "BP4D-Spontaneous"),
    "coma": (r"FaceTalk_\w+_TA/\w+/\w+\.\d+\.ply$", "CoMA"),
    "facescape": (r"\d+/models_reg/\d+_\w+\.obj", "FaceScape"),
    "affectnet": (r"(_set/annotations/\d+_(exp|val|aro|lnd)\.npy|Manually_Annotated.*)$", "AffectNet"),
    "rafdb": (r"(list_patition_label\.txt|(train|test)_\d+(_aligned)?\.jpg)$", "RAF-DB"),
    "fourdme": (r"4DME.*\.xlsx$", "4DME"),
}
# A dataset shows itself within its first few thousand names; a home folder named by mistake is not walked to its end.
_ENOUGH = 5_000
# Label files hold at most some hundred thousand lines; what is larger is not one.
_MAX_LABEL_BYTES = 512 * 2**20


def find_root(name: str, root: Path | None = None) -> Path:
    """Where a dataset is: `root`, else `$FER_BENCH_DATA/<name>`, else `data/<name>`.

    Raises:
        FerBenchError: a root was named that is not a folder.
    """
    if root is not None:
        if not root.is_dir():
            what = "is a file" if root.exists() else "there is no such folder"
            raise FerBenchError(f"{root}: {what}; --root takes the folder of the {name} dataset.")
        return root
    return Path(os.environ.get("FER_BENCH_DATA") or "data") / name


class Tree:
    """All names below a root, and the state of everything that an index is made from.

    Attributes:
        root: The folder.
        files: Paths relative to it, with `/`, folders in sorted order, noise left out.
        folders: Folder -> its modification time (ns), read before its names: it changes when a name comes or goes.
        labels: Label file -> (bytes, modification time in ns), for those read through `read`.
        findings: What the walk could not enter, and what the reader of the dataset adds.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders: dict[str, int] = {}
        self.settled = True
        self.labels: dict[str, tuple[int, int]] = {}
        self.findings = Findings()
        self.files = list(self._walk(root))

    def add_beside(self, name: str) -> list[str]:
        """Walk a folder beside the root too; returns its files, as `../name/...`."""
        # Not `root.parent`: behind a link, and for a root of ".", that is another folder than "..".
        found = list(self._walk(self.root / ".." / name, f"../{name}"))
        self.files += found
        return found

    def read(self, name: str) -> bytes:
        """A label file, by its name in `files`.

        Raises:
            InvalidFile: it cannot be read, or is far too large for a label file.
        """
        path = self.root / name
        try:
            stat = path.stat()
            if stat.st_size > _MAX_LABEL_BYTES:
                raise InvalidFile(path, f"is {stat.st_size:,} bytes, too large for a label file", "Copy it again.")
            with open_regular(path) as file:
                content = file.read()
        except OSError as error:
            raise InvalidFile(path, f"cannot be read ({error.strerror or error})", "Copy it again.") from None
        self.labels[name] = (stat.st_size, stat.st_mtime_ns)
        return content

    def read_text(self, name: str) -> str:
        """A label file as text: UTF-8 with or without a mark, else Latin-1; line ends become line feeds."""
        content = self.read(name)
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
        return text.replace("\r\n", "\n").replace("\r", "\n")

    @cached_property
    def is_twin(self) -> bool:
        """Whether the folder holds synthetic faces; a twin is not blamed for being small."""
        return twin_folder(self.root, self.files) is not None

    def _walk(self, root: Path, prefix: str = "") -> Iterator[str]:
        odd = _Oddities()
        yield from _names(root, prefix, self.folders, odd)
        self.settled &= not (odd.unreadable or odd.dangling)
        found = self.findings
        found.add_if(odd.unreadable, "error", "folders that cannot be read; check their permissions")
        found.add_if(odd.dangling, "warning", "links to nothing, left out; is a disk not there?")
        found.add_if(odd.loops, "warning", "links to folders that are walked elsewhere, left out")
        found.add_if(odd.undecodable, "warning", "names that are not UTF-8, left out; rename them")


@dataclass(frozen=True)
class _Oddities:
    """Files and folders found on a walk, by name."""

    unreadable: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    undecodable: list[str] = field(default_factory=list)


def walk(root: Path) -> Iterator[str]:
    """Files below `root` as posix paths relative to it, folders in sorted order, noise left out; each folder once."""
    return _names(root, "", {}, _Oddities())


def _names(root: Path, prefix: str, times: dict[str, int], odd: _Oddities) -> Iterator[str]:
    # Links are followed, because large datasets are spread over disks by them; a folder is entered once, so that a
    # link to a folder above it ends. They come last, so that a folder is known by its own name and not by a link's.
    entered: set[tuple[int, int]] = set()
    waiting, links = [prefix], list[str]()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        path = root / PurePosixPath(folder).relative_to(prefix)
        try:
            stat = path.stat()
            if (stat.st_dev, stat.st_ino) in entered:
                odd.loops.append(folder)
                continue
            with os.scandir(path) as entries:
                found = sorted((entry.name, *_kind(entry)) for entry in entries)
        except OSError:
            odd.unreadable.append(folder or ".")
            continue
        entered.add((stat.st_dev, stat.st_ino))
        times[folder] = stat.st_mtime_ns
        start = f"{folder}/" if folder else ""
        below: list[str] = []
        for name, is_folder, is_link in found:
            if name in NOISE or name[0] == ".":
                continue
            if not name.isascii() and not _is_utf8(name):
                odd.undecodable.append(start + name.encode("utf-8", "backslashreplace").decode())
            elif is_folder:
                (links if is_link else below).append(start + name)
            elif is_link and not (path / name).exists():
                odd.dangling.append(start + name)
            else:
                yield start + name
        waiting += reversed(below)


def _kind(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    """Whether it is a folder, and whether it is a link."""
    try:
        return entry.is_dir(), entry.is_symlink()
    except OSError:  # a link that leads round in a circle
        return False, True


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def below_root(name: str) -> str | None:
    """A path that a label file names, made plain, or None if it is absolute or leaves the root."""
    path = PurePosixPath(name.strip().replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name or ":" in path.parts[0]:
        return None
    return path.as_posix()


def describe_other(root: Path, name: str) -> str | None:
    """A description of the folder if it is another dataset, or a twin of one."""
    if (root / TWIN_MARKER).is_file():
        try:
            twin_of = read_json(root / TWIN_MARKER).get("dataset")
        except FerBenchError:
            return "a twin with a damaged marker"
        if twin_of != name:
            return f"a twin of {twin_of}"
    for path, _ in zip(walk(root), range(_ENOUGH), strict=False):
        for other, (telltale, title) in _TELLTALES.items():
            if other != name and re.search(telltale, path, re.IGNORECASE):
                return f"{title} ({path})"
    return None
