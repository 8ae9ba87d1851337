"""Ig3D's intermediate fusion."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from fer_bench.errors import InvalidSuite
from fer_bench.expressions import EXPRESSIONS
from fer_bench.methods.ig3d import Ig3D
from fer_bench.nn.ddamfn import DDAMFNetwork
from fer_bench.records import Batch, Target

SEVEN = Target("classification", EXPRESSIONS[:7])
AFFECT = Target("valence_arousal", ("valence", "arousal"))


def make(target: Target = SEVEN, **options: Any) -> Ig3D:
    torch.manual_seed(0)
    small = {"size": "nano", "image_size": 32} if target is AFFECT else {}
    return Ig3D(target, **small | {"augmentation": "none"} | options)


def batch(method: Ig3D, size: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(0)
    photos = torch.randint(0, 256, (size, *method.seen.photo.shape), dtype=torch.uint8, generator=generator)
    vectors = torch.randn(size, *method.seen.parameters.shape, generator=generator)
    affect = 2 * torch.rand(size, 2, generator=generator) - 1
    label = torch.arange(size) if method.target is SEVEN else affect
    ids = [f"s{i}" for i in range(size)]
    return {"id": ids, "input": method.seen.pack(photos, vectors), "label": label, "affect": affect}


@pytest.mark.parametrize("target", [SEVEN, AFFECT], ids=lambda target: target.task)
def test_both_inputs_count(target: Target) -> None:
    method = make(target)
    given = batch(method)["input"]
    for _ in range(20):  # a random network whose normalisation has seen nothing gives next to nothing
        method.train()(given)
    method.eval()
    photos, vectors = method.seen.unpack(given)
    whole = method(given)
    assert whole.shape == (4, len(target.outputs))
    for changed in (method.seen.pack(photos.flip(0), vectors), method.seen.pack(photos, vectors.flip(0))):
        assert not torch.allclose(method(changed), whole)


def test_the_classifier_sees_512_of_each() -> None:
    method = make().eval()
    given = batch(method)["input"]
    photos, vectors = method.seen.unpack(given)
    found = method.predict(given)
    assert found["features"].shape == (4, 1024)
    torch.testing.assert_close(found["features"][:, :512], method.image.features_of(method.augmentation(photos))[0])
    torch.testing.assert_close(found["features"][:, 512:], method.parameters_of_face(vectors))


def test_heads_are_pulled_together() -> None:
    method = make(heads=2).eval()
    given: Batch = {**batch(method), "affect": torch.full((4, 2), torch.nan)}
    plain = F.cross_entropy(method(given["input"]), given["label"]).item()
    with torch.no_grad():
        maps = method.image.features_of(method.augmentation(method.seen.unpack(given["input"])[0]))[1]
    apart = (maps[0] - maps[1]).square().mean().item()
    assert apart > 0
    assert method.loss(given).item() == pytest.approx(plain + apart, rel=1e-4)


def test_the_fault_of_the_public_optimiser_is_an_option() -> None:
    joined = ("classifier", "parameters_of_face")
    for trained in (True, False):
        method = make(AFFECT, fusion_trained=trained)
        assert all(p.requires_grad == trained for n, p in method.named_parameters() if n.startswith(joined))
        assert all(p.requires_grad for n, p in method.named_parameters() if n.startswith("image"))


def test_the_image_network_starts_from_a_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = DDAMFNetwork(8, heads=1)
    torch.save({"model_state_dict": source.state_dict()}, tmp_path / "ddamfn.pth")
    method = make(pretrained=str(tmp_path / "ddamfn.pth"))
    method.initialise()
    assert torch.equal(method.image.Linear.conv.weight, source.Linear.conv.weight)


def test_photographs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidSuite, match="ig3d: image_size is 100; give 224"):
        Ig3D(AFFECT, image_size=100)
