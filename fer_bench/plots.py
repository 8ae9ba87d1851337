"""Shared by all figures: colours, legend, saved arrays.

Colours are those of Okabe and Ito (*Color Universal Design*, 2008), which the colour-blind can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import InvalidFile

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fer_bench.cells.cell import Cell

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
DPI = 120


def saved_array(cell: Cell, name: str) -> NDArray[np.float32]:
    """The array that scoring saved as `<name>.npy`; raises `InvalidFile`."""
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
