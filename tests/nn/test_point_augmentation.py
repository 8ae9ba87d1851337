import torch

from fer_bench.nn.point_augmentation import drop_points, scale_points


def test_dropped_points_become_point_0() -> None:
    torch.manual_seed(0)
    xyz = torch.randn(500, 400, 3)
    dropped = drop_points(xyz, 0.8)
    same = (dropped == xyz).all(-1)
    first = (dropped == xyz[:, :1]).all(-1)
    assert (same | first).all()
    share = 1 - same[:, 1:].float().mean(1)  # (500,), uniform in [0, 0.8]
    assert share.min() < 0.02 and 0.75 < share.max() < 0.9
    assert abs(share.mean() - 0.4) < 0.04


def test_nothing_is_dropped_at_0() -> None:
    xyz = torch.randn(4, 30, 3)
    assert torch.equal(drop_points(xyz, 0.0), xyz)


def test_each_cloud_has_one_factor() -> None:
    torch.manual_seed(0)
    xyz = torch.randn(300, 20, 3)
    factor = scale_points(xyz, 0.8, 1.25) / xyz
    torch.testing.assert_close(factor, factor[:, :1, :1].expand_as(factor))
    factor = factor[:, 0, 0]
    assert 0.8 <= factor.min() < 0.81 and 1.24 < factor.max() <= 1.2501
    assert abs(factor.mean() - 1.025) < 0.03
