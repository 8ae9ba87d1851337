import argparse
import itertools
import math
import multiprocessing
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from fer_bench.errors import InvalidFile, InvalidSuite
from fer_bench.expressions import BASIC_SIX
from fer_bench.methods.mit import MiT, mix, weigh
from fer_bench.nn import global_batch
from fer_bench.nn.vit import Size, deit
from fer_bench.records import Batch, Target
from fer_bench.representations.dynamic_views import DynamicViews
from fer_bench.representations.views import Views

THREE, SIX = Target("classification", BASIC_SIX[:3]), Target("classification", BASIC_SIX)


def nano(**options: Any) -> MiT:
    torch.manual_seed(0)
    settings = {"pretrained": False, "image_size": 32, "drop_path": 0.0, "batch_size": 6, **options}
    return MiT(THREE, size="nano", **settings)


def make_batch(size: int = 6, views: int = 3, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (size, views, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return {"id": [f"s{i}" for i in range(size)], "input": images, "label": torch.arange(size) % 3}


def step(method: MiT, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    optimizer.zero_grad()
    loss = method.loss(batch)
    loss.backward()
    optimizer.step()
    return loss.item()


def optimizer_and_schedule(method: MiT) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    configured: Any = method.configure_optimizers()
    return configured["optimizer"], configured["lr_scheduler"]["scheduler"]


@pytest.mark.parametrize(("size", "total"), [("tiny", 16_576_722), ("small", 65_003_922), ("base", 257_409_810)])
def test_totals_with_six_classes(size: Size, total: int) -> None:
    with torch.device("meta"):
        assert MiT(SIX, size=size).num_parameters == total


def test_three_views_start_equal_and_share_nothing() -> None:
    method = nano()
    assert method.representations == (Views(yaws=(-20, 0, 20), size=32), DynamicViews(yaws=(-20, 0, 20), size=32))
    first, *others = [dict(network.named_parameters()) for network in method.backbones]
    for other in others:
        for name, parameter in first.items():
            assert torch.equal(parameter, other[name]) and parameter is not other[name]
    optimizer, _ = optimizer_and_schedule(method)
    step(method, optimizer, make_batch())
    assert not torch.equal(first["head.weight"], others[0]["head.weight"])


def test_the_views_decide_the_number_of_networks() -> None:
    method = nano(yaws=(-40.0, -20.0, 0.0, 20.0))
    assert len(method.backbones) == 4
    assert method.view_weights.tolist() == [0.25] * 4
    assert method(make_batch(views=4)["input"]).shape == (6, 3)
    with pytest.raises(ValueError, match="argument"):
        method(make_batch(views=3)["input"])


def test_images_divide_into_patches() -> None:
    with pytest.raises(InvalidSuite, match="image_size is 40; give a multiple of patch_size, 16"):
        nano(image_size=40)


def test_each_network_sees_its_own_view_in_0_to_1() -> None:
    method = nano().eval()
    seen: list[Tensor] = []
    for network in method.backbones:
        network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = make_batch()["input"]
    method(images)
    for view, pixels in enumerate(seen):
        assert torch.equal(pixels, images[:, view].float() / 255)


def test_pixels_may_be_those_of_imagenet() -> None:
    method = nano(pixels="imagenet").eval()
    seen: list[Tensor] = []
    method.backbones[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = make_batch()["input"]
    method(images)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(seen[0], (images[:, 1] / 255 - mean) / std)


WEIGHTS = torch.tensor([0.5, 0.3, 0.2])


def test_the_gradient_of_the_logit_mixture_is_equation_8() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True)
    label = torch.randint(0, 4, (5,))
    weights = WEIGHTS.double()
    (gradient,) = torch.autograd.grad(F.cross_entropy(mix(logits, weights, "logits"), label, reduction="sum"), logits)
    predicted = torch.softmax(sum(weights[v] * logits[:, v] for v in range(3)), -1)  # type: ignore[arg-type]
    residual = predicted - F.one_hot(label, 4)  # (B, C)
    torch.testing.assert_close(gradient, weights[:, None] * residual[:, None])


def test_the_probability_mixture_is_equation_4() -> None:
    torch.manual_seed(0)
    logits, label = torch.randn(5, 3, 4), torch.randint(0, 4, (5,))
    expected = 0.0
    for i in range(5):
        mixture = sum(WEIGHTS[v] * torch.softmax(logits[i, v], 0)[label[i]] for v in range(3))
        expected -= math.log(float(mixture)) / 5
    scores = mix(logits, WEIGHTS, "probs")
    assert F.cross_entropy(scores, label).item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(scores.exp().sum(-1), torch.ones(5))


def test_the_worse_view_weighs_more_as_printed_and_less_with_the_other_sign() -> None:
    torch.manual_seed(0)
    logits, label = torch.randn(7, 3, 4), torch.randint(0, 4, (7,))
    logits[torch.arange(7), 1, label] += 5.0  # view 1 is right
    losses = torch.tensor([float(F.cross_entropy(logits[:, v], label)) for v in range(3)])
    printed = weigh(logits, label, 1)
    torch.testing.assert_close(printed, losses.exp() / losses.exp().sum())
    assert printed.argmin() == 1
    opposite = weigh(logits, label, -1)
    torch.testing.assert_close(opposite, (-losses).exp() / (-losses).exp().sum())
    assert opposite.argmax() == 1


def test_weights_of_a_step_come_from_the_one_before() -> None:
    method = nano()
    optimizer, _ = optimizer_and_schedule(method)
    first, second = make_batch(seed=1), make_batch(seed=2)
    with torch.no_grad():
        logits = method.view_logits(first["input"])
    equal = torch.full((3,), 1 / 3)
    assert step(method, optimizer, first) == pytest.approx(
        F.cross_entropy(mix(logits, equal, "logits"), first["label"]).item(), rel=1e-5
    )
    learned = weigh(logits, first["label"], 1)
    torch.testing.assert_close(method.view_weights, learned)
    assert not torch.allclose(learned, equal)
    with torch.no_grad():
        logits = method.view_logits(second["input"])
    assert step(method, optimizer, second) == pytest.approx(
        F.cross_entropy(mix(logits, learned, "logits"), second["label"]).item(), rel=1e-5
    )


def test_weights_change_in_training_only_and_reset_on_demand() -> None:
    method = nano()
    method.eval().loss(make_batch())
    assert method.view_weights.tolist() == pytest.approx([1 / 3] * 3)
    method.train().loss(make_batch())
    learned = method.view_weights.clone()
    assert learned.tolist() != pytest.approx([1 / 3] * 3)
    method.reset_each_epoch = False
    method.on_train_epoch_start()
    assert torch.equal(method.view_weights, learned)
    method.reset_each_epoch = True
    method.on_train_epoch_start()
    assert method.view_weights.tolist() == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("mixture", ["logits", "probs"])
def test_evaluation_fuses_equally_or_by_the_saved_weights(mixture: Any) -> None:
    method = nano(mixture=mixture)
    method.view_weights.copy_(WEIGHTS)
    uniform = nano(mixture=mixture).eval()
    learned = nano(mixture=mixture, eval_weights="learned").eval()
    for other in (uniform, learned):
        other.load_state_dict(method.state_dict())  # strict: the weights are part of it
    # Different networks, for equal ones would hide whose weight is whose.
    for network in (*uniform.backbones, *learned.backbones):
        torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(1))
    images = make_batch()["input"]
    with torch.no_grad():
        logits = learned.view_logits(images)
        torch.testing.assert_close(uniform(images), mix(logits, torch.full((3,), 1 / 3), mixture))
        torch.testing.assert_close(learned(images), mix(logits, WEIGHTS, mixture))


def test_the_schedule_warms_up_falls_and_resumes() -> None:
    method = nano(batch_size=64)
    base = 5e-4 * 64 / 512

    def walk(steps: int, optimizer: Any, schedule: Any) -> list[float]:
        rates = []
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return rates

    optimizer, schedule = optimizer_and_schedule(method)
    rates = walk(60, optimizer, schedule)
    saved = optimizer.state_dict(), schedule.state_dict()
    rates += walk(140, optimizer, schedule)
    assert [rates[0], rates[1]] == pytest.approx([1e-6, 1e-6 + (base - 1e-6) / 5])
    for epoch in (5, 100, 199):  # the cosine counts from epoch 0, through the warm-up
        expected = 1e-5 + (base - 1e-5) * (1 + math.cos(math.pi * epoch / 200)) / 2
        assert rates[epoch] == pytest.approx(expected)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[5:]))

    optimizer, schedule = optimizer_and_schedule(nano(batch_size=64))
    optimizer.load_state_dict(saved[0])
    schedule.load_state_dict(saved[1])
    assert walk(140, optimizer, schedule) == rates[60:]

    short = nano(epochs=3, batch_size=64)
    assert walk(3, *optimizer_and_schedule(short)) == pytest.approx(rates[:3])


def test_the_rate_grows_with_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MiT, "trainer", SimpleNamespace(world_size=4))
    optimizer, _ = optimizer_and_schedule(nano(batch_size=64))
    assert optimizer.param_groups[0]["initial_lr"] == 5e-4 * 64 * 4 / 512


def test_only_matrices_decay() -> None:
    method = nano()
    optimizer, _ = optimizer_and_schedule(method)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    by_name = {name: decay[id(parameter)] for name, parameter in method.named_parameters()}
    assert {by_name[f"backbones.1.{name}"] for name in ("head.weight", "patch_embed.proj.weight")} == {0.05}
    spared = ("head.bias", "norm.weight", "cls_token", "pos_embed", "blocks.0.attn.qkv.bias")
    assert {by_name[f"backbones.1.{name}"] for name in spared} == {0.0}
    assert all(group["eps"] == 1e-8 for group in optimizer.param_groups)


def test_predictions_do_not_depend_on_the_batch() -> None:
    method = nano(drop_path=0.1).eval()
    images = make_batch()["input"]
    with torch.no_grad():
        together = method(images)
        torch.testing.assert_close(together, torch.cat([method(image[None]) for image in images]))
        assert torch.equal(together, method(images))


def test_independent_views_have_a_loss_each_and_are_fused_equally() -> None:
    method, batch = nano(mixture="independent"), make_batch()
    logits = method.view_logits(batch["input"])
    expected = sum(F.cross_entropy(logits[:, v], batch["label"]) for v in range(3))
    torch.testing.assert_close(method.loss(batch), expected)
    assert method.view_weights.tolist() == pytest.approx([1 / 3] * 3)
    torch.testing.assert_close(method.eval()(batch["input"]), logits.mean(1))


def test_a_shared_network_sees_every_view() -> None:
    method, batch = nano(shared=True).eval(), make_batch()
    assert len(method.backbones) == 1 and len(method.view_weights) == 3
    with torch.no_grad():
        each = torch.stack([method.backbones[0](batch["input"][:, v].float() / 255) for v in range(3)], 1)
        torch.testing.assert_close(method.view_logits(batch["input"]), each)


def test_the_average_follows_the_weights_and_is_what_is_scored(tmp_path: Path) -> None:
    method = nano(ema_decay=0.9, batch_size=6, learning_rate=0.1, warmup_epochs=0)
    states: list[Tensor] = []

    class Watch(L.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            states.append(method.backbones[0].head.weight.detach().clone())

    samples = make_batch()
    loader: Any = DataLoader([samples] * 3, batch_size=None)  # type: ignore[arg-type]
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Watch()],
    )
    trainer.fit(method, loader)
    expected = states[0]
    for state in states[1:]:
        expected = 0.9 * expected + 0.1 * state
    assert method.average is not None
    averaged = method.average.module[0].head.weight
    torch.testing.assert_close(averaged, expected)
    assert not averaged.requires_grad
    assert method.num_parameters == nano().num_parameters
    method.eval()
    with torch.no_grad():
        logits = torch.stack([net(samples["input"][:, v].float() / 255) for v, net in enumerate(method.average.module)])
        torch.testing.assert_close(method(samples["input"]), logits.mean(0))
    other = nano(ema_decay=0.9)
    other.load_state_dict(method.state_dict())
    torch.testing.assert_close(other.eval()(samples["input"]), method(samples["input"]))


def test_weights_of_deit_start_every_view_without_their_head(tmp_path: Path) -> None:
    torch.manual_seed(5)
    state = deit("nano", num_classes=1000, image_size=32).state_dict()
    torch.save({"model": state}, tmp_path / "deit.pth")
    method = nano(pretrained=str(tmp_path / "deit.pth"))
    head = method.backbones[0].head.weight.clone()
    assert method.weights == "deit.pth"
    method.initialise()
    for network in method.backbones:
        own = network.state_dict()
        assert all(torch.equal(own[key], value) for key, value in state.items() if not key.startswith("head."))
        assert torch.equal(own["head.weight"], head)


def test_positions_are_interpolated_to_another_grid(tmp_path: Path) -> None:
    state = deit("nano", num_classes=3, image_size=32).state_dict()
    torch.save(state, tmp_path / "deit.pt")
    method = nano(pretrained=str(tmp_path / "deit.pt"), image_size=64)
    method.initialise()
    positions = method.backbones[2].pos_embed
    assert positions.shape == (1, 17, 64)
    assert torch.equal(positions[:, 0], state["pos_embed"][:, 0])
    assert torch.equal(method.backbones[2].head.weight, state["head.weight"])  # of as many classes: taken


def test_checkpoints_of_the_public_code_load(tmp_path: Path) -> None:
    states = {}
    for number, view in enumerate(("modelRA_20", "modelRA0", "modelRA20")):
        torch.manual_seed(number)
        states[view] = deit("nano", num_classes=3, image_size=32).state_dict()
    training = {"epoch": 199, "args": argparse.Namespace(lr=5e-4), "optimizerRA0": {"state": {}, "param_groups": []}}
    torch.save({**states, **training}, tmp_path / "checkpoint.pth")
    method = nano(pretrained=str(tmp_path / "checkpoint.pth"))
    method.initialise()
    for network, state in zip(method.backbones, states.values(), strict=True):
        assert all(torch.equal(network.state_dict()[key], value) for key, value in state.items())
    assert method.unsound, "nobody knows on whom it was trained"
    other_order = MiT(
        Target("classification", BASIC_SIX[2::-1]),
        size="nano",
        image_size=32,
        pretrained=str(tmp_path / "checkpoint.pth"),
    )
    other_order.initialise()
    taken = next(iter(states.values()))
    assert torch.equal(other_order.backbones[0].norm.weight, taken["norm.weight"])
    assert not torch.equal(other_order.backbones[0].head.weight, taken["head.weight"])
    with pytest.raises(InvalidFile, match="holds a network a view, and `shared` wants one"):
        nano(pretrained=str(tmp_path / "checkpoint.pth"), shared=True).initialise()
    wide = nano(pretrained=str(tmp_path / "checkpoint.pth"), yaws=(-30.0, 0.0, 30.0))
    with pytest.raises(InvalidFile, match=r"checkpoint\.pth: has no view modelRA_30"):
        wide.initialise()


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSuite, match="no weights are published for size nano with patches of 16"):
        nano(pretrained=True)
    torch.save(deit("nano", num_classes=3, image_size=32, patch_size=8).state_dict(), tmp_path / "other.pt")
    with pytest.raises(InvalidFile, match=r"patch_embed.proj.weight is \(64, 3, 8, 8\) where the network has"):
        nano(pretrained=str(tmp_path / "other.pt")).initialise()
    torch.save({"model": "no state"}, tmp_path / "text.pt")
    with pytest.raises(InvalidFile, match=r"text\.pt: holds a str where a state dict should be"):
        nano(pretrained=str(tmp_path / "text.pt")).initialise()
    distilled = deit("nano", num_classes=3, image_size=32).state_dict()
    distilled["pos_embed"] = torch.zeros(1, 6, 64)  # another token beside the class token
    torch.save(distilled, tmp_path / "distilled.pt")
    with pytest.raises(InvalidFile, match=r"pos_embed is \(1, 6, 64\) where the network has \(1, 5, 64\)"):
        nano(pretrained=str(tmp_path / "distilled.pt")).initialise()
    with pytest.raises(InvalidSuite, match=r"ema_decay is 1\.5"):
        nano(ema_decay=1.5)


def test_as_many_views_as_networks() -> None:
    assert nano().why_unsupported((3, 3, 32, 32)) == ""
    assert nano().why_unsupported((1, 3, 32, 32)) == "takes 3 views, and the data show 1"


@pytest.mark.parametrize("mixture", ["logits", "probs"])
def test_a_few_steps_fit_a_small_batch(mixture: Any) -> None:
    method = nano(mixture=mixture, learning_rate=0.1, warmup_epochs=0)
    optimizer, _ = optimizer_and_schedule(method)
    batch = make_batch()
    losses = [step(method, optimizer, batch) for _ in range(80)]
    assert losses[-1] < 0.1 * losses[0]


def test_a_trainer_resets_logs_and_saves(tmp_path: Path) -> None:
    method = nano(batch_size=2)
    starts: list[list[float]] = []

    class Watch(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, number: int) -> None:
            if number == 0:
                starts.append(method.view_weights.tolist())

    samples = make_batch()
    batches = [
        {"id": samples["id"][i : i + 2], "input": samples["input"][i : i + 2], "label": samples["label"][i : i + 2]}
        for i in (0, 2, 4)
    ]
    trainer = L.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Watch()],
    )
    loader: Any = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    trainer.fit(method, loader, loader)
    assert starts == [pytest.approx([1 / 3] * 3)] * 2
    assert {"train/loss", "val/loss", "val/accuracy"} <= set(trainer.callback_metrics)
    assert trainer.optimizers[0].param_groups[0]["initial_lr"] == 5e-4 * 2 / 512
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]["view_weights"]
    assert torch.equal(saved, method.view_weights)
    assert saved.tolist() != pytest.approx([1 / 3] * 3)


def weights_of_half(rank: int, store: str, results: Any) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    batch = make_batch(7)
    global_batch.start(4 - rank)
    results.put(weights_after({"id": batch["id"][rank::2], **{k: batch[k][rank::2] for k in ("input", "label")}}))
    torch.distributed.destroy_process_group()


def weights_after(batch: Batch) -> list[float]:
    method = nano()
    method.loss(batch)
    return method.view_weights.tolist()


@pytest.mark.skipif(sys.platform != "linux", reason="forks, for importing everything anew takes long")
def test_two_ranks_have_the_weights_of_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    arguments = (str(tmp_path / "store"), results)
    ranks = [context.Process(target=weights_of_half, args=(rank, *arguments)) for rank in range(2)]
    for process in ranks:
        process.start()
    try:
        first, second = (results.get(timeout=60) for _ in ranks)
    finally:
        for process in ranks:
            process.join(10)
            process.kill()
    assert first == second
    assert first == pytest.approx(weights_after(make_batch(7)), rel=1e-5)
    assert max(first) - min(first) > 1e-3


def test_the_public_codes_mixing_is_an_option() -> None:
    batch = make_batch()
    plain, mixed = nano(), nano(mixup=True, sampling="by_class")
    assert (plain.stage.sampling, mixed.stage.sampling) == ("all", "by_class")
    assert torch.equal(plain.eval()(batch["input"]), mixed.eval()(batch["input"]))
    mixed.train()
    for network in mixed.backbones:
        network.eval()
    np.random.seed(0)
    seen: list[torch.Tensor] = []
    mixed.backbones[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    mixed.loss(batch)
    first = batch["input"][:, 0] / 255
    assert not torch.allclose(seen[0], first)
    odd = make_batch(5)["input"][:, 0] / 255
    assert torch.equal(mixed._mixed(odd)[4], odd[4])
    assert torch.equal(mixed._mixed(odd[:1]), odd[:1])
