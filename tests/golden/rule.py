"""Weights and inputs that a rule fills, so that a golden number needs no file of weights."""

import math
import zlib
from collections.abc import Callable

import torch
from torch import Tensor, nn


def values(name: str, shape: tuple[int, ...]) -> Tensor:
    """Numbers in [-1, 1], float64, that depend on the name and the position alone."""
    start = zlib.crc32(name.encode()) % 1000
    place = torch.arange(math.prod(shape))
    return (place * (place + start) % 2003).double().view(shape) / 1001 - 1  # whole numbers: exact on every machine


def fill(network: nn.Module, public: Callable[[str], str] = str) -> None:
    """Give a network weights by the rule, in float64, and take its random layers out.

    Matrices are scaled by their inputs, the weights and variances of normalisations are near 1, and biases and means
    near 0. Dropout and stochastic depth are off.

    Args:
        public: Name of a tensor in the public code from its name here; an empty one keeps the tensor.
    """
    network.double()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point() or not (known := public(name)):
                continue
            drawn, last = values(known, tuple(tensor.shape)), known.rpartition(".")[2]
            if last == "running_var":
                drawn = 1 + 0.5 * drawn
            elif last in ("running_mean", "bias"):
                drawn = 0.1 * drawn
            elif tensor.ndim > 1:
                drawn = drawn * (2 / max(1, tensor[0].numel())) ** 0.5
            elif last == "weight":
                drawn = 1 + 0.1 * drawn
            tensor.copy_(drawn)
    for module in network.modules():
        for rate in ("p", "drop_prob"):
            if type(module).__name__ in ("Dropout", "DropPath", "StochasticDepth") and hasattr(module, rate):
                setattr(module, rate, 0.0)
