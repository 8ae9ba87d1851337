"""Losses of valence and arousal."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fer_bench.methods.affect_losses import concordance, correlation, masked, shaken
from fer_bench.metrics.valence_arousal import pcc


def pair(seed: int, rows: int = 40) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(rows, 2, dtype=torch.float64, generator=generator) * 2 - 1
    return truth * 0.5 + 0.3 * torch.randn(rows, 2, dtype=torch.float64, generator=generator) + 0.1, truth


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), rows=st.integers(3, 60))
def test_they_are_the_metrics_over_one_sample_less(seed: int, rows: int) -> None:
    predicted, truth = pair(seed, rows)
    for column in (0, 1):
        p, t = predicted[:, column].numpy(), truth[:, column].numpy()
        expected = 2 * np.cov(p, t)[0, 1] / (p.var(ddof=1) + t.var(ddof=1) + (p.mean() - t.mean()) ** 2)
        assert concordance(predicted, truth)[column].item() == pytest.approx(expected, abs=1e-6)
        assert correlation(predicted, truth)[column].item() == pytest.approx(pcc(p, t), abs=1e-6)


def test_the_published_concordance_has_variances_in_its_numerator() -> None:
    predicted, truth = pair(0)
    p, t = predicted.numpy(), truth.numpy()
    r = np.array([np.corrcoef(p[:, c], t[:, c])[0, 1] for c in (0, 1)])
    variances = p.var(0, ddof=1), t.var(0, ddof=1)
    expected = 2 * variances[0] * variances[1] * r / (sum(variances) + (p.mean(0) - t.mean(0)) ** 2)
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


def test_masking_is_that_of_the_public_code() -> None:
    """Each part is picked with probability 0.1 and loses 1 to all of its numbers: of EMOCA's three parts 5.05 % of
    numbers are lost, and 72.9 % of samples none; of its five, 5.05 % and 59.0 %."""
    torch.manual_seed(0)
    for sizes, untouched in (((50, 6, 100), 0.9**3), ((50, 6, 50, 128, 100), 0.9**5)):
        lost = masked(torch.ones(20_000, sum(sizes)), sizes, 0.1) == 0
        assert lost.double().mean().item() == pytest.approx(0.0505, abs=0.002)
        assert (~lost.any(1)).double().mean().item() == pytest.approx(untouched, abs=0.01)
    counts = masked(torch.ones(20_000, 6), (6,), 1.0).eq(0).sum(1).bincount(minlength=7)
    assert counts[0] == 0
    assert counts[1:].double().div(20_000).sub(1 / 6).abs().max() < 0.01


def test_one_row_has_no_concordance_and_a_finite_one() -> None:
    assert concordance(torch.tensor([[0.2, 0.1]]), torch.tensor([[0.2, 0.4]])).isfinite().all()
