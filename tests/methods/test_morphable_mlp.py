"""Ig3D's classifier of morphable-model parameters."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from fer_bench.errors import InvalidSuite
from fer_bench.expressions import EXPRESSIONS
from fer_bench.methods.affect_losses import CLASS_WEIGHTS, concordant
from fer_bench.methods.morphable_mlp import MorphableMLP
from fer_bench.records import Batch, Target

EIGHT = Target("classification", EXPRESSIONS)
AFFECT = Target("valence_arousal", ("valence", "arousal"))


def make(target: Target = EIGHT, **options: Any) -> MorphableMLP:
    torch.manual_seed(0)
    return MorphableMLP(target, vector="emoca-156", **options)


def batch(rated: int = 8) -> Batch:
    generator = torch.Generator().manual_seed(0)
    affect = 2 * torch.rand(8, 2, generator=generator) - 1
    affect[rated:] = torch.nan
    return {
        "id": [f"s{i}" for i in range(8)],
        "input": torch.randn(8, 156, generator=generator),
        "label": torch.arange(8),
        "expression": torch.arange(8),
        "affect": affect,
    }


@pytest.mark.parametrize(
    ("vector", "network", "total"),
    [
        ("emoca-334", "mlp", 13_312_010),
        ("emoca-156", "mlp", 12_947_466),
        ("smirk-358", "mlp", 13_361_162),
        ("smirk-353", "mlp", 13_350_922),
        ("smirk-353", "residual", 1_761_802),
    ],
)
def test_the_parameters_are_those_of_the_public_code(vector: str, network: Any, total: int) -> None:
    assert MorphableMLP(EIGHT, vector=vector, network=network).num_parameters == total


def test_seven_classes_take_the_first_seven_of_ten_outputs() -> None:
    method = make(Target("classification", EXPRESSIONS[:7])).eval()
    x = batch()["input"]
    torch.testing.assert_close(method(x), method.combined(method.trunk(x))[:, :7])


def test_without_ratings_it_is_cross_entropy_alone() -> None:
    method = make().eval()
    given = batch(rated=0)
    assert method.loss(given).item() == pytest.approx(F.cross_entropy(method(given["input"]), given["label"]).item())
    assert method.loss(batch()).item() > method.loss(given).item()


def test_ratings_are_held_against_their_own_outputs() -> None:
    method = make().eval()
    given = batch()
    scores = method.combined(method.trunk(given["input"])).detach()
    plain = F.cross_entropy(scores[:, :8], given["label"]).item()
    # The public networks have arousal before valence.
    exact: Batch = {**given, "affect": scores[:, [9, 8]]}
    assert method.loss(exact).item() == pytest.approx(plain, abs=1e-4)
    turned: Batch = {**given, "affect": scores[:, [8, 9]]}
    assert method.loss(turned).item() > plain + 0.01


def test_valence_and_arousal_are_learned_with_expressions_first_and_then_alone() -> None:
    method = make(AFFECT, epochs=(2, 3), learning_rate=(1e-5, 5e-4), step_size_up=7).eval()
    given = batch()
    assert [(s.name, s.epochs, s.sampling) for s in method.stages] == [
        ("combined", 2, "all"),
        ("affect", 3, "balanced"),
    ]
    method.on_stage_start(method.stages[0])
    scores = method.combined(method.trunk(given["input"]))
    plain = F.cross_entropy(scores[:, :8], given["expression"], torch.tensor(CLASS_WEIGHTS))
    errors = (scores[:, [9, 8]] - given["affect"]).square().mean()
    assert method.loss(given).item() == pytest.approx((plain + 5 * errors).item(), rel=1e-5)
    assert not any(p.requires_grad for p in method.affect.parameters())
    assert method.combined.weight.requires_grad
    method.on_stage_start(method.stages[1])
    assert not method.combined.weight.requires_grad
    method.eval()
    found = method(given["input"])
    assert method.loss(given).item() == pytest.approx(concordant(found, given["affect"]).item(), rel=1e-5)
    schedule = method.configure_optimizers()["lr_scheduler"]["scheduler"]
    assert (schedule.base_lrs[0], schedule.max_lrs[0], schedule.total_size) == (1e-5, 5e-4, 14)


def test_without_epochs_of_its_own_two_of_the_ten_outputs_are_scored() -> None:
    method = make(AFFECT).eval()
    x = batch()["input"]
    torch.testing.assert_close(method(x), method.combined(method.trunk(x))[:, [9, 8]])


def test_parameters_are_blanked_in_training_alone() -> None:
    method = make(masking=0.5, dropout=(0.0, 0.0))
    given = batch()
    method.trunk[1].train(False)
    first = {tuple(method.loss(given).reshape(1).tolist()) for _ in range(4)}
    assert len(first) == 4
    method.eval()
    assert torch.equal(method(given["input"]), method(given["input"]))


def test_the_public_code_has_other_losses_for_two_short_vectors() -> None:
    given = batch()
    method = make().eval()
    scores = method.combined(method.trunk(given["input"]))
    plain, errors = F.cross_entropy(scores[:, :8], given["label"]), (scores[:, [9, 8]] - given["affect"]).square()
    assert make(objective="errors").eval().loss(given).item() == pytest.approx((plain + errors.mean(0).sum()).item())
    unrated = batch(rated=0)
    assert make(expression_weight=2).eval().loss(unrated).item() == pytest.approx(2 * plain.item())
    assert make(objective="errors").eval().loss(unrated).item() == pytest.approx(plain.item())


def test_expressions_are_not_trained_with_two_outputs() -> None:
    with pytest.raises(InvalidSuite, match="expressions are not trained with two outputs"):
        make(epochs=(1, 1))
