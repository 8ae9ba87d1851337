"""EMOCA's and SMIRK's encoders: morphable-model parameters of photographs of faces.

Photographs (B, 3, 224, 224), RGB in [0, 1], cropped as each regressor was trained: both see the face with some margin,
EMOCA 1.25 and SMIRK 1.4 times the box of its landmarks. Vectors are those of `fer_bench.io.morphable_parameters`.
Weights are licensed and not distributed here: EMOCA's after registration at emoca.is.tue.mpg.de, SMIRK's by its
authors' repository (github.com/georgeretsi/smirk).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torchvision.models import resnet50

from fer_bench.errors import InvalidFile
from fer_bench.nn.weights import fit_weights, read_weights

SIZE = 224


class Emoca(nn.Module):
    """Three ResNet-50 with two linear layers each (Danecek et al., CVPR 2022; the first and the last are DECA's).

    Args:
        jaw: Whether the expression encoder gives the jaw's pose too, as in some of the published models.
    """

    vector = "emoca-334"

    def __init__(self, jaw: bool = False) -> None:
        super().__init__()
        self.E_flame = _ResNetRegressor(236)
        self.E_expression = _ResNetRegressor(53 if jaw else 50)
        self.E_detail = _ResNetRegressor(128)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, 334): expression, pose of head and jaw, albedo, detail, shape."""
        # Expression of DECA's encoder, camera and light are left out.
        shape, texture, _, pose, _ = self.E_flame(x).split([100, 50, 50, 6, 30], dim=1)
        found = self.E_expression(x)
        if found.shape[1] > 50:
            pose = torch.cat([pose[:, :3], found[:, 50:]], dim=1)
        return torch.cat([found[:, :50], pose, texture, self.E_detail(x), shape], dim=1)


class Smirk(nn.Module):
    """Three MobileNetV3 with a linear layer each (Retsinas et al., CVPR 2024)."""

    vector = "smirk-358"

    def __init__(self) -> None:
        super().__init__()
        self.pose_encoder = _MobileRegressor("small", "pose_cam_layers", 576, 6)
        self.shape_encoder = _MobileRegressor("large", "shape_layers", 960, 300)
        self.expression_encoder = _MobileRegressor("large", "expression_layers", 960, 55)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, 358): pose, shape, expression, eyelids, jaw."""
        expression, eyelids, opened, turned = self.expression_encoder(x).split([50, 2, 1, 2], dim=1)
        held = [eyelids.clamp(0, 1), opened.relu(), turned.clamp(-0.2, 0.2)]
        return torch.cat([self.pose_encoder(x)[:, :3], self.shape_encoder(x), expression, *held], dim=1)


REGRESSORS = {"emoca": Emoca, "smirk": Smirk}


def load_regressor(name: str, path: Path) -> Emoca | Smirk:
    """A regressor with the weights of a public checkpoint, for evaluation.

    Args:
        name: A key of `REGRESSORS`.
        path: EMOCA's Lightning checkpoint, whose keys begin with `deca.`, or SMIRK's `SMIRK_em1.pt`, whose keys begin
            with `smirk_encoder.`; a state dict without these is taken too.

    Raises:
        InvalidFile: it is damaged, or of another network.
    """
    content = read_weights(path)
    state = content.get("state_dict", content)
    if not isinstance(state, Mapping):
        raise InvalidFile(path, "holds no state dict", f"Give {name}'s public checkpoint.")
    prefix = {"emoca": "deca.", "smirk": "smirk_encoder."}[name]
    own: dict[str, Any] = {str(key).removeprefix(prefix): value for key, value in state.items()}
    last = own.get("E_expression.layers.2.weight")
    network: Emoca | Smirk = Emoca(jaw=isinstance(last, Tensor) and len(last) == 53) if name == "emoca" else Smirk()
    fit_weights(network, own, path)
    return network.eval()


class _ResNetRegressor(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.encoder = resnet50()
        self.encoder.fc = nn.Identity()
        self.layers = nn.Sequential(nn.Linear(2048, 1024), nn.ReLU(), nn.Linear(1024, outputs))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(self.encoder(x))
        return found


class _MobileRegressor(nn.Module):
    def __init__(self, size: str, name: str, features: int, outputs: int) -> None:
        super().__init__()
        self.encoder = timm.create_model(f"tf_mobilenetv3_{size}_minimal_100", features_only=True)
        self.last = name
        setattr(self, name, nn.Sequential(nn.Linear(features, outputs)))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.get_submodule(self.last)(self.encoder(x)[-1].mean((2, 3)))
        return found
