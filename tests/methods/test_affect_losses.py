"""Losses of valence and arousal."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fer_bench.methods.affect_losses import concordance, correlation, shaken
from fer_bench.metrics.valence_arousal import ccc, pcc


def pair(seed: int, rows: int = 40) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(rows, 2, dtype=torch.float64, generator=generator) * 2 - 1
    return truth * 0.5 + 0.3 * torch.randn(rows, 2, dtype=torch.float64, generator=generator) + 0.1, truth


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), rows=st.integers(3, 60))
def test_they_are_the_metrics(seed: int, rows: int) -> None:
    predicted, truth = pair(seed, rows)
    for column in (0, 1):
        p, t = predicted[:, column].numpy(), truth[:, column].numpy()
        assert concordance(predicted, truth)[column].item() == pytest.approx(ccc(p, t), abs=1e-6)
        assert correlation(predicted, truth)[column].item() == pytest.approx(pcc(p, t), abs=1e-6)


def test_the_published_concordance_has_variances_in_its_numerator() -> None:
    predicted, truth = pair(0)
    p, t = predicted.numpy(), truth.numpy()
    r = np.array([np.corrcoef(p[:, c], t[:, c])[0, 1] for c in (0, 1)])
    expected = 2 * p.var(0) * t.var(0) * r / (p.var(0) + t.var(0) + (p.mean(0) - t.mean(0)) ** 2)
    np.testing.assert_allclose(concordance(predicted, truth, "published"), expected, atol=1e-6)
    # Exact agreement is not what it asks for: exaggeration scores higher.
    assert (concordance(truth * 3, truth, "published") > concordance(truth, truth, "published")).all()
    assert (concordance(truth * 3, truth) < concordance(truth, truth)).all()


def test_the_mixture_is_drawn_anew_and_adds_up_to_one() -> None:
    predicted, truth = pair(1)
    terms = torch.stack(
        [
            ((predicted - truth) ** 2).mean(0).sum(),
            1 - concordance(predicted, truth).mean(),
            1 - correlation(predicted, truth).mean(),
        ]
    )
    found = torch.stack([shaken(predicted, truth) for _ in range(200)])
    assert found.min() >= terms.min()
    assert found.max() <= terms.max()
    assert len(found.unique()) == 200
    assert found.mean().item() == pytest.approx(terms.mean().item(), abs=0.02)


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_have_no_loss_but_a_gradient(rows: int) -> None:
    predicted = torch.ones(rows, 2, requires_grad=True)
    loss = shaken(predicted, torch.zeros(rows, 2))
    loss.backward()
    assert loss.item() == 0


def test_a_constant_gives_finite_gradients() -> None:
    predicted = torch.full((8, 2), 0.3, requires_grad=True)
    shaken(predicted, torch.zeros(8, 2)).backward()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()
