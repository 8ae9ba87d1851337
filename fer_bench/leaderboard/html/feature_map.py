"""Features of test samples, in the plane."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench import registry
from fer_bench.leaderboard.html.confusion import predictions
from fer_bench.leaderboard.row import Row

EMBEDDED = 24
"""So many rows of a group are drawn, the first ones."""

SAMPLES = 600
"""So many of a fold's samples are drawn, spread over all."""


def embeddings(rows: Sequence[Row], first: int) -> list[dict[str, Any]]:
    """t-SNE of the features of the test samples of each row's first fold that has any: another fold has another
    network, whose features are in no common space. `x`, `y`, the true class of each sample and whether it was found."""
    found: list[dict[str, Any]] = []
    for place, row in enumerate(rows, start=first):
        saved = next((i for i, (cell, _) in enumerate(row.finished) if (cell.folder / "features.npy").exists()), None)
        if row.task != "classification" or saved is None or len(found) == EMBEDDED:
            continue
        cell = row.finished[saved][0]
        table = _of_cell(row, saved)
        try:
            features = np.load(cell.folder / "features.npy", allow_pickle=False)
        except (OSError, ValueError):
            continue  # damaged: scoring writes it again, and no result depends on it
        if features.ndim != 2 or len(features) != len(table) or len(table) < 4 or not np.isfinite(features).all():
            continue
        chosen = np.unique(np.linspace(0, len(table) - 1, SAMPLES).astype(int))
        x, y = tsne(features[chosen]).T
        classes = registry.find_protocol(row.protocol).classes
        table = table.iloc[chosen]
        outputs = table[[f"output_{name}" for name in classes]].to_numpy()
        true = [classes.index(label) for label in table["label"]]
        found.append(
            {
                "row": place,
                "fold": cell.fold,
                "seed": cell.seed,
                "of": len(features),
                "x": [round(float(v), 3) for v in x],
                "y": [round(float(v), 3) for v in y],
                "label": true,
                "wrong": (outputs.argmax(axis=1) != np.array(true)).astype(int).tolist(),
                "id": table["id"].astype(str).tolist(),
            }
        )
    return found


def _of_cell(row: Row, number: int) -> pd.DataFrame:
    table = predictions(row)
    assert table is not None
    return table[table["cell"] == number]


def tsne(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Places (n, 2) of features (n, F): t-SNE of van der Maaten and Hinton (2008), the same every time."""
    from sklearn.manifold import TSNE

    reduced = TSNE(perplexity=min(30, (len(features) - 1) / 3), random_state=0)
    places: NDArray[np.float32] = reduced.fit_transform(features)
    return places
