"""Every method, trained by one process and by several that share its batches, by what each can do, never by name."""

import copy
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributed

from fer_bench.methods.base import Method
from fer_bench.nn import global_batch, global_batch_layers
from fer_bench.records import Batch
from tests.small_methods import MADE_FOR, batch_for, build, training_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, for importing everything anew takes long")


def part(batch: Batch, rank: int, processes: int) -> Batch:
    mine = {key: value[rank::processes] for key, value in batch.items()}  # type: ignore[index]
    return mine  # type: ignore[return-value]


def trained(method: Method, rank: int = 0, processes: int = 1, size: int = 5) -> list[tuple[float, Tensor]]:
    """The loss and the gradient of a step of every stage, and what the buffers are then."""
    batch = part(batch_for(method, size), rank, processes)
    if method.dtype == torch.float64:
        batch["input"] = batch["input"].double()
    found = []
    for stage in method.stages:
        method.on_stage_start(stage)
        method.train()
        learning = [p for p in method.parameters() if p.requires_grad]
        torch.manual_seed(0)
        global_batch.start(len(batch["id"]))
        loss = method.loss(batch)
        gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, learning)])
        global_batch.finish()
        if processes > 1:
            distributed.all_reduce(gradient)  # as DistributedDataParallel does
            gradient /= processes
        found.append((float(loss.detach()), gradient))
    buffers = [b.flatten().double() for name, b in method.named_buffers() if "num_batches" not in name]
    return [*found, (0.0, torch.cat(buffers) if buffers else torch.zeros(1))]


def compare(
    rank: int, processes: int, method: Method, size: int, alone: list[tuple[float, Tensor]], store: str, results: Any
) -> None:
    torch.set_num_threads(1)
    address = f"file://{store}"
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=processes)
    try:
        global_batch_layers.exchange(method)
        far = []
        for (loss, gradient), (expected, by) in zip(trained(method, rank, processes, size), alone, strict=True):
            apart = float((gradient - by).norm() / by.norm().clamp(min=1e-12))
            far.append((abs(loss - expected) / max(abs(expected), 1e-12), apart))
        results.put(far)
    except Exception as error:
        results.put(repr(error))
        raise


def together(method: Method, processes: int, size: int, store: Path) -> list[list[tuple[float, float]]]:
    """How far losses and gradients of several processes are from those of one, relative to them: of every stage, and in
    the end the buffers."""
    alone = trained(copy.deepcopy(method), size=size)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    ranks = [
        context.Process(target=compare, args=(rank, processes, method, size, alone, str(store), results))
        for rank in range(processes)
    ]
    for process in ranks:
        process.start()
    try:
        return [results.get(timeout=600) for _ in ranks]
    finally:
        for process in ranks:
            process.join(5)
            process.kill()


def cost(name: str, task: str) -> tuple[pytest.MarkDecorator, ...]:
    """Photographs and training in stages take longer."""
    method = build(name, task)
    quick = "photo" not in method.representations[0].takes and len(method.stages) == 1
    return () if quick else (pytest.mark.slow,)


@pytest.mark.parametrize(
    ("name", "task"), [pytest.param(*each, marks=cost(*each)) for each in MADE_FOR if build(*each).epochs]
)
def test_two_processes_train_as_one(name: str, task: str, tmp_path: Path) -> None:
    method = copy.deepcopy(build(name, task))
    method.setup_from_training_set(training_for(method))
    # What comes as bytes is made float32; the rest is followed in float64, where nothing hides behind rounding.
    exact = batch_for(method, 1)["input"].is_floating_point()
    if exact:
        method.double()
    for steps in together(method, 2, 5, tmp_path / "store"):
        assert len(steps) == len(method.stages) + 1, steps
        losses, gradients = np.array(steps).T
        assert losses.max() < (1e-10 if exact else 1e-4)
        # What is 0 in one sum and next to it in another passes a ReLU in one alone: mean faces of noise do so in DrFER.
        assert gradients.max() < 1e-3
