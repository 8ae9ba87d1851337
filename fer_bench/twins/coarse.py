"""A face model with fewer vertices: a twin of many frames would fill a disk with the whole one."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from fer_bench.twins.atlas import unwrap
from fer_bench.twins.face import FaceModel

Indices = NDArray[np.int64]

_DETAIL_MM = 14.0  # around eyes, brows, nose and mouth, vertices stay twice as dense as elsewhere


@lru_cache(maxsize=2)
def coarse(model: FaceModel, vertices: int = 1200) -> FaceModel:
    """About `count` of a model's vertices, the 68 landmarks among them, each where it is; denser where faces move.

    Each vertex that goes is merged into the one that is nearest along the surface, so that lips and lids stay apart.

    Args:
        model: The whole face.
        vertices: At least 300.
    """
    assert vertices >= 300
    kept = _sample(model, min(vertices, len(model.template)))
    nearest = _nearest_along_surface(model, kept)
    corners = nearest[model.triangles]
    whole = (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2]) & (corners[:, 2] != corners[:, 0])
    corners, parts = corners[whole], model.parts[whole]
    # The same triangle from two places is one.
    _, first = np.unique(np.sort(corners, axis=1), axis=0, return_index=True)
    first = np.sort(first)
    corners, parts = corners[first], parts[first]
    used, numbers = np.unique(corners, return_inverse=True)
    triangles = numbers.reshape(-1, 3).astype(np.int32)
    template = model.template[used]
    uv, uv_triangles = unwrap(template, triangles, parts)
    return FaceModel(
        name=f"{model.name}-{vertices}",
        template=template,
        triangles=triangles,
        parts=parts,
        identity=model.identity[:, used],
        expression=model.expression[:, used],
        landmarks68=np.searchsorted(used, model.landmarks68),
        uv=uv,
        uv_triangles=uv_triangles,
    )


def _sample(model: FaceModel, count: int) -> Indices:
    """Farthest points, starting from the landmarks."""
    points = model.template
    detail = np.arange(17, 68)
    marks = points[model.landmarks68[detail]]
    away = np.sqrt(((points[:, None] - marks) ** 2).sum(axis=2).min(axis=1))
    weight = np.where(away < _DETAIL_MM, 2.0, 1.0)
    distance = np.sqrt(((points[:, None] - points[model.landmarks68]) ** 2).sum(axis=2).min(axis=1))
    kept = list(dict.fromkeys(model.landmarks68.tolist()))
    while len(kept) < count:
        # Rounded, so that mirrored vertices tie on every machine and the first is taken.
        farthest = int(np.round(distance * weight, 6).argmax())
        kept.append(farthest)
        distance = np.minimum(distance, np.sqrt(((points - points[farthest]) ** 2).sum(axis=1)))
    return np.sort(np.array(kept, dtype=np.int64))


def _nearest_along_surface(model: FaceModel, kept: Indices) -> Indices:
    """(V,) the kept vertex that each vertex is nearest to along the edges."""
    faces, count = model.triangles.astype(np.int64), len(model.template)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    length = np.linalg.norm(model.template[edges[:, 0]] - model.template[edges[:, 1]], axis=1)
    graph = coo_array((np.round(length, 6) + 1e-6, (edges[:, 0], edges[:, 1])), shape=(count, count)).tocsr()
    _, _, sources = dijkstra(graph, directed=False, indices=kept, min_only=True, return_predecessors=True)
    nearest: Indices = sources.astype(np.int64)
    assert (nearest >= 0).all(), "every part of a face holds a kept vertex"
    return nearest
