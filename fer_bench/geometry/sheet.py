"""Contact sheets: many small pictures with titles, to look at before trusting data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Images = NDArray[np.uint8]
Cells = Sequence[tuple[str, Images]]

COLUMNS, CELL_PIXELS = 7, 200
_MARGIN = 18


def sheet(cells: Cells, columns: int = COLUMNS, pixels: int = CELL_PIXELS) -> Images:
    """(H, columns * pixels, 3) uint8: images with titles, in rows as high as their highest image.

    Args:
        cells: (title, (H, W, 3) or (H, W) uint8 image of any size); it keeps its proportions.
    """
    drawn = [_cell(title, image, pixels) for title, image in cells]
    rows = []
    for start in range(0, len(drawn), columns):
        row = drawn[start : start + columns]
        high = max(len(cell) for cell in row)
        whole = np.full((high, columns * pixels, 3), 255, dtype=np.uint8)
        for place, cell in enumerate(row):
            whole[: len(cell), place * pixels : (place + 1) * pixels] = cell
        rows.append(whole)
    return np.vstack(rows)


def _cell(title: str, image: Images, pixels: int) -> Images:
    shown = Image.fromarray(image).convert("RGB")
    scale = pixels / max(shown.size)
    size = [max(1, round(side * scale)) for side in shown.size]
    cell = Image.new("RGB", (pixels, size[1] + _MARGIN), "white")
    cell.paste(shown.resize((size[0], size[1]), Image.Resampling.LANCZOS), ((pixels - size[0]) // 2, _MARGIN))
    ImageDraw.Draw(cell).text((4, 3), title, fill="black")
    return np.array(cell)
