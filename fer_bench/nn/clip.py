"""CLIP (Radford et al., ICML 2021): the image tower of FACET-VLM and its baselines, and the frozen texts beside it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import QuickGELU, TextTransformer, VisionTransformer
from torch import Tensor, nn

from fer_bench.errors import UnknownName
from fer_bench.nn.weights import Published, fit_weights

Size = Literal["base", "nano"]


class Shape(NamedTuple):
    """Both towers: patches in pixels, widths, blocks, heads, and the width of the space they share."""

    patch: int
    width: int
    layers: int
    heads: int
    text_width: int
    text_layers: int
    text_heads: int
    shared: int


# Base is ViT-B/16. Nano is ours, for CPUs and small images.
SIZES: dict[str, Shape] = {
    "base": Shape(16, 768, 12, 12, 512, 12, 8, 512),
    "nano": Shape(8, 64, 4, 2, 64, 2, 2, 64),
}

# OpenAI's weights were trained with QuickGELU; under the plain GELU of open_clip's `ViT-B-16` they compute something
# else without complaint, so the activation is fixed here.
OPENAI = Published("timm/vit_base_patch16_clip_224.openai", "open_clip_model.safetensors")
"""CLIP ViT-B/16 as OpenAI trained it, under open_clip's keys: 86,192,640 numbers for images, 63,428,096 for texts."""

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the three channels of the pixels in [0, 1] that CLIP was trained on."""

INITIAL_LOG_SCALE = math.log(1 / 0.07)
"""Logarithm of the inverse temperature that CLIP's training starts from."""


class ClipImageTower(nn.Module):
    """CLIP's vision transformer.

    Args:
        size: See `SIZES`.
        image_size: H = W in pixels, a multiple of the patches; OpenAI's weights were trained on 224.

    Raises:
        UnknownName: there is no such size.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: Size, image_size: int = 224) -> None:
        super().__init__()
        if size not in SIZES:
            raise UnknownName("size", size, get_args(Size))
        shape = SIZES[size]
        self.visual = VisionTransformer(
            image_size=image_size,
            patch_size=shape.patch,
            width=shape.width,
            layers=shape.layers,
            heads=shape.heads,
            mlp_ratio=4.0,
            output_dim=shape.shared,
            act_layer=QuickGELU,
            output_tokens=True,
        )
        self.patches = (image_size // shape.patch) ** 2
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Of uint8 images (B, 3, H, W): embeddings (B, d) of the class token, and of each patch (B, N, d).

        CLIP projects and trains the class token alone. Patches pass the last norm and are projected by the same matrix
        here, which puts them into the shared space without anything having been trained to make them useful there.
        """
        pooled, tokens = self.visual((images.to(self.mean.dtype) / 255 - self.mean) / self.std)
        return pooled, tokens @ self.visual.proj.to(tokens.dtype)

    def freeze_below(self, blocks: int) -> None:
        """Leave the last blocks, the last norm and the projection trainable; with no blocks, nothing."""
        self.visual.lock(unlocked_groups=blocks + 1 if blocks else 0)

    def load(self, state: Mapping[str, Any], path: Path) -> None:
        """Copy weights under open_clip's keys; raises `InvalidFile` if they are of another architecture."""
        visual = {key.removeprefix("visual."): value for key, value in state.items() if key.startswith("visual.")}
        fit_weights(self.visual, visual, path)


def cosines(embeddings: Tensor, texts: Tensor) -> Tensor:
    """Cosines (n, m) of embeddings (n, d) with texts (m, d) of unit length.

    Always in single precision: at CLIP's scale of 100, neighbours in bfloat16 are up to half a logit
    apart, and classes would tie.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        return nn.functional.normalize(embeddings.float(), dim=-1) @ texts.float().T


def embed_texts(
    texts: Sequence[str], size: Size, state: Mapping[str, Any] | None = None, path: Path | None = None
) -> Tensor:
    """Embeddings (n, d) of unit length, by a text tower that is built for this and thrown away.

    Args:
        texts: At most about 75 words each.
        state: Weights under open_clip's keys. Without any the tower is random, though the same every time, and its
            texts differ in little but the noise of their tokens: what all of them have in common is taken off, so that
            they are distinct anchors without meaning.
        path: Where the weights come from, for errors.

    Raises:
        InvalidFile: the weights are of another architecture.
    """
    shape = SIZES[size]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tower = TextTransformer(
            width=shape.text_width,
            heads=shape.text_heads,
            layers=shape.text_layers,
            output_dim=shape.shared,
            act_layer=QuickGELU,
        ).eval()
    if state is not None and path is not None:
        fit_weights(tower, state, path)
    with torch.inference_mode():
        found: Tensor = tower(SimpleTokenizer()(list(texts)))
    found = found.clone()
    if state is None:
        found -= found.mean(0)
    return nn.functional.normalize(found, dim=-1)
