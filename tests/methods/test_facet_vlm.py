import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fer_bench.errors import InvalidSuite
from fer_bench.expressions import BASIC_SIX, FOURDME_EMOTIONS
from fer_bench.methods.facet_vlm import FacetVLM, info_nce, text_to_image, view_consistency
from fer_bench.methods.prompts import read_prompts
from fer_bench.nn.clip import embed_texts
from fer_bench.nn.view_fusion import CrossViewAttention, TextGuidedFusion
from fer_bench.records import Batch, Target

SIX, MICRO = Target("classification", BASIC_SIX), Target("multilabel", FOURDME_EMOTIONS)


def nano(target: Target = SIX, **options: Any) -> FacetVLM:
    torch.manual_seed(0)
    settings = {"pretrained": False, "image_size": 16, "learning_rate": 3e-3, "warmup_epochs": 0, **options}
    method = FacetVLM(target, size="nano", **settings)
    method.initialise()
    return method


def noise(count: int, views: int = 3, seed: int = 0, size: int = 16) -> Batch:
    """Images that say nothing of their labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, views, 3, size, size), dtype=torch.uint8, generator=generator)
    return {"id": [f"s{i}" for i in range(count)], "input": images, "label": torch.arange(count) % 6}


def train(method: FacetVLM, steps: int) -> None:
    """On noise, never the same twice. What is behind the tower is enough to learn from the text."""
    method.tower.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=steps)
    method.train()
    for number in range(steps):
        optimizer.zero_grad()
        method.loss(noise(24, seed=number)).backward()
        optimizer.step()
        schedule.step()
    method.eval()


def accuracy_given_the_true_prompt(method: FacetVLM, batch: Batch) -> float:
    """What the paper's own scheme measures when a test sample is conditioned on the prompt of its label."""
    with torch.no_grad():
        texts = method.class_texts()
        final, _ = method.embed(batch["input"], texts[batch["label"]][:, None])
        found = F.normalize(final[:, 0], dim=-1) @ texts.T
    return float((found.argmax(-1) == batch["label"]).float().mean())


def accuracy(method: FacetVLM, batch: Batch) -> float:
    with torch.no_grad():
        return float((method(batch["input"]).argmax(-1) == batch["label"]).float().mean())


def test_the_literal_training_reads_the_label_from_the_prompt_and_the_default_cannot() -> None:
    # Noise never seen before: whoever scores above chance has been told.
    test = noise(600, seed=10_000)
    chance = 1 / 6 + 3 * math.sqrt(1 / 6 * 5 / 6 / 600)
    literal = nano(conditioning="true_label")
    train(literal, 1000)
    assert accuracy_given_the_true_prompt(literal, test) > 0.99
    assert accuracy(literal, test) < chance
    assert literal.unsound
    sound = nano()
    train(sound, 400)
    assert accuracy(sound, test) < chance
    assert not sound.unsound


def test_parameters_are_those_of_the_parts() -> None:
    with torch.device("meta"):
        method = FacetVLM(SIX, pretrained=False)
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in method.named_children()}
    assert parts["tower"] == 86_192_640
    assert parts["cvsa"] == parts["mtgf"] == 786_432
    assert parts["gate"] == 512
    assert method.positions.numel() == 301_056
    assert method.positions.shape == (3, 196, 512)
    assert method.num_parameters == 86_192_640 + 2 * 786_432 + 512 + 301_056 + 1


def test_what_is_frozen_is_not_trained() -> None:
    with torch.device("meta"):
        whole = FacetVLM(SIX)
        top = [name for name, p in whole.tower.named_parameters() if p.requires_grad]
    blocks = {name.split(".")[3] for name in top if ".resblocks." in name}
    assert blocks == {"8", "9", "10", "11"}
    assert {name for name in top if ".resblocks." not in name} == {
        "visual.proj",
        "visual.ln_post.weight",
        "visual.ln_post.bias",
    }


def test_cross_view_attention_is_equation_4() -> None:
    torch.manual_seed(0)
    layer, z = CrossViewAttention(8).double(), torch.randn(2, 5, 8, dtype=torch.float64)
    q, k, v = (z @ w.weight.T for w in (layer.query, layer.key, layer.value))
    torch.testing.assert_close(layer(z), torch.softmax(q @ k.mT / math.sqrt(8), -1) @ v)


@pytest.mark.parametrize("each", [False, True])
def test_text_guided_fusion_is_equations_15_to_18(each: bool) -> None:
    torch.manual_seed(0)
    layer, z = TextGuidedFusion(8).double(), torch.randn(2, 5, 8, dtype=torch.float64)
    texts = torch.randn((2, 3, 8) if each else (3, 8), dtype=torch.float64)
    found = layer(z, texts)
    assert found.shape == (2, 3, 8)
    for sample in range(2):
        for number in range(3):
            query = (texts[sample, number] if each else texts[number]) @ layer.query.weight.T
            keys, values = z[sample] @ layer.key.weight.T, z[sample] @ layer.value.weight.T
            attention = torch.softmax(keys @ query / math.sqrt(8), 0)
            torch.testing.assert_close(found[sample, number], attention @ values)


def test_the_embedding_is_equation_20() -> None:
    method, batch = nano().eval(), noise(4)
    assert method.mtgf is not None and method.gate is not None and method.cvsa is not None
    texts = method.class_texts()
    with torch.no_grad():
        final, views = method.embed(batch["input"], texts)
        tokens = torch.stack([method.tower(batch["input"][:, v])[1] + method.positions[v] for v in range(3)], 1)
        z = tokens.flatten(1, 2)
        fused = method.cvsa(z).mean(1)
        alpha = torch.sigmoid(texts @ method.gate.weight[0])
        for c in range(6):
            expected = alpha[c] * method.mtgf(z, texts[c : c + 1])[:, 0] + (1 - alpha[c]) * fused
            torch.testing.assert_close(final[:, c], expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(views.mean(1), fused, atol=1e-5, rtol=1e-4)
        after, _ = nano(mtgf_input="post").eval().embed(batch["input"], texts)
        guided = method.mtgf(method.cvsa(z), texts)
        torch.testing.assert_close(
            after, alpha[:, None] * guided + (1 - alpha[:, None]) * fused[:, None], atol=1e-5, rtol=1e-4
        )


def test_a_class_is_scored_by_the_cosine_with_its_own_text() -> None:
    method, batch = nano().eval(), noise(3)
    with torch.no_grad():
        texts = method.class_texts()
        final, _ = method.embed(batch["input"], texts)
        expected = torch.stack([F.cosine_similarity(final[:, c], texts[c][None]) for c in range(6)], 1) / 0.07
        torch.testing.assert_close(method(batch["input"]), expected, atol=1e-4, rtol=1e-4)


def test_vision_only_closes_the_gate_at_test_time_alone() -> None:
    method, batch = nano(conditioning="vision_only").eval(), noise(4)
    with torch.no_grad():
        _, views = method.see(batch["input"])
        fused = F.normalize(views.mean(1), dim=-1)
        expected = fused @ method.class_texts().T / 0.07
        torch.testing.assert_close(method(batch["input"]), expected, atol=1e-4, rtol=1e-4)
    method.train().loss(batch).backward()
    assert method.gate is not None and method.gate.weight.grad is not None


@pytest.mark.parametrize("options", [{"cvsa": False}, {"mtgf": False}, {"consistency": 0.0}])
def test_an_ablation_leaves_out_one_thing(options: dict[str, Any]) -> None:
    method, batch = nano(**options), noise(6)
    method.loss(batch).backward()
    kept = {name.split(".")[0] for name, _ in method.named_parameters()}
    absent = {"cvsa": {"cvsa"}, "mtgf": {"mtgf", "gate"}, "consistency": set()}[next(iter(options))]
    assert not kept & absent
    assert {"tower", "positions", "log_scale"} <= kept
    with torch.no_grad():
        _, views = method.see(batch["input"])
        if "cvsa" in options:
            tokens = method.tower(batch["input"][:, 1])[1] + method.positions[1]
            torch.testing.assert_close(views[:, 1], tokens.mean(1), atol=1e-5, rtol=1e-4)


def literal_info_nce(similarity: Tensor) -> Tensor:
    """Equations 9 to 11, term by term."""
    size = len(similarity)
    image = -sum(torch.log(similarity[i, i].exp() / similarity[i].exp().sum()) for i in range(size)) / size
    text = -sum(torch.log(similarity[i, i].exp() / similarity[:, i].exp().sum()) for i in range(size)) / size
    return (image + text) / 2


def test_the_diagonal_loss_is_equations_9_to_11() -> None:
    torch.manual_seed(0)
    similarity, label = torch.randn(5, 5, dtype=torch.float64), torch.tensor([0, 1, 0, 2, 1])
    torch.testing.assert_close(info_nce(similarity, label, label, "diagonal"), literal_info_nce(similarity))
    # Without repeated classes there is nothing for several positives to change.
    alone = torch.arange(5)
    torch.testing.assert_close(info_nce(similarity, alone, alone, "multi_positive"), literal_info_nce(similarity))


def test_only_the_literal_loss_has_a_floor_when_texts_repeat() -> None:
    label = torch.tensor([0, 0, 1, 1, 1, 2])
    perfect = 50.0 * (label[:, None] == label).double()
    assert info_nce(perfect, label, label, "multi_positive").item() == pytest.approx(0, abs=1e-6)
    floor = (2 * math.log(2) + 3 * math.log(3)) / 6
    assert info_nce(perfect, label, label, "diagonal").item() == pytest.approx(floor, abs=1e-6)


def test_texts_choose_among_images() -> None:
    similarity = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0]])
    found = text_to_image(similarity, torch.tensor([0, 0, 1]), torch.tensor([0, 1]), "multi_positive")
    first = (math.exp(2) + math.exp(1)) / (math.exp(2) + math.exp(1) + 1)
    second = math.exp(3) / (1 + math.exp(1) + math.exp(3))
    assert found.item() == pytest.approx(-(math.log(first) + math.log(second)) / 2, rel=1e-6)


def test_the_three_printed_constants() -> None:
    torch.manual_seed(0)
    views = torch.randn(4, 3, 7, dtype=torch.float64)
    f, left, right = views.unbind(1)
    pairs = ((f - left) ** 2 + (f - right) ** 2 + (left - right) ** 2).sum(-1).mean()
    for norm, constant in (("eq21", 2 / 3), ("eq22", 1 / 9), ("eq23", 1 / 3)):
        torch.testing.assert_close(view_consistency(views, norm), constant * pairs)  # type: ignore[arg-type]
    assert view_consistency(views[:, :1], "eq23").item() == 0


def test_the_gradient_of_equation_23_is_equation_24() -> None:
    torch.manual_seed(0)
    views = torch.randn(1, 3, 7, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(view_consistency(views, "eq23"), views)
    for i in range(3):
        expected = 2 / 3 * sum(views[0, i] - views[0, j] for j in range(3) if j != i)
        torch.testing.assert_close(gradient[0, i], expected)


def test_prompts_are_drawn_in_training_and_averaged_in_testing() -> None:
    method, batch = nano(), noise(3)
    assert [sentences[0] for sentences in method.prompts][:2] == ["an angry face", "a disgusted face"]
    assert [len(sentences) for sentences in method.prompts] == [1] * 6
    # Several a class, as with weights that give them a meaning.
    method.prompts = read_prompts(SIX.outputs)
    method.texts = embed_texts([text for sentences in method.prompts for text in sentences], "nano")
    assert [len(sentences) for sentences in method.prompts] == [4] * 6
    drawn = {tuple(method.draw_texts([2])[0].tolist()) for _ in range(60)}
    assert drawn == {tuple(text.tolist()) for text in method.texts[8:12]}
    means = F.normalize(method.texts.view(6, 4, -1).mean(1), dim=-1)
    torch.testing.assert_close(method.class_texts(), means)
    with torch.no_grad():
        assert torch.equal(method.eval()(batch["input"]), method(batch["input"]))


def test_micro_expressions_are_each_there_or_not() -> None:
    method = nano(MICRO)
    batch = noise(4)
    batch["label"] = torch.tensor([[1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1.0]])
    torch.manual_seed(3)
    loss = method.loss(batch)
    torch.manual_seed(3)
    scores, views = method.scores(batch["input"], method.draw_texts(range(5)))
    expected = F.binary_cross_entropy_with_logits(scores, batch["label"]) + 0.1 * view_consistency(views, "eq23")
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert method.bias is not None and method.bias.grad is not None
    with pytest.raises(InvalidSuite, match="needs samples of one label each"):
        nano(MICRO, conditioning="true_label")


def test_the_front_alone_has_the_fronts_positions() -> None:
    method, batch = nano().eval(), noise(3, views=1)
    assert method.why_unsupported((1, 3, 16, 16)) == "" == method.why_unsupported((3, 3, 16, 16))
    assert "the data show the front alone" in nano(yaws=(-30.0, 30.0)).why_unsupported((1, 3, 16, 16))
    with torch.no_grad():
        patches, views = method.see(batch["input"])
        torch.testing.assert_close(patches, method.tower(batch["input"][:, 0])[1] + method.positions[1])
    assert views.shape == (3, 1, 64)


def test_a_few_steps_fit_a_small_batch() -> None:
    method, batch = nano(), noise(6)
    optimizer = torch.optim.AdamW(method.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = method.loss(batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert accuracy(method.eval(), batch) == 1.0


def rates(method: FacetVLM, monkeypatch: pytest.MonkeyPatch, steps: int) -> list[list[float]]:
    """Learning rates of every group at each step, ten steps an epoch."""
    trainer = SimpleNamespace(estimated_stepping_batches=20, max_epochs=2)
    monkeypatch.setattr(FacetVLM, "trainer", trainer)
    configured: Any = method.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    assert configured["lr_scheduler"]["interval"] == "step"
    found = []
    for _ in range(steps):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return found


def test_the_schedule_is_equation_27(monkeypatch: pytest.MonkeyPatch) -> None:
    method = nano(epochs=10, warmup_epochs=2, learning_rate=1e-4)
    found = rates(method, monkeypatch, 100)
    for t, group_rates in enumerate(found, start=1):
        share = t / 20 if t <= 20 else 0.5 * (1 + math.cos(math.pi * (t - 20) / 80))
        assert group_rates == pytest.approx([1e-4 * share] * 4)
    assert found[-1][0] == pytest.approx(0, abs=1e-12)


def test_a_pretrained_tower_waits_and_learns_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    method = nano(epochs=10, warmup_epochs=0, freeze_epochs=3, learning_rate=1e-4)
    method.weights = "some.weights"
    found = rates(method, monkeypatch, 100)
    assert all(r[2] == r[3] == 0 and r[0] > 0 for r in found[:30])
    for group_rates in found[30:]:
        assert group_rates[2:] == pytest.approx([0.1 * group_rates[0]] * 2)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidSuite, match="no weights are published for size nano"):
        FacetVLM(SIX, size="nano")
    with pytest.raises(InvalidSuite, match="image_size is 192, and CLIP's weights"), torch.device("meta"):
        FacetVLM(SIX, image_size=192)
    with pytest.raises(InvalidSuite, match="image_size is 30; give a multiple of 8"):
        nano(image_size=30)
    with pytest.raises(InvalidSuite, match="no set has prompts for bareteeth"):
        nano(Target("classification", ("happy", "bareteeth")))
