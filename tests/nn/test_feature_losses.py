import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from fer_bench.nn.feature_losses import js_from_standard_normal, kl_from_standard_normal, triplet_loss


def test_triplets_that_are_told_apart_cost_nothing() -> None:
    features = torch.tensor([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [-3.0, 0.0]])
    label = torch.tensor([0, 0, 1, 1])
    assert triplet_loss(features, label, 0.3) == 0
    assert triplet_loss(features, label, 5.0).item() == pytest.approx(1.0), "0 - 4 + 5"


def test_a_batch_without_triplets_costs_nothing_and_has_a_gradient() -> None:
    for label in (torch.tensor([0, 1, 2]), torch.tensor([1, 1, 1])):
        features = torch.randn(3, 4, requires_grad=True)
        loss = triplet_loss(features, label, 0.3)
        assert loss.item() == 0
        loss.backward()
        assert features.grad is not None and not features.grad.any()


def test_only_samples_with_a_partner_and_an_opponent_are_anchors() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    # Sample 2 has no partner; 0 and 1 are partners at 2, and 4 and 2 from sample 2.
    expected = (max(2 - 4 + 0.3, 0) + max(2 - 2 + 0.3, 0)) / 2
    assert triplet_loss(features, torch.tensor([0, 0, 1]), 0.3).item() == pytest.approx(expected)


def test_partners_and_opponents_are_drawn_anew() -> None:
    torch.manual_seed(0)
    features, label = torch.randn(12, 3), torch.arange(12) % 3
    drawn = {triplet_loss(features, label, 5.0).item() for _ in range(5)}
    assert len(drawn) == 5
    torch.manual_seed(0)
    mean = torch.tensor([triplet_loss(features, label, 5.0) for _ in range(2000)]).mean()
    unit = torch.nn.functional.normalize(features, dim=1)
    square = torch.cdist(unit, unit).square()
    same = label[:, None] == label
    near = (square * (same & ~torch.eye(12, dtype=torch.bool))).sum() / 12 / 3
    far = (square * ~same).sum() / 12 / 8
    assert mean.item() == pytest.approx((near - far + 5).item(), abs=0.03), "all pairs are equally likely"


@given(st.floats(-3, 3), st.floats(0.1, 3))
@settings(max_examples=30)
def test_divergences_of_moments(mean: float, deviation: float) -> None:
    half = torch.linspace(-1, 1, 9, dtype=torch.float64)
    half = half / half.std(correction=0)
    features = (mean + deviation * half)[:, None].float()
    own, standard = Normal(mean, deviation), Normal(0.0, 1.0)
    expected = kl_divergence(own, standard)
    assert kl_from_standard_normal(features).item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-4)
    middle = Normal(mean / 2, math.sqrt((deviation**2 + 1) / 2 + mean**2 / 4))
    expected = (kl_divergence(own, middle) + kl_divergence(standard, middle)) / 2
    assert js_from_standard_normal(features).item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-4)


def test_a_constant_feature_has_a_finite_divergence() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    for divergence in (kl_from_standard_normal, js_from_standard_normal):
        loss = divergence(features)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(features.grad).all()  # type: ignore[arg-type]
