"""A sequence of frames that is read a frame at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

Frame = TypeVar("Frame")


@dataclass(frozen=True)
class Clip(Generic[Frame]):
    """A 4D scan or a video: its frames are read on access, so that a sequence never has to fit in memory.

    Attributes:
        files: The files of each frame, in order of time.
        read: A frame's files -> the frame (a `Scan` or a `Photo`); raises `BrokenScan`.
    """

    files: tuple[tuple[Path, ...], ...]
    read: Callable[[tuple[Path, ...]], Frame]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> Frame:
        return self.read(self.files[number])

    def __iter__(self) -> Iterator[Frame]:
        return map(self.read, self.files)


def group_frames(root: Path, files: Sequence[str], begins: Callable[[str], bool]) -> tuple[tuple[Path, ...], ...]:
    """The flat list of an index, frames in order, as one tuple of paths a frame.

    Args:
        root: Folder that `files` are relative to.
        files: All files of a sequence, those of a frame together.
        begins: Whether a file is the first of its frame.
    """
    frames: list[list[Path]] = []
    for name in files:
        if begins(name) or not frames:
            frames.append([])
        frames[-1].append(root / name)
    return tuple(map(tuple, frames))
