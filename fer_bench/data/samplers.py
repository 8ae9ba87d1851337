"""Which training samples an epoch has, in which order, and which of them a process takes."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler

from fer_bench.errors import ProtocolError


class ShuffledSampler(Sampler[int]):
    """Each sample once, in an order drawn each epoch from the seed and the epoch alone; of it this process's part
    of each batch.

    A batch is that of all processes together. Sample i of it goes to process i % W, and the last one may be uneven; one
    that has fewer samples than processes is filled up with its own. A single sample left over is dropped, for it has no
    variance, and batch normalisation cannot train on it.

    Args:
        count: Samples, numbered from 0.
        batch_size: Samples a batch and process.
        replicas, rank: W, and which of them this is.
        seed: Of the order.
    """

    def __init__(self, count: int, batch_size: int, replicas: int = 1, rank: int = 0, *, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0
        self.whole, self.replicas, self.rank = batch_size * replicas, replicas, rank

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning when an epoch begins."""
        self.epoch = epoch

    def order(self) -> list[int]:
        """The samples of the epoch, as one process would take them."""
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order: list[int] = torch.randperm(self.count, generator=generator).tolist()
        return order

    def __len__(self) -> int:
        return len(self._part(list(range(self.count))))

    def __iter__(self) -> Iterator[int]:
        return iter(self._part(self.order()))

    def _part(self, order: list[int]) -> list[int]:
        left = len(order) % self.whole
        if left == 1 and len(order) > 1:
            order, left = order[:-1], 0
        if left >= self.replicas:
            return order[self.rank :: self.replicas]
        even = order[: len(order) - left]
        return even[self.rank :: self.replicas] + order[len(even) :][self.rank % max(1, left) :][:1]


class OrderedSampler(ShuffledSampler):
    """Each sample once, class after class; otherwise as `ShuffledSampler`.

    Args:
        classes: (N,) class indices.
    """

    def __init__(self, classes: Tensor, batch_size: int, replicas: int = 1, rank: int = 0) -> None:
        super().__init__(len(classes), batch_size, replicas, rank, seed=0)
        self.by_class: list[int] = classes.argsort(stable=True).tolist()

    def order(self) -> list[int]:
        return self.by_class


class BalancedSampler(ShuffledSampler):
    """As many samples as there are, with replacement, every class equally likely; otherwise as `ShuffledSampler`.

    Args:
        classes: (N,) class indices; a sample of -1 is never drawn.

    Raises:
        ProtocolError: no sample has a class.
    """

    def __init__(self, classes: Tensor, batch_size: int, replicas: int = 1, rank: int = 0, *, seed: int) -> None:
        super().__init__(len(classes), batch_size, replicas, rank, seed=seed)
        self.weights = _weights(classes)

    def order(self) -> list[int]:
        # Not torch.multinomial, which takes no more than 2^24 samples.
        generator = np.random.default_rng([self.seed, self.epoch])
        drawn: list[int] = generator.choice(self.count, self.count, p=self.weights).tolist()
        return drawn


class PartSampler(Sampler[int]):
    """Of samples in order every W-th from this process's on: all processes together have each once. Where there are
    fewer samples than processes, each has all, for one that had none would leave the others waiting for it."""

    def __init__(self, count: int, replicas: int = 1, rank: int = 0) -> None:
        self.part = range(count) if count < replicas else range(rank, count, replicas)

    def __len__(self) -> int:
        return len(self.part)

    def __iter__(self) -> Iterator[int]:
        return iter(self.part)


def rarest(classes: NDArray[np.int64], seed: int) -> NDArray[np.intp]:
    """Positions, ascending, of as many samples of each class as the rarest one has.

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
