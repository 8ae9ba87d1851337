"""MaxViT (Tu et al., ECCV 2022) as torchvision has it, and the heads that CAGE and Ig3D put on it."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from torchvision.models import maxvit

from fer_bench.errors import InvalidFile
from fer_bench.nn.weights import Download, fit_weights, tensor_shapes

Size = Literal["tiny", "nano"]

IMAGENET: dict[str, Download] = {"tiny": Download("https://download.pytorch.org/models/maxvit_t-bc5ab103.pth")}
"""torchvision's weights, trained on ImageNet-1k."""

_CLASSES = 1000  # of ImageNet


class MaxViT(nn.Module):
    """Photographs (B, 3, H, W), normalised as ImageNet's, to features (B, `width`): the last block's, averaged.

    Args:
        size: `tiny` is MaxViT-T; `nano` is ours, for CPUs.
        image_size: Pixels across: 224 for `tiny`, and a multiple of 32 for `nano`.

    Raises:
        ValueError: the size does not fit.
    """

    def __init__(self, size: Size, image_size: int) -> None:
        super().__init__()
        if (size == "tiny" and image_size != 224) or image_size % 32 or image_size < 32:
            fits = "224" if size == "tiny" else "a multiple of 32"
            raise ValueError(f"image_size is {image_size}; give {fits}")
        if size == "tiny":
            network = maxvit.maxvit_t()
        else:
            network = maxvit.MaxVit(
                input_size=(image_size, image_size),
                stem_channels=16,
                partition_size=image_size // 32,
                block_channels=[16, 32, 64, 64],
                block_layers=[1, 1, 1, 1],
                head_dim=16,
                stochastic_depth_prob=0.0,
                # torchvision's momentum of 0.01 suits thousands of steps: after 32, the statistics that a network is
                # scored with are still those of its start.
                norm_layer=partial(nn.BatchNorm2d, eps=1e-3, momentum=0.1),
            )
        self.stem, self.blocks = network.stem, network.blocks
        self.width: int = network.classifier[5].in_features

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))


def neck(width: int) -> nn.Sequential:
    """Normalisation, a layer and Tanh, which the public code puts between MaxViT and its last layer; new also where
    MaxViT's own weights are loaded."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.Tanh())


def head(width: int, outputs: int, dropout: float = 0.0) -> nn.Sequential:
    """`neck`, a dropout, and a last layer without bias, of features (B, width)."""
    return nn.Sequential(*neck(width), nn.Dropout(dropout), nn.Linear(width, outputs, bias=False))


def trained_on_affect(path: Path) -> bool:
    """Whether a file has CAGE's layout: its network was trained on AffectNet, and its epoch chosen on the test set."""
    shapes = tensor_shapes(path)
    last = shapes.get("classifier.6.weight") or shapes.get("classifier.5.weight")
    return last is not None and last[0] != _CLASSES


def load_maxvit(network: MaxViT, heads: Mapping[int, nn.Sequential], state: Mapping[str, Any], path: Path) -> None:
    """Copy a state dict of torchvision's layout or of CAGE's into a network; raises `InvalidFile`.

    torchvision's classifier of ImageNet is not taken, as in the public code.

    Args:
        heads: Outputs -> `head`, or `neck` with the number 0; each is taken where the file is of CAGE's layout and has
            a last layer of as many outputs, at `classifier.5` or, behind a dropout, at `classifier.6`.
    """
    fit_weights(network, state, path)
    name = "classifier.6.weight" if "classifier.6.weight" in state else "classifier.5.weight"
    last = state.get(name)
    outputs = len(last) if isinstance(last, Tensor) and last.ndim == 2 else 0
    if outputs == _CLASSES or not outputs:
        return
    chosen = heads.get(outputs, heads.get(0))
    if chosen is None:
        fits = " or ".join(map(str, sorted(heads)))
        raise InvalidFile(path, f"{name} has {outputs} outputs where the network has {fits}", "Give CAGE's own file.")
    layers = {
        f"{own}.{kind}": state.get(f"classifier.{2 + own}.{kind}") for own in (0, 1) for kind in ("weight", "bias")
    }
    fit_weights(chosen, layers | ({"4.weight": last} if outputs in heads else {}), path)
