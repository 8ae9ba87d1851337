"""EMOCA's and SMIRK's encoders: sizes, layouts, and the order of their parameters."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fer_bench.errors import InvalidFile
from fer_bench.io.morphable_parameters import parts_of
from fer_bench.nn.face_regressors import Emoca, Smirk, load_regressor


def parts(vector: str, values: Tensor) -> dict[str, Tensor]:
    sizes = dict(parts_of(vector))
    return dict(zip(sizes, values.split(list(sizes.values()), dim=1), strict=True))


class Fixed(nn.Module):
    """An encoder that gives the same numbers of every photograph."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values

    def forward(self, x: Tensor) -> Tensor:
        return self.values.expand(len(x), -1)


def test_the_backbones_of_smirk_are_the_public_ones() -> None:
    network = Smirk()
    counts = [sum(p.numel() for p in part.encoder.parameters()) for part in network.children()]
    assert counts == [428_888, 1_413_208, 1_413_208]
    state = network.state_dict()
    assert state["pose_encoder.pose_cam_layers.0.weight"].shape == (6, 576)
    assert state["shape_encoder.shape_layers.0.weight"].shape == (300, 960)
    assert state["expression_encoder.expression_layers.0.weight"].shape == (55, 960)
    assert "pose_encoder.encoder.conv_stem.weight" in state


@pytest.mark.parametrize("jaw", [False, True])
def test_emocas_numbers_come_in_the_vectors_order(jaw: bool) -> None:
    with torch.device("meta"):
        network = Emoca(jaw)
    flame = torch.arange(236.0)[None]
    expression, detail = 1000 + torch.arange(53.0 if jaw else 50.0)[None], 2000 + torch.arange(128.0)[None]
    network.E_flame, network.E_expression, network.E_detail = Fixed(flame), Fixed(expression), Fixed(detail)
    found = parts("emoca-334", network(torch.zeros(2, 3, 8, 8)))
    assert torch.equal(found["shape"][0], flame[0, :100])
    assert torch.equal(found["tex"][0], flame[0, 100:150])
    assert torch.equal(found["exp"][1], expression[0, :50]), "not DECA's, at 150 to 199"
    assert torch.equal(found["pose"][0, :3], flame[0, 200:203])
    assert torch.equal(found["pose"][0, 3:], expression[0, 50:] if jaw else flame[0, 203:206])
    assert torch.equal(found["detail"][0], detail[0])


def test_smirks_eyelids_and_jaw_are_held_within_bounds() -> None:
    with torch.device("meta"):
        network = Smirk()
    raw = torch.arange(55.0)[None]
    raw[0, 50:] = torch.tensor([-1.0, 2.0, -0.5, 0.7, -0.1])
    pose, shape = torch.arange(6.0)[None], 500 + torch.arange(300.0)[None]
    network.pose_encoder, network.shape_encoder, network.expression_encoder = Fixed(pose), Fixed(shape), Fixed(raw)
    found = parts("smirk-358", network(torch.zeros(1, 3, 8, 8)))
    assert found["pose_params"][0].tolist() == [0, 1, 2]
    assert torch.equal(found["shape_params"], shape)
    assert torch.equal(found["expression_params"][0], raw[0, :50])
    assert found["eyelid_params"][0].tolist() == [0, 1]
    torch.testing.assert_close(found["jaw_params"][0], torch.tensor([0, 0.2, -0.1]))


def test_public_checkpoints_load(tmp_path: Path) -> None:
    torch.manual_seed(0)
    smirk = Smirk().eval()
    torch.save(
        {f"smirk_encoder.{key}": value for key, value in smirk.state_dict().items()}
        | {"smirk_generator.weight": torch.zeros(3)},
        tmp_path / "SMIRK_em1.pt",
    )
    photos = torch.rand(2, 3, 64, 64)
    found = load_regressor("smirk", tmp_path / "SMIRK_em1.pt")
    with torch.no_grad():
        assert torch.equal(found(photos), smirk(photos))
    emoca = Emoca(jaw=True).eval()
    state = {f"deca.{key}": value for key, value in emoca.state_dict().items()}
    torch.save({"state_dict": state | {"deca.D_detail.weight": torch.zeros(3)}, "epoch": 3}, tmp_path / "emoca.ckpt")
    found = load_regressor("emoca", tmp_path / "emoca.ckpt")
    with torch.no_grad():
        assert torch.equal(found(photos), emoca(photos))
        assert found(photos).shape == (2, 334)


def test_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({"smirk_encoder.pose_encoder.x": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(InvalidFile, match="is missing where the network has"):
        load_regressor("smirk", tmp_path / "other.pt")
