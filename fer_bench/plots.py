"""What all figures share: colours, legend, title.

Colours are those of Okabe and Ito (*Color Universal Design*, 2008), which the colour-blind can tell apart.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import InvalidFile
from fer_bench.papers.verdict import AS_DISTRIBUTED

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fer_bench.cells.cell import Cell
    from fer_bench.papers.evidence import Evidence  # for which torch is imported; a leaderboard's figures need it not
    from fer_bench.papers.published import Paper, Section

Key = tuple[str, str]  # protocol, entry
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
DPI = 120
_LETTERS = 11.5  # of a title that fit an inch


def axes_of(evidence: Mapping[Key, Evidence]) -> tuple[list[str], list[str]]:
    """Protocols and entries, each once."""
    return list(dict.fromkeys(p for p, _ in evidence)), list(dict.fromkeys(e for _, e in evidence))


def saved_array(cell: Cell, name: str) -> NDArray[np.float32]:
    """What scoring saved as `<name>.npy`; raises `InvalidFile`."""
    path = cell.folder / f"{name}.npy"
    try:
        array: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidFile(path, f"cannot be read ({error})", "Run the cell again with --overwrite.") from None
    return array


def legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend below all panels, each label once."""
    handles: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=min(3, len(handles)))


def title(figure: Figure, paper: Paper, section: Section, evidence: Iterable[Evidence]) -> None:
    """Paper and section, what data it was measured on, and where the configuration is not the paper's."""
    run = [own for own in evidence if own.cells]
    found = dict.fromkeys(cell.provenance for own in run for cell in own.cells)
    if not found:
        told = ["published values; nothing was measured"]
    elif list(found) == [AS_DISTRIBUTED]:
        told = ["measured on the data as distributed"]
    else:
        names = (name if name == AS_DISTRIBUTED else f"synthetic faces ({name})" for name in found)
        told = [f"measured on {' and '.join(names)}"]
    apart = dict.fromkeys(text for own in run for text in own.departures if not text.startswith("synthetic"))
    name = paper.notes.title.partition(":")[0]
    width = min(90, int(_LETTERS * figure.get_figwidth()))
    lines = textwrap.wrap(f"{name}, {section.heading}: {section.notes.title}", width)
    lines += textwrap.wrap("; ".join([*told, *apart]), width)
    figure.suptitle("\n".join(lines), fontsize=11)
