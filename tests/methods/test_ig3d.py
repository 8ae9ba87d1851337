"""Ig3D's intermediate fusion."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from fer_bench.errors import InvalidSuite
from fer_bench.expressions import EXPRESSIONS
from fer_bench.methods.affect_losses import concordant
from fer_bench.methods.ig3d import Ig3D
from fer_bench.nn.ddamfn import DDAMFNetwork
from fer_bench.records import Batch, Target

SEVEN = Target("classification", EXPRESSIONS[:7])
AFFECT = Target("valence_arousal", ("valence", "arousal"))


def make(target: Target = SEVEN, **options: Any) -> Ig3D:
    torch.manual_seed(0)
    small = {"size": "nano", "image_size": 32} if target is AFFECT else {}
    return Ig3D(target, **small | {"augmentation": "none", "pretrained": False} | options)


def batch(method: Ig3D, size: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(0)
    photos = torch.randint(0, 256, (size, *method.seen.photo.shape), dtype=torch.uint8, generator=generator)
    vectors = torch.randn(size, *method.seen.parameters.shape, generator=generator)
    affect = 2 * torch.rand(size, 2, generator=generator) - 1
    label = torch.arange(size) if method.target is SEVEN else affect
    ids = [f"s{i}" for i in range(size)]
    expression = torch.arange(size)
    packed = method.seen.pack(photos, vectors)
    return {"id": ids, "input": packed, "label": label, "affect": affect, "expression": expression}


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
    torch.testing.assert_close(found["features"][:, 512:], method.image.features_of(method.augmentation(photos))[0])
    torch.testing.assert_close(found["features"][:, :512], method.parameters_of_face(vectors))


def test_heads_are_pulled_together() -> None:
    method = make(heads=2).eval()
    given: Batch = {**batch(method), "affect": torch.full((4, 2), torch.nan)}
    plain = F.cross_entropy(method(given["input"]), given["label"]).item()
    with torch.no_grad():
        maps = method.image.features_of(method.augmentation(method.seen.unpack(given["input"])[0]))[1]
    apart = (maps[0] - maps[1]).square().mean().item()
    assert apart > 0
    assert method.loss(given).item() == pytest.approx(plain + 0.1 * apart, rel=1e-4)


def test_on_rafdb_the_classifier_has_as_many_outputs_as_classes() -> None:
    assert make().classifier[-1].out_features == 9
    assert make(rated=False).classifier[-1].out_features == 7
    method = make(rated=False).eval()
    given = batch(method)
    expected = F.cross_entropy(method(given["input"]), given["label"]).item()
    assert method.loss(given).item() == pytest.approx(expected, rel=1e-5)


def test_valence_and_arousal_have_two_stages() -> None:
    method = make(AFFECT, epochs=(20, 20), masking=0.0, sampling="rarest").eval()
    given = batch(method)
    first, second = method.stages
    assert (first.name, first.sampling, second.name, second.sampling) == ("combined", "rarest", "affect", "rarest")
    assert method.affect is not None
    method.on_stage_start(first)
    assert not any(p.requires_grad for p in method.affect.parameters())
    outputs = method.classifier(method.predict(given["input"])["features"])
    plain = F.cross_entropy(outputs[:, :8], given["expression"])
    expected = plain + 5 * (outputs[:, 8:] - given["affect"]).square().mean()
    assert method.loss(given).item() == pytest.approx(expected.item(), rel=1e-5)
    method.on_stage_start(second)
    assert not any(p.requires_grad for p in method.classifier.parameters())
    assert method.loss(given).item() == pytest.approx(concordant(method(given["input"]), given["affect"]).item())
    with pytest.raises(InvalidSuite, match="expressions are not trained with two outputs"):
        make(epochs=(1, 1))


def test_both_optimisers_of_the_public_code() -> None:
    cyclic = make().configure_optimizers()["lr_scheduler"]["scheduler"]
    assert (cyclic.base_lrs[0], cyclic.max_lrs[0], cyclic.total_size) == (1e-6, 1e-4, 2 * 2241)
    plateau = make(optimizer="adam", weight_decay=0.0).configure_optimizers()
    assert isinstance(plateau["optimizer"], torch.optim.Adam)
    assert plateau["optimizer"].param_groups[0]["lr"] == 1e-4
    assert plateau["lr_scheduler"]["monitor"] == "val/loss"
    assert (plateau["lr_scheduler"]["scheduler"].factor, plateau["lr_scheduler"]["scheduler"].patience) == (0.1, 0)


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
    assert "tested photographs" in method.unsound


def test_photographs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidSuite, match="ig3d: image_size is 100; give 224"):
        Ig3D(AFFECT, image_size=100, pretrained=False)
