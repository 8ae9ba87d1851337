from pathlib import Path

import open_clip
import pytest
import torch

from fer_bench.errors import InvalidFile, UnknownName
from fer_bench.nn.clip import MEAN, STD, ClipImageTower, cosines, embed_texts


@pytest.fixture(scope="module")
def clip() -> open_clip.CLIP:
    """CLIP ViT-B/16 as open_clip builds it, with random weights."""
    torch.manual_seed(0)
    return open_clip.create_model("ViT-B-16-quickgelu").eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_the_tower_is_open_clips(clip: open_clip.CLIP, images: torch.Tensor) -> None:
    tower = ClipImageTower("base").eval()
    assert sum(p.numel() for p in tower.parameters()) == 86_192_640
    tower.load(clip.state_dict(), Path("clip.safetensors"))
    pixels = (images.float() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.inference_mode():
        pooled, patches = tower(images)
        torch.testing.assert_close(pooled, clip.encode_image(pixels), atol=1e-5, rtol=1e-4)
        # The patches as open_clip gives them, which are normed and not projected.
        found = clip.visual.forward_intermediates(
            pixels, indices=1, normalize_intermediates=True, output_fmt="NLC", intermediates_only=True
        )["image_intermediates"][-1]
        assert patches.shape == (2, 196, 512)
        torch.testing.assert_close(patches, found @ clip.visual.proj, atol=1e-5, rtol=1e-4)


def test_texts_are_embedded_as_open_clip_does(clip: open_clip.CLIP) -> None:
    texts = ["a happy face", "an angry face"]
    found = embed_texts(texts, "base", clip.state_dict(), Path("clip.safetensors"))
    with torch.inference_mode():
        expected = clip.encode_text(open_clip.get_tokenizer("ViT-B-16-quickgelu")(texts), normalize=True)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    text_parameters = sum(p.numel() for name, p in clip.named_parameters() if not name.startswith("visual."))
    assert text_parameters == 63_428_096 + 1  # and the scale of the logits


def test_random_texts_can_be_told_apart_and_are_always_the_same() -> None:
    texts = [f"a {word} face" for word in ("happy", "sad", "surprised", "fearful", "disgusted", "angry")]
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = embed_texts(texts, "nano")
    assert torch.equal(torch.random.get_rng_state(), before), "the caller's random numbers are left alone"
    torch.manual_seed(2)
    assert torch.equal(first, embed_texts(texts, "nano"))
    cosines = first @ first.T - torch.eye(6)
    assert first.norm(dim=-1).tolist() == pytest.approx([1.0] * 6)
    assert cosines.max() < 0.6


def test_weights_of_another_architecture_are_refused() -> None:
    tower = ClipImageTower("nano", 64)
    with pytest.raises(InvalidFile, match=r"clip.pt: class_embedding is missing where the network has \(64,\)"):
        tower.load({}, Path("clip.pt"))
    with pytest.raises(UnknownName, match="unknown size 'bass'; did you mean 'base'"):
        ClipImageTower("bass")  # type: ignore[arg-type]


def test_cosines_are_exact_in_half_precision_trainings() -> None:
    torch.manual_seed(0)
    embeddings, texts = torch.randn(5, 64), torch.nn.functional.normalize(torch.randn(6, 64), dim=-1)
    expected = torch.nn.functional.cosine_similarity(embeddings[:, None], texts[None], dim=-1)
    with torch.autocast("cpu", torch.bfloat16):
        found = cosines(embeddings, texts)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
