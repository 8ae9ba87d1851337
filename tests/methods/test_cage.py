"""CAGE: sizes, both trainings, and the layouts that load."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torchvision.models import maxvit_t

from fer_bench.errors import InvalidFile, InvalidSuite
from fer_bench.methods.affect_losses import CLASS_WEIGHTS, concordant
from fer_bench.methods.cage import CAGE
from fer_bench.records import Batch, Target

AFFECT = Target("valence_arousal", ("valence", "arousal"))


def make(**options: Any) -> CAGE:
    torch.manual_seed(0)
    return CAGE(AFFECT, **{"size": "nano", "image_size": 32, "augmentation": "none", "pretrained": False} | options)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    affect = 2 * torch.rand(8, 2, generator=generator) - 1
    photos = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=generator)
    expression = torch.tensor([0, 1, 2, 3, 4, 5, 6, -1])
    return {"id": list("abcdefgh"), "input": photos, "label": affect, "expression": expression, "affect": affect}


def test_the_parameters_are_those_of_the_public_code() -> None:
    with torch.device("meta"):
        method = CAGE(AFFECT)
    network, combined, affect = (
        sum(p.numel() for p in part.parameters()) for part in (method.network, method.combined, method.affect)
    )
    assert network + combined == 30_412_744
    assert network + affect == 30_408_648


def test_ten_outputs_first_and_then_two() -> None:
    method = make().eval()
    given = batch()
    first, second = method.stages
    assert (first.sampling, second.sampling) == ("all", "rarest")
    method.on_stage_start(first)
    assert not any(p.requires_grad for p in method.affect.parameters())
    scores = method.combined(method.network(method.augmentation(given["input"])))
    plain = F.cross_entropy(scores[:7, :8], given["expression"][:7], torch.tensor(CLASS_WEIGHTS))
    expected = plain + 5 * (scores[:, 8:] - given["affect"]).square().mean()
    assert method.loss(given).item() == pytest.approx(expected.item(), rel=1e-5)
    method.on_stage_start(second)
    assert not any(p.requires_grad for p in method.combined.parameters())
    assert method.loss(given).item() == pytest.approx(concordant(method(given["input"]), given["affect"]).item())


def test_ten_outputs_alone_are_scored_too() -> None:
    method = make(epochs=(1, 0)).eval()
    x = batch()["input"]
    torch.testing.assert_close(method(x), method.combined(method.network(method.augmentation(x)))[:, 8:])


def test_the_rate_rises_again_as_in_the_public_code() -> None:
    for steps, period in ((2560, 2560), (None, 20)):
        schedule = make(cosine_steps=steps).configure_optimizers()["lr_scheduler"]["scheduler"]
        assert schedule.T_max == period


def test_checkpoints_load(tmp_path: Path) -> None:
    torch.manual_seed(1)
    published = maxvit_t(num_classes=10).state_dict()
    torch.save(published, tmp_path / "combined.pt")
    head = torch.randn(2, 512)
    without = {key: value for key, value in published.items() if key != "classifier.5.weight"}
    torch.save(without | {"classifier.6.weight": head}, tmp_path / "affect.pt")
    method = CAGE(AFFECT, pretrained=str(tmp_path / "combined.pt"))
    method.initialise()
    assert torch.equal(method.combined[4].weight, published["classifier.5.weight"])
    assert torch.equal(method.combined[1].weight, published["classifier.3.weight"])
    assert "tested photographs" in method.unsound
    key = "blocks.0.layers.0.layers.MBconv.layers.conv_a.0.weight"
    assert torch.equal(method.network.state_dict()[key], published[key])
    method = CAGE(AFFECT, pretrained=str(tmp_path / "affect.pt"))
    method.initialise()
    assert torch.equal(method.affect[4].weight, head)
    # torchvision's own: the code replaces its whole classifier.
    torch.save(maxvit_t().state_dict(), tmp_path / "imagenet.pth")
    method = CAGE(AFFECT, pretrained=str(tmp_path / "imagenet.pth"))
    before = method.combined[1].weight.clone()
    method.initialise()
    assert torch.equal(method.combined[1].weight, before)
    assert method.unsound == ""
    torch.save(maxvit_t(num_classes=7).state_dict(), tmp_path / "seven.pt")
    with pytest.raises(InvalidFile, match=r"classifier\.5\.weight has 7 outputs where the network has 2 or 10"):
        CAGE(AFFECT, pretrained=str(tmp_path / "seven.pt")).initialise()
    torch.save({"stem.0.0.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(InvalidFile, match="where the network has"):
        CAGE(AFFECT, pretrained=str(tmp_path / "other.pt")).initialise()


@pytest.mark.parametrize(("size", "image_size"), [("tiny", 112), ("nano", 40)])
def test_photographs_that_do_not_fit_are_refused(size: Any, image_size: int) -> None:
    with pytest.raises(InvalidSuite, match=f"cage: image_size is {image_size}; give"):
        CAGE(AFFECT, size=size, image_size=image_size, pretrained=False)


def test_a_small_network_remembers_what_it_has_seen() -> None:
    norms = [m for m in make().network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}


def test_weights_that_are_not_published_are_refused() -> None:
    with pytest.raises(InvalidSuite, match="no weights are published for size nano"):
        make(pretrained=True)
