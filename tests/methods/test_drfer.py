from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fer_bench.errors import InvalidSuite
from fer_bench.expressions import BASIC_SIX
from fer_bench.geometry.mean_cloud import mean_cloud
from fer_bench.methods.drfer import DrFER, Fusion
from fer_bench.methods.stages import Stage
from fer_bench.nn.feature_losses import triplet_loss
from fer_bench.nn.point_augmentation import drop_points, scale_points
from fer_bench.nn.point_ops import chamfer
from fer_bench.records import Batch, Target, TrainingSet
from fer_bench.representations.points import Points

TWO, SIX = Target("classification", BASIC_SIX[:2]), Target("classification", BASIC_SIX)
POINTS = 128


def faces(count: int, points: int = POINTS) -> Tensor:
    """Domes that differ in their bump."""
    generator = torch.Generator().manual_seed(count)
    flat = 1.6 * torch.rand(count, points, 2, generator=generator) - 0.8
    bump = torch.rand(count, 1, generator=generator)
    z = 0.5 - 0.4 * flat.square().sum(-1) + 0.2 * bump * torch.exp(-8 * flat.square().sum(-1))
    return torch.cat([flat, z[..., None]], dim=-1)


def training_set(neutrals: Sequence[str] = ("a_n", "b_n1", "b_n2")) -> TrainingSet:
    """Two expressions of people a, b and c, of whom c has no neutral scan."""
    ids = tuple(f"{person}_{label}{take}" for person in "abc" for label in TWO.outputs for take in (1, 2))
    scans = dict(zip((*ids, *neutrals), faces(len(ids) + len(neutrals)), strict=True))
    label = {i: i[2:-1] for i in ids} | dict.fromkeys(neutrals, "neutral")
    return TrainingSet(
        ids, tuple(neutrals), {i: i[0] for i in scans}, label, lambda asked: torch.stack([scans[i] for i in asked])
    )


def make(**options: Any) -> DrFER:
    torch.manual_seed(0)
    method = DrFER(TWO, size="nano", points=POINTS, **options)
    method.setup_from_training_set(training_set())
    return method


def batch_of(training: TrainingSet) -> Batch:
    label = torch.tensor([TWO.outputs.index(training.label[i]) for i in training.train])
    return {"id": list(training.train), "input": training.read(training.train), "label": label}


STAGES = (Stage("i", 1, 24), Stage("ii", 1, 24), Stage("iii", 1, 16))


def test_the_published_sizes() -> None:
    method = DrFER(SIX)
    encoder = sum(p.numel() for p in method.expression.encoder.parameters())
    assert encoder == sum(p.numel() for p in method.identity.encoder.parameters()) == 807_744
    assert sum(p.numel() for p in method.classifier.parameters()) == 659_206
    assert sum(p.numel() for p in DrFER(SIX, size="msg").expression.encoder.parameters()) == 1_079_424
    assert method.representations == (Points(count=2048),)
    assert method.stages == (Stage("i", 200, 24), Stage("ii", 100, 24), Stage("iii", 50, 16))
    decoder = 1024 * 1024 + 1024 + 1024 * 2048 + 2048 + 2048 * 6144 + 6144
    assert sum(p.numel() for p in method.expression.decoder.parameters()) == decoder
    assert isinstance(method.fusion, Fusion)
    widths = [layer.weight.shape for layer in (*method.fusion.hidden, method.fusion.out)]  # type: ignore[union-attr]
    assert widths == [(2048, 2048), (2048, 2048 + 512), (6144, 2048 + 256)]
    plain = DrFER(SIX, skip=False).fusion
    assert [m.weight.shape for m in (*plain.hidden, plain.out)] == [(2048, 2048), (2048, 2048), (6144, 2048)]  # type: ignore[union-attr]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidSuite, match="points is 511; give 512 or more"):
        DrFER(SIX, points=511)
    for epochs in ((0, 0, 0), (3, -1, 2)):
        with pytest.raises(InvalidSuite, match="drfer: epochs is"):
            DrFER(SIX, epochs=epochs)


def test_targets_come_from_the_training_fold() -> None:
    method, training = make(), training_set()
    assert method.mean_faces.shape == (2, POINTS, 3)
    for number, name in enumerate(TWO.outputs):
        own = training.read([i for i in training.train if training.label[i] == name])
        assert torch.equal(method.mean_faces[number], torch.from_numpy(mean_cloud(own.numpy())))
    a, b = training.read(["a_n", "b_n1"])
    assert torch.equal(method.neutral_faces[0], a)
    assert torch.equal(method.neutral_faces[1], b), "of several neutral scans the first"
    assert torch.equal(method.mean_neutral[0], torch.from_numpy(mean_cloud(torch.stack([a, b]).numpy())))
    assert torch.equal(method.neutral_faces[2], method.mean_neutral[0]), "who has none gets the mean"
    assert method.persons is not None and method.persons[-1].out_features == 3
    assert {method.person[i] for i in training.train if i[0] == "b"} == {1}
    assert not [name for name in method.state_dict() if "face" in name or "mean_neutral" in name]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
@pytest.mark.parametrize(
    "options", [{}, {"fusion": False}, {"classify": False}, {"skip": False}, {"divergence": "js", "triplet": 0.0}]
)
def test_a_stage_trains_what_it_is_said_to_and_all_of_it(stage: Stage, options: dict[str, Any]) -> None:
    method = make(**options)
    method.on_stage_start(stage)
    method.train().loss(batch_of(training_set())).backward()
    trained = {name.partition(".")[0] for name, p in method.named_parameters() if p.requires_grad}
    moved = {name for name, p in method.named_parameters() if p.grad is not None}
    assert moved == {name for name, p in method.named_parameters() if p.requires_grad}
    expected = {
        "i": {"expression", "identity", "classifier", "persons", "fusion"},
        "ii": {"expression", "identity", "classifier"},
        "iii": {"expression", "identity", "classifier", "fusion"},
    }[stage.name]
    gone = {"fusion"} if options.get("fusion") is False else set()
    gone |= {"classifier"} if options.get("classify") is False and stage.name != "i" else set()
    assert trained == expected - gone
    decoding = any(name.startswith("expression.decoder") for name in moved)
    assert decoding == (stage.name != "i")
    rates = {group["lr"] for group in optimizer_of(method).param_groups}
    assert rates == {{"i": 1e-3, "ii": 1e-4, "iii": 1e-5}[stage.name]}


def optimizer_of(method: DrFER) -> torch.optim.Optimizer:
    found: Any = method.configure_optimizers()
    optimizer: torch.optim.Optimizer = found["optimizer"] if isinstance(found, dict) else found
    return optimizer


def test_the_loss_of_each_stage_is_the_sum_of_its_equations() -> None:
    # Training's batch normalisation, for without it untrained branches give nearly the same for every face.
    method, batch = make(dropout=0.0, max_point_dropout=0.0, scale=(1.0, 1.0)).train(), batch_of(training_set())
    x, label = batch["input"], batch["label"]
    person = torch.tensor([method.person[i] for i in batch["id"]])
    near, plain = method.mean_faces[label], method.neutral_faces[person]
    with torch.no_grad():
        feature, face = method.expression(x)
        mine = method.identity(x)[1]
        told = F.cross_entropy(method.classifier(feature), label)
        assert method.persons is not None and method.fusion is not None
        method.on_stage_start(STAGES[0])
        first = told + F.cross_entropy(method.persons(method.identity.encoder(x)), person)
        first = first + chamfer(method.fusion(near, plain), x).mean()
        torch.testing.assert_close(method.loss(batch), first)
        method.on_stage_start(STAGES[1])
        torch.manual_seed(1)
        second = method.loss(batch)
        rest = chamfer(face, near).mean() + chamfer(mine, plain).mean() + told
        torch.manual_seed(1)
        scale_points(drop_points(x, 0.0), 1.0, 1.0)  # which draw before the triplets do
        torch.testing.assert_close(second, rest + triplet_loss(feature, label, 0.3))
        method.on_stage_start(STAGES[2])
        torch.manual_seed(1)
        middle = method.mean_neutral.expand_as(x)
        crossed = chamfer(method.identity(face)[1], middle).mean() + chamfer(method.expression(mine)[1], middle).mean()
        third = second + crossed + 0.1 * chamfer(method.fusion(face, mine), x).mean()
        torch.testing.assert_close(method.loss(batch), third)


def test_augmented_clouds_go_in_and_are_never_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = make().train(), batch_of(training_set())
    targets: list[Tensor] = []
    seen: list[Tensor] = []
    monkeypatch.setattr("fer_bench.methods.drfer.chamfer", lambda a, b: (targets.append(b), chamfer(a, b))[1])
    method.expression.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    method.on_stage_start(STAGES[2])
    method.loss(batch)
    assert not torch.equal(seen[0], batch["input"]) and seen[0].shape == batch["input"].shape
    known = torch.cat([method.mean_faces, method.neutral_faces, method.mean_neutral, batch["input"]])
    for target in targets:
        assert all(any(torch.equal(cloud, one) for one in known) for cloud in target)


def test_a_checkpoint_brings_its_persons() -> None:
    trained = make()
    fresh = DrFER(TWO, size="nano", points=POINTS)
    fresh.load_state_dict(trained.state_dict())
    assert fresh.persons is not None and fresh.persons[-1].out_features == 3
    x = faces(4)
    with torch.no_grad():
        assert torch.equal(fresh.eval()(x), trained.eval()(x))
        assert all(torch.equal(found, trained.predict(x)[name]) for name, found in fresh.predict(x).items())


def test_a_few_steps_bring_each_stage_down() -> None:
    batch = batch_of(training_set())
    for stage in STAGES:
        method = make(dropout=0.0, max_point_dropout=0.0, scale=(1.0, 1.0), learning_rates=(3e-3, 3e-3, 3e-3)).train()
        method.on_stage_start(stage)
        optimizer, losses = optimizer_of(method), []
        for _ in range(12):
            optimizer.zero_grad()
            loss = method.loss(batch)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.7 * losses[0], stage
