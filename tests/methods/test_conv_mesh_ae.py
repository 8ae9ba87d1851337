from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

from fer_bench.errors import InvalidSuite
from fer_bench.geometry.mean_face import mean_face
from fer_bench.geometry.simplification import simplify
from fer_bench.methods.conv_mesh_ae import ConvMeshAE
from fer_bench.nn.mesh_operators import ChebyshevConvolution, SparseMap
from fer_bench.records import Batch, Target, TrainingSet

MESHES = Target("disentanglement", ())
V = 200
KEPT = simplify(mean_face().vertices, mean_face().triangles, V)
TEMPLATE = mean_face().vertices[KEPT.kept]


def make(**options: Any) -> ConvMeshAE:
    torch.manual_seed(0)
    method = ConvMeshAE(MESHES, **options)
    method.configure_for_input((V, 3), {"triangles": KEPT.triangles, "template": TEMPLATE}.__getitem__)
    return method


def training() -> tuple[TrainingSet, Batch]:
    """Three people with a neutral face, and one without."""
    random = np.random.default_rng(0)
    people = TEMPLATE + 3 * random.standard_normal((4, 1, 3))
    meshes = {
        f"p{p}_e{e}": torch.tensor(people[p] + (e > 0) * 2 * random.standard_normal((V, 3)), dtype=torch.float32)
        for p in range(4)
        for e in range(5)
        if (p, e) != (3, 0)
    }
    label = {i: "neutral" if i.endswith("e0") else "other" for i in meshes}
    subject = {i: i[:2] for i in meshes}
    known = TrainingSet(tuple(meshes), (), subject, label, lambda ids: torch.stack([meshes[i] for i in ids]))
    ids = [i for i in meshes if not i.endswith("e0")]
    return known, {"id": ids, "input": known.read(ids), "label": torch.full((len(ids),), -1)}


def test_a_convolution_is_a_sum_of_chebyshev_polynomials() -> None:
    torch.manual_seed(0)
    layer = ChebyshevConvolution(2, 3, 5, torch.tensor(KEPT.triangles), V).double()
    torch.nn.init.normal_(layer.bias)
    adjacent = np.zeros((V, V))
    for a, b, c in KEPT.triangles.tolist():
        for i, j in ((a, b), (b, c), (c, a)):
            adjacent[i, j] = adjacent[j, i] = 1
    root = np.diag(adjacent.sum(1) ** -0.5)
    scaled = -root @ adjacent @ root  # 2 L / 2 - 1
    eigenvalues, vectors = np.linalg.eigh(scaled)
    x = torch.randn(2, V, 2, dtype=torch.float64)
    expected = layer.bias.detach().numpy() + np.zeros((2, V, 3))
    for k in range(5):
        polynomial = vectors @ np.diag(np.cos(k * np.arccos(np.clip(eigenvalues, -1, 1)))) @ vectors.T
        expected = expected + polynomial @ x.numpy() @ layer.weight[k].detach().numpy()
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, atol=1e-5)


def test_a_sparse_map_is_its_matrix() -> None:
    rows, columns, values = torch.tensor([0, 2, 2, 0]), torch.tensor([1, 0, 3, 1]), torch.tensor([1.0, 2, 3, 4])
    dense = torch.zeros(3, 4, dtype=torch.float64)
    dense.index_put_((rows, columns), values.double(), accumulate=True)
    x = torch.randn(5, 4, 2, dtype=torch.float64, requires_grad=True)
    found = SparseMap(rows, columns, values, (3, 4))(x)
    torch.testing.assert_close(found, dense @ x)
    found.square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * dense.T @ (dense @ x.detach()))


def test_parameters_are_those_of_the_known_reimplementation() -> None:
    # A mesh with as many vertices as CoMA's: points of a dome.
    random = np.random.default_rng(0)
    flat = random.uniform(-1, 1, (5023, 2))
    dome = np.column_stack([80 * flat, 60 - 20 * (flat**2).sum(1)])
    method = ConvMeshAE(MESHES)
    method.configure_for_input((5023, 3), {"triangles": Delaunay(flat).simplices, "template": dome}.__getitem__)
    assert [len(kept) for kept in method.kept] == [1256, 314, 79, 20]
    assert method.num_parameters == 30_059


def test_it_gives_the_identity_alone() -> None:
    method, (known, batch) = make(), training()
    method.setup_from_training_set(known)
    found = method.eval().predict(batch["input"])
    assert set(found) == {"identity", "identity_code"}
    assert found["identity"].shape == batch["input"].shape and found["identity_code"].shape == (len(batch["id"]), 8)
    whole = known.read(known.train)
    torch.testing.assert_close(method.mean, whole.mean(0), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(method.deviation, whole.std(0, correction=0), atol=1e-3, rtol=1e-3)


def test_it_learns_to_take_expressions_off() -> None:
    method, (known, batch) = make(), training()
    method.setup_from_training_set(known)
    assert {i[:2] for i in method.neutral} == {"p0", "p1", "p2"}, "the neutral face of p3 is not known"
    optimizer = torch.optim.Adam(method.parameters(), 8e-3)
    values = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = method.loss(batch)
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.6 * values[0]
    alone = {key: value for key, value in batch.items() if key != "id"} | {"id": ["p3_e1"] * len(batch["id"])}
    assert method.loss(alone).item() == 0  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidSuite, match="1 channels and 4 factors"):
        ConvMeshAE(MESHES, channels=(8,))
    known, _ = training()
    with pytest.raises(InvalidSuite, match="needs neutral faces"):
        make().setup_from_training_set(TrainingSet(known.train, (), known.subject, {}, known.read))
