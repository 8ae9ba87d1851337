"""Contact sheets: many small pictures with titles, to look at before trusting data."""

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


def dots(points: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(200, 400, 3) points of [-1, 1] from the front, near ones bright, and from +x."""
    size = 200
    image = np.zeros((2, size, size), dtype=np.uint8)
    near = (105 + 75 * (points[:, 2] + 1)).astype(np.uint8)
    rows = np.clip((1 - points[:, 1]) / 2 * size, 0, size - 1).astype(int)
    for side, across in enumerate((points[:, 0], -points[:, 2])):
        columns = np.clip((across + 1) / 2 * size, 0, size - 1).astype(int)
        np.maximum.at(image[side], (rows, columns), near)
    return np.repeat(np.hstack(list(image))[:, :, None], 3, axis=2)
