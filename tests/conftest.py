"""Fabricated data that tests share: bytes in the native format, not arrays."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

# Steps of small networks take far longer on two cores than on one when other test processes use them too. Read by
# OpenMP when it is loaded, so before anything that imports PyTorch.
os.environ["OMP_NUM_THREADS"] = "1"

from fer_bench.io.bnd import write_bnd
from fer_bench.io.vrml_writer import write_vrml
from fer_bench.launch.server import PRELOAD
from fer_bench.processes import fork_server

if TYPE_CHECKING:
    from tests.faked_cells import Faker
    from tests.suite_runner import Bench

# How long an example takes tells how busy the machine is, and not whether the code is right.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

OWN_METHODS = Path(__file__).parent / "own_methods"

EXPRESSIONS = ("AN", "DI", "FE", "HA", "SA", "SU")
SIZE = 13
# Rows of the landmark file that have a name, and where they are on a face (x, y) in millimetres.
NAMED = {0: (16, 33), 4: (45, 33), 8: (-16, 33), 12: (-45, 33), 39: (17, -4), 44: (-17, -4), 42: (0, -10)}
NAMED |= {48: (26, -33), 54: (-26, -33), 51: (0, -25), 57: (0, -43), 75: (0, -78)}


def write_scan(folder: Path, name: str, random: np.random.Generator) -> None:
    """One scan of BU-3DFE: a domed 13 x 13 grid whose bump depends on the expression, textured, with landmarks."""
    code, level = name[6:8], int(name[8:10])
    axis = np.linspace(-90.0, 90.0, SIZE)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    angle = 2 * np.pi * EXPRESSIONS.index(code) / len(EXPRESSIONS) if code != "NE" else 0.0
    bump = np.exp(-((x - 45 * np.cos(angle)) ** 2 + (y - 45 * np.sin(angle)) ** 2) / 600)
    z = 40 - (x**2 + y**2) / 250 + 5 * level * bump + random.normal(0, 0.3, x.size)
    vertices = np.column_stack([x, y, z]) + random.normal(0, 5, 3)
    corner = np.arange(SIZE * SIZE).reshape(SIZE, SIZE)
    quads = np.stack([corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]], axis=-1).reshape(-1, 4)
    # A pentagon and a triangle instead of the first two quads; one quad stays; the rest are split.
    a, b, c, d = quads[0].tolist()
    e, f = quads[1, 1:3].tolist()
    polygons = [[a, b, e, c, d], [e, f, c], quads[2].tolist()]
    polygons += [list(part) for q in quads[3:].tolist() for part in ((q[0], q[1], q[2]), (q[0], q[2], q[3]))]
    uv = np.column_stack([(x + 90) / 180, (y + 90) / 180])
    # A seam: the last polygon has texture coordinates of its own, so there are more of them than vertices.
    seam = [len(uv) + i for i in range(3)]
    uv = np.vstack([uv, uv[polygons[-1]] * 0.5])
    write_vrml(folder / f"{name}_F3D.wrl", vertices, polygons, uv, [*polygons[:-1], seam], f"{name}_F3D.bmp")
    image = random.integers(0, 255, (16, 16, 3), dtype=np.uint8)
    image[:, :, 0] = 40 * (EXPRESSIONS.index(code) if code != "NE" else 6)
    Image.fromarray(image).save(folder / f"{name}_F3D.bmp")
    Image.fromarray(image).save(folder / f"{name}_F2D.bmp")
    nearest = [int(np.argmin((x - px) ** 2 + (y - py) ** 2)) for px, py in (NAMED.get(i, (0, 0)) for i in range(83))]
    write_bnd(folder / f"{name}_F3D.bnd", np.array(nearest), vertices[nearest])


def write_bu3dfe(root: Path, subjects: int) -> Path:
    """A whole small BU-3DFE."""
    for number in range(subjects):
        subject = f"{'FM'[number % 2]}{number // 2 + 1:04d}"
        folder = root / subject
        folder.mkdir(parents=True)
        random = np.random.default_rng(int(hashlib.sha256(subject.encode()).hexdigest()[:8], 16))
        for code, levels in (("NE", [0]), *((code, [1, 2, 3, 4]) for code in EXPRESSIONS)):
            for level in levels:
                write_scan(folder, f"{subject}_{code}{level:02d}WH", random)
    return root


@pytest.fixture(scope="session")
def bu3dfe_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BU-3DFE of ten subjects; never written to."""
    return write_bu3dfe(tmp_path_factory.mktemp("data") / "bu3dfe", 10)


@pytest.fixture
def make_bu3dfe(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a BU-3DFE of some subjects that a test may damage."""
    return lambda subjects: write_bu3dfe(tmp_path / "bu3dfe", subjects)


def pytest_configure(config: pytest.Config) -> None:
    """Processes that tests start are forked from one that has torch and Lightning imported already, and that knows the
    methods of tests' own."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):  # not where tests are handed out
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FER_BENCH_METHODS", str(OWN_METHODS))
            fork_server(*PRELOAD)


@pytest.fixture(scope="session")
def same_picture():
    """Whether two image files show the same, but for what drawing on another machine may round."""
    from matplotlib.image import imread

    def same(first, second):
        one, other = imread(first), imread(second)
        return one.shape == other.shape and np.abs(one - other).mean() < 1e-6

    return same


@pytest.fixture
def faker(tmp_path: Path) -> Faker:
    from tests.faked_cells import Faker

    return Faker(tmp_path / "runs")


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def bench(tmp_path: Path, bu3dfe_root: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("FER_BENCH_CACHE", str(shared_cache))
    monkeypatch.setenv("FER_BENCH_DATA", str(bu3dfe_root.parent))
    monkeypatch.chdir(tmp_path)
    from fer_bench.launch.planning import _open
    from tests.suite_runner import Bench

    _open.cache_clear()
    yield Bench(tmp_path, bu3dfe_root.parent)
    _open.cache_clear()


@pytest.fixture
def see_methods(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Call it with a folder: its methods count like those that ship, in this process and for one test."""

    from fer_bench import registry

    def see(folder: Path) -> None:
        monkeypatch.setenv("FER_BENCH_METHODS", str(folder))
        registry._docstrings.cache_clear()

    yield see
    registry._docstrings.cache_clear()
