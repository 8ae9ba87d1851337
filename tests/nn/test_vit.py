import pytest
import timm
import torch

from fer_bench.errors import UnknownName
from fer_bench.nn.vit import Size, deit


@pytest.mark.parametrize(
    ("size", "heads", "total"),
    [("tiny", 3, 5_525_574), ("small", 6, 21_667_974), ("base", 12, 85_803_270), ("nano", 2, 262_342)],
)
def test_heads_and_totals(size: Size, heads: int, total: int) -> None:
    with torch.device("meta"):
        model = deit(size, num_classes=6)
    assert {block.attn.num_heads for block in model.blocks} == {heads}
    assert sum(p.numel() for p in model.parameters()) == total


def test_published_weights_would_fit() -> None:
    with torch.device("meta"):
        ours = deit("tiny", num_classes=1000).state_dict()
        published = timm.create_model("deit_tiny_patch16_224", pretrained=False).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in published.items()}


def test_stochastic_depth_grows_to_its_rate() -> None:
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in deit("nano", num_classes=6, drop_path=0.3).blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_an_unknown_size_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean 'tiny'"):
        deit("tinny", num_classes=6)  # type: ignore[arg-type]


def test_the_head_is_drawn_as_torch_draws_a_layer() -> None:
    """Uniform within 1 / sqrt(width), its bias too; timm's has a standard deviation of 0.02 and no bias."""
    torch.manual_seed(0)
    head = deit("tiny", num_classes=1000).head
    assert head.weight.abs().max().item() == pytest.approx(192**-0.5, rel=1e-3)
    assert head.bias.std().item() == pytest.approx((192 * 3) ** -0.5, rel=0.1)
