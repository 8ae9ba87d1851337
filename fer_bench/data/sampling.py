"""Which training samples an epoch has, where it is not each of them once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DistributedSampler

from fer_bench.errors import ProtocolError


class BalancedSampler(DistributedSampler[int]):
    """As many samples as there are, with replacement, every class equally likely; drawn anew each epoch, from the seed
    and the epoch alone.

    Args:
        classes: (N,) class indices; a sample of -1 is never drawn.
        replicas, rank: Processes, and which of them this is; together they draw what one would.

    Raises:
        ProtocolError: no sample has a class.
    """

    def __init__(self, classes: Tensor, replicas: int, rank: int, *, seed: int) -> None:
        super().__init__(classes, replicas, rank, seed=seed)  # type: ignore[arg-type]
        self.weights = _weights(classes)

    def __iter__(self) -> Iterator[int]:
        # Not torch.multinomial, which takes no more than 2^24 samples.
        generator = np.random.default_rng([self.seed, self.epoch])
        drawn = generator.choice(len(self.weights), self.total_size, p=self.weights)
        return iter(drawn[self.rank :: self.num_replicas].tolist())


def rarest(classes: NDArray[np.int64], seed: int) -> NDArray[np.intp]:
    """Positions, ascending, of so many samples of each class as the rarest one has.

    Args:
        classes: (N,) class indices; a sample of -1 is left out.

    Raises:
        ProtocolError: no sample has a class.
    """
    _weights(torch.from_numpy(classes))
    names, counts = np.unique(classes[classes >= 0], return_counts=True)
    generator = np.random.default_rng(seed)
    chosen = [generator.choice(np.flatnonzero(classes == name), counts.min(), replace=False) for name in names]
    found: NDArray[np.intp] = np.sort(np.concatenate(chosen))
    return found


def _weights(classes: Tensor) -> NDArray[np.float64]:
    known = classes >= 0
    if not known.any():
        raise ProtocolError("sampling by expression: no training sample has an expression; set sampling to all.")
    counts = torch.bincount(classes[known])
    weights = torch.where(known, 1 / counts[classes.clamp(min=0)].double(), 0.0).numpy()
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised
