"""The largest of a layer's outputs over points, without a gradient for the points that are not it."""

import torch
from torch import Tensor, nn

from fer_bench.nn import global_batch
from fer_bench.nn.global_batch_layers import mean_of_all, remember


def pooled(x: Tensor, layer: nn.Conv1d, norm: nn.BatchNorm1d | None = None) -> Tensor:
    """PointNet's last layer and its maximum: `norm(layer(x))`, and of that the largest over points.

    To each channel of each sample one point contributes. All points go through the layer only to find it, without a
    graph; the layer is then applied to that point alone. What batch normalisation needs of all points, the mean and
    the variance of every channel, follows from the mean and the covariance of the layer's inputs, which have fewer
    channels. Values and gradients are those of the plain computation, up to rounding; of points that are equally large
    one gets the gradient.

    Args:
        x: Points (B, V, K).
        layer: A convolution of width 1, K to C channels, with a bias.
        norm: Batch normalisation of C channels over points and samples; in training its running statistics are kept
            up, as by itself.

    Returns:
        (B, C).
    """
    weight, bias = layer.weight.flatten(1), layer.bias
    assert bias is not None, "the layer has a bias"
    with torch.no_grad():
        # Normalisation turns the order of a channel round where its weight is negative.
        toward = weight if norm is None else weight * norm.weight.sign()[:, None]
        # One sample at a time stays in a CPU's cache; a GPU takes all at once, and an exported network does not know
        # how many there will be.
        parts = (x,) if x.is_cuda or torch.compiler.is_exporting() else x.split(1)
        winner = torch.cat([(toward @ part.mT).argmax(2) for part in parts])
    largest = x.gather(1, winner[:, :, None].expand(-1, -1, x.shape[2]))
    y = (largest * weight).sum(2) + bias
    if norm is None:
        return y
    if norm.training:
        mean, variance, count = _moments(x.flatten(0, 1), weight, bias)
        remember(norm, mean.detach(), variance.detach(), count)
    else:
        assert norm.running_mean is not None and norm.running_var is not None
        mean, variance = norm.running_mean, norm.running_var
    return (y - mean) * (variance + norm.eps).rsqrt() * norm.weight + norm.bias


def _moments(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor | int]:
    """Mean and variance (C,) of the layer's outputs, of inputs (N, K) and those of other processes, and how many."""
    middle, count = mean_of_all(x) if global_batch.is_shared() else (x.mean(0), len(x))
    # No gradient through the middle: that of the covariance vanishes there, since the centred inputs add up to 0.
    centred = x - middle.detach()
    covariance = global_batch.sum_over_processes(centred.T @ centred) / count
    return weight @ middle + bias, ((weight @ covariance) * weight).sum(1), count
