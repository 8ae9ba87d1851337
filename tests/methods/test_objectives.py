"""What a checkpoint is chosen by."""

import numpy as np
import pytest
import torch
from timm.scheduler import CosineLRScheduler

from fer_bench.methods.objectives import answers, cosine_with_warmup, validation_metric
from fer_bench.metrics.valence_arousal import ccc
from fer_bench.records import Target


def test_valence_and_arousal_are_judged_each_by_itself() -> None:
    """A training that answers two constants is not to be chosen for it, as it would be by both in one list."""
    target = Target("valence_arousal", ("valence", "arousal"))
    rng = np.random.default_rng(0)
    truth = np.column_stack([rng.normal(-0.5, 0.2, 64), rng.normal(0.5, 0.2, 64)])
    good = truth + rng.normal(0, 0.1, truth.shape)
    constants = np.tile(truth.mean(0), (64, 1)) + rng.normal(0, 1e-3, truth.shape)
    assert ccc(constants.ravel(), truth.ravel()) > 0.9
    name, metric = validation_metric(target)
    assert name == "ccc_mean"
    for outputs, least, most in ((good, 0.8, 1.0), (constants, -0.05, 0.05)):
        for part in range(0, 64, 16):  # batch by batch
            metric(*answers(target, torch.tensor(outputs[part : part + 16]), torch.tensor(truth[part : part + 16])))
        found = metric.compute().item()
        assert least < found < most
        by_hand = np.mean([ccc(outputs[:, place], truth[:, place]) for place in (0, 1)])
        assert found == pytest.approx(by_hand, abs=0.02)  # torchmetrics divides by N - 1
        metric.reset()


def test_the_schedule_of_deit_is_timms() -> None:
    ours, theirs = (torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=6.25e-5) for _ in range(2))
    schedule = cosine_with_warmup(ours, 200, 5, 1e-6, 1e-5)
    published = CosineLRScheduler(theirs, t_initial=200, lr_min=1e-5, warmup_t=5, warmup_lr_init=1e-6)
    for epoch in range(200):
        published.step(epoch)
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9), epoch
        ours.step()
        schedule.step()
