from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fer_bench.errors import InvalidSuite
from fer_bench.expressions import BASIC_SIX
from fer_bench.methods.pointnet2 import PointNet2
from fer_bench.records import Batch, Target
from fer_bench.representations.points import Points

TWO, SIX = Target("classification", BASIC_SIX[:2]), Target("classification", BASIC_SIX)


def make_batch(size: int, points: int = 512, classes: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(0)
    clouds = F.normalize(torch.randn(size, points, 3, generator=generator), dim=-1)
    label = torch.arange(size) % classes
    return {"id": [f"s{i}" for i in range(size)], "input": clouds, "label": label}


@pytest.fixture(scope="module")
def method() -> PointNet2:
    torch.manual_seed(0)
    return PointNet2(TWO, points=512)


def test_the_whole_is_encoder_and_head() -> None:
    assert PointNet2(SIX).num_parameters == 807_744 + 659_206
    assert PointNet2(SIX).representations == (Points(count=2048),)


def test_fewer_points_than_centres_are_refused() -> None:
    with pytest.raises(InvalidSuite, match="points is 511; give 512 or more"):
        PointNet2(SIX, points=511)


def test_clouds_are_augmented_in_training_only(method: PointNet2, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def spy(x: Tensor) -> Tensor:
        seen.append(x)
        return torch.zeros(len(x), 2)

    monkeypatch.setattr(method, "forward", spy)
    batch = make_batch(8)
    original = batch["input"].clone()
    method.eval().loss(batch)
    assert torch.equal(seen[0], original)
    torch.manual_seed(0)
    method.train().loss(batch)
    assert torch.equal(batch["input"], original)
    norms = seen[1].norm(dim=-1)  # of points of the unit sphere: each cloud's factor
    torch.testing.assert_close(norms, norms[:, :1].expand_as(norms))
    assert norms.min() >= 0.8 and norms.max() <= 1.25 and norms[:, 0].std() > 0.05
    dropped = (seen[1][:, 1:] == seen[1][:, :1]).all(-1).float().mean(1)  # (8,)
    assert dropped.max() < 0.95 and dropped.std() > 0.1


def test_the_rate_falls_by_0_7_every_20_epochs(method: PointNet2) -> None:
    configured: Any = method.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    assert optimizer.defaults["betas"] == (0.9, 0.999) and optimizer.defaults["weight_decay"] == 1e-4
    rates = []
    for _ in range(41):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert [rates[epoch] for epoch in (0, 19, 20, 40)] == pytest.approx([1e-3, 1e-3, 7e-4, 4.9e-4])


def test_predictions_do_not_depend_on_the_batch(method: PointNet2) -> None:
    method.eval()
    batch = make_batch(3)
    with torch.no_grad():
        together = method.predict_step(batch, 0)["output"]
        alone = torch.cat([method(x[None]) for x in batch["input"]])
        assert torch.equal(together, method(batch["input"]))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_a_few_steps_fit_a_small_batch() -> None:
    torch.manual_seed(0)
    method = PointNet2(TWO, points=512, dropout=0.0, max_point_dropout=0.0, scale=(1.0, 1.0))
    configured: Any = method.configure_optimizers()
    optimizer = configured["optimizer"]
    batch, losses = make_batch(4), []
    for _ in range(5):
        optimizer.zero_grad()
        loss = method.loss(batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_one_cloud_alone_cannot_be_trained_on(method: PointNet2) -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        method.train().loss(make_batch(1))
