from typing import Any

import numpy as np
import pytest
import torch

from fer_bench.errors import InvalidSuite
from fer_bench.methods.linear_face_model import LinearFaceModel
from fer_bench.records import Target, TrainingSet

MESHES = Target("disentanglement", ())
V, RANDOM = 30, np.random.default_rng(0)
MEAN = 50 * RANDOM.standard_normal((V, 3))
WHO, WHAT = RANDOM.standard_normal((3, V, 3)), RANDOM.standard_normal((2, V, 3))


def make(**options: Any) -> LinearFaceModel:
    method = LinearFaceModel(MESHES, **options)
    method.configure_for_input((V, 3), {}.__getitem__)
    return method


def training(people: int = 8) -> TrainingSet:
    """Faces of three dimensions of identity and two of expression, and nothing else."""
    own = np.einsum("pk,kvx->pvx", RANDOM.standard_normal((people, 3)), WHO)
    moved = np.einsum("ek,kvx->evx", RANDOM.standard_normal((6, 2)), WHAT)
    meshes = {f"p{p}/neutral": MEAN + own[p] for p in range(people)}
    meshes |= {f"p{p}/e{e}": MEAN + own[p] + moved[e] for p in range(people) for e in range(6)}
    faces = {i: torch.tensor(mesh, dtype=torch.float32) for i, mesh in meshes.items()}
    label = {i: i.partition("/")[2] for i in faces}
    subject = {i: i.partition("/")[0] for i in faces}
    return TrainingSet(tuple(faces), (), subject, label, lambda ids: torch.stack([faces[i] for i in ids]))


def test_linear_faces_are_taken_apart_exactly() -> None:
    method = make(latent=(3, 2), noise=0.0)
    method.setup_from_training_set(training())
    identity = np.einsum("pk,kvx->pvx", RANDOM.standard_normal((5, 3)), WHO) + MEAN
    expression = np.einsum("pk,kvx->pvx", RANDOM.standard_normal((5, 2)), WHAT)
    found = method.predict(torch.tensor(identity + expression, dtype=torch.float32))
    np.testing.assert_allclose(found["reconstruction"].numpy(), identity + expression, atol=2e-2)
    np.testing.assert_allclose(found["identity"].numpy(), identity, atol=2e-2)
    again = method.compose(found["identity_code"], found["expression_code"])
    torch.testing.assert_close(again, found["reconstruction"])
    assert found["identity_code"].shape == (5, 3) and found["expression_code"].shape == (5, 2)


def test_codes_are_standard_normal_in_training() -> None:
    method, known = make(latent=(3, 2), noise=0.0), training(60)
    method.setup_from_training_set(known)
    neutral = [i for i in known.train if known.label[i] == "neutral"]
    codes = method.predict(known.read(neutral))["identity_code"]
    np.testing.assert_allclose(codes.std(0).numpy(), 1, atol=0.05)
    np.testing.assert_allclose(np.corrcoef(codes.T.numpy()), np.eye(3), atol=0.05)


def test_noise_keeps_a_split_to_what_is_usual() -> None:
    plain, careful = make(latent=(3, 2), noise=0.0), make(latent=(3, 2), noise=20.0)
    known = training()
    for method in (plain, careful):
        method.setup_from_training_set(known)
    strange = known.read(known.train[:4]) + 30 * torch.randn(4, V, 3, generator=torch.Generator().manual_seed(0))
    own, other = (method.predict(strange)["identity_code"].norm() for method in (plain, careful))
    assert other < 0.5 * own


def test_what_is_not_there_has_no_component() -> None:
    method = make(latent=(10, 7), noise=0.0)
    method.setup_from_training_set(training())
    assert (method.scales[:10] > 1e-3).sum() == 3 and (method.scales[10:] > 1e-3).sum() == 2
    found = method.predict(training().read(training().train[:3]))
    assert all(torch.isfinite(value).all() for value in found.values())


def test_it_lives_in_its_state() -> None:
    method, fresh = make(latent=(3, 2)), make(latent=(3, 2))
    method.setup_from_training_set(training())
    fresh.load_state_dict(method.state_dict())
    x = training().read(training().train[:2])
    torch.testing.assert_close(fresh(x), method(x))
    assert method.num_parameters == 0


def test_what_cannot_be_fitted_is_refused() -> None:
    for options in ({"epochs": 1}, {"latent": (0, 1)}, {"noise": -1.0}):
        with pytest.raises(InvalidSuite, match="linear_face_model: epochs is"):
            make(**options)
    known = training()
    nameless = TrainingSet(("a",), (), {"a": "x"}, {}, lambda ids: known.read([known.train[0]] * len(ids)))
    with pytest.raises(InvalidSuite, match="neutral face"):
        make().setup_from_training_set(nameless)
