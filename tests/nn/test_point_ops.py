"""Point operations against brute force in float64, by every way they are computed."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fer_bench.nn import point_ops
from fer_bench.nn.point_ops import ball_query, chamfer, farthest_point_sample, nearest, take

installed = importlib.util.find_spec("pytorch3d") is not None
WAYS = ("compiled", "torch", "pytorch3d")
every_way = pytest.mark.parametrize("way", WAYS)


@contextmanager
def computed(way: str, pairs: int = point_ops.PAIRS) -> Iterator[None]:
    """On a CPU as CPUs do it, or as GPUs do it: with torch, and with a stand-in for pytorch3d."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(point_ops, "PAIRS", pairs)
        if way != "compiled":
            patch.setattr(point_ops, "_on_cpu", lambda _: False)
            patch.setattr(point_ops, "_importable", lambda package: package == way)
        if way == "pytorch3d":
            ops: Any = ModuleType("pytorch3d.ops")
            ops.knn_points = knn_points
            patch.setitem(sys.modules, "pytorch3d", ModuleType("pytorch3d"))
            patch.setitem(sys.modules, "pytorch3d.ops", ops)
        yield


def knn_points(p1: Tensor, p2: Tensor, *, K: int) -> SimpleNamespace:
    """By its documentation: (N, P1, 3) and (N, P2, 3) of one floating type to (N, P1, K), the nearest first."""
    assert p1.dtype == p2.dtype and p1.dtype in (torch.float32, torch.float64)
    dists, idx = torch.from_numpy(squares(p1, p2)).sort(stable=True)
    return SimpleNamespace(dists=dists[..., :K].to(p1.dtype), idx=idx[..., :K], knn=None)


def squares(points: Tensor, among: Tensor) -> np.ndarray:
    """(B, S, N) by the definition."""
    a, b = (cloud.detach().double().numpy() for cloud in (points, among))
    return ((a[:, :, None] - b[:, None]) ** 2).sum(-1)


def farthest_by_definition(xyz: Tensor, count: int) -> np.ndarray:
    chosen = np.zeros((len(xyz), count), dtype=np.int64)
    for b, distance in enumerate(squares(xyz, xyz)):
        for i in range(1, count):
            left = distance[chosen[b, :i]].min(0)
            left[chosen[b, :i]] = -1
            chosen[b, i] = left.argmax()
    return chosen


def balls_by_definition(radius: float, k: int, xyz: Tensor, centres: Tensor) -> list[list[list[int]]]:
    return [
        [[*(hits := np.flatnonzero(row <= radius**2)[:k].tolist()), *[hits[0]] * (k - len(hits))] for row in cloud]
        for cloud in squares(centres, xyz)
    ]


def random_clouds(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed)).to(dtype)


@st.composite
def clouds(draw: st.DrawFn, batch: int | None = None) -> Tensor:
    """A few clouds, on a lattice, where many points coincide and many more are equally far, or anywhere."""
    shape = (batch or draw(st.integers(1, 3)), draw(st.integers(1, 150)), 3)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lattice = random.integers(0, draw(st.integers(1, 6)), shape).astype(np.float32)
    return torch.from_numpy(draw(st.sampled_from([lattice, random.normal(size=shape).astype(np.float32)])))


@every_way
@settings(max_examples=60)
@given(xyz=clouds(), data=st.data())
def test_farthest_points_are_those_of_the_definition(way: str, xyz: Tensor, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, xyz.shape[1]))
    with computed(way):
        chosen = farthest_point_sample(xyz, count)
    assert chosen.dtype == torch.int64
    np.testing.assert_array_equal(chosen.numpy(), farthest_by_definition(xyz, count))


@every_way
@settings(max_examples=60)
@given(xyz=clouds(), data=st.data())
def test_balls_are_those_of_the_definition(way: str, xyz: Tensor, data: st.DataObject) -> None:
    centres = xyz[:, data.draw(st.integers(0, xyz.shape[1] - 1)) :]
    radius, k = data.draw(st.sampled_from([0.0, 0.3, 1, 1.5, 10.0])), data.draw(st.integers(1, 70))
    with computed(way, data.draw(st.sampled_from([1, 500, point_ops.PAIRS]))):
        found = ball_query(radius, k, xyz, centres)
    assert found.dtype == torch.int64
    assert found.tolist() == balls_by_definition(radius, k, xyz, centres)


@every_way
@settings(max_examples=60)
@given(among=clouds(2), points=clouds(2), data=st.data())
def test_neighbours_are_those_of_a_sorted_matrix(way: str, among: Tensor, points: Tensor, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, min(among.shape[1], 40)))
    with computed(way, data.draw(st.sampled_from([1, 500, point_ops.PAIRS]))):
        square, index = nearest(points, among, k)
    expected = squares(points, among)
    order = expected.argsort(-1, kind="stable")[..., :k]
    assert index.dtype == torch.int64 and square.dtype == torch.float32
    np.testing.assert_array_equal(index.numpy(), order)
    np.testing.assert_array_equal(square.numpy(), np.take_along_axis(expected, order, -1).astype(np.float32))


@every_way
@settings(max_examples=40)
@given(a=clouds(2), b=clouds(2))
def test_chamfer_is_that_of_the_whole_matrix(way: str, a: Tensor, b: Tensor) -> None:
    square = squares(a, b)
    with computed(way):
        found = chamfer(a.double(), b)
    assert found.dtype == torch.float64 and found.shape == (2,)
    np.testing.assert_allclose(found, square.min(2).mean(1) + square.min(1).mean(1), rtol=1e-12)


@every_way
def test_chamfer_has_the_gradients_of_the_whole_matrix(way: str) -> None:
    a, b = (random_clouds(2, n, seed=n, dtype=torch.float64).requires_grad_() for n in (130, 70))
    weight = torch.tensor([2.0, -3.0], dtype=torch.float64)
    matrix = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    literal = matrix.amin(2).mean(1) + matrix.amin(1).mean(1)
    with computed(way):
        ours = chamfer(a, b)
    torch.testing.assert_close(ours, literal)
    gradients = [torch.autograd.grad((loss * weight).sum(), (a, b)) for loss in (ours, literal)]
    torch.testing.assert_close(*gradients)
    assert torch.autograd.gradcheck(chamfer, (a[:, :9], b[:, :7]))


@every_way
def test_chamfer_of_a_reordered_cloud_is_zero(way: str) -> None:
    a = random_clouds(3, 500) * 100
    with computed(way):
        assert chamfer(a, a[:, torch.randperm(500)]).tolist() == [0, 0, 0]
        moved = chamfer(a, a + torch.tensor([1e-3, 0, 0]))
    torch.testing.assert_close(moved, torch.full((3,), 2e-6), rtol=0.05, atol=0)


@every_way
def test_neighbours_follow_their_points_when_those_are_reordered(way: str) -> None:
    points, among = random_clouds(2, 40), random_clouds(2, 90, seed=1)
    order = torch.randperm(90)
    with computed(way):
        square, index = nearest(points, among, 5)
        same, reordered = nearest(points, among[:, order], 5)
        of_others = nearest(points.flip(1), among, 5)
    assert torch.equal(same, square) and torch.equal(order[reordered], index)
    assert torch.equal(of_others[1], index.flip(1))


class Largest(TorchDispatchMode):
    """Remembers how many elements the largest tensor had that any operation returned."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = result if isinstance(result, tuple | list) else [result]
        self.elements = max([self.elements, *(t.numel() for t in tensors if isinstance(t, Tensor))])
        return result


@pytest.mark.parametrize("way", ["compiled", "torch"])
def test_no_matrix_is_larger_than_allowed(way: str) -> None:
    B, N, pairs = 2, 500, 10_000
    a, b = random_clouds(B, N), random_clouds(B, N, seed=1)
    with computed(way, pairs), Largest() as largest:
        chamfer(a.requires_grad_(), b).sum().backward()
        nearest(a, b, 3)
        ball_query(1.0, 3, b, b[:, :50])
    assert 0 < largest.elements <= pairs < B * N * N


@every_way
def test_one_point(way: str) -> None:
    xyz = torch.tensor([[[1.0, 2, 3]]])
    with computed(way):
        assert farthest_point_sample(xyz, 1).tolist() == [[0]]
        assert ball_query(0.0, 2, xyz, xyz).tolist() == [[[0, 0]]]
        square, index = nearest(xyz + 2, xyz)
        assert square.tolist() == [[[12]]] and index.tolist() == [[[0]]]
        assert chamfer(xyz, xyz + 2).tolist() == [24]


@every_way
def test_the_border_of_a_ball_belongs_to_it(way: str) -> None:
    xyz = torch.tensor([[[0.0, 0, 0], [0.5, 0, 0], [0.5 + 2**-24, 0, 0]]])
    with computed(way):
        assert ball_query(0.5, 3, xyz, xyz[:, :1]).tolist() == [[[0, 1, 0]]]
        xyz = torch.ones(1, 200, 3)
        xyz[0, 0] = 0
        xyz[0, 150] = torch.tensor([0, 0.5, 0])  # alone among many that are out
        assert ball_query(0.5, 2, xyz, xyz[:, :1]).tolist() == [[[0, 150]]]


@every_way
def test_an_empty_ball_is_refused(way: str) -> None:
    xyz = random_clouds(2, 10)
    lost = xyz.clone()
    lost[1, 9] += 100  # the last row of the last share
    wrong = [(xyz, lost), (xyz * torch.nan, xyz), (xyz, xyz * torch.nan), (xyz * torch.inf, xyz * torch.inf)]
    with computed(way):
        for cloud, centres in wrong:  # a NaN of inf - inf has its sign bit set, one that is written has not
            with pytest.raises(ValueError, match="a ball is empty"):
                ball_query(0.1, 4, cloud, centres)


def test_what_cannot_be_answered_is_refused() -> None:
    xyz = random_clouds(2, 6)
    with pytest.raises(ValueError, match="7 points cannot be chosen from clouds of 6"):
        farthest_point_sample(xyz, 7)
    for k in (0, 7):
        with pytest.raises(ValueError, match=f"{k} nearest neighbours cannot be found among clouds of 6"):
            nearest(xyz, xyz, k)
    with pytest.raises(ValueError, match="a ball of 0 points is requested"):
        ball_query(1.0, 0, xyz, xyz)
    for empty in ((xyz[:, :0], xyz), (xyz, xyz[:, :0])):
        with pytest.raises(ValueError, match="among clouds of 0"):
            chamfer(*empty)
    for other in (xyz[:1], xyz[0], xyz[..., :2]):  # what a kernel would read beyond the end of
        for work in (lambda other=other: nearest(xyz, other), lambda other=other: ball_query(1.0, 2, xyz, other)):
            with pytest.raises(ValueError, match=r"clouds must be \(B, N, 3\) with one B, not \(2, 6, 3\) and"):
                work()


@every_way
@pytest.mark.parametrize("value", [torch.nan, -torch.nan, torch.inf])
def test_a_diverged_cloud_has_no_chamfer_distance_and_stops_nothing(way: str, value: float) -> None:
    a, b = random_clouds(2, 150), random_clouds(2, 90, seed=1)
    expected = chamfer(a[1:], b[1:])
    a[0, 70] = value
    with computed(way):
        found = chamfer(a, b)
        assert not found[0].isfinite() and torch.equal(found[1:], expected)
        assert not chamfer(a * value, b).isfinite().any()
        assert farthest_point_sample(a * value, 90).max() < 150


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_results_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    xyz, other = random_clouds(5, 100), random_clouds(5, 33, seed=1)
    before = torch.get_num_threads()
    results = []
    try:
        for count in (1, threads):
            torch.set_num_threads(count)
            results.append(
                [
                    farthest_point_sample(xyz, 50),
                    ball_query(0.7, 9, xyz, xyz[:, 10:]),
                    *nearest(other, xyz, 4),
                    nearest(other[:1, :2], xyz[:1])[1],  # fewer rows than threads
                    chamfer(xyz, other),
                ]
            )
    finally:
        torch.set_num_threads(before)
    for one, many in zip(*results, strict=True):
        assert torch.equal(one, many)


@every_way
def test_strides_and_dtypes_do_not_matter(way: str) -> None:
    wide = random_clouds(4, 120, dtype=torch.bfloat16)
    strided = wide.transpose(0, 1).contiguous().transpose(0, 1)[::2, ::3]  # (2, 40, 3)
    assert not strided.is_contiguous()
    plain = strided.contiguous().float()
    with computed(way):
        for xyz in (strided, strided.float(), strided.double(), strided.half()):
            assert torch.equal(farthest_point_sample(xyz, 20), farthest_point_sample(plain, 20))
            assert torch.equal(ball_query(1.0, 5, xyz, xyz), ball_query(1.0, 5, plain, plain))
            square, index = nearest(xyz, xyz.flip(0), 3)
            assert square.dtype == (torch.float64 if xyz.dtype == torch.float64 else torch.float32)
            assert torch.equal(index, nearest(plain, plain.flip(0), 3)[1])
            torch.testing.assert_close(chamfer(xyz, xyz.flip(0)).float(), chamfer(plain, plain.flip(0)))
        small = xyz.float() * 1e-3  # float64 sees what float32 squares and bf16 differences would lose
        with torch.autocast("cpu", torch.bfloat16):
            found = chamfer(small, small + 1e-5)
        assert found.dtype == torch.float32 and torch.equal(found, chamfer(small, small + 1e-5))


def test_float64_tells_apart_what_float32_does_not() -> None:
    xyz = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [1 + 1e-12, 0, 0]]], dtype=torch.float64)
    assert farthest_point_sample(xyz, 2).tolist() == [[0, 2]]
    assert nearest(xyz[:, :1] + 9, xyz)[1].tolist() == [[[2]]]
    assert ball_query(1.0, 3, xyz, xyz[:, :1]).tolist() == [[[0, 1, 0]]]


INTERPRETED = """
import numpy as np, torch
from fer_bench.nn import point_ops, point_triton
from fer_bench.nn.point_ops import farthest_point_sample
point_ops._on_cpu = lambda cloud: False
launches = []
kernel = point_triton.farthest
point_triton.farthest = lambda *args: launches.append(args) or kernel(*args)
random = np.random.default_rng(0)
for shape in ((1, 1, 3), (2, 2, 3), (3, 64, 3), (2, 100, 3)):
    for cloud in (random.integers(0, 3, shape).astype(np.float32), random.normal(size=shape)):
        for xyz in (torch.from_numpy(cloud), torch.from_numpy(cloud).bfloat16()):
            for count in {1, (shape[1] + 1) // 2, shape[1]}:
                launches.clear()
                found = farthest_point_sample(xyz, count)
                assert len(launches) == 1 and found.dtype == torch.int64
                expected = point_ops._farthest(xyz.double(), count)
                assert torch.equal(found, expected), (shape, count, found, expected)
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no triton")
def test_the_triton_kernel_chooses_the_same_in_its_interpreter() -> None:
    # Triton reads the variable when it is imported, so in a process of its own.
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", INTERPRETED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("lattice", [False, True])
@pytest.mark.parametrize("N", [1, 600, 2048, 5000])
def test_a_gpu_chooses_the_same(N: int, lattice: bool) -> None:
    xyz, other = random_clouds(3, N), random_clouds(3, 700, seed=1)
    if lattice:
        xyz, other = (xyz * 3).round(), (other * 3).round()
    count, k = min(N, 512), min(N, 4)

    def results(xyz: Tensor, other: Tensor) -> list[Tensor]:
        index = farthest_point_sample(xyz, count)
        centres = take(xyz, index[..., None])[:, :, 0]
        return [index, ball_query(0.5, 8, xyz, centres), *nearest(other, xyz, k), chamfer(xyz, other)]

    expected = results(xyz, other)
    ways = [computed("torch")] if installed else [computed("torch"), nullcontext()]  # pytorch3d's ties are its own
    for way in ways:
        with way:
            found = [result.cpu() for result in results(xyz.cuda(), other.cuda())]
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    assert torch.equal(farthest_point_sample(xyz.cuda(), count).cpu(), expected[0])
