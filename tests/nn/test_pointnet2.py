import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.nn.pointnet2 import (
    PAIRS_IN_CACHE,
    SERIAL,
    PointNet2Encoder,
    PointNet2Head,
    SetAbstraction,
    ball_query,
    farthest_point_sample,
)


def clouds(*shape: int, seed: int = 0) -> Tensor:
    """Points spread evenly over the unit ball."""
    generator = torch.Generator().manual_seed(seed)
    directions = F.normalize(torch.randn(*shape, 3, generator=generator), dim=-1)
    return directions * torch.rand(*shape, 1, generator=generator) ** (1 / 3)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_totals_are_those_of_the_public_classifier() -> None:
    assert parameters(PointNet2Encoder()) == 807_744
    assert parameters(PointNet2Head(6)) == 659_206
    assert parameters(PointNet2Head(8)) == 659_206 + 2 * 257


def test_farthest_points_are_those_of_a_plain_search() -> None:
    B, N, count = 33, 1000, 24
    assert B * N > SERIAL  # more than one part
    xyz = clouds(B, N)
    expected = np.zeros((B, count), dtype=np.int64)
    for b, points in enumerate(xyz.numpy()):
        for i in range(1, count):
            chosen = points[expected[b, :i]]
            nearest = ((points[:, None] - chosen[None]) ** 2).sum(-1).min(1)
            expected[b, i] = nearest.argmax()
    np.testing.assert_array_equal(farthest_point_sample(xyz, count).numpy(), expected)


def test_coinciding_points_are_chosen_last() -> None:
    xyz = clouds(1, 8)[:, [0, 0, 1, 2, 2, 3]]
    chosen = farthest_point_sample(xyz, 6)[0].tolist()
    assert chosen[0] == 0
    assert sorted(chosen[:4]) == [0, 2, 3, 5]
    with pytest.raises(ValueError, match="cannot be chosen from clouds of 6"):
        farthest_point_sample(xyz, 7)


@pytest.mark.parametrize("radius", [0.1, 0.4, 3.0])
def test_balls_are_those_of_a_plain_search(radius: float) -> None:
    B, N, S, k = 5, 700, 400, 16
    assert B * N * S > PAIRS_IN_CACHE  # more than one part
    xyz = clouds(B, N)
    centres = xyz[:, N - S :]
    found = ball_query(radius, k, xyz, centres)
    distances = np.linalg.norm(xyz[:, None].numpy() - centres[:, :, None].numpy(), axis=-1)
    for b in range(B):
        for s in range(S):
            hits = np.flatnonzero(distances[b, s] <= radius)[:k]
            expected = np.append(hits, np.full(k - len(hits), hits[0]))
            np.testing.assert_array_equal(found[b, s].numpy(), expected)


def test_the_border_of_a_ball_belongs_to_it() -> None:
    xyz = torch.tensor([[[0.0, 0, 0], [0.5, 0, 0], [0.75, 0, 0]]])
    assert ball_query(0.5, 3, xyz, xyz[:, :1]).tolist() == [[[0, 1, 0]]]


def test_an_empty_ball_is_refused() -> None:
    xyz = clouds(2, 10)
    with pytest.raises(ValueError, match="a ball is empty"):
        ball_query(0.1, 4, xyz, xyz + 5)
    with pytest.raises(ValueError, match="a ball is empty"):
        ball_query(0.1, 4, xyz * torch.nan, xyz)


def literal_set_abstraction(level: SetAbstraction, xyz: Tensor, features: Tensor) -> Tensor:
    """The textbook's order: concatenate, three times (map, normalise, ReLU), maximum."""
    at = torch.arange(len(xyz))[:, None]
    centres = xyz[at, farthest_point_sample(xyz, level.centres)]
    neighbours = ball_query(level.radius, level.k, xyz, centres)
    at = at[..., None]
    x = torch.cat([xyz[at, neighbours] - centres[:, :, None], features[at, neighbours]], -1)
    for linear, norm in zip([level.mlp.first, *level.mlp.others], level.mlp.norms, strict=True):
        x = linear(x)  # (B, S, k, C)
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2), correction=0)
        x = F.relu((x - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias)
    return x.amax(2)


def test_set_abstraction_equals_the_literal_one_with_its_gradients() -> None:
    torch.manual_seed(0)
    level = SetAbstraction(20, 0.6, 8, 5, (7, 6, 4)).double()
    for norm in level.mlp.norms:
        for parameter in norm.parameters():
            nn.init.normal_(parameter)  # of both signs
    xyz = clouds(3, 50).double()
    features = torch.randn(3, 50, 5, dtype=torch.float64, requires_grad=True)
    inputs = [features, level.mlp.first.weight, *level.mlp.others[-1].parameters()]
    target = torch.randn(3, 20, 4, dtype=torch.float64)
    ours, literal = (
        [output, *torch.autograd.grad(((output - target) ** 2).sum(), inputs)]
        for output in (level(xyz, features)[1], literal_set_abstraction(level, xyz, features))
    )
    torch.testing.assert_close(ours, literal, rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def encoder() -> PointNet2Encoder:
    torch.manual_seed(0)
    encoder = PointNet2Encoder()
    # With the statistics of some clouds, for with the initial ones all features are alike.
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 1.0
    with torch.no_grad():
        encoder(clouds(4, 512, seed=1))
    return encoder.eval()


def test_the_feature_ignores_the_order_of_points(encoder: PointNet2Encoder) -> None:
    xyz = clouds(2, 600)  # so sparse that no ball overflows
    order = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + torch.randperm(599)])
    with torch.no_grad():
        feature = encoder(xyz)
        assert feature.shape == (2, 1024)
        torch.testing.assert_close(encoder(xyz[:, order]), feature, rtol=1e-4, atol=1e-4)
        # From another first point, other centres are chosen.
        assert not torch.allclose(encoder(xyz.flip(1)), feature, rtol=1e-2, atol=1e-2)


def test_a_crowded_ball_depends_on_the_order_of_points(encoder: PointNet2Encoder) -> None:
    xyz = clouds(1, 600) * 0.3
    order = torch.cat([torch.zeros(1, dtype=torch.int64), torch.arange(599, 0, -1)])
    with torch.no_grad():
        assert not torch.allclose(encoder(xyz[:, order]), encoder(xyz), rtol=1e-2, atol=1e-2)


def test_neighbourhoods_do_not_see_where_the_cloud_is_but_the_last_level_does(encoder: PointNet2Encoder) -> None:
    xyz = clouds(2, 600)
    moved = xyz + torch.tensor([0.5, -0.25, 1.0])
    with torch.no_grad():
        centres, features = encoder.level1(xyz, None)
        moved_centres, moved_features = encoder.level1(moved, None)
        torch.testing.assert_close(moved_centres - centres, (moved - xyz)[:, :512], atol=1e-6, rtol=0)
        torch.testing.assert_close(moved_features, features, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(encoder(moved), encoder(xyz), rtol=1e-2, atol=1e-2)


def test_a_feature_does_not_depend_on_the_other_clouds(encoder: PointNet2Encoder) -> None:
    xyz = clouds(3, 512)
    with torch.no_grad():
        together = encoder(xyz)
        alone = torch.cat([encoder(cloud[None]) for cloud in xyz])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
