import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.nn import pointnet2
from fer_bench.nn.point_ops import ball_query, farthest_point_sample
from fer_bench.nn.pointnet2 import PointNet2Encoder, PointNet2Head, Scale, SetAbstraction, Size


def clouds(*shape: int, seed: int = 0) -> Tensor:
    """Points spread evenly over the unit ball."""
    generator = torch.Generator().manual_seed(seed)
    directions = F.normalize(torch.randn(*shape, 3, generator=generator), dim=-1)
    return directions * torch.rand(*shape, 1, generator=generator) ** (1 / 3)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_totals_are_those_of_the_public_classifier() -> None:
    assert parameters(PointNet2Encoder()) == 807_744
    assert parameters(PointNet2Encoder("msg")) == 1_079_424
    assert parameters(PointNet2Head(6)) == 659_206
    assert parameters(PointNet2Head(8)) == 659_206 + 2 * 257


@pytest.mark.parametrize(("msg", "rates"), [(False, [0.4, 0.4]), (True, [0.4, 0.5])])
def test_dropout_is_that_of_the_public_classifiers(msg: bool, rates: list[float]) -> None:
    found = [layer.p for layer in PointNet2Head(6, msg=msg) if isinstance(layer, nn.Dropout)]
    assert found == pytest.approx(rates)


def literal_set_abstraction(level: SetAbstraction, xyz: Tensor, features: Tensor) -> Tensor:
    """The textbook's order: concatenate, three times (map, normalise, ReLU), maximum; at each scale."""
    at = torch.arange(len(xyz))[:, None]
    centres = xyz[at, farthest_point_sample(xyz, level.centres)]
    at = at[..., None]
    vectors = []
    for (radius, k, _), mlp in zip(level.scales, level.mlps, strict=True):
        neighbours = ball_query(radius, k, xyz, centres)
        x = torch.cat([xyz[at, neighbours] - centres[:, :, None], features[at, neighbours]], -1)
        for linear, norm in zip([mlp.first, *mlp.others], mlp.norms, strict=True):
            x = linear(x)  # (B, S, k, C)
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2), correction=0)
            x = F.relu((x - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias)
        vectors.append(x.amax(2))
    return torch.cat(vectors, 2)


@pytest.mark.parametrize("scales", [[Scale(0.6, 8, (7, 6, 4))], [Scale(0.6, 8, (7, 6, 4)), Scale(0.3, 3, (5, 3))]])
def test_set_abstraction_equals_the_literal_one_with_its_gradients(scales: list[Scale]) -> None:
    torch.manual_seed(0)
    level = SetAbstraction(20, scales, 5).double()
    for norm in (norm for mlp in level.mlps for norm in mlp.norms):
        for parameter in norm.parameters():
            nn.init.normal_(parameter)  # of both signs
    xyz = clouds(3, 50).double()
    features = torch.randn(3, 50, 5, dtype=torch.float64, requires_grad=True)
    inputs = [features, *(p for mlp in level.mlps for p in (mlp.first.weight, *mlp.others[-1].parameters()))]
    target = torch.randn(3, 20, level.features, dtype=torch.float64)
    ours, literal = (
        [output, *torch.autograd.grad(((output - target) ** 2).sum(), inputs)]
        for output in (level(xyz, features)[1], literal_set_abstraction(level, xyz, features))
    )
    torch.testing.assert_close(ours, literal, rtol=1e-9, atol=1e-9)


def test_scales_share_their_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def spy(xyz: Tensor, count: int) -> Tensor:
        calls.append(count)
        return farthest_point_sample(xyz, count)

    monkeypatch.setattr(pointnet2, "farthest_point_sample", spy)
    with torch.no_grad():
        PointNet2Encoder("msg").eval()(clouds(1, 512))
    assert calls == [512, 128]


@pytest.mark.parametrize(("size", "lengths"), [("ssg", (128, 256, 1024)), ("msg", (320, 640, 1024))])
def test_levels_are_maxima_over_their_centres(size: Size, lengths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    encoder, xyz = PointNet2Encoder(size).eval(), clouds(2, 520)
    assert encoder.level_features == lengths
    with torch.no_grad():
        levels = encoder.levels(xyz)
        centres, features1 = encoder.level1(xyz, None)
        _, features2 = encoder.level2(centres, features1)
        assert [tuple(level.shape) for level in levels] == [(2, length) for length in lengths]
        expected = [features1.amax(1), features2.amax(1), encoder(xyz)]
        torch.testing.assert_close(list(levels), expected, rtol=0, atol=0)


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
