"""Layers that treat a batch which several processes share as one, in place of those that know only their own part."""

from collections.abc import Sequence

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules._functions import SyncBatchNorm
from torchvision.ops import StochasticDepth

from fer_bench.nn import global_batch


def exchange(network: nn.Module) -> None:
    """Make every layer that draws at random or uses statistics of the batch work on the global batch; the network keeps
    its parameters, buffers and name."""
    for layer in network.modules():
        if type(layer) in _LAYERS:
            layer.__class__ = _LAYERS[type(layer)]


def restore(network: nn.Module) -> None:
    """Undo `exchange`."""
    before = {after: plain for plain, after in _LAYERS.items()}
    for layer in network.modules():
        if type(layer) in before:
            layer.__class__ = before[type(layer)]


def dropped(x: Tensor, rate: float, training: bool) -> Tensor:
    """Dropout of rows (n, ...) of this process, or of several rows a sample."""
    if not (training and rate and global_batch.is_shared()):
        return F.dropout(x, rate, training)
    return x * _kept(x, x.shape[1:], rate)


def moments(x: Tensor, dims: tuple[int, ...] = (0,)) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance over dimensions of x and over processes, with gradients, and how many numbers these are of."""
    mean, count = mean_of_all(x, dims)
    shape = [1 if place in dims else size for place, size in enumerate(x.shape)]
    variance = global_batch.sum_over_processes((x - mean.view(shape)).square().sum(dims)) / count
    return mean, variance, count


def mean_of_all(x: Tensor, dims: tuple[int, ...] = (0,)) -> tuple[Tensor, Tensor]:
    """The mean over dimensions of x and over processes, and of how many numbers it is, a scalar."""
    total = x.sum(dims)
    own = x.numel() // max(1, total.numel())
    found = global_batch.sum_over_processes(torch.cat([total.flatten(), total.new_tensor([float(own)])]))
    return found[:-1].view_as(total) / found[-1], found[-1].detach()


def remember(norm: nn.modules.batchnorm._BatchNorm, mean: Tensor, variance: Tensor, count: Tensor | int) -> None:
    """Keep up the running statistics of batch normalisation with those of a batch.

    Args:
        mean, variance: (C,), without gradient, the variance not corrected.
        count: How many rows they are of.
    """
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    assert norm.momentum is not None, "a running mean with a momentum"
    norm.running_mean.lerp_(mean, norm.momentum)
    others = (count - 1).clamp(min=1) if isinstance(count, Tensor) else max(1, count - 1)
    norm.running_var.lerp_(variance * count / others, norm.momentum)
    norm.num_batches_tracked += 1


class _BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Normalisation by the mean and variance of all rows; torch's own SyncBatchNorm runs on GPUs only.

    Of many rows it is closer to the exact values than torch's normalisation on a CPU, which adds them up one by one:
    of 100,000 uniform ones within 5e-7, where that is within 4e-5.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not global_batch.is_shared():
            return super().forward(x)
        assert self.num_batches_tracked is not None and self.running_mean is not None
        if x.is_cuda:
            self.num_batches_tracked += 1
            state = (self.weight, self.bias, self.running_mean, self.running_var, self.eps, self.momentum)
            group = torch.distributed.group.WORLD
            fused: Tensor = SyncBatchNorm.apply(x, *state, group, torch.distributed.get_world_size())
            return fused
        mean, variance, count = moments(x.to(self.running_mean.dtype), (0, *range(2, x.ndim)))
        remember(self, mean.detach(), variance.detach(), count)
        shape = (1, -1, *[1] * (x.ndim - 2))
        scale = (variance + self.eps).rsqrt() * self.weight
        return ((x - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)).to(x.dtype)


class _BatchNorm1d(_BatchNorm, nn.BatchNorm1d):
    pass


class _BatchNorm2d(_BatchNorm, nn.BatchNorm2d):
    pass


class _Dropout(nn.Dropout):
    def forward(self, x: Tensor) -> Tensor:
        return dropped(x, self.p, self.training)


class _DropPath(DropPath):
    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.drop_prob and global_batch.is_shared()):
            return super().forward(x)
        return x * _kept(x, [1] * (x.ndim - 1), self.drop_prob)


class _StochasticDepth(StochasticDepth):
    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.p and self.mode == "row" and global_batch.is_shared()):
            return super().forward(x)
        return x * _kept(x, [1] * (x.ndim - 1), self.p)


def _kept(x: Tensor, shape: Sequence[int], rate: float) -> Tensor:
    """Of each row of x numbers of a shape: 0 where it is dropped, and what makes up for that where it is not."""
    return global_batch.draw(len(x), lambda rows: x.new_empty(rows, *shape).bernoulli_(1 - rate)).div_(1 - rate)


_LAYERS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _BatchNorm1d,
    nn.BatchNorm2d: _BatchNorm2d,
    nn.Dropout: _Dropout,
    DropPath: _DropPath,
    StochasticDepth: _StochasticDepth,
}
