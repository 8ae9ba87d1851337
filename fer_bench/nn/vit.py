"""Vision transformers of DeiT's sizes (Touvron et al., ICML 2021), the backbones of MiT."""

from __future__ import annotations

from typing import Literal, get_args

from timm.models.vision_transformer import VisionTransformer

from fer_bench.errors import UnknownName

Size = Literal["tiny", "small", "base", "nano"]

# Width, depth and heads. Nano is ours, for CPUs and small images; the other three are DeiT's.
SIZES: dict[str, tuple[int, int, int]] = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "nano": (64, 4, 2),
}


def deit(
    size: Size, num_classes: int, image_size: int = 224, patch_size: int = 16, drop_path: float = 0.1
) -> VisionTransformer:
    """A randomly initialised DeiT without distillation token: images (B, 3, H, W) to logits (B, num_classes).

    It is timm's vision transformer with a linear head on the class token, and has the state-dict keys of timm's
    `deit_*_patch16_224` and of the published weights.

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
    return VisionTransformer(
        img_size=image_size,
        patch_size=patch_size,
        num_classes=num_classes,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        drop_path_rate=drop_path,
    )
