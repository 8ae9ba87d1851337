"""Scans from their files alone, against what the datasets' readers make of the same files."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_bench import registry
from fer_bench.errors import BrokenScan
from fer_bench.geometry.frames import Clip
from fer_bench.geometry.scan import Scan
from fer_bench.io.obj import write_obj
from fer_bench.io.ply import write_ply
from fer_bench.io.scan_files import millimetres_a_unit, read_scan


def same(found: Scan, expected: Scan) -> None:
    np.testing.assert_array_equal(found.vertices, expected.vertices)
    np.testing.assert_array_equal(found.triangles, expected.triangles)
    for name in ("uv", "uv_triangles", "texture"):
        mine, theirs = getattr(found, name), getattr(expected, name)
        if expected.texture is None:  # coordinates without a texture are of no use
            assert mine is None
        else:
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
    assert found.landmarks.keys() == expected.landmarks.keys()
    for name, point in expected.landmarks.items():
        np.testing.assert_array_equal(found.landmarks[name], point)


def test_a_scan_of_bu3dfe_is_read_as_its_reader_does(bu3dfe_root: Path) -> None:
    dataset = registry.load_dataset("bu3dfe")
    index = dataset.index(bu3dfe_root)
    for files in index["files"].head(3):
        scan = dataset.load(bu3dfe_root, files)
        assert scan.texture is not None and len(scan.landmarks) > 10
        same(read_scan(bu3dfe_root / files[0]), scan)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bosphorus", "bu4dfe", "bp4d", "coma", "facescape"])
def test_a_scan_of_any_twin_is_read_as_its_reader_does(name: str, tmp_path: Path) -> None:
    root = tmp_path / name
    registry.load_twin(name)(root, subjects=1)
    dataset = registry.load_dataset(name)
    sample = dataset.load(root, dataset.index(root)["files"].iloc[0])
    if isinstance(sample, Clip):
        paths, sample = sample.files[0], sample[0]
    else:
        paths = tuple(root / file for file in dataset.index(root)["files"].iloc[0])
    here = tmp_path / "here"  # landmarks of BU-4DFE are a package of their own
    here.mkdir()
    for path in paths:
        shutil.copy(path, here)
    same(read_scan(here / paths[0].name), sample)


@pytest.mark.parametrize(("scale", "unit"), [(1.0, 1.0), (0.1, 10.0), (0.001, 1000.0), (100.0, 1.0), (1e-6, 1.0)])
def test_the_unit_is_told_by_the_height(scale: float, unit: float) -> None:
    vertices = np.random.default_rng(0).uniform(-100, 100, (500, 3)).astype(np.float32)
    assert millimetres_a_unit(vertices * np.float32(scale)) == unit
    assert millimetres_a_unit(vertices[:0]) == 1.0


@pytest.fixture
def mesh(tmp_path: Path) -> Path:
    """A textured triangle, whose texture is named nowhere."""
    vertices = np.array([[0, 0, 0], [100, 0, 0], [0, 200, 0]], dtype=np.float32)
    corners = np.array([[0, 1, 2]], dtype=np.int32)
    uv = np.array([[0, 0], [1, 0], [0, 1]], dtype=np.float32)
    write_obj(tmp_path / "face.obj", vertices, corners, uv, corners)
    return tmp_path / "face.obj"


def picture(path: Path, value: int) -> None:
    Image.fromarray(np.full((4, 4, 3), value, dtype=np.uint8)).save(path)


def shade(path: Path) -> int | None:
    texture = read_scan(path).texture
    return None if texture is None else int(texture[0, 0, 0])


def test_a_texture_is_found_by_name_or_by_the_material(mesh: Path, tmp_path: Path) -> None:
    assert shade(mesh) is None
    mesh.write_text("mtllib some folder/my.mtl\n" + mesh.read_text())
    assert shade(mesh) is None, "the library is not there"
    (tmp_path / "my.mtl").write_text("newmtl m\nmap_Kd -s 1 1 1 C:\\scans\\skin.png\n")
    assert shade(mesh) is None, "nor is the image"
    picture(tmp_path / "skin.png", 50)
    assert shade(mesh) == 50
    picture(tmp_path / "face.JPG", 100)
    assert shade(mesh) == pytest.approx(100, abs=2), "its own name goes first"
    picture(tmp_path / "face.png", 150)
    assert shade(mesh) == 150


def test_a_material_reaches_no_other_folder(mesh: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    shutil.copy(mesh, inner / "face.obj")
    path = inner / "face.obj"
    path.write_text("mtllib my.mtl\n" + path.read_text())
    picture(tmp_path / "skin.png", 50)
    for named in ("../skin.png", str(tmp_path / "skin.png"), "..", "", "\0", "my.mtl/.."):
        (inner / "my.mtl").write_text(f"map_Kd {named}\n")
        assert shade(path) is None, named


def test_what_is_no_scan_is_told(tmp_path: Path) -> None:
    (tmp_path / "face.stl").write_text("solid")
    with pytest.raises(BrokenScan, match=r"is no scan \(\.bnt, \.obj, \.ply, \.wrl\)"):
        read_scan(tmp_path / "face.stl")
    write_ply(tmp_path / "cloud.ply", np.zeros((5, 3)), np.zeros((0, 3), dtype=np.int32))
    with pytest.raises(BrokenScan, match=r"has no faces, so it is no mesh"):
        read_scan(tmp_path / "cloud.ply")
