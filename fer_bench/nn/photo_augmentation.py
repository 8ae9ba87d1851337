"""Photographs for networks: normalised, and varied in training as papers do."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from fer_bench.nn.global_batch import draw
from fer_bench.nn.vit import MEAN, STD

Recipe = Literal["none", "ddamfn-affectnet", "ddamfn-rafdb", "cage"]
RECIPES: tuple[str, ...] = get_args(Recipe)


class PhotoAugmentation(nn.Module):
    """uint8 photographs (B, 3, H, W) to float32 ones, less ImageNet's mean and divided by its deviation; in training
    each is varied by itself.

    Args:
        recipe: Of the public code of DDAMFN, by dataset, and of CAGE; where it states no value, torchvision's default.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.varies = recipe != "none"
        self.before, self.after = _steps(recipe)

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.float() / 255
        if not (self.training and self.varies):
            return _normalised(pixels)
        # A seed for each, so that what it draws does not depend on how many others this process varies.
        seeds = draw(len(x), lambda rows: torch.randint(2**62, (rows,)))
        varied = []
        with torch.random.fork_rng(devices=[]):
            for image, seed in zip(pixels, seeds.tolist(), strict=True):
                torch.default_generator.manual_seed(seed)
                varied.append(self.after(_normalised(self.before(image))))
        return torch.stack(varied)


def _normalised(pixels: Tensor) -> Tensor:
    mean, std = (pixels.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (pixels - mean) / std


def _steps(recipe: Recipe) -> tuple[nn.Module, nn.Module]:
    """What comes before the normalisation, and what after it."""
    if recipe == "none":
        return nn.Identity(), nn.Identity()
    flip = v2.RandomHorizontalFlip(0.5)
    if recipe == "ddamfn-affectnet":
        moved = v2.RandomApply([v2.RandomAffine(20, scale=(0.8, 1.0), translate=(0.2, 0.2))], p=0.7)
        return v2.Compose([flip, moved]), v2.RandomErasing()
    if recipe == "ddamfn-rafdb":
        moved = v2.RandomApply([v2.RandomRotation(5), v2.RandomCrop(112, padding=8)], p=0.2)
        return v2.Compose([flip, moved]), v2.RandomErasing(scale=(0.02, 0.25))
    varied = [
        flip,
        v2.RandomGrayscale(0.01),
        v2.RandomRotation(10),
        v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
        v2.RandomPerspective(0.2, p=0.5),
    ]
    return v2.Compose(varied), v2.RandomErasing(p=0.5, scale=(0.02, 0.2), value="random")
