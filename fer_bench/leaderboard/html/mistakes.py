"""The samples with a method's largest errors, as pictures."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.special import softmax

from fer_bench import registry
from fer_bench.cells.cell import Cell
from fer_bench.errors import FerBenchError
from fer_bench.leaderboard.html.confusion import answers, predictions
from fer_bench.leaderboard.row import Row
from fer_bench.metrics import class_indices
from fer_bench.records import OUTPUT
from fer_bench.representations.base import Representation
from fer_bench.representations.cache_entry import CacheEntry
from fer_bench.stats.bootstrap import HEADLINE
from fer_bench.stats.metric_units import MILLIMETRES, number

SHOWN = 8  # samples per row
MAX_PICTURES = 240  # distinct pictures per page

_HEIGHT = 168  # pixels, twice what the page shows
_SPARSE = 0.2  # pictures of dots, with a smaller share of drawn pixels, are thickened before they are resized


class Mistakes:
    """Finds the worst samples, and draws each once for all rows with the same representation.

    Args:
        faces: Whether scans of real people are drawn too.

    Attributes:
        images: Data URLs.
    """

    def __init__(self, faces: bool) -> None:
        self.faces = faces
        self.images: list[str] = []
        self._drawn: dict[tuple[str, str], int | None] = {}
        self._inputs: dict[str, tuple[CacheEntry, Representation] | None] = {}

    def of(self, rows: Sequence[Row], first: int) -> list[dict[str, Any]]:
        """The position of each row, its worst samples, and why pictures are missing, if any are."""
        found = []
        for place, row in enumerate(rows, start=first):
            worst = _worst(row)
            samples, why = [], ""
            for record, cell in worst:
                image, missing = self._picture(cell, record["id"])
                samples.append({**record, "fold": cell.fold, "seed": cell.seed, "image": image})
                why = why or missing
            found.append({"row": place, "samples": samples, "why": why})
        return found

    def _picture(self, cell: Cell, sample: str) -> tuple[int | None, str]:
        """The number of a sample's image, or why it has none."""
        if "twin" not in cell.provenance and not self.faces:
            return None, (
                "Scans of real people are not in this file, because licences of datasets may forbid passing them on: "
                "fer-bench leaderboard --faces puts them in."
            )
        dataset, _, name = sample.rpartition("/") if len(cell.parts) > 1 else (cell.parts[0].dataset, "", sample)
        cache = next((part.cache for part in cell.parts if part.dataset == dataset), "")
        if not cache or (source := self._input(cache)) is None:
            return None, "The data are not here: the cache that these cells read is empty, or of another version."
        key = (cache, name)
        if key not in self._drawn:
            if len(self.images) >= MAX_PICTURES:
                return None, f"A page shows no more than {MAX_PICTURES} scans."
            self._drawn[key] = self._draw(*source, name)
        image = self._drawn[key]
        return image, "" if image is not None else "Some of the scans could not be drawn."

    def _input(self, cache: str) -> tuple[CacheEntry, Representation] | None:
        """A cache entry with its representation; None if missing or damaged."""
        if cache not in self._inputs:
            entry = CacheEntry(Path(cache))
            self._inputs[cache] = None
            try:
                if entry.problem() is None:
                    name, parameters = entry.manifest["representation"], entry.manifest["parameters"]
                    values = {key: tuple(v) if isinstance(v, list) else v for key, v in parameters.items()}
                    made = type(registry.load_representation(name))(**values)
                    if made.digest == entry.manifest["digest"]:
                        self._inputs[cache] = (entry, made)
            except (FerBenchError, KeyError, TypeError, ValueError, AttributeError):
                pass
        return self._inputs[cache]

    def _draw(self, entry: CacheEntry, representation: Representation, sample: str) -> int | None:
        """Draw a sample; returns the number of its image, None if it cannot be drawn."""
        if sample not in entry.rows:
            return None
        first, count = entry.rows[sample]
        try:
            seen = representation.picture(np.array(entry.open()[first + count // 2]))
            picture = Image.fromarray(seen)
            if np.count_nonzero(seen.any(axis=2)) < _SPARSE * seen[:, :, 0].size:
                picture = picture.filter(ImageFilter.MaxFilter(3))
            picture = picture.resize((max(1, round(picture.width * _HEIGHT / picture.height)), _HEIGHT))
            file = io.BytesIO()
            picture.save(file, format="WEBP", quality=70)
        except (FerBenchError, ValueError, TypeError, OSError):
            return None
        self.images.append("data:image/webp;base64," + base64.b64encode(file.getvalue()).decode())
        return len(self.images) - 1


def _worst(row: Row) -> list[tuple[dict[str, Any], Cell]]:
    """The distinct samples with the largest errors, each with its cell."""
    table = predictions(row)
    if table is None or row.task == "multilabel":
        return []
    protocol = registry.find_protocol(row.protocol)
    outputs, truth = answers(row, table)
    if row.task == "classification":
        truth, found = class_indices(outputs, truth, protocol.classes)
        how_bad = _sure_and_wrong(outputs, truth, found)
    elif row.task == "valence_arousal":
        how_bad = np.linalg.norm(outputs - truth, axis=1)
    else:
        how_bad = table[f"{OUTPUT}{HEADLINE[row.task].removesuffix('_mean')}"].to_numpy(np.float64)
    how_bad = np.nan_to_num(how_bad, nan=0.0)
    bad = np.flatnonzero(how_bad > 0)
    worst: dict[str, tuple[dict[str, Any], Cell]] = {}
    for i in bad[np.argsort(-how_bad[bad], kind="stable")]:
        if len(worst) == SHOWN:
            break
        sample = str(table["id"].iloc[i])
        if sample in worst:
            continue
        if row.task == "classification":
            message = f"{protocol.classes[truth[i]]} → {protocol.classes[found[i]]}, {100 * how_bad[i]:.0f} %"
        elif row.task == "valence_arousal":
            message = " → ".join(f"({valence:+.2f}, {arousal:+.2f})" for valence, arousal in (truth[i], outputs[i]))
        else:
            message = f"{number(how_bad[i], MILLIMETRES)} mm"
        worst[sample] = {"id": sample, "told": message}, row.finished[table["cell"].iloc[i]][0]
    return [*worst.values()]


def _sure_and_wrong(
    outputs: NDArray[np.float64], true: NDArray[np.int64], found: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The probability of each wrong prediction, (N,), 0 for correct ones. Scores that are not probabilities are
    converted by softmax."""
    wrong = np.flatnonzero(found != true)
    shares = outputs[wrong]
    if (outputs < 0).any() or not np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
        shares = softmax(shares, axis=1)
    sure = np.zeros(len(outputs))
    sure[wrong] = shares[np.arange(len(wrong)), found[wrong]]
    return sure
