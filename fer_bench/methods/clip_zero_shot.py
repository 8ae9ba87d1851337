"""CLIP as it is, asked in words: what FACET-VLM starts from."""

from itertools import chain
from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F

from fer_bench.methods import clip_tuning
from fer_bench.methods.base import Method
from fer_bench.methods.prompts import read_prompts
from fer_bench.methods.stages import Stage
from fer_bench.nn.clip import OPENAI, SIZES, ClipImageTower, Size, cosines, embed_texts
from fer_bench.nn.weights import find_weights, read_weights, weights_label
from fer_bench.records import Batch, Target
from fer_bench.representations.dynamic_views import DynamicViews
from fer_bench.representations.views import Views


class ClipZeroShot(Method):
    """The cosine between CLIP's embedding of the views and of each class's prompts; nothing is trained.

    Embeddings of unit length are averaged over the views, and over the prompts of a class.

    Cite: Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021.

    Args:
        target: The expressions.
        size: `base` is CLIP ViT-B/16; `nano` is ours and has no weights, so that it can only guess.
        pretrained: True takes OpenAI's weights, a path those of a file under open_clip's keys.
        yaws: Camera angles in degrees.
        image_size: Pixels across.
        window: Frames a dynamic image; None takes the whole sequence as one.
        stride: Frames between the starts of two windows; None for `window`.
        frames: So many frames of a sequence are used, evenly spread; None uses all.
        epochs: There is no training.
        batch_size: Samples at a time.

    Raises:
        InvalidSuite: the images do not fit the tower, a class has no prompt, or epochs are asked for.
    """

    texts: Tensor

    def __init__(
        self,
        target: Target,
        size: Size = "base",
        pretrained: bool | str = True,
        yaws: tuple[float, ...] = (-30.0, 0.0, 30.0),
        image_size: int = 224,
        window: int | None = None,
        stride: int | None = None,
        frames: int | None = None,
        epochs: Literal[0] = 0,
        batch_size: int = 32,
    ) -> None:
        clip_tuning.check_size("clip_zero_shot", size, image_size, pretrained)
        moving = DynamicViews(yaws=yaws, size=image_size, window=window, stride=stride, frames=frames)
        super().__init__(target, (Views(yaws=yaws, size=image_size), moving), Stage("", epochs, batch_size))
        self.size, self.pretrained = size, pretrained
        self.weights = weights_label(pretrained, OPENAI)
        self.tower = ClipImageTower(size, image_size).requires_grad_(False)
        self.prompts = read_prompts(target.outputs)
        self.register_buffer("texts", torch.zeros(len(self.prompts), SIZES[size].shared))

    def fetch(self) -> Path | None:
        return find_weights(self.pretrained, OPENAI)

    def initialise(self) -> None:
        path = self.fetch()
        state = read_weights(path) if path else None
        if path is not None and state is not None:
            self.tower.load(state, path)
        found = embed_texts(list(chain.from_iterable(self.prompts)), self.size, state, path)
        parts = found.split([len(sentences) for sentences in self.prompts])
        self.texts.copy_(F.normalize(torch.stack([part.mean(0) for part in parts]), dim=-1))

    def forward(self, x: Tensor) -> Tensor:
        """Cosines times 100, CLIP's final scale, (B, C) of uint8 images (B, V, 3, H, W)."""
        pooled, _ = self.tower(x.flatten(0, 1))
        views = F.normalize(pooled, dim=-1).view(*x.shape[:2], -1)
        return 100 * cosines(views.mean(1), self.texts)

    def loss(self, batch: Batch) -> Tensor:
        raise NotImplementedError("nothing is trained")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        raise NotImplementedError("nothing is trained")
