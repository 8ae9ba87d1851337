"""Photographs as networks see them."""

import pytest
import torch

from fer_bench.nn.photo_augmentation import RECIPES, PhotoAugmentation, Recipe
from fer_bench.nn.vit import MEAN, STD

PHOTOS = torch.randint(0, 256, (6, 3, 112, 112), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("recipe", RECIPES)
def test_it_is_normalised_and_nothing_else_out_of_training(recipe: Recipe) -> None:
    seen = PhotoAugmentation(recipe).eval()(PHOTOS)
    back = seen * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    torch.testing.assert_close(back * 255, PHOTOS.float(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if recipe != "none"])
def test_every_photograph_is_varied_by_itself(recipe: Recipe) -> None:
    vary = PhotoAugmentation(recipe).train()
    same = PHOTOS[:1].repeat(24, 1, 1, 1)
    torch.manual_seed(0)
    seen = vary(same)
    assert seen.shape == same.shape
    assert seen.isfinite().all()
    assert len({tuple(image.flatten()[::97].tolist()) for image in seen}) > 8
    torch.manual_seed(0)
    assert torch.equal(vary(same), seen), "the seed alone decides"


def test_without_a_recipe_training_varies_nothing() -> None:
    vary = PhotoAugmentation("none")
    assert torch.equal(vary.train()(PHOTOS), vary.eval()(PHOTOS))
