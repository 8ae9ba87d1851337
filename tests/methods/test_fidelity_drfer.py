"""What DrFER and its baseline share with the paper and the public PointNet++, where no other test shows it."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fer_bench.expressions import BASIC_SIX
from fer_bench.geometry.alignment import CANONICAL
from fer_bench.geometry.sampling import resample
from fer_bench.geometry.scan import Scan
from fer_bench.methods.drfer import DrFER
from fer_bench.methods.pointnet2 import PointNet2
from fer_bench.methods.stages import Stage
from fer_bench.nn.point_augmentation import drop_points, scale_points
from fer_bench.nn.pointnet2 import PointNet2Encoder, PointNet2Head
from fer_bench.records import Batch, Target, TrainingSet
from fer_bench.representations.points import Points

TWO = Target("classification", BASIC_SIX[:2])
STAGES = {"i": Stage("i", 1, 24), "ii": Stage("ii", 1, 24), "iii": Stage("iii", 1, 16)}


def faces(count: int, points: int = 128) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    flat = 1.6 * torch.rand(count, points, 2, generator=generator) - 0.8
    bump = torch.rand(count, 1, generator=generator)
    z = 0.5 - 0.4 * flat.square().sum(-1) + 0.2 * bump * torch.exp(-8 * flat.square().sum(-1))
    return torch.cat([flat, z[..., None]], dim=-1)


def training_set() -> TrainingSet:
    ids = tuple(f"{person}_{label}" for person in "abcd" for label in TWO.outputs)
    neutrals = tuple(f"{person}_n" for person in "abcd")
    scans = dict(zip((*ids, *neutrals), faces(len(ids) + len(neutrals)), strict=True))
    label = {i: i[2:] for i in ids} | dict.fromkeys(neutrals, "neutral")
    return TrainingSet(ids, neutrals, {i: i[0] for i in scans}, label, lambda ids: torch.stack([scans[i] for i in ids]))


def make(stage: str, **options: Any) -> DrFER:
    torch.manual_seed(0)
    method = DrFER(TWO, size="nano", points=128, dropout=0.0, max_point_dropout=0.0, scale=(1.0, 1.0), **options)
    method.setup_from_training_set(training_set())
    method.on_stage_start(STAGES[stage])
    return method.train()


def batch_of(training: TrainingSet) -> Batch:
    label = torch.tensor([TWO.outputs.index(training.label[i]) for i in training.train])
    return {"id": list(training.train), "input": training.read(training.train), "label": label}


def gradients(module: nn.Module, loss: Callable[[], Tensor]) -> list[Tensor]:
    module.zero_grad()
    torch.manual_seed(1)
    loss().backward()
    return [p.grad.clone() for p in module.parameters() if p.grad is not None]


@pytest.mark.parametrize(("stage", "rate"), [("i", 1e-3), ("ii", 1e-4), ("iii", 1e-5)])
def test_adam_is_that_of_the_paper_and_decays_as_the_public_code(stage: str, rate: float) -> None:
    found: Any = make(stage).configure_optimizers()
    optimizer = found["optimizer"] if isinstance(found, dict) else found
    assert type(optimizer) is torch.optim.Adam
    assert all(group["betas"] == (0.9, 0.999) and group["eps"] == 1e-8 for group in optimizer.param_groups)
    assert all(group["weight_decay"] == 1e-4 and group["lr"] == rate for group in optimizer.param_groups)
    assert isinstance(found, dict) == (stage == "i"), "only stage i has a schedule"
    if isinstance(found, dict):
        schedule = found["lr_scheduler"]["scheduler"]
        assert (type(schedule), schedule.step_size, schedule.gamma) == (torch.optim.lr_scheduler.StepLR, 20, 0.7)


def test_the_baseline_is_the_expression_branch_of_stage_i() -> None:
    method, batch = make("i"), batch_of(training_set())
    baseline = PointNet2(TWO, size="nano", points=128, dropout=0.0, max_point_dropout=0.0, scale=(1.0, 1.0)).train()
    baseline.encoder.load_state_dict(method.expression.encoder.state_dict())
    baseline.head.load_state_dict(method.classifier.state_dict())
    gradients(method, lambda: method.loss(batch))
    own = [
        p.grad
        for part in (method.expression.encoder, method.classifier)
        for p in part.parameters()
        if p.grad is not None
    ]
    alone = gradients(baseline, lambda: baseline.loss(batch))
    assert len(own) == len(alone) > 0
    for one, other in zip(own, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("part", ["expression", "identity", "fusion"])
def test_the_fused_reconstruction_trains_both_branches_and_the_fusion_module(part: str) -> None:
    def found(weight: float) -> list[Tensor]:
        method, batch = make("iii", fusion_weight=weight), batch_of(training_set())
        module = getattr(method, part)
        gradients(method, lambda: method.loss(batch))
        return [p.grad for p in module.parameters() if p.grad is not None]

    without, with_it = found(0.0), found(1.0)
    assert len(with_it) == len(without)
    assert sum(float((a - b).abs().sum()) for a, b in zip(without, with_it, strict=True)) > 1e-3


def test_the_fusion_module_is_trained_on_whole_mean_faces_in_stage_i() -> None:
    method, batch = make("i"), batch_of(training_set())
    assert method.fusion is not None
    seen: list[tuple[Tensor, Tensor]] = []
    method.fusion.register_forward_pre_hook(lambda _, pair: seen.append(pair))
    method.loss(batch)
    ((expressive, neutral),) = seen
    people = torch.tensor([method.person[i] for i in batch["id"]])
    assert torch.equal(expressive, method.mean_faces[batch["label"]])
    assert torch.equal(neutral, method.neutral_faces[people])


def test_the_branches_share_no_weight_and_the_crossed_faces_go_through_the_same_two() -> None:
    method, batch = make("iii"), batch_of(training_set())
    expression = {id(p) for p in method.expression.parameters()}
    assert not expression & {id(p) for p in method.identity.parameters()}
    calls: list[str] = []
    for name in ("expression", "identity"):
        getattr(method, name).register_forward_hook(lambda *_, name=name: calls.append(name))
    method.loss(batch)
    assert sorted(calls) == ["expression", "expression", "identity", "identity"]


@pytest.mark.parametrize("part", [PointNet2Encoder("ssg"), PointNet2Head(6)], ids=["encoder", "classifier"])
def test_weights_start_as_those_of_torch_layers_do(part: nn.Module) -> None:
    """The public code names no initialisation: torch draws a map's weights and offsets within 1 / sqrt(inputs)."""
    maps = [layer for layer in part.modules() if isinstance(layer, nn.Linear)]
    assert maps
    for layer in maps:
        bound = 1 / math.sqrt(layer.in_features)
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)
        assert layer.bias.abs().max() <= bound
    for norm in (layer for layer in part.modules() if isinstance(layer, nn.BatchNorm1d)):
        assert (norm.weight == 1).all() and (norm.bias == 0).all()
        assert (norm.eps, norm.momentum) == (1e-5, 0.1)


def test_augmentation_has_the_public_ranges_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, make_method in (
        ("drfer", lambda: DrFER(TWO, size="nano", points=128)),
        ("pointnet2", lambda: PointNet2(TWO, size="nano", points=128)),
    ):
        asked: list[tuple[float, ...]] = []
        monkeypatch.setattr(
            f"fer_bench.methods.{module}.drop_points",
            lambda x, maximum, to=asked: (to.append((maximum,)), drop_points(x, maximum))[1],
        )
        monkeypatch.setattr(
            f"fer_bench.methods.{module}.scale_points",
            lambda x, low, high, to=asked: (to.append((low, high)), scale_points(x, low, high))[1],
        )
        method: Any = make_method().train()
        if isinstance(method, DrFER):
            method.setup_from_training_set(training_set())
            method.on_stage_start(STAGES["i"])
        method.loss(batch_of(training_set()))
        assert asked == [(0.875,), (0.8, 1.25)], module


def test_points_are_chosen_from_39923(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []

    def spy(vertices: Any, triangles: Any, count: int) -> Any:
        counts.append(count)
        return resample(vertices, triangles, count)

    monkeypatch.setattr("fer_bench.representations.points.resample", spy)
    axis = np.linspace(-90, 90, 40)
    x, y = np.meshgrid(axis, axis)
    vertices = np.stack([x, y, 40 - (x**2 + y**2) / 150], axis=-1).reshape(-1, 3).astype(np.float32)
    corner = np.arange(1600).reshape(40, 40)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    triangles = np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])]).astype(np.int32)
    scan = Scan(vertices, triangles, landmarks={n: np.array(at, np.float32) for n, at in CANONICAL.items()})
    assert Points().extract(scan).shape == (2048, 3)
    assert counts == [39_923]
