"""`make perf`: operations on point clouds, timed against plain torch and pytorch3d in the same run."""

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch
from timing import Row, height_field, seconds, write_tables
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.expressions import BASIC_SIX
from fer_bench.methods import drfer
from fer_bench.methods.drfer import DrFER
from fer_bench.methods.face_disentanglement import FaceDisentanglement
from fer_bench.methods.pointnet2 import PointNet2
from fer_bench.nn import face_networks, point_ops, pointnet2
from fer_bench.nn.point_ops import ball_query, chamfer, farthest_point_sample, nearest, take
from fer_bench.nn.pointnet2 import Size
from fer_bench.records import Batch, Target, TrainingSet

B, N = 24, 2048
CENTRES, RADIUS, NEIGHBOURS = 512, 0.2, 32


def clouds(device: str, seed: int) -> Tensor:
    """(B, N, 3) on the unit sphere, as dense as a scan that is scaled to it."""
    points = torch.randn(B, N, 3, generator=torch.Generator().manual_seed(seed))
    return F.normalize(points, dim=-1).to(device)


def plain_sample(xyz: Tensor, count: int) -> Tensor:
    """The usual loop in float32: distances to the last point, minimum, farthest."""
    chosen = torch.zeros(len(xyz), count, dtype=torch.int64, device=xyz.device)
    left = torch.full(xyz.shape[:2], torch.inf, device=xyz.device)
    for i in range(1, count):
        last = take(xyz, chosen[:, i - 1, None, None])[:, :, 0]  # (B, 1, 3)
        left = torch.minimum(left, ((xyz - last) ** 2).sum(-1))
        chosen[:, i] = left.max(1).indices
    return chosen


def plain_query(radius: float, k: int, xyz: Tensor, centres: Tensor) -> Tensor:
    """All distances; the indices outside replaced by N; sorted; the first k."""
    index = torch.arange(xyz.shape[1], device=xyz.device).expand(*centres.shape[:2], -1)
    index = torch.where(torch.cdist(centres, xyz) <= radius, index, xyz.shape[1])
    index = index.sort(-1).values[..., :k]
    return torch.where(index == xyz.shape[1], index[..., :1], index)


def plain_nearest(points: Tensor, among: Tensor, k: int) -> Tensor:
    """All distances, then the least k."""
    return torch.cdist(points, among).topk(k, largest=False).indices


def plain_chamfer(a: Tensor, b: Tensor) -> Tensor:
    """All distances, then their minima both ways."""
    square = torch.cdist(a, b) ** 2
    return square.amin(2).mean(1) + square.amin(1).mean(1)


def with_gradients(distance: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Callable[[], object]:
    """A distance and its gradients in both clouds."""
    inputs = [cloud.clone().requires_grad_() for cloud in (a, b)]
    return lambda: torch.autograd.grad(distance(*inputs).sum(), inputs)


def waiting(work: Callable[[], object]) -> Callable[[], None]:
    """The work, until a GPU has done it."""

    def run() -> None:
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return run


def operations(device: str, where: str) -> Iterator[Row]:
    """Each operation against plain torch, and against pytorch3d where it is installed."""
    a, b = clouds(device, 0), clouds(device, 1)
    centres = take(a, farthest_point_sample(a, CENTRES)[..., None])[:, :, 0]
    same = [
        (farthest_point_sample(a, CENTRES), plain_sample(a, CENTRES)),
        (ball_query(RADIUS, NEIGHBOURS, a, centres), plain_query(RADIUS, NEIGHBOURS, a, centres)),
        (nearest(a, b, NEIGHBOURS)[1], plain_nearest(a, b, NEIGHBOURS)),
    ]
    # Not all: a matrix product, by which cdist finds distances, is rounded coarsely near zero.
    assert all((mine == other).float().mean() > 0.95 for mine, other in same), "all must answer the same question"
    torch.testing.assert_close(chamfer(a, b), plain_chamfer(a, b), rtol=1e-2, atol=0)

    theirs: dict[str, Callable[[], object]] = {}
    if importlib.util.find_spec("pytorch3d") is not None:
        ops: Any = importlib.import_module("pytorch3d.ops")
        loss: Any = importlib.import_module("pytorch3d.loss")
        theirs["sample"] = lambda: ops.sample_farthest_points(a, K=CENTRES)
        theirs["query"] = lambda: ops.ball_query(centres, a, K=NEIGHBOURS, radius=RADIUS, return_nn=False)
        theirs["nearest"] = lambda: ops.knn_points(a, b, K=NEIGHBOURS)
        theirs["chamfer"] = lambda: loss.chamfer_distance(a, b)

    size = f"{B} x {N:,} points, {where}"
    each: list[tuple[str, str, Callable[[], object], str, Callable[[], object]]] = [
        (
            "sample",
            f"sampling {CENTRES} of {size}",
            lambda: farthest_point_sample(a, CENTRES),
            "a torch loop",
            lambda: plain_sample(a, CENTRES),
        ),
        (
            "query",
            f"ball query, {NEIGHBOURS} within {RADIUS}, of {size}",
            lambda: ball_query(RADIUS, NEIGHBOURS, a, centres),
            "torch: cdist and sort",
            lambda: plain_query(RADIUS, NEIGHBOURS, a, centres),
        ),
        (
            "nearest",
            f"{NEIGHBOURS} nearest neighbours of {size}",
            lambda: nearest(a, b, NEIGHBOURS),
            "torch: cdist and topk",
            lambda: plain_nearest(a, b, NEIGHBOURS),
        ),
        (
            "chamfer",
            f"Chamfer distance of {size}",
            lambda: chamfer(a, b),
            "torch: cdist",
            lambda: plain_chamfer(a, b),
        ),
    ]
    for name, what, ours, peer, plain in each:
        yield Row.timed(what, waiting(ours), peer, waiting(plain), rounds=5)  # the peers take seconds
        if name in theirs:
            yield Row.timed(what, waiting(ours), "pytorch3d", waiting(theirs[name]))
    gradients = [waiting(with_gradients(distance, a, b)) for distance in (chamfer, plain_chamfer)]
    yield Row.timed(f"Chamfer distance and its gradients of {size}", gradients[0], "torch: cdist", gradients[1])


def training_steps(device: str, where: str, size: Size) -> Iterator[Row]:
    """PointNet++ as it is trained here; on a GPU also with the sampling that launches kernels for each point."""
    target = Target("classification", BASIC_SIX)
    method = PointNet2(target, size).to(device).train()
    optimizer: torch.optim.Optimizer = method.configure_optimizers()["optimizer"]  # type: ignore[index,call-overload]
    label = (torch.arange(B) % 6).to(device)
    batch: Batch = {"id": [f"s{i}" for i in range(B)], "input": clouds(device, 0), "label": label}

    def step() -> None:
        optimizer.zero_grad()
        method.loss(batch).backward()
        optimizer.step()

    def looped() -> None:
        with patch.object(point_ops, "_importable", lambda _: False):
            step()

    what = f"PointNet++ ({size}) training step, {B} x {N:,} points, {where}"
    if device == "cuda":
        row = Row.timed(what, waiting(step), "sampling by a torch loop", waiting(looped))
    else:
        row = Row(what, "ms", 1000 * seconds(step, 5, 1))
    yield row
    yield Row(f"{what}: samples", "samples/s", 1000 * B / row.ours)


def drfer_step(device: str, where: str, size: Size) -> Row:
    """A step of DrFER's stage iii, which runs six encoders and compares six pairs of clouds."""
    target, scans = Target("classification", BASIC_SIX), clouds("cpu", 0)
    ids = tuple(f"s{i}" for i in range(B))
    label = {i: BASIC_SIX[number % 6] for number, i in enumerate(ids)}
    subject = {i: f"p{number % 4}" for number, i in enumerate(ids)}
    method = DrFER(target, size)
    method.setup_from_training_set(
        TrainingSet(ids[:18], ids[18:], subject, label, lambda asked: scans[[ids.index(i) for i in asked]])
    )
    stage = method.stages[-1]
    method.to(device).train().on_stage_start(stage)
    optimizer: torch.optim.Optimizer = method.configure_optimizers()  # type: ignore[assignment]
    first = list(ids[: stage.batch_size])
    classes = torch.tensor([BASIC_SIX.index(label[i]) for i in first], device=device)
    batch: Batch = {"id": first, "input": scans[: len(first)].to(device), "label": classes}

    def step() -> None:
        optimizer.zero_grad()
        method.loss(batch).backward()
        optimizer.step()

    def plain() -> None:
        with (
            patch.object(pointnet2, "farthest_point_sample", plain_sample),
            patch.object(pointnet2, "ball_query", plain_query),
            patch.object(drfer, "chamfer", plain_chamfer),
        ):
            step()

    what = f"DrFER ({size}) training step of stage iii, {len(first)} x {N:,} points, {where}"
    return Row.timed(what, waiting(step), "the same with plain torch operations", waiting(plain), rounds=3)


def plain_pooled(x: Tensor, layer: nn.Conv1d, norm: nn.BatchNorm1d | None = None) -> Tensor:
    """The layer on all points, its normalisation, and the maximum."""
    y = layer(x.mT)
    return (y if norm is None else norm(y)).amax(2)


def face_step(device: str, where: str) -> Row:
    """A step of the autoencoder in the joint training of face disentanglement, which runs four PointNets."""
    mesh = height_field(35**2)
    faces = torch.from_numpy(mesh.vertices) + torch.randn(32, 1, 3)
    ids = tuple(f"s{i}" for i in range(len(faces)))
    subject = {i: f"p{number % 4}" for number, i in enumerate(ids)}
    method = FaceDisentanglement(Target("disentanglement", ()))
    method.configure_for_input((35**2, 3), lambda _: mesh.triangles)
    method.setup_from_training_set(
        TrainingSet(ids, (), subject, {}, lambda asked: faces[[ids.index(i) for i in asked]])
    )
    method.to(device).train().on_stage_start(method.stages[-1])
    optimizer = torch.optim.Adam(method.autoencoder.parameters())
    batch: Batch = {"id": list(ids), "input": faces.to(device), "label": torch.zeros(len(ids), device=device)}

    def step() -> None:
        optimizer.zero_grad()
        method.loss(batch).backward()
        optimizer.step()

    def plain() -> None:
        with patch.object(face_networks, "pooled", plain_pooled):
            step()

    what = f"face disentanglement's autoencoder, joint training step, 32 x {35**2:,} vertices, {where}"
    peer = "the same with torch's convolution, normalisation and maximum"
    return Row.timed(what, waiting(step), peer, waiting(plain), rounds=5)


def rows() -> Iterator[Row]:
    """On the CPU, and on a GPU where there is one."""
    threads = f"{torch.get_num_threads()} threads"
    yield from operations("cpu", threads)
    for size in ("ssg", "nano"):
        yield from training_steps("cpu", threads, size)
    yield drfer_step("cpu", threads, "nano")
    yield face_step("cpu", threads)
    if torch.cuda.is_available():
        card = torch.cuda.get_device_name()
        yield from operations("cuda", card)
        for size in ("ssg", "msg"):
            yield from training_steps("cuda", card, size)
        yield drfer_step("cuda", card, "ssg")
        yield face_step("cuda", card)


if __name__ == "__main__":
    torch.manual_seed(0)
    write_tables("perf_points", "Speed of operations on points", "all cores", rows())
