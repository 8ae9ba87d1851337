"""Drawing clusters with replacement, in memory that is bounded."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

_BLOCK = 2**22  # cluster indices drawn at once, which bounds memory when every sample is a cluster


def cluster_codes(clusters: ArrayLike, resamples: int, lengths: Sequence[int]) -> tuple[NDArray[np.intp], int]:
    """Cluster indices `(N,)` in the clusters' sorted order, so that the order of the samples does not matter."""
    if resamples < 2:
        raise ValueError(f"a standard error needs two resamples or more, not {resamples}")
    codes, unique = pd.factorize(np.asarray(clusters), sort=True)
    if len(codes) == 0 or any(length != len(codes) for length in lengths):
        raise ValueError(f"clusters and arrays must have the same length, above 0, not {[len(codes), *lengths]}")
    if (codes < 0).any():
        raise ValueError("every sample needs a cluster, but some are missing")
    return codes, len(unique)


def draws_of(n_clusters: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Clusters drawn with replacement, `(r, K)` a block, `resamples` rows in all."""
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK // n_clusters)
    for start in range(0, resamples, rows):
        yield generator.integers(n_clusters, size=(min(rows, resamples - start), n_clusters))


def times_drawn(block: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often each cluster was drawn, `(r, K)` from `(r, K)`."""
    r, k = block.shape
    flat = (block + k * np.arange(r)[:, None]).ravel()
    return np.bincount(flat, minlength=r * k).reshape(r, k).astype(np.float64)
