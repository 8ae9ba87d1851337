"""The networks' sizes and layouts are those of the public code, and each loss is what its equation says."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fer_bench.errors import InvalidFile, InvalidSuite, WeightsNotFound
from fer_bench.geometry.mean_face import mean_face
from fer_bench.geometry.simplification import simplify
from fer_bench.methods.face_disentanglement import FaceDisentanglement
from fer_bench.nn.face_networks import FaceAutoencoder, IdentityDiscriminator, kl_divergence, sample_code
from fer_bench.nn.mesh_operators import uniform_laplacian
from fer_bench.records import Batch, Target, TrainingSet

MESHES = Target("disentanglement", ())
V = 60
KEPT = simplify(mean_face().vertices, mean_face().triangles, V)
TEMPLATE = mean_face().vertices[KEPT.kept]
SHARED: dict[str, np.ndarray] = {"triangles": KEPT.triangles, "template": TEMPLATE}


def make(**options: Any) -> FaceDisentanglement:
    torch.manual_seed(0)
    method = FaceDisentanglement(MESHES, **options)
    method.configure_for_input((V, 3), SHARED.__getitem__)
    return method


def faces() -> tuple[TrainingSet, Batch]:
    """Four people with a neutral face and five others each, and a batch of the others."""
    random = np.random.default_rng(0)
    people = TEMPLATE + 3 * random.standard_normal((4, V, 3))
    shown = 4 * random.standard_normal((6, V, 3)) * np.array([0, 1, 1, 1, 1, 1])[:, None, None]
    meshes = {
        f"p{person}/e{number}": torch.tensor(people[person] + shown[number], dtype=torch.float32)
        for person in range(4)
        for number in range(6)
    }
    subject = {i: i[:2] for i in meshes}
    label = {i: "neutral" if i.endswith("e0") else i[3:] for i in meshes}
    training = TrainingSet(tuple(meshes), (), subject, label, lambda ids: torch.stack([meshes[i] for i in ids]))
    ids = [i for i in meshes if not i.endswith("e0")][:12]
    return training, {"id": ids, "input": training.read(ids), "label": torch.full((12,), -1)}


@pytest.mark.parametrize(
    ("vertices", "latent", "total"), [(5023, 4, 7_916_106), (5996, 40, 9_582_504), (4547, 64, 7_458_834)]
)
def test_the_autoencoders_parameters_are_those_of_the_public_code(vertices: int, latent: int, total: int) -> None:
    with torch.device("meta"):
        network = FaceAutoencoder(vertices, (latent, latent))
    assert sum(p.numel() for p in network.parameters()) == total
    encoder = [p for name, p in network.named_parameters() if not name.startswith(("fc1", "fc2"))]
    assert sum(p.numel() for p in encoder) == {4: 168_080, 40: 315_680, 64: 414_080}[latent]


def test_the_discriminators_parameters_are_those_of_the_public_code() -> None:
    assert sum(p.numel() for p in IdentityDiscriminator().parameters()) == 1_611_686


def test_public_checkpoints_load(tmp_path: Path) -> None:
    method = make()
    state = {
        key: torch.randn_like(value.float()).to(value.dtype) for key, value in method.autoencoder.state_dict().items()
    }
    for key, shape in {
        "fc_id_mu.weight": (4, 1024),
        "fc1_exp.weight": (256, 4),
        "fc2_id.weight": (3 * V, 256),
        "conv5.weight": (1024, 128, 1),
        "bn1.running_var": (64,),
        "fc_exp_sigma.bias": (4,),
    }.items():
        assert state[key].shape == shape, key
    torch.save(state, tmp_path / "VAE-ID_DIS_model_300.pt")
    other = make(pretrained=str(tmp_path / "VAE-ID_DIS_model_300.pt"))
    assert other.weights == "VAE-ID_DIS_model_300.pt"
    other.initialise()
    for key, value in state.items():
        assert torch.equal(other.autoencoder.state_dict()[key], value), key
    assert other.unsound
    keys = set(IdentityDiscriminator().state_dict())
    expected = {"feature_network.stn.fc3.weight", "feature_network.conv1.weight", "fc1.weight"}
    assert expected | {"bn4.bias", "bn5.running_var"} <= keys
    with pytest.raises(WeightsNotFound, match=r"nowhere\.pt: there is no such file"):
        make(pretrained=str(tmp_path / "nowhere.pt")).initialise()
    state["fc1_id.weight"] = torch.zeros(256, 7)
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(InvalidFile, match=r"fc1_id\.weight is \(256, 7\) where the network has \(256, 4\)"):
        make(pretrained=str(tmp_path / "other.pt")).initialise()


def test_what_cannot_be_trained_is_refused() -> None:
    for options, told in (
        ({"discriminator": False}, "there is no discriminator"),
        ({"latent": (0, 4)}, "latent"),
        ({"epochs": (-1, 4)}, "epochs"),
        ({"pretrained": True}, "no weights"),
    ):
        with pytest.raises(InvalidSuite, match=told):
            FaceDisentanglement(MESHES, **options)  # type: ignore[arg-type]


def test_the_laplacian_is_that_of_the_public_code() -> None:
    dense = np.zeros((V, V))
    for a, b, c in KEPT.triangles.tolist():
        for i, j in ((a, b), (b, c), (c, a)):
            dense[i, j] = dense[j, i] = 1
    dense = np.eye(V) - dense / dense.sum(1, keepdims=True)
    x = torch.randn(2, V, 3, dtype=torch.float64)
    found = uniform_laplacian(torch.tensor(KEPT.triangles), V)(x)
    torch.testing.assert_close(found, torch.tensor(dense) @ x, atol=1e-6, rtol=1e-6)


def test_the_laplacian_spares_a_vertex_without_neighbours() -> None:
    x = torch.randn(1, 4, 3)
    found = uniform_laplacian(torch.tensor([[0, 1, 2]]), 4)(x)[0]
    torch.testing.assert_close(found[0], x[0, 0] - (x[0, 1] + x[0, 2]) / 2)
    assert not found[3].any()


def test_the_divergence_is_the_closed_form_on_average() -> None:
    torch.manual_seed(0)
    mean, log_variance = torch.tensor([0.5, -1.0]), torch.tensor([-1.0, 0.3])
    spread = torch.stack([mean, log_variance]).expand(200_000, 2, 2)
    exact = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
    assert kl_divergence(spread, sample_code(spread)).item() == pytest.approx(exact.item(), rel=0.02)
    code = torch.randn(5, 2)
    q = torch.distributions.Normal(mean, (log_variance / 2).exp()).log_prob(code)
    p = torch.distributions.Normal(torch.zeros(2), torch.ones(2)).log_prob(code)
    torch.testing.assert_close(kl_divergence(spread[:5], code), (q - p).sum(1).mean())


def test_codes_are_drawn_as_their_distributions_say() -> None:
    torch.manual_seed(0)
    spread = torch.tensor([[2.0, -1.0], [0.0, 2 * np.log(0.1)]], dtype=torch.float32).expand(100_000, 2, 2)
    found = sample_code(spread)
    torch.testing.assert_close(found.mean(0), torch.tensor([2.0, -1.0]), atol=0.02, rtol=0)
    torch.testing.assert_close(found.std(0), torch.tensor([1.0, 0.1]), atol=0.01, rtol=0)


def test_faces_are_divided_by_the_largest_radius_and_offset_from_their_mean() -> None:
    training, batch = faces()
    method = make().eval()
    method.setup_from_training_set(training)
    whole = training.read(training.train)
    assert method.radius.item() == pytest.approx(whole.norm(dim=-1).max().item())
    torch.testing.assert_close(method.mean_face * method.radius, whole.mean(0), atol=1e-4, rtol=1e-5)
    made = method.predict(batch["input"])
    with torch.no_grad():
        for decoder in (method.autoencoder.fc2_id, method.autoencoder.fc2_exp):
            decoder.weight.zero_()
            decoder.bias.zero_()
        plain = method.predict(batch["input"])
    assert not torch.equal(made["identity"], plain["identity"])
    for name in ("identity", "reconstruction"):
        torch.testing.assert_close(plain[name], whole.mean(0).expand(12, -1, -1), atol=1e-4, rtol=1e-5)


def losses(method: FaceDisentanglement, batch: Batch) -> Tensor:
    method.on_stage_start(method.stages[1])
    torch.manual_seed(1)
    return method.loss(batch)


def test_the_autoencoders_loss_is_equation_7() -> None:
    training, batch = faces()
    weights = {
        "reconstruction": 3.0,
        "kl": 0.5,
        "adversarial": 0.7,
        "consistency": 0.9,
        "laplacian": 1.1,
        "neutral": 2.0,
    }
    method = make(**weights, neutral_truth=True, expression_truth=True, kl_epochs=None).train()
    method.setup_from_training_set(training)
    found = losses(method, batch)
    torch.manual_seed(1)
    x = batch["input"] / method.radius
    made = method.autoencoder(x, sampled=True)
    identity = method.mean_face + made.identity
    neutral = torch.stack([training.read([f"{training.subject[i]}/e0"])[0] for i in batch["id"]]) / method.radius
    assert method.discriminator is not None
    judged = method.discriminator(x, identity, use_bn=False)
    again = sample_code(method.autoencoder.encode(identity)[0])
    laplacian = method.smoothness(identity).square().sum() / len(x) / V
    kl = kl_divergence(made.identity_spread, made.identity_code) + kl_divergence(
        made.expression_spread, made.expression_code
    )
    expected = (
        3.0 * F.mse_loss(method.mean_face + made.whole, x)
        + 0.5 * kl
        + 0.7 * F.cross_entropy(judged, torch.ones(len(x), dtype=torch.long))
        + 0.9 * (again - made.identity_code).abs().mean()
        + 1.1 * laplacian
        + 3.0 * 2.0 * ((identity - neutral) ** 2).mean()  # lambda 1 is a factor of it in the public code
        + 3.0 * 2.0 * ((made.whole - made.identity - (x - neutral)) ** 2).mean()
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("statistics", ["both", "faces"])
def test_what_the_encoder_remembers_of_predicted_identities(statistics: Literal["both", "faces"]) -> None:
    training, batch = faces()
    method = make(discriminator=False, epochs=(0, 1), statistics=statistics)
    method.setup_from_training_set(training)
    x = batch["input"] / method.radius
    alone = make(discriminator=False, epochs=(0, 1)).autoencoder
    alone(x, sampled=True)
    method.loss(batch)
    for norm in ("bn1", "bn5"):
        mine, faces_only = (network.get_submodule(norm).running_var for network in (method.autoencoder, alone))
        assert torch.equal(mine, faces_only) == (statistics == "faces"), norm
    assert method.autoencoder.bn5.momentum == 0.1


def test_the_divergence_fades() -> None:
    training, batch = faces()
    only = {"reconstruction": 0.0, "adversarial": 0.0, "consistency": 0.0, "laplacian": 0.0, "kl": 1.0}
    whole, half = make(**only, kl_epochs=None), make(**only, kl_epochs=10)
    for method in (whole, half):
        method.setup_from_training_set(training)
    half.__dict__["_trainer"] = type("T", (), {"current_epoch": 4})()  # the fifth, which the public code calls 5
    torch.testing.assert_close(losses(half, batch), 0.5 * losses(whole, batch))


def test_a_subject_without_a_neutral_face_is_left_out_of_its_loss() -> None:
    training, batch = faces()
    options = {"kl": 0.0, "adversarial": 0.0, "consistency": 0.0, "laplacian": 0.0}
    method, without = make(**options, neutral_truth=True), make(**options)
    for one in (method, without):
        one.setup_from_training_set(training)
    assert set(method.neutral_faces) == {"p0", "p1", "p2", "p3"}
    plain = losses(without, batch).item()
    assert losses(method, batch).item() > plain
    method.neutral_faces = {}
    assert losses(method, batch).item() == pytest.approx(plain)


def test_partners_are_of_the_same_person_or_of_another() -> None:
    training, _ = faces()
    method = make()
    method.setup_from_training_set(training)
    known = training.read(training.train).flatten(1)
    ids = [training.train[0]] * 200
    for alike in (True, False):
        drawn = method._partners(ids, [alike] * 200) * method.radius
        nearest = torch.cdist(drawn.flatten(1), known).argmin(1).tolist()
        people = {training.subject[training.train[place]] for place in nearest}
        assert people == ({"p0"} if alike else {"p1", "p2", "p3"})


def test_the_discriminator_learns_who_is_who() -> None:
    training, batch = faces()
    method = make(learning_rate=1e-3)
    method.setup_from_training_set(training)
    method.on_stage_start(method.stages[0])
    assert not any(p.requires_grad for p in method.autoencoder.parameters())
    assert method.automatic_optimization
    method.train()
    optimizer = method.configure_optimizers()
    values = []
    for _ in range(30):
        optimizer.zero_grad()  # type: ignore[union-attr]
        loss = method.loss(batch)
        loss.backward()
        optimizer.step()  # type: ignore[union-attr,call-arg]
        values.append(loss.item())
    assert np.mean(values[-5:]) < 0.5 * np.mean(values[:5])


def test_both_networks_are_trained_in_turn() -> None:
    training, batch = faces()
    method = make(discriminator_rate=1e-3, learning_rate=1e-3)
    method.setup_from_training_set(training)
    method.on_stage_start(method.stages[1])
    assert not method.automatic_optimization
    optimizers, schedules = method.configure_optimizers()  # type: ignore[misc,assignment]
    assert [type(s).__name__ for s in schedules] == ["StepLR", "StepLR"]
    method.optimizers = lambda: optimizers  # type: ignore[method-assign,assignment]
    method.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign,assignment]
    method.log = lambda *a, **k: None  # type: ignore[method-assign,assignment]
    method.train()
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    first = method.training_step(batch, 0).item()
    moved = {name.partition(".")[0] for name, p in method.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"autoencoder", "discriminator"}
    for _ in range(20):
        last = method.training_step(batch, 0).item()
    assert last < 0.5 * first
    # What passes for another face of its person does not reach the discriminator through its own loss.
    method.discriminator.zero_grad()  # type: ignore[union-attr]
    method.autoencoder.zero_grad()
    x = batch["input"] / method.radius
    made = method.autoencoder(x, sampled=True)
    method._loss_of_judgements(x, method.mean_face + made.identity.detach(), batch["id"]).backward()
    assert all(p.grad is None or not p.grad.any() for p in method.autoencoder.parameters())
    assert method.discriminator.fc1.weight.grad.any()  # type: ignore[union-attr]


def test_without_a_discriminator_there_is_none() -> None:
    method = make(discriminator=False, epochs=(0, 3))
    assert [stage.epochs for stage in method.stages] == [0, 3]
    training, batch = faces()
    method.setup_from_training_set(training)
    assert torch.isfinite(losses(method, batch))
    assert not any("discriminator" in name for name, _ in method.named_parameters())
    optimizers, _ = method.configure_optimizers()  # type: ignore[misc]
    assert len(optimizers) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("use_bn", [False, True])
def test_the_discriminator_is_normalised_where_asked(use_bn: bool) -> None:
    torch.manual_seed(0)
    network, x = IdentityDiscriminator().train(), torch.randn(4, V, 3)
    network(x, x, use_bn=use_bn)
    assert bool(network.bn4.num_batches_tracked) == use_bn
    assert bool(network.feature_network.stn.get_submodule("bn5").num_batches_tracked) == use_bn
    torch.testing.assert_close(network.eval()(x[:1], x[1:2], False), network(x, x.roll(-1, 0), False)[:1])
