"""Titles of the figures of papers, and the protocols and entries shown in them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from fer_bench.papers.verdict import AS_DISTRIBUTED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fer_bench.papers.evidence import Evidence
    from fer_bench.papers.published import Paper, Section

Key = tuple[str, str]  # protocol, entry
_LETTERS_PER_INCH = 11.5


def axes_of(evidence: Mapping[Key, Evidence]) -> tuple[list[str], list[str]]:
    """The distinct protocols and entries."""
    return list(dict.fromkeys(p for p, _ in evidence)), list(dict.fromkeys(e for _, e in evidence))


def title(figure: Figure, paper: Paper, section: Section, evidence: Iterable[Evidence]) -> None:
    """Set the title: paper and section, the measured data, and departures from the paper's configuration."""
    measured = [results for results in evidence if results.cells]
    found = dict.fromkeys(cell.provenance for results in measured for cell in results.cells)
    if not found:
        data = ["published values; nothing was measured"]
    elif list(found) == [AS_DISTRIBUTED]:
        data = ["measured on the data as distributed"]
    else:
        names = (name if name == AS_DISTRIBUTED else f"synthetic faces ({name})" for name in found)
        data = [f"measured on {' and '.join(names)}"]
    texts = [text for results in measured for text in results.departures]
    departures = dict.fromkeys(text for text in texts if not text.startswith("synthetic"))
    name = paper.notes.title.partition(":")[0]
    width = min(90, int(_LETTERS_PER_INCH * figure.get_figwidth()))
    lines = textwrap.wrap(f"{name}, {section.heading}: {section.notes.title}", width)
    lines += textwrap.wrap("; ".join([*data, *departures]), width)
    figure.suptitle("\n".join(lines), fontsize=11)
