"""The samples of one copy of one dataset, from which representations are extracted."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fer_bench.records import digest

Load = Callable[[Path, tuple[str, ...]], Any]
"""(root, a sample's files) -> what a representation extracts from. Pickled into worker processes."""


# `training.csv#1234` is a place in a file, for samples that share one.
_PLACE = re.compile(r"(?<=\.csv)#\d+$", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """The samples that an entry is made from.

    Attributes:
        dataset: Dataset id.
        root: Folder that `files` are relative to.
        provenance: As distributed, or which twin.
        ids: Sample ids.
        files: The files of each sample.
        whole: The digest of the source that this is a part of; empty of a whole one.
    """

    dataset: str
    root: Path
    provenance: str
    ids: tuple[str, ...]
    files: tuple[tuple[str, ...], ...]
    whole: str = ""

    @cached_property
    def digest(self) -> str:
        """Changes when a file is added, removed, resized or written again."""
        files = [[(name, *file_state(self.root / _PLACE.sub("", name))) for name in names] for names in self.files]
        return digest({"dataset": self.dataset, "provenance": self.provenance, "ids": self.ids, "files": files})

    def part(self, ids: Collection[str]) -> Source:
        """Some of the samples, in the order in which they are here."""
        return self.pick([place for place, name in enumerate(self.ids) if name in ids])

    def pick(self, places: Sequence[int]) -> Source:
        """The samples at these places."""
        return replace(
            self,
            ids=tuple(self.ids[place] for place in places),
            files=tuple(self.files[place] for place in places),
            whole=self.whole or self.digest,
        )


def file_state(path: Path) -> tuple[int, int]:
    """Size and time of a file, which change when it is written again; (-1, -1) where there is none."""
    try:
        stat = path.stat()
    except OSError:  # gone since the index was built: extraction will name it
        return -1, -1
    return stat.st_size, stat.st_mtime_ns
