"""Copies of a dataset whose classes are numbered in another order give themselves away by how many each has."""

from collections.abc import Mapping

import numpy as np
from scipy.optimize import linear_sum_assignment

# Total variation distance, half the sum of absolute differences of shares. The classes of a copy that is complete to
# 1 % are in order only if they fit nearly exactly; those of a part of the dataset, or a twin, if they have its shape.
_COMPLETE, _PARTIAL = 0.0005, 0.03
# Fewer samples have any shape by chance.
_FEWEST = 200


def permuted_classes(observed: Mapping[str, int], expected: Mapping[str, int]) -> dict[str, str]:
    """For each class whose samples seem to be another class's: the name they were read as -> the name they fit.

    Empty when the counts fit as they are, or fit no order at all.

    Args:
        observed: Class -> samples, as read.
        expected: Class -> samples in the distribution.
    """
    names = list(expected)
    seen = np.array([observed.get(name, 0) for name in names], dtype=float)
    known = np.array([expected[name] for name in names], dtype=float)
    if seen.sum() < _FEWEST:
        return {}
    tolerance = _COMPLETE if abs(seen.sum() / known.sum() - 1) < 0.01 else _PARTIAL
    shares, wanted = seen / seen.sum(), known / known.sum()
    cost = np.abs(shares[:, None] - wanted[None, :])
    as_read = cost.trace() / 2
    rows, columns = linear_sum_assignment(cost)
    best = cost[rows, columns].sum() / 2
    # Photographs that are missing of one class alone shift the shares, so another order need only fit much better.
    if as_read <= tolerance or best > _PARTIAL or best > as_read / 4:
        return {}
    return {names[row]: names[column] for row, column in zip(rows, columns, strict=True) if row != column}
