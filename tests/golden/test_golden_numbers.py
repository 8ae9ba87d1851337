"""The networks and losses give the numbers of the public code, on weights and inputs that `rule` fills.

Each `*.json` says in words how its numbers were obtained from the public code. Of an output it holds the first six
numbers, the mean and the Euclidean norm; of a loss its value and the norm of its gradient.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.expressions import EXPRESSIONS
from fer_bench.methods import affect_losses, face_disentanglement
from fer_bench.methods.affect_losses import CLASS_WEIGHTS, concordant, shaken
from fer_bench.methods.cage import CAGE
from fer_bench.methods.ddamfn import heads_apart
from fer_bench.methods.face_disentanglement import FaceDisentanglement
from fer_bench.methods.ig3d import Ig3D
from fer_bench.methods.mit import mix, weigh
from fer_bench.methods.morphable_mlp import VALENCE_AROUSAL, MorphableMLP
from fer_bench.nn import face_networks
from fer_bench.nn.ddamfn import DDAMFNetwork, spread_of_heads
from fer_bench.nn.face_networks import FaceAutoencoder, IdentityDiscriminator, kl_divergence
from fer_bench.nn.face_regressors import Emoca, Smirk
from fer_bench.nn.pointnet2 import PointNet2Encoder, PointNet2Head
from fer_bench.nn.vit import deit
from fer_bench.records import Target, TrainingSet
from tests.golden.rule import fill, values

AFFECT = Target("valence_arousal", ("valence", "arousal"))
EIGHT = Target("classification", EXPRESSIONS)
SEVEN = Target("classification", EXPRESSIONS[:7])
MESHES = Target("disentanglement", ())
GOLDEN = {path.stem: json.loads(path.read_text("utf-8"))["cases"] for path in Path(__file__).parent.glob("*.json")}
CLOSE = {"rel": 1e-6, "abs": 1e-9}
Outputs = tuple[Tensor, ...]


def summary(tensor: Tensor) -> dict[str, Any]:
    flat = tensor.detach().flatten()
    return {
        "first": flat[:6].tolist(),
        "mean": flat.mean().item(),
        "norm": flat.norm().item(),
        "count": flat.numel(),
    }


def gradient(network: nn.Module, loss: Tensor) -> float:
    network.zero_grad()
    loss.backward()
    squares = [p.grad.square().sum() for p in network.parameters() if p.grad is not None]
    return float(torch.stack(squares).sum().sqrt())


def hold(network: nn.Module, run: Callable[[], Outputs], golden: Any, public: Callable[[str], str] = str) -> None:
    """Outputs and the norm of a gradient, in evaluation and in training."""
    for mode in ("eval", "train"):
        fill(network, public)
        network.train(mode == "train")
        outputs = run()
        for output, expected in zip(outputs, golden[mode]["outputs"], strict=True):
            assert summary(output) == {
                key: value if key == "count" else pytest.approx(value, **CLOSE) for key, value in expected.items()
            }, mode
        weighted = sum((o * values(f"weight {i}", tuple(o.shape))).sum() for i, o in enumerate(outputs))
        assert isinstance(weighted, Tensor)
        assert gradient(network, weighted) == pytest.approx(golden[mode]["gradient"], **CLOSE), mode


@pytest.fixture
def normal_draws_by_rule(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Normal draws of codes follow the rule, in their order; the fixture starts the order again."""
    count = 0

    def drawn(rows: int, _: Callable[[int], Tensor]) -> Tensor:
        nonlocal count
        count += 1
        return values(f"noise {count - 1}", (rows, LENGTHS[(count - 1) % 2]))

    def start() -> None:
        nonlocal count
        count = 0

    monkeypatch.setattr(face_networks, "draw", drawn)
    monkeypatch.setattr(face_networks, "dropped", lambda x, *_: x)
    yield start


V, B, LENGTHS = 40, 6, (4, 5)
FACES, OTHERS, NEUTRAL = (0.5 * values(name, (B, V, 3)) for name in ("faces", "others", "neutral"))


def test_the_autoencoder_of_faces(normal_draws_by_rule: Callable[[], None]) -> None:
    network = FaceAutoencoder(V, LENGTHS)

    def run() -> Outputs:
        normal_draws_by_rule()
        made = network(FACES, sampled=True)
        divergences = [
            kl_divergence(made.identity_spread, made.identity_code).view(1),
            kl_divergence(made.expression_spread, made.expression_code).view(1),
        ]
        return (made.whole, made.identity, made.identity_code, made.expression_code, *divergences)

    hold(network, run, GOLDEN["face_disentanglement"]["autoencoder"])


@pytest.mark.parametrize("use_bn", [True, False])
@pytest.mark.usefixtures("normal_draws_by_rule")
def test_the_discriminator_of_identities(use_bn: bool) -> None:
    network = IdentityDiscriminator()
    golden = GOLDEN["face_disentanglement"][f"discriminator use_bn={use_bn}"]
    hold(network, lambda: (F.log_softmax(network(FACES, OTHERS, use_bn), 1),), golden)


RECIPES: dict[str, dict[str, Any]] = {
    "CoMA with neutral": {
        "neutral_truth": True,
        "use_bn": True,
        "reconstruction": 5000,
        "kl": 3e-3,
        "adversarial": 1e-5,
        "consistency": 7e-3,
        "laplacian": 0,
    },
    "CoMA": {},
    "BU-3DFE with neutral": {
        "neutral_truth": True,
        "reconstruction": 250,
        "kl": 3e-5,
        "kl_epochs": None,
        "adversarial": 1e-3,
        "consistency": 5e-2,
        "laplacian": 10,
        "neutral": 0.5,
        "expression_truth": True,
    },
    "BU-3DFE": {
        "reconstruction": 250,
        "kl": 3e-5,
        "kl_epochs": None,
        "adversarial": 1e-3,
        "consistency": 5e-2,
        "laplacian": 10,
    },
    "FaceScape with neutral": {
        "neutral_truth": True,
        "reconstruction": 5000,
        "kl": 3e-5,
        "kl_epochs": None,
        "consistency": 1e-2,
        "laplacian": 0,
        "neutral": 1,
    },
    "FaceScape": {"reconstruction": 5000, "kl": 3e-5, "kl_epochs": None, "consistency": 1e-2},
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_losses_of_the_face_disentanglement(
    name: str, normal_draws_by_rule: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    method = FaceDisentanglement(MESHES, latent=LENGTHS, **RECIPES[name])
    triangles = torch.tensor([[i, i + 1, i + 2] for i in range(V - 2)]).numpy()
    method.configure_for_input((V, 3), {"triangles": triangles}.__getitem__)
    method.double()
    method.mean_face = 0.5 * values("mean", (1, V, 3))[0]
    ids = [f"s{number}" for number in range(B)]
    method.training_faces = TrainingSet(tuple(ids), (), {i: i for i in ids}, {}, lambda _: OTHERS)
    if method.neutral_truth:
        method.neutral_faces = dict(zip(ids, NEUTRAL, strict=True))
    monkeypatch.setattr(method, "_partners", lambda *_: OTHERS)
    # The public code counts epochs from 1; its third is number 2 here.
    monkeypatch.setattr(face_disentanglement.FaceDisentanglement, "current_epoch", 2)
    assert method.discriminator is not None
    for network in (method.autoencoder, method.discriminator):
        fill(network)
        network.train()
    normal_draws_by_rule()
    made = method.autoencoder(FACES, sampled=True)
    judged = method._loss_of_judgements(FACES, method.mean_face + made.identity.detach(), ids)
    golden = GOLDEN["face_disentanglement"][f"losses {name}"]
    assert judged.item() == pytest.approx(golden["discriminator"], **CLOSE)
    assert gradient(method.discriminator, judged) == pytest.approx(golden["discriminator gradient"], **CLOSE)
    loss = method._loss_of_faces(FACES, made, ids)
    assert loss.item() == pytest.approx(golden["autoencoder"], **CLOSE)
    assert gradient(method.autoencoder, loss) == pytest.approx(golden["autoencoder gradient"], **CLOSE)


@contextmanager
def fixed_weights(draws: tuple[float, ...]) -> Iterator[None]:
    """The mixture of eq. 1 with given weights in place of random ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(affect_losses.torch, "rand", lambda *_, **__: torch.tensor(draws, dtype=torch.float64))
        yield


LOGITS, LABELS = 2 * values("logits", (9, 8)), torch.arange(9) % 8
RATED, TRUTH = values("affect", (9, 2)), values("truth", (9, 2))


def mixed(weight: float) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        # The public code's alpha is the weight of the squared error, beta of the correlation, gamma of the concordance.
        alpha, beta, gamma = GOLDEN["ig3d"]["draws"]
        with fixed_weights((alpha, gamma, beta)):
            return weight * F.cross_entropy(a, LABELS) + shaken(b, TRUTH, "published")

    return loss


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("eq. 1", mixed(1)),
        ("eq. 1, EMOCA short", mixed(2)),
        ("eq. 1, EMOCA full", mixed(1)),
        (
            "eq. 2",
            lambda a, b: F.cross_entropy(a, LABELS, torch.tensor(CLASS_WEIGHTS).double()) + 5 * F.mse_loss(b, TRUTH),
        ),
        ("eq. 2, unweighted", lambda a, b: F.cross_entropy(a, LABELS) + 5 * F.mse_loss(b, TRUTH)),
        ("eq. 3", lambda _, b: concordant(b, TRUTH)),
        ("SMIRK short", lambda a, b: F.cross_entropy(a, LABELS) + 2 * F.mse_loss(b, TRUTH)),
    ],
)
def test_the_losses_of_ig3d_and_cage(name: str, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    logits, rated = LOGITS.clone().requires_grad_(), RATED.clone().requires_grad_()
    value = loss(logits, rated)
    value.backward()
    golden = GOLDEN["ig3d"][name]
    assert value.item() == pytest.approx(golden["loss"], **CLOSE)
    for leaf, expected in ((logits, golden["logits"]), (rated, golden["affect"])):
        norm = 0.0 if leaf.grad is None else leaf.grad.norm().item()
        assert norm == pytest.approx(expected, **CLOSE)


def test_the_terms_that_keep_heads_apart_and_together() -> None:
    maps = [values(f"map {i}", (2, 512, 7, 7)).abs().requires_grad_() for i in range(3)]
    for loss, golden in (
        (spread_of_heads(maps) / 3, GOLDEN["ig3d"]["heads together"]),
        (heads_apart(spread_of_heads(maps), 3), GOLDEN["ddamfn"]["heads apart"]),
    ):
        assert loss.item() == pytest.approx(golden["loss"], **CLOSE)
        found = [gradient.norm().item() for gradient in torch.autograd.grad(loss, maps)]
        assert found == pytest.approx(golden["gradients"], **CLOSE)
    equal = heads_apart(torch.zeros((), dtype=torch.float64), 2).item()
    assert equal == pytest.approx(GOLDEN["ddamfn"]["heads apart, equal maps"]["loss"], **CLOSE)


PHOTOS = values("photos", (4, 3, 112, 112))


def test_ddamfn() -> None:
    network = DDAMFNetwork(8, 2)

    def run() -> Outputs:
        scores, maps = network(PHOTOS)
        return (scores, *maps)

    hold(network, run, GOLDEN["ddamfn"]["network"])


PARTS = {
    "emoca-156": {"exp": 50, "pose": 6, "shape": 100},
    "emoca-334": {"exp": 50, "pose": 6, "tex": 50, "detail": 128, "shape": 100},
    "smirk-358": {
        "pose_params": 3,
        "shape_params": 300,
        "expression_params": 50,
        "eyelid_params": 2,
        "jaw_params": 3,
    },
    "smirk-353": {"pose_params": 3, "shape_params": 300, "expression_params": 50},
}


def parameters_of_faces(vector: str) -> Tensor:
    """(4, P) numbers by the rule, in the vector's order."""
    return torch.stack([values(f"{key} {i}", (4,)) for key, n in PARTS[vector].items() for i in range(n)], 1)


def test_the_fusion_of_ig3d() -> None:
    for name, target, vector, heads in (
        ("AffectNet EMOCA", EIGHT, "emoca-156", 1),
        ("AffectNet SMIRK", EIGHT, "smirk-358", 1),
        ("RAF-DB EMOCA", SEVEN, "emoca-334", 1),
        ("RAF-DB SMIRK", SEVEN, "smirk-358", 2),
    ):
        rated = target is EIGHT
        method = Ig3D(target, vector=vector, heads=heads, rated=rated, pretrained=False)
        names = {"parameters_of_face": "Wash_Linear1", "classifier.4": "out"}

        def public(own: str, names: dict[str, str] = names) -> str:
            module, _, last = own.rpartition(".")
            return (
                f"{names[module]}.{last}"
                if module in names
                else re.sub("^classifier", "linear_fusion", own.removeprefix("image."))
            )

        def run(method: Ig3D = method, vector: str = vector, rated: bool = rated) -> Outputs:
            assert isinstance(method.image, DDAMFNetwork)
            features, maps = method.image.features_of(PHOTOS)
            scores = method.classifier(method.join(features, parameters_of_faces(vector)))
            return (scores[:, :8], scores[:, 8:], *maps) if rated else (scores, *maps)

        hold(method, run, GOLDEN["ig3d"][f"fusion {name}"], public)


@pytest.mark.parametrize("name", ["mlp emoca-334", "mlp emoca-156", "mlp smirk-358", "mlp RAF-DB emoca-334"])
def test_the_layers_of_ig3d(name: str) -> None:
    vector = name.rpartition(" ")[2]
    method = MorphableMLP(EIGHT, vector=vector)
    linear = {f"trunk.{place}": f"fc{number}" for number, place in enumerate(places(method.trunk, nn.Linear), 1)}
    norms = {f"trunk.{place}": f"bn{number}" for number, place in enumerate(places(method.trunk, nn.BatchNorm1d), 1)}
    names = linear | norms | {"combined": "output"}

    def run() -> Outputs:
        scores = method.combined(method.trunk(parameters_of_faces(vector)))
        return (scores[:, :7],) if "RAF-DB" in name else (scores[:, :8], scores[:, VALENCE_AROUSAL])

    hold(method, run, GOLDEN["ig3d"][name], lambda own: renamed(own, names))


def test_the_residual_network_of_ig3d() -> None:
    method = MorphableMLP(EIGHT, vector="smirk-353", network="residual")
    names = {"trunk.0": "Smirk_Linear", "combined": "fc"}
    names |= {f"trunk.{n}.inner.{layer}": f"residual_block{n}.{layer}" for n in (1, 2) for layer in (0, 3)}

    def run() -> Outputs:
        scores = method.combined(method.trunk(parameters_of_faces("smirk-353")))
        return scores[:, :8], scores[:, 8:]

    hold(method, run, GOLDEN["ig3d"]["residual smirk-353"], lambda own: renamed(own, names))


def places(layers: nn.Sequential, kind: type[nn.Module]) -> list[int]:
    return [place for place, layer in enumerate(layers) if isinstance(layer, kind)]


def renamed(own: str, names: dict[str, str]) -> str:
    module, _, last = own.rpartition(".")
    return f"{names[module]}.{last}" if module in names else ""


@pytest.mark.parametrize(("name", "head"), [("combined", "classifier.5"), ("affect", "classifier.6")])
def test_cage(name: str, head: str) -> None:
    method = CAGE(AFFECT, pretrained=False)
    last = method.combined if name == "combined" else method.affect
    assert last is not None
    photos = values("photos", (2, 3, 224, 224))
    network = nn.ModuleDict({"network": method.network, "last": last})
    names = {"last.0": "classifier.2", "last.1": "classifier.3", "last.4": head}

    def run() -> Outputs:
        return (last(method.network(photos)),)

    hold(
        network,
        run,
        GOLDEN["cage"][name],
        lambda own: renamed(own, names) or own.removeprefix("network."),
    )


def test_smirk() -> None:
    network = Smirk()
    photos = values("photos", (2, 3, 224, 224)).abs()
    hold(network, lambda: tuple(network(photos).split([3, 300, 50, 2, 3], 1)), GOLDEN["face_regressors"]["smirk"])


def test_emoca() -> None:
    network = Emoca(jaw=True)
    photos = values("photos", (2, 3, 224, 224)).abs()

    def run() -> Outputs:
        return network.E_flame(photos), network.E_expression(photos), network.E_detail(photos)

    hold(network, run, GOLDEN["face_regressors"]["emoca"])


def test_the_view_network_of_mit() -> None:
    network = deit("tiny", 6)
    images = values("image", (2, 3, 224, 224)).abs()
    hold(network, lambda: (network(images),), GOLDEN["mit"]["deit tiny"])


def test_the_loss_of_mit() -> None:
    logits = torch.stack([3 * values(f"logits {v}", (5, 6)) for v in range(3)], 1).requires_grad_()
    label = torch.tensor([0, 5, 2, 2, 4])
    for weights in ((1 / 3, 1 / 3, 1 / 3), (0.5, 0.2, 0.3)):
        golden = GOLDEN["mit"][f"loss {weights[0]:.2f}"]
        loss = F.cross_entropy(mix(logits, torch.tensor(weights, dtype=torch.float64), "logits"), label)
        assert loss.item() == pytest.approx(golden["loss"], **CLOSE)
        (found,) = torch.autograd.grad(loss, logits)
        assert found.norm(dim=(0, 2)).tolist() == pytest.approx(golden["gradients"], **CLOSE)
        assert weigh(logits.detach(), label, 1).tolist() == pytest.approx(golden["weights"], **CLOSE)


@pytest.mark.parametrize("size", ["ssg", "msg"])
def test_pointnet2(size: Any) -> None:
    network = nn.ModuleDict({"encoder": PointNet2Encoder(size), "head": PointNet2Head(6)})
    directions = F.normalize(values("direction", (3, 600, 3)), dim=-1)
    cloud = directions * values("radius", (3, 600, 1)).abs() ** (1 / 3)

    def public(own: str) -> str:
        part, *rest = own.split(".")
        if part == "head":
            layer = {"0": "fc1", "1": "bn1", "4": "fc2", "5": "bn2", "8": "fc3"}[rest[0]]
            return f"{layer}.{rest[1]}"
        level = f"sa{rest[0][-1]}"
        scale = rest[2] if rest[1] == "mlps" else ""
        kind, *number, last = rest[3:] if scale else rest[2:]
        lists = {"first": "convs", "others": "convs", "norms": "bns"}[kind]
        at = 0 if kind == "first" else int(number[0]) + (kind == "others")
        if size == "msg" and scale:  # a list of lists, one a scale
            return f"{level}.{'conv_blocks' if lists == 'convs' else 'bn_blocks'}.{scale}.{at}.{last}"
        return f"{level}.mlp_{lists}.{at}.{last}"

    def run() -> Outputs:
        if size == "msg":  # the public code concatenates features and offsets in this order, and here it is the other
            with torch.no_grad():
                for mlp in network["encoder"].level2.mlps:
                    mlp.first.weight.copy_(mlp.first.weight.roll(3, 1))
        feature = network["encoder"](cloud)
        return F.log_softmax(network["head"](feature), 1), feature

    hold(network, run, GOLDEN["pointnet2"][size], public)
