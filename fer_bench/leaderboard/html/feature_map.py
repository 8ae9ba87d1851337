"""Features of test samples, in the plane."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench import registry
from fer_bench.leaderboard.html.confusion import predictions
from fer_bench.leaderboard.row import Row

MAX_ROWS = 24  # the first rows of a group are drawn
MAX_SAMPLES = 600  # of a fold, spread over all


def embeddings(rows: Sequence[Row], first: int) -> list[dict[str, Any]]:
    """t-SNE of the test features of the first fold of each row that saved them: coordinates, true class and whether the
    prediction is wrong. Networks of other folds have other feature spaces."""
    found: list[dict[str, Any]] = []
    for place, row in enumerate(rows, start=first):
        saved = next((i for i, (cell, _) in enumerate(row.finished) if (cell.folder / "features.npy").exists()), None)
        if row.task != "classification" or saved is None or len(found) == MAX_ROWS:
            continue
        cell = row.finished[saved][0]
        table = predictions(row)
        assert table is not None
        table = table[table["cell"] == saved]
        try:
            features = np.load(cell.folder / "features.npy", allow_pickle=False)
        except (OSError, ValueError):
            continue  # damaged; scoring rewrites it, and no result depends on it
        if features.ndim != 2 or len(features) != len(table) or len(table) < 4 or not np.isfinite(features).all():
            continue
        chosen = np.unique(np.linspace(0, len(table) - 1, MAX_SAMPLES).astype(int))
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


def tsne(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Positions (n, 2) of features (n, F) by t-SNE (van der Maaten and Hinton, 2008), deterministic."""
    from sklearn.manifold import TSNE

    reduced = TSNE(perplexity=min(30, (len(features) - 1) / 3), random_state=0)
    places: NDArray[np.float32] = reduced.fit_transform(features)
    return places
