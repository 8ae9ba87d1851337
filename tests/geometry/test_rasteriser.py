"""Every rasteriser against the compiled one."""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.errors import FerBenchError
from fer_bench.geometry import torch_rasteriser
from fer_bench.geometry.rasteriser import SUBPIXEL, rasterise, snap
from fer_bench.geometry.render import render_views
from fer_bench.geometry.scan import Scan

installed = importlib.util.find_spec("pytorch3d") is not None
CHANNELS = ("depth", "shaded", "normal_x", "texture")


def tilted_face() -> Scan:
    axis = np.linspace(-40, 40, 9)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    corner = np.arange(81).reshape(9, 9)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    triangles = np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])]).astype(np.int32)
    vertices = np.column_stack([x, 0.7 * y, 0.4 * x - 0.2 * y]).astype(np.float32)
    uv = np.column_stack([(x + 40) / 80, (y + 40) / 80]).astype(np.float32)
    texture = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    return Scan(vertices, triangles, uv, triangles, texture)


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytorch3d by its documentation: +x left, +y up, pixel (0, 0) at (+1, +1), the smallest positive z wins."""

    def rasterize_meshes(meshes: SimpleNamespace, image_size: int, **options: object) -> tuple[torch.Tensor, ...]:
        assert options == {
            "blur_radius": 0.0,
            "faces_per_pixel": 1,
            "perspective_correct": False,
            "cull_backfaces": False,
        }
        parts = [one(points, image_size) for points in meshes.points]
        count = len(meshes.faces[0])
        faces = [torch.where(face >= 0, face + i * count, -1) for i, (face, _, _) in enumerate(parts)]
        depths, weights = (torch.stack([part[k] for part in parts])[:, :, :, None] for k in (1, 2))
        return torch.stack(faces)[..., None], depths, weights

    def one(points: torch.Tensor, image_size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        points, faces = points.double(), triangles[0]
        assert (points[:, 2] > 0).all()
        grid = 1 - (2 * torch.arange(image_size, dtype=torch.float64) + 1) / image_size
        y, x = torch.meshgrid(grid, grid, indexing="ij")
        a, b, c = (points[faces[:, k], :, None, None] for k in range(3))

        def twice_area(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
            return (q[:, 0] - p[:, 0]) * (y - p[:, 1]) - (q[:, 1] - p[:, 1]) * (x - p[:, 0])

        weights = torch.stack([twice_area(b, c), twice_area(c, a), twice_area(a, b)], -1)
        weights = weights / weights.sum(-1, keepdim=True)  # (F, H, W, 3)
        depth = (weights * torch.stack([a[:, 2], b[:, 2], c[:, 2]], -1)).sum(-1)
        depth = torch.where((weights >= 0).all(-1), depth, torch.inf)
        best, face = depth.min(0)
        hidden = torch.isinf(best)
        chosen = torch.gather(weights, 0, face[None, ..., None].expand(1, *face.shape, 3))[0]
        return (
            torch.where(hidden, -1, face),
            torch.where(hidden, -1, best),
            torch.where(hidden[..., None], -1, chosen),
        )

    for name in ("pytorch3d", "pytorch3d.renderer", "pytorch3d.renderer.mesh"):
        module = ModuleType(name)
        module.__spec__ = importlib.util.spec_from_loader(name, loader=None)
        monkeypatch.setitem(sys.modules, name, module)
    rasteriser, structures = ModuleType("rasterize_meshes"), ModuleType("structures")
    rasteriser.rasterize_meshes = rasterize_meshes  # type: ignore[attr-defined]
    triangles: list[torch.Tensor] = []

    def meshes_of(points: list[torch.Tensor], faces: list[torch.Tensor]) -> SimpleNamespace:
        triangles[:] = faces
        return SimpleNamespace(points=points, faces=faces)

    structures.Meshes = meshes_of  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pytorch3d.renderer.mesh.rasterize_meshes", rasteriser)
    monkeypatch.setitem(sys.modules, "pytorch3d.structures", structures)


def views(distance_mm: float | None) -> np.ndarray:
    angles = [(25.0, -10.0), (0.0, 0.0), (-60.0, 5.0)]
    return render_views(
        tilted_face(), size=48, field_mm=120.0, channels=CHANNELS, angles=angles, distance_mm=distance_mm
    )


@pytest.mark.parametrize("distance_mm", [None, 400.0])
@pytest.mark.parametrize(
    "real", [False, pytest.param(True, marks=pytest.mark.skipif(not installed, reason="no pytorch3d"))]
)
def test_pytorch3d_draws_the_same_but_for_silhouettes(
    monkeypatch: pytest.MonkeyPatch, real: bool, distance_mm: float | None
) -> None:
    ours = views(distance_mm)
    if not real:
        stand_in(monkeypatch)
    monkeypatch.setenv("FER_BENCH_RASTERISER", "pytorch3d")
    theirs = views(distance_mm)
    for mine, other in zip(ours, theirs, strict=True):
        seen, also = mine[1] > 0, other[1] > 0
        assert 0.05 < seen.mean() < 0.9
        assert (seen != also).mean() < 0.01, "but for silhouettes"
        difference = np.abs(mine.astype(int) - other)[:, seen & also]
        assert np.median(difference) == 0
        assert (difference > 2).mean() < 0.015


@pytest.mark.parametrize("distance_mm", [None, 400.0])
def test_torch_draws_exactly_the_same(monkeypatch: pytest.MonkeyPatch, distance_mm: float | None) -> None:
    ours = views(distance_mm)
    monkeypatch.setenv("FER_BENCH_RASTERISER", "torch")
    # To the bit where both run on a CPU; on a GPU a product and a sum may be rounded once.
    difference = np.abs(ours.astype(int) - views(distance_mm))
    assert (difference > 0).mean() <= (0.001 if torch.cuda.is_available() else 0)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 60),
    spread=st.sampled_from([3.0, 30.0, 3000.0]),
    grid=st.sampled_from([1, SUBPIXEL // 2, SUBPIXEL]),
    pairs=st.sampled_from([1, 50, 1 << 22]),
)
def test_torch_agrees_on_any_triangles(seed: int, count: int, spread: float, grid: int, pairs: int) -> None:
    """Corners on pixel centres and edges, equal depths, needles and triangles far larger than the image."""
    draw = np.random.default_rng(seed)
    x, y = (snap(draw.normal(8, spread, (2, 20))) // grid * grid for _ in "xy")
    z = draw.integers(-3, 3, (2, 20)).astype(np.float64)
    triangles = draw.integers(0, 20, (count, 3)).astype(np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_rasteriser, "_PAIRS", pairs)
        theirs = torch_rasteriser.rasterise(x, y, z, triangles, 16)
    for mine, other in zip(rasterise(x, y, z, triangles, 16), theirs, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_rasteriser_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_BENCH_RASTERISER", "opengl")
    with pytest.raises(FerBenchError, match="FER_BENCH_RASTERISER=opengl: there is no such rasteriser"):
        views(None)
    if not installed:
        monkeypatch.setenv("FER_BENCH_RASTERISER", "pytorch3d")
        with pytest.raises(FerBenchError, match="pytorch3d is not installed; install it, or unset"):
            views(None)
