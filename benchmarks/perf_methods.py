"""`make perf`: training steps of the methods, timed against named peers in the same run."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import timm
import torch
from timing import Row, seconds, write_tables
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn import functional as F

from fer_bench.expressions import BASIC_SIX
from fer_bench.methods.mit import MiT
from fer_bench.nn.vit import Size
from fer_bench.records import Batch, Target

Precision = AbstractContextManager[object]
Step = Callable[[], None]
SIX = Target("classification", BASIC_SIX)
# Multiplications and additions of a forward pass of one 224 x 224 view, times three for a training step.
GIGA_OPERATIONS_BASE = 2 * 17.58


def make_batch(size: int, device: str) -> Batch:
    """Three views of 224 x 224 a sample."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (size, 3, 3, 224, 224), dtype=torch.uint8, generator=generator)
    return {
        "id": [f"s{i}" for i in range(size)],
        "input": images.to(device),
        "label": (torch.arange(size) % 6).to(device),
    }


def step_of(loss: Callable[[], Tensor], parameters: list[nn.Parameter], precision: Precision) -> Step:
    """A training step: gradients and AdamW."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, fused=parameters[0].is_cuda)

    def step() -> None:
        optimizer.zero_grad()
        with precision:
            found = loss()
        found.backward()
        optimizer.step()
        if parameters[0].is_cuda:
            torch.cuda.synchronize()

    return step


def ours(size: Size, batch: Batch, precision: Precision, compiled: bool = False) -> Step:
    """MiT as it is trained here."""
    method = MiT(SIX, size=size, pretrained=False).to(batch["input"].device).train()
    if compiled:
        for network in method.backbones:
            network.compile()
    return step_of(lambda: method.loss(batch), list(method.backbones.parameters()), precision)


def timm_models(size: Size, device: torch.device) -> list[nn.Module]:
    """Three DeiTs by timm, with the same stochastic depth."""
    first = timm.create_model(f"deit_{size}_patch16_224", num_classes=6, drop_path_rate=0.1)
    return [copy.deepcopy(first).to(device).train() for _ in range(3)]


def plain_loop(size: Size, batch: Batch, precision: Precision) -> Step:
    """Three models one after another, and the cross-entropy of their mean."""
    models = timm_models(size, batch["input"].device)

    def loss() -> Tensor:
        views = (batch["input"].float() / 255).unbind(1)
        logits = [model(view) for model, view in zip(models, views, strict=True)]
        return F.cross_entropy(sum(logits[1:], logits[0]) / 3, batch["label"])

    return step_of(loss, [p for model in models for p in model.parameters()], precision)


def stacked(size: Size, batch: Batch, precision: Precision) -> Step:
    """The three models' weights in one tensor each, so that every layer is one batched product."""
    models = timm_models(size, batch["input"].device)
    for model in models:
        model.eval()  # stochastic depth draws whole samples, which a batched product cannot skip
    weights, buffers = stack_module_state(models)
    skeleton = copy.deepcopy(models[0]).to("meta")

    def one(parameters: dict[str, Tensor], state: dict[str, Tensor], view: Tensor) -> Tensor:
        return functional_call(skeleton, (parameters, state), (view,))

    def loss() -> Tensor:
        views = (batch["input"].float() / 255).transpose(0, 1)
        logits = torch.vmap(one)(weights, buffers, views)
        return F.cross_entropy(logits.mean(0), batch["label"])

    return step_of(loss, list(weights.values()), precision)


def training_steps() -> Iterator[Row]:
    """A step on three views against plain loops; on a GPU also what speeds it up, and how much of the card is used."""
    size: Size = "tiny"
    batch = make_batch(4, "cpu")
    what = f"MiT-Tiny training step, 4 samples of three 224 x 224 views, {torch.get_num_threads()} threads"
    mine = ours(size, batch, nullcontext())
    yield Row.timed(what, mine, "a plain loop over three timm models", plain_loop(size, batch, nullcontext()))
    yield Row.timed(what, mine, "their weights stacked (vmap)", stacked(size, batch, nullcontext()))
    if torch.cuda.is_available():
        yield from on_gpu()


def on_gpu() -> Iterator[Row]:
    """MiT-Base in bf16, and its share of the card's measured rate of matrix products."""
    card, batch = torch.cuda.get_device_name(), make_batch(64, "cuda")
    half = torch.autocast("cuda", torch.bfloat16)
    what = f"MiT-Base training step in bf16, 64 samples of three views, {card}"
    mine = ours("base", batch, half)
    yield Row.timed(what, mine, "a plain loop over three timm models", plain_loop("base", batch, half))
    yield Row.timed(what, mine, "the same loop in float32", plain_loop("base", batch, nullcontext()))
    yield Row.timed(what, mine, "ours with torch.compile", ours("base", batch, half, compiled=True))
    yield Row.timed(what, mine, "weights stacked (vmap)", stacked("base", batch, half))
    best = min(seconds(mine), seconds(ours("base", batch, half, compiled=True)))
    done = 3 * 3 * GIGA_OPERATIONS_BASE * 64 / best / 1000
    rate = matmul_rate()
    yield Row(f"{what}: samples", "samples/s", 64 / best)
    yield Row(f"{what}: of {rate:.0f} measured matmul TFLOP/s", "share", done / rate)


def matmul_rate(size: int = 8192) -> float:
    """TFLOP/s of a large bf16 product on the GPU."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))

    def product() -> None:
        torch.matmul(a, b)
        torch.cuda.synchronize()

    return 2 * size**3 / seconds(product) / 1e12


if __name__ == "__main__":
    torch.manual_seed(0)
    write_tables("perf_methods", "Speed of the methods", "all cores", training_steps())
