"""DDAMFN: its loss, its recipe, and the public checkpoints."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from fer_bench.errors import InvalidFile, WeightsNotFound
from fer_bench.expressions import EXPRESSIONS
from fer_bench.methods.ddamfn import DDAMFN
from fer_bench.nn.ddamfn import ORDERS, DDAMFNetwork, spread_of_heads
from fer_bench.records import Batch, Target

SEVEN = Target("classification", EXPRESSIONS[:7])


def batch(size: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(0)
    photos = torch.randint(0, 256, (size, 3, 112, 112), dtype=torch.uint8, generator=generator)
    return {"id": [f"s{i}" for i in range(size)], "input": photos, "label": torch.arange(size)}


def checkpoint(path: Path, classes: int = 8) -> DDAMFNetwork:
    torch.manual_seed(1)
    network = DDAMFNetwork(classes)
    torch.save({"iter": 3, "model_state_dict": network.state_dict(), "optimizer_state_dict": {}}, path)
    return network


def test_the_loss_keeps_heads_apart() -> None:
    method = DDAMFN(SEVEN, augmentation="none", pretrained=False).eval()
    given = batch()
    with torch.no_grad():
        logits, maps = method.network(method.augmentation(given["input"]))
        plain = F.cross_entropy(logits, given["label"])
        assert method.loss(given).item() == pytest.approx((plain + 0.1 / spread_of_heads(maps)).item(), rel=1e-4)
        method.apart = 0
        assert method.loss(given).item() == pytest.approx(plain.item(), rel=1e-5)


def test_one_head_has_no_other_to_be_kept_from() -> None:
    method = DDAMFN(SEVEN, heads=1, augmentation="none", pretrained=False).eval()
    given = batch()
    with torch.no_grad():
        expected = F.cross_entropy(method(given["input"]), given["label"])
        assert method.loss(given).item() == pytest.approx(expected.item(), rel=1e-5)


def test_both_recipes_of_the_public_code() -> None:
    adam = DDAMFN(SEVEN, pretrained=False).configure_optimizers()
    assert isinstance(adam["optimizer"], torch.optim.Adam)
    assert adam["optimizer"].param_groups[0]["lr"] == 1e-4
    assert (adam["lr_scheduler"]["scheduler"].gamma, adam["lr_scheduler"]["scheduler"].step_size) == (0.6, 1)
    of_rafdb = {"optimizer": "sgd", "learning_rate": 0.01, "weight_decay": 1e-4, "gamma": 0.1, "step_epochs": 10}
    sgd = DDAMFN(SEVEN, pretrained=False, **of_rafdb).configure_optimizers()["optimizer"]
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.param_groups[0]["momentum"], sgd.param_groups[0]["weight_decay"]) == (0.9, 1e-4)
    assert DDAMFN(SEVEN, pretrained=False).stages[0].sampling == "balanced"


@pytest.mark.parametrize("head", ["new", "affectnet"])
def test_a_public_checkpoint_loads(tmp_path: Path, head: str) -> None:
    source = checkpoint(tmp_path / "affecnet8.pth")
    target = Target("classification", tuple(reversed(EXPRESSIONS)))
    method = DDAMFN(target, pretrained=str(tmp_path / "affecnet8.pth"), head=head)
    before = method.network.fc.weight.clone()
    method.initialise()
    assert torch.equal(
        method.network.features[3].model[2].conv.conv.weight, source.features[3].model[2].conv.conv.weight
    )
    assert torch.equal(method.network.Linear.conv.weight, source.Linear.conv.weight)
    # Row for row the classes that the target asks for, in its order.
    assert torch.equal(method.network.fc.weight, before if head == "new" else source.fc.weight.flip(0))
    assert "tested photographs" in method.unsound


def test_a_head_of_as_many_classes_in_another_order_is_not_taken_unasked(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "rafdb.pth", classes=7)
    method = DDAMFN(SEVEN, pretrained=str(tmp_path / "rafdb.pth"))
    before = method.network.fc.weight.clone()
    method.initialise()
    assert torch.equal(method.network.fc.weight, before)
    method = DDAMFN(SEVEN, pretrained=str(tmp_path / "rafdb.pth"), head="rafdb")
    method.initialise()
    assert torch.equal(method.network.fc.weight[0], source.fc.weight[ORDERS["rafdb"].index("neutral")])


def test_the_backbone_alone_loads_by_the_order_of_its_children(tmp_path: Path) -> None:
    torch.manual_seed(2)
    source = DDAMFNetwork(8)
    names = ("conv1", "conv2_dw", "conv_23", "conv_3", "conv_34", "conv_4", "conv_45", "conv_5", "conv_6_sep")
    state = {
        f"{names[int(k.split('.')[1])]}.{k.split('.', 2)[2]}": v
        for k, v in source.state_dict().items()
        if k.startswith("features.")
    }
    torch.save(state | {"conv_6_dw.conv.weight": torch.zeros(512, 1, 7, 7)}, tmp_path / "msceleb.pth")
    method = DDAMFN(SEVEN, pretrained=str(tmp_path / "msceleb.pth"))
    method.initialise()
    for key, value in source.features.state_dict().items():
        assert torch.equal(method.network.features.state_dict()[key], value), key
    assert method.unsound == ""


def test_what_cannot_be_taken_says_why(tmp_path: Path) -> None:
    checkpoint(tmp_path / "seven.pth", classes=7)
    method = DDAMFN(Target("classification", EXPRESSIONS), pretrained=str(tmp_path / "seven.pth"), head="rafdb")
    with pytest.raises(InvalidFile, match=r"its head rafdb has no class contempt\. Set head to new"):
        method.initialise()
    method = DDAMFN(SEVEN, pretrained=str(tmp_path / "seven.pth"), head="affectnet")
    with pytest.raises(InvalidFile, match=r"is not of 8 classes"):
        method.initialise()
    torch.save(DDAMFNetwork(7), tmp_path / "module.pth")  # as MFN_msceleb.pth is distributed
    method = DDAMFN(SEVEN, pretrained=str(tmp_path / "module.pth"))
    with pytest.raises(InvalidFile, match=r"holds objects and not tensors alone.*weights_only=False"):
        method.initialise()


@pytest.mark.parametrize("container", ["zip", "legacy", "safetensors"])
def test_a_start_that_is_not_sound_is_marked_in_any_container(tmp_path: Path, container: str) -> None:
    state = DDAMFNetwork(7).state_dict()
    path = tmp_path / f"trained.{'safetensors' if container == 'safetensors' else 'pth'}"
    if container == "safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        content = {"model_state_dict": state}
        torch.save(content, path, _use_new_zipfile_serialization=container == "zip")
    method = DDAMFN(SEVEN, pretrained=str(path))
    method.fetch()
    assert "tested photographs" in method.unsound


def test_a_state_dict_that_is_none_is_refused(tmp_path: Path) -> None:
    torch.save({"model_state_dict": 3}, tmp_path / "odd.pth")
    with pytest.raises(InvalidFile, match="holds no state dict"):
        DDAMFN(SEVEN, pretrained=str(tmp_path / "odd.pth")).initialise()


def test_the_weights_that_the_paper_starts_from_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsNotFound, match=r"MFN_msceleb\.pth are not in .*github.com/SainingZhang/DDAMFN"):
        DDAMFN(SEVEN).fetch()
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    (tmp_path / "hub/checkpoints/MFN_msceleb.pth").write_bytes(b"")
    assert DDAMFN(SEVEN).fetch() == tmp_path / "hub/checkpoints/MFN_msceleb.pth"
    assert DDAMFN(SEVEN).weights == "MFN_msceleb"
