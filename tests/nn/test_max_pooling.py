"""The layer before a maximum, against the plain computation in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fer_bench.nn.max_pooling import pooled


def plain(x: Tensor, layer: nn.Conv1d, norm: nn.BatchNorm1d | None) -> Tensor:
    y = layer(x.mT)
    return (y if norm is None else norm(y)).amax(2)


def networks(channels: tuple[int, int], seed: int) -> tuple[nn.Conv1d, nn.BatchNorm1d]:
    """A layer, and a normalisation that turns some channels round and has a past."""
    generator = torch.Generator().manual_seed(seed)
    layer, norm = nn.Conv1d(*channels, 1).double(), nn.BatchNorm1d(channels[1]).double()
    with torch.no_grad():
        for tensor in (*layer.parameters(), norm.weight, norm.bias, norm.running_mean):
            tensor.normal_(generator=generator)
        norm.running_var.uniform_(0.5, 2, generator=generator)
    return layer, norm


@settings(max_examples=40)
@given(
    batch=st.integers(1, 4),
    points=st.integers(2, 9),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 7)),
    mode=st.sampled_from(["plain", "training", "evaluation"]),
    seed=st.integers(0, 1000),
)
def test_it_is_the_plain_computation(batch: int, points: int, channels: tuple[int, int], mode: str, seed: int) -> None:
    x = torch.randn(batch, points, channels[0], dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    toward = torch.randn(batch, channels[1], dtype=torch.float64)
    found = []
    for way in (plain, pooled):
        layer, norm = networks(channels, seed)
        norm.train(mode == "training")
        own = x.clone().requires_grad_()
        value = way(own, layer, None if mode == "plain" else norm)
        (value * toward).sum().backward()
        gradients = [p.grad for p in (own, *layer.parameters(), *(() if mode == "plain" else norm.parameters()))]
        found.append([value.detach(), *gradients, *norm.buffers()])
    for expected, measured in zip(*found, strict=True):
        torch.testing.assert_close(measured, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("normalised", [False, True])
def test_only_one_point_of_equal_ones_has_a_gradient(normalised: bool) -> None:
    layer, norm = networks((3, 2), 0)
    norm.eval()
    x = torch.ones(1, 5, 3, dtype=torch.float64, requires_grad=True)
    pooled(x, layer, norm if normalised else None)[0, 0].backward()
    assert x.grad is not None
    assert int((x.grad.abs().sum(2) > 0).sum()) == 1
