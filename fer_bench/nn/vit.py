"""Vision transformers of DeiT's sizes (Touvron et al., ICML 2021), the backbones of MiT, and their weights."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from fer_bench.errors import InvalidFile, UnknownName
from fer_bench.nn.weights import Published, fit_weights

Size = Literal["tiny", "small", "base", "nano"]

# Width, depth and heads. Nano is ours, for CPUs and small images; the other three are DeiT's.
SIZES: dict[str, tuple[int, int, int]] = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "nano": (64, 4, 2),
}

IMAGENET: dict[str, Published] = {
    size: Published(f"timm/deit_{size}_patch16_224.fb_in1k") for size in ("tiny", "small", "base")
}
"""DeiT's own weights, trained on ImageNet-1k with patches of 16 pixels."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the three channels of the pixels in [0, 1] that they were trained on."""


def deit(
    size: Size, num_classes: int, image_size: int = 224, patch_size: int = 16, drop_path: float = 0.1
) -> VisionTransformer:
    """A randomly initialised DeiT without distillation token: images (B, 3, H, W) to logits (B, num_classes).

    It is timm's vision transformer with a linear head on the class token, and has the state-dict keys of timm's
    `deit_*_patch16_224` and of the published weights. The head is drawn as torch draws a linear layer: MiT's public
    code replaces timm's.

    Args:
        size: See `SIZES`.
        num_classes: Outputs.
        image_size: H = W in pixels, a multiple of `patch_size`.
        patch_size: In pixels.
        drop_path: Rate of stochastic depth in the last block; it grows linearly from 0 in the first.

    Raises:
        UnknownName: there is no such size.
    """
    if size not in SIZES:
        raise UnknownName("size", size, get_args(Size))
    width, depth, heads = SIZES[size]
    network = VisionTransformer(
        img_size=image_size,
        patch_size=patch_size,
        num_classes=num_classes,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        drop_path_rate=drop_path,
    )
    network.head = nn.Linear(width, num_classes)
    if size == "nano":
        # DeiT draws all matrices with a standard deviation of 0.02. At a width of 64 that leaves next to nothing of
        # what the class token sees of the patches, and training stays at chance for dozens of epochs.
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Linear) and name != "head":
                nn.init.xavier_uniform_(layer.weight)
    return network


def load_deit(network: nn.Module, state: Any, path: Path, head: bool = True) -> None:
    """Copy published weights into a network; its head stays as it is where theirs has other classes.

    Positions learned on another grid of patches are interpolated, as DeiT does for other resolutions.

    Args:
        network: Made by `deit`.
        state: Under timm's keys.
        path: Where they come from, for errors.
        head: Take the head too, where it fits.

    Raises:
        InvalidFile: they are of another architecture.
    """
    assert isinstance(network, VisionTransformer)
    if not isinstance(state, Mapping):
        raise InvalidFile(path, f"holds a {type(state).__name__} where a state dict should be", "Give DeiT's weights.")
    fitted = {key: value for key, value in state.items() if head or not str(key).startswith("head.")}
    positions, own = fitted.get("pos_embed"), network.pos_embed
    if isinstance(positions, Tensor) and positions.ndim == 3 and _is_grid(positions, own):
        grid = list(network.patch_embed.grid_size)
        fitted["pos_embed"] = resample_abs_pos_embed(positions, new_size=grid, num_prefix_tokens=1)
    fit_weights(network, fitted, path, spared=("head.",))


def _is_grid(positions: Tensor, own: Tensor) -> bool:
    """Whether positions are of one class token and another square grid; anything else is a mismatch of shapes."""
    patches = positions.shape[1] - 1
    other = positions.shape[1] != own.shape[1] and positions.shape[2] == own.shape[2]
    return other and patches > 0 and math.isqrt(patches) ** 2 == patches
