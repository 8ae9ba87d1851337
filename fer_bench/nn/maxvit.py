"""MaxViT (Tu et al., ECCV 2022) as torchvision has it, up to the features that CAGE puts its last layer on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from torchvision.models import maxvit

from fer_bench.nn.weights import fit_weights

Size = Literal["tiny", "nano"]


class MaxViT(nn.Module):
    """Photographs (B, 3, H, W), normalised as ImageNet's, to features (B, `width`), after the Tanh of its classifier.

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
            )
        self.stem, self.blocks = network.stem, network.blocks
        self.classifier = network.classifier[:5]
        self.width: int = network.classifier[5].in_features

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        found: Tensor = self.classifier(x)
        return found


def load_maxvit(network: MaxViT, heads: Mapping[int, nn.Linear], state: Mapping[str, Any], path: Path) -> None:
    """Copy a state dict of torchvision's layout or of CAGE's into a network; raises `InvalidFile`.

    Args:
        heads: Outputs -> a last layer; each is taken where the file has one of as many outputs, at `classifier.5` or,
            behind a dropout, at `classifier.6`.
    """
    fit_weights(network, state, path)
    for name in ("classifier.5.weight", "classifier.6.weight"):
        theirs = state.get(name)
        if isinstance(theirs, Tensor) and theirs.ndim == 2 and len(theirs) in heads:
            fit_weights(heads[len(theirs)], {"weight": theirs}, path)
