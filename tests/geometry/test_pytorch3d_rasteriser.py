from __future__ import annotations

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from fer_bench.errors import FerBenchError
from fer_bench.geometry.render import render
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
        points, faces = meshes.points.double(), meshes.faces
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
            torch.where(hidden, -1, face)[None, ..., None],
            torch.where(hidden, -1, best)[None, ..., None],
            torch.where(hidden[..., None], -1, chosen)[None, ..., None, :],
            best[None],
        )

    for name in ("pytorch3d", "pytorch3d.renderer", "pytorch3d.renderer.mesh"):
        module = ModuleType(name)
        module.__spec__ = importlib.util.spec_from_loader(name, loader=None)
        monkeypatch.setitem(sys.modules, name, module)
    rasteriser, structures = ModuleType("rasterize_meshes"), ModuleType("structures")
    rasteriser.rasterize_meshes = rasterize_meshes  # type: ignore[attr-defined]
    structures.Meshes = lambda points, faces: SimpleNamespace(points=points[0], faces=faces[0])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pytorch3d.renderer.mesh.rasterize_meshes", rasteriser)
    monkeypatch.setitem(sys.modules, "pytorch3d.structures", structures)


@pytest.mark.parametrize(
    "real", [False, pytest.param(True, marks=pytest.mark.skipif(not installed, reason="no pytorch3d"))]
)
def test_both_rasterisers_draw_the_same(monkeypatch: pytest.MonkeyPatch, real: bool) -> None:
    scan = tilted_face()
    ours = render(scan, size=48, field_mm=120.0, channels=CHANNELS, yaw=25.0, pitch=-10.0)
    if not real:
        stand_in(monkeypatch)
    monkeypatch.setenv("FER_BENCH_RASTERISER", "pytorch3d")
    theirs = render(scan, size=48, field_mm=120.0, channels=CHANNELS, yaw=25.0, pitch=-10.0)
    seen, also = ours[1] > 0, theirs[1] > 0
    assert 0.1 < seen.mean() < 0.9
    assert (seen != also).mean() < 0.01, "but for silhouettes"
    difference = np.abs(ours.astype(int) - theirs)[:, seen & also]
    assert np.median(difference) == 0
    assert (difference > 2).mean() < 0.01


def test_a_rasteriser_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_BENCH_RASTERISER", "opengl")
    with pytest.raises(FerBenchError, match="FER_BENCH_RASTERISER=opengl: there is no such rasteriser"):
        render(tilted_face(), size=8, field_mm=120.0, channels=("depth",))
    if not installed:
        monkeypatch.setenv("FER_BENCH_RASTERISER", "pytorch3d")
        with pytest.raises(FerBenchError, match="pytorch3d is not installed; build it from source"):
            render(tilted_face(), size=8, field_mm=120.0, channels=("depth",))
