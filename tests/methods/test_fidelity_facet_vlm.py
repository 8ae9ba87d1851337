"""What FACET-VLM shares with the paper, where no other test shows it."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from fer_bench.expressions import BASIC_SIX, FOURDME_EMOTIONS
from fer_bench.methods.facet_vlm import FacetVLM, text_to_image
from fer_bench.methods.prompts import read_prompts
from fer_bench.nn.clip import cosines
from fer_bench.records import Target
from fer_bench.representations.dynamic_views import DynamicViews
from fer_bench.representations.views import Views

SIX = Target("classification", BASIC_SIX)


def nano(**options: Any) -> FacetVLM:
    torch.manual_seed(0)
    method = FacetVLM(SIX, size="nano", pretrained=False, image_size=16, **options)
    method.initialise()
    return method


def test_the_first_prompts_are_those_of_table_1() -> None:
    adjective = {"happy": "happy", "anger": "angry", "disgust": "disgusted"}
    adjective |= {"fear": "fearful", "sad": "sad", "surprise": "surprised"}
    first = dict(zip(BASIC_SIX, (sentences[0] for sentences in read_prompts(BASIC_SIX)), strict=True))
    article = {name: "an" if word[0] in "aeiou" else "a" for name, word in adjective.items()}
    assert first == {name: f"{article[name]} {word} face" for name, word in adjective.items()}


def test_the_first_prompts_of_micro_expressions_are_those_of_section_4_5() -> None:
    assert FOURDME_EMOTIONS == ("positive", "negative", "surprise", "repression", "others")
    first = [sentences[0] for sentences in read_prompts(FOURDME_EMOTIONS)]
    assert first == [f"a face with {name} micro expression" for name in FOURDME_EMOTIONS]


def test_inputs_are_three_views_of_224_pixels_at_30_degrees() -> None:
    with torch.device("meta"):
        scans, sequences = FacetVLM(SIX).representations
    assert isinstance(scans, Views) and isinstance(sequences, DynamicViews)
    for views in (scans, sequences):
        assert (views.yaws, views.size, views.pitches) == ((-30.0, 0.0, 30.0), 224, ())
    assert (sequences.pooling, sequences.window, sequences.stride, sequences.frames) == ("averaged", None, None, None)
    assert sequences.rows([object()] * 90) == 1, "the full sequence is one image"  # type: ignore[arg-type]


def test_texts_are_not_trained() -> None:
    method = nano()
    assert "texts" in dict(method.named_buffers()) and not method.texts.requires_grad
    assert not [name for name, _ in method.named_parameters() if "text" in name]
    assert method.texts.shape == (6, 64)


def test_one_tower_sees_all_views() -> None:
    method = nano().eval()
    sizes: list[int] = []
    method.tower.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    image = torch.randint(0, 256, (2, 1, 3, 16, 16), dtype=torch.uint8).expand(-1, 3, -1, -1, -1)
    with torch.no_grad():
        method.positions.zero_()
        _, views = method.see(image)
    assert sizes == [6]
    torch.testing.assert_close(views[:, 0], views[:, 2])


def test_adamw_has_the_printed_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    method = nano(warmup_epochs=0)
    monkeypatch.setattr(FacetVLM, "trainer", SimpleNamespace(estimated_stepping_batches=20, max_epochs=2))
    found: Any = method.configure_optimizers()
    optimizer = found["optimizer"]
    assert type(optimizer) is torch.optim.AdamW
    assert {(g["betas"], g["eps"], g["initial_lr"]) for g in optimizer.param_groups} == {((0.9, 0.999), 1e-8, 1e-4)}
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert method.cvsa is not None and method.mtgf is not None and method.gate is not None
    for layer in (method.cvsa.query, method.cvsa.value, method.mtgf.key, method.gate):
        assert decay[id(layer.weight)] == 0.01
    # Not as equation 26, which decays everything.
    assert decay[id(method.positions)] == decay[id(method.log_scale)] == 0


def test_the_gradient_of_the_images_loss_is_equation_13() -> None:
    torch.manual_seed(0)
    similarity = torch.randn(5, 5, dtype=torch.float64, requires_grad=True)
    label = torch.arange(5)
    loss = text_to_image(similarity.T, label, label, "diagonal")  # each image chooses among texts, eq. 9
    (found,) = torch.autograd.grad(loss, similarity)
    torch.testing.assert_close(found, (torch.softmax(similarity.detach(), 1) - torch.eye(5)) / 5)


def test_equation_12_lacks_the_part_of_the_normalisation() -> None:
    """Automatic differentiation gives eq. 12 without its component along the embedding, over the embedding's length."""
    torch.manual_seed(0)
    v, tau, label = torch.randn(4, 8, requires_grad=True), 0.5, torch.arange(4)
    texts = F.normalize(torch.randn(4, 8), dim=-1)
    similarity = cosines(v, texts) / tau
    (found,) = torch.autograd.grad(text_to_image(similarity.T, label, label, "diagonal"), v)
    printed = (torch.softmax(similarity.detach(), 1) @ texts - texts) / tau / 4
    unit = F.normalize(v.detach(), dim=-1)
    expected = (printed - (printed * unit).sum(1, keepdim=True) * unit) / v.detach().norm(dim=1, keepdim=True)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    assert (found - printed).abs().max() > 1e-2


def test_the_temperature_is_learned() -> None:
    method = nano()
    assert method.log_scale.requires_grad
    assert method.scale().item() == pytest.approx(1 / 0.07, rel=1e-5)
    images = torch.randint(0, 256, (6, 3, 3, 16, 16), dtype=torch.uint8)
    method.loss({"id": list("abcdef"), "input": images, "label": torch.arange(6)}).backward()
    assert method.log_scale.grad is not None and method.log_scale.grad != 0


def test_positions_are_drawn_at_random_and_differ_by_view() -> None:
    method = nano()
    assert method.positions.requires_grad and method.positions.shape == (3, 4, 64)
    assert 0.015 < method.positions.std().item() < 0.025
    assert not torch.equal(method.positions[0], method.positions[1])


def test_a_prompt_of_each_sample_is_drawn_in_the_literal_training(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    plain = FacetVLM.draw_texts

    def spy(self: FacetVLM, classes: Any) -> Any:
        asked.append(list(classes))
        return plain(self, classes)

    monkeypatch.setattr(FacetVLM, "draw_texts", spy)
    images = torch.randint(0, 256, (4, 3, 3, 16, 16), dtype=torch.uint8)
    batch: Any = {"id": list("abcd"), "input": images, "label": torch.tensor([3, 0, 3, 5])}
    nano(conditioning="true_label").loss(batch)
    nano().loss(batch)
    assert asked == [[3, 0, 3, 5], [0, 1, 2, 3, 4, 5]], "one a sample, and by default one a class"
