"""The mean of point clouds of faces."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from fer_bench.geometry.sampling import farthest_point_sample

_CELLS = 128  # a side of the grid: 12,868 nodes in the unit circle, six for each of 2,048 points
_REACH = 1.0  # in mean distances between points: what is farther from all of them is no part of the surface


def mean_cloud(clouds: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean surface of faces that look along +z, as a cloud of as many points.

    Points of two scans do not correspond, and a mean needs them to. Here those correspond that lie behind each other:
    each face is a height over one grid in x and y, that of the three nearest points by the inverse square of their
    distance, and the mean is taken node by node, where more than half of the faces have a height. What is hidden from
    the front, under the nose and the chin, is bridged.

    Args:
        clouds: (M, N, 3) faces in the canonical frame, in the unit sphere.

    Returns:
        (N, 3) farthest-point samples of the mean; each starts at its point of the largest z.
    """
    count = clouds.shape[1]
    axis = (np.arange(_CELLS) + 0.5) / _CELLS * 2 - 1
    nodes = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    heights = np.stack([_heights(cloud, nodes) for cloud in clouds.astype(np.float64)])
    known = np.isfinite(heights)
    common = known.sum(axis=0) * 2 > len(clouds)
    if common.sum() < count:
        raise ValueError(f"the mean of {len(clouds)} clouds has {common.sum()} nodes, and {count} points are wanted")
    mean = np.where(known, heights, 0.0)[:, common].sum(axis=0) / known[:, common].sum(axis=0)
    surface = np.column_stack([nodes[common], mean]).astype(np.float32)
    return surface[farthest_point_sample(surface, count, int(surface[:, 2].argmax()))]


def _heights(cloud: NDArray[np.float64], nodes: NDArray[np.float64]) -> NDArray[np.float64]:
    """z over each node (K, 2), NaN where the cloud (N, 3) has no surface."""
    flat = cloud[:, :2]
    distance, nearest = KDTree(flat).query(nodes, k=3)  # (K, 3)
    weight = 1 / (distance**2 + 1e-12)
    found: NDArray[np.float64] = (weight * cloud[nearest, 2]).sum(axis=1) / weight.sum(axis=1)
    found[distance[:, 0] > _REACH * np.sqrt(np.pi / len(flat))] = np.nan
    return found
