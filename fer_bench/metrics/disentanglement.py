"""Metrics of 3D face disentanglement: how well a face is rebuilt, and how much of its expression the identity keeps.

A method predicts two meshes of a face: the whole face and its identity, the same person without expression. Each test
mesh is measured by itself (`measure_meshes`, the columns of a predictions file), in millimetres; the metrics are means,
deviations and medians of these columns (`disentanglement_metrics`).

Two papers call two different things the disentanglement error. Both are of the predicted identities of one subject,
which should all be the same mesh, and of subjects the mean and the median are reported:

* `spread` (Edis of the face disentanglement paper, eq. 10): the standard deviation, over all meshes and vertices of a
  subject, of the distance between a vertex and its mean over the meshes. It does not see an identity that moves by
  the same distance everywhere and always: distances that are all equal have no deviation.
* `scatter` (Edis of Jiang et al., CVPR 2019): of each vertex the root of the summed variances of its three coordinates
  over a subject's meshes, averaged over vertices; the meshes are first laid onto the subject's first, rigidly.

On isotropic Gaussian noise the second is 2.57 times the first.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Meshes = NDArray[np.floating]

MEASURES = (
    *("reconstruction", "reconstruction_aligned", "neutral", "neutral_aligned", "spread", "scatter"),
    *("rank1_mesh", "rank1_code", "identity", "expression", "leak_identity", "leak_expression"),
)
"""Columns of each test mesh; NaN where one does not apply.

`reconstruction` mean distance of the vertices of the rebuilt face from those of the scanned one (Erec, eq. 9);
`neutral` that of the predicted identity from the subject's neutral face (AVDneu); `_aligned` after laying the
prediction onto the truth rigidly, as the paper's code does on BU-3DFE; `spread` and `scatter` of its subject; `rank1_*`
whether its identity is recognised in a gallery of one mesh a subject, by meshes or by codes; `identity` and
`expression` distance from the true ones, which only a twin knows; `leak_*` whether a linear probe finds the subject in
the expression's code, and the expression in the identity's."""

PER_SUBJECT = frozenset({"spread", "scatter"})
"""Those that are of a subject, and the same for all meshes of it."""

_SHARES = {"rank1_mesh", "rank1_code", "leak_identity", "leak_expression"}


def vertex_distance(predicted: Meshes, truth: Meshes) -> NDArray[np.float64]:
    """Mean distance of corresponding vertices, `(N,)`, of meshes `(N, V, 3)`."""
    distance: NDArray[np.float64] = np.linalg.norm(predicted - truth, axis=-1).mean(-1, dtype=np.float64)
    return distance


def rigidly_aligned(meshes: Meshes, onto: Meshes) -> NDArray[np.float64]:
    """Meshes `(N, V, 3)`, each turned and moved onto another `(N, V, 3)`, or all onto one `(V, 3)`, as closely as least
    squares allow (Kabsch, Acta Cryst. A32, 1976); never mirrored, never scaled."""
    source, target = np.asarray(meshes, np.float64), np.broadcast_to(onto, np.shape(meshes)).astype(np.float64)
    middle, other = source.mean(1, keepdims=True), target.mean(1, keepdims=True)
    u, _, vt = np.linalg.svd(np.swapaxes(source - middle, 1, 2) @ (target - other))  # (N, 3, 3) each
    handed = np.linalg.det(u) * np.linalg.det(vt) < 0
    u[handed, :, 2] *= -1
    return (source - middle) @ (u @ vt) + other


def spread(identities: Meshes) -> float:
    """The disentanglement error of the paper's code, in the meshes' unit, of one subject's identities `(M, V, 3)`."""
    return float(np.linalg.norm(identities - identities.mean(0), axis=-1).std())


def scatter(identities: Meshes) -> float:
    """The disentanglement error of Jiang et al., in the meshes' unit, of one subject's identities `(M, V, 3)`."""
    aligned = rigidly_aligned(identities, identities[0])
    return float(np.linalg.norm(aligned.std(0), axis=-1).mean())


def rank1(distance: ArrayLike, gallery: Sequence[str], subjects: Sequence[str]) -> NDArray[np.float64]:
    """Whether the nearest of a gallery is of the probe's subject: 1 or 0, `(N,)`.

    Args:
        distance: Of probes from the gallery, `(N, G)`; of equal ones the first wins.
        gallery, subjects: Whose each is, G and N.
    """
    nearest = np.asarray(gallery, dtype=object)[np.asarray(distance).argmin(axis=1)]
    return (nearest == np.asarray(subjects, dtype=object)).astype(np.float64)


def measure_meshes(
    truth: Meshes,
    subjects: Sequence[str],
    neutral: Mapping[str, Meshes],
    *,
    reconstruction: Meshes | None = None,
    identity: Meshes | None = None,
) -> dict[str, NDArray[np.float64]]:
    """The distances and deviations among `MEASURES` of each test mesh, in millimetres.

    Args:
        truth: The scanned faces `(N, V, 3)`.
        subjects: Of whom, N.
        neutral: Subject -> their neutral face `(V, 3)`, of those who have one.
        reconstruction, identity: What was predicted, `(N, V, 3)` each; None of a method that predicts none.
    """
    who = np.asarray(subjects, dtype=object)
    found = {name: np.full(len(truth), np.nan) for name in MEASURES}
    if reconstruction is not None:
        found["reconstruction"] = vertex_distance(reconstruction, truth)
        found["reconstruction_aligned"] = vertex_distance(rigidly_aligned(reconstruction, truth), truth)
    if identity is None:
        return found
    for subject in dict.fromkeys(subjects):
        rows = np.flatnonzero(who == subject)
        own = identity[rows]
        found["spread"][rows], found["scatter"][rows] = spread(own), scatter(own)
        if subject in neutral:
            face = neutral[subject]
            found["neutral"][rows] = vertex_distance(own, face)
            found["neutral_aligned"][rows] = vertex_distance(rigidly_aligned(own, face), face)
    return found


def disentanglement_metrics(measures: ArrayLike, subjects: ArrayLike) -> dict[str, float]:
    """Mean, standard deviation (of the population) and median over meshes of every column of `MEASURES` that has a
    value, `reconstruction_mean`; of `spread` and `scatter`, mean and median over subjects; of the shares the mean.

    Args:
        measures: `(N, len(MEASURES))`, NaN where one does not apply.
        subjects: Of whom, `(N,)`.

    Raises:
        ValueError: the shapes do not fit, or there is no mesh.
    """
    table, who = _table(measures, subjects)
    owner = np.unique(who, return_inverse=True)[1]
    found: dict[str, float] = {}
    for column, name in enumerate(MEASURES):
        values = table[:, column]
        if name in PER_SUBJECT:
            # Once for a subject, and where there are several trainings once for each.
            values = np.unique(np.stack([owner, values], axis=1), axis=0)[:, 1]
        values = values[~np.isnan(values)]
        if len(values):
            found |= {f"{name}_{key}": float(of(values)) for key, of in _statistics(name).items()}
    return found


def mean_terms(
    metric: str, measures: ArrayLike, subjects: ArrayLike
) -> tuple[NDArray[np.float64], Callable[[NDArray[np.float64]], NDArray[np.float64]]]:
    """What each mesh adds to the sums that a mean is a function of, `(N, 2)`, and that function, `(R, 2)` to `(R,)`.

    A subject's value is spread over the subject's meshes, so that all of them together count as one.

    Args:
        metric: `<measure>_mean`.

    Raises:
        KeyError: it is not the mean of a measure.
    """
    table, who = _table(measures, subjects)
    name, _, statistic = metric.rpartition("_")
    if statistic != "mean" or name not in MEASURES:
        raise KeyError(metric)
    values = table[:, MEASURES.index(name)]
    _, owner, count = np.unique(who, return_inverse=True, return_counts=True)
    weight = 1 / count[owner] if name in PER_SUBJECT else np.ones(len(values))
    weight = np.where(np.isnan(values), 0.0, weight)
    return np.stack([np.nan_to_num(values) * weight, weight], axis=1), lambda sums: sums[:, 0] / sums[:, 1]


def of_values(metric: str) -> tuple[int, Callable[[NDArray[np.float64]], np.floating]]:
    """The column of `MEASURES` that a metric uses, and what it computes of the values there; raises KeyError."""
    name, _, statistic = metric.rpartition("_")
    if name not in MEASURES:
        raise KeyError(metric)
    return MEASURES.index(name), _statistics(name)[statistic]


def _statistics(name: str) -> dict[str, Callable[[NDArray[np.float64]], np.floating]]:
    if name in _SHARES:
        return {"mean": np.mean}
    if name in PER_SUBJECT:
        return {"mean": np.mean, "median": np.median}
    return {"mean": np.mean, "std": np.std, "median": np.median}


def _table(measures: ArrayLike, subjects: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    table, who = np.asarray(measures, dtype=np.float64), np.asarray(subjects, dtype=object)
    if table.ndim != 2 or table.shape[1] != len(MEASURES) or who.shape != table.shape[:1]:
        raise ValueError(f"measures must be (N, {len(MEASURES)}) and subjects (N,), not {table.shape} and {who.shape}")
    if not len(table):
        raise ValueError("no meshes to score")
    return table, who
