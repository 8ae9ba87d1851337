"""The content of a dataset's folder, judged by names and label files."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

Kind = Literal["found", "assumed", "missing", "warning", "error"]
"""`found`: a fact. `assumed`: what no source settles, and was taken one way. `missing`: the distribution has it.
`warning`: usable, but check it. `error`: labels or release are not what they seem, and nothing should be run."""


@dataclass(frozen=True)
class Finding:
    """One sentence about a folder.

    Attributes:
        kind: What follows from it.
        text: The sentence, without the names.
        names: The files or samples that it is about.
    """

    kind: Kind
    text: str
    names: tuple[str, ...] = ()


@dataclass
class Findings:
    """Findings as they are made, in order."""

    all: list[Finding] = field(default_factory=list)

    def add(self, kind: Kind, text: str, names: Iterable[str] = ()) -> None:
        """Note one."""
        self.all.append(Finding(kind, text, tuple(names)))

    def add_if(self, names: Iterable[str], kind: Kind, text: str) -> None:
        """Note one if there are names that it is about."""
        if named := tuple(names):
            self.all.append(Finding(kind, text, named))


@dataclass(frozen=True)
class Survey:
    """The index of a folder, and the findings made while building it."""

    index: pd.DataFrame
    findings: tuple[Finding, ...]
