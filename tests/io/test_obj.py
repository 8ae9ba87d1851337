from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.errors import BrokenScan
from fer_bench.io.obj import ObjMesh, read_obj, write_obj

# A quad and a triangle, as a file from another program might have them.
TEXT = b"""# made by hand
mtllib 1_neutral.obj.mtl
o face
v 0 0 0
v 1 0 .5 0.1 0.2 0.3
v\t1.0 1 -2.25e0
v 0 1 1E-3
  v 0.5 2 3
vt 0 0
vt 1 0
vt 1 1 0
vt 0 1
vt 0.25 0.75
vn 0 0 1
g front
usemtl skin
s off
f 1/1/1 2/2/1 3/3/1 4/4/1
f 3/5 5/3 4/2
l 1 2
"""
VERTICES = np.array([[0, 0, 0], [1, 0, 0.5], [1, 1, -2.25], [0, 1, 1e-3], [0.5, 2, 3]], dtype=np.float32)
TRIANGLES = [[0, 1, 2], [0, 2, 3], [2, 4, 3]]
UV_TRIANGLES = [[0, 1, 2], [0, 2, 3], [4, 2, 1]]


def read(tmp_path: Path, data: bytes) -> ObjMesh:
    (tmp_path / "a.obj").write_bytes(data)
    return read_obj(tmp_path / "a.obj")


@pytest.mark.parametrize("data", [TEXT, TEXT.replace(b"\n", b"\r\n"), TEXT.replace(b"\n", b"\r"), TEXT.rstrip(b"\n")])
def test_bytes_give_the_mesh_in_the_files_order(tmp_path: Path, data: bytes) -> None:
    mesh = read(tmp_path, data)
    np.testing.assert_array_equal(mesh.vertices, VERTICES)
    assert mesh.vertices.dtype == np.float32
    assert mesh.triangles.tolist() == TRIANGLES
    assert mesh.triangles.dtype == np.int32
    assert mesh.uv is not None
    assert mesh.uv.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1], [0.25, 0.75]]
    assert mesh.uv_triangles is not None
    assert mesh.uv_triangles.tolist() == UV_TRIANGLES
    assert mesh.material_library == "1_neutral.obj.mtl"


def test_corners_may_count_backwards_from_the_last(tmp_path: Path) -> None:
    mesh = read(tmp_path, b"v 0 0 0\nv 1 0 0\nv 1 1 0\nf -3 -2 -1\nv 0 1 0\nf -4//1 -2//1 -1//1\n")
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert mesh.uv is None
    assert mesh.uv_triangles is None


def test_texture_coordinates_of_some_corners_only_are_no_use(tmp_path: Path) -> None:
    mesh = read(tmp_path, TEXT.replace(b"f 3/5 5/3 4/2", b"f 3/5 5 4/2"))
    assert mesh.uv is None
    assert mesh.triangles.tolist() == TRIANGLES


def test_numbers_are_read_as_python_reads_them(tmp_path: Path) -> None:
    """Of many digits too: these go another way through the reader."""
    numbers = ["0.1234567890123456789", "-12345678901234567890123", "1.7976931348623157e-300"]
    mesh = read(tmp_path, f"v {' '.join(numbers)}\nv 1 0 0\nv 0 1 0\nf 1 2 3\n".encode())
    assert mesh.vertices[0].tolist() == [np.float32(float(number)) for number in numbers]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"hello\n", "has no vertex"),
        (b"v 0 0 0\nv 1 0 0\n", "has no face"),
        (b"v 0 0 0\nv 1 0\n", "a vertex without three numbers, on line 2"),
        (b"v 0 0 nan\n", "a vertex without three numbers, on line 1"),
        (b"v 0 0 0x1\n", "a vertex without three numbers, on line 1"),
        (b"\nvt 1\n", "a texture coordinate without two numbers, on line 2"),
        (TEXT.replace(b"1 -2.25e0", b"1 -2.25e"), "a vertex without three numbers, on line 6"),
        (TEXT.replace(b"f 3/5 5/3 4/2", b"f 3/5 5/3"), "a face of fewer than three corners, on line 19"),
        (TEXT.replace(b"f 3/5 5/3 4/2", b"f 3 5 x"), "a corner that is no vertex, on line 19"),
        (TEXT.replace(b"f 3/5 5/3 4/2", b"f 3/5/ 5/3 4/2z"), "a corner that is no vertex, on line 19"),
        (TEXT.replace(b"f 3/5 5/3 4/2", b"f 0 1 2"), "a corner that is no vertex, on line 19"),
        (TEXT.replace(b"f 3/5 5/3 4/2", b"f 1/0 1/1 2/1"), "a corner that is no vertex, on line 19"),
        (TEXT.replace(b"f 3/5 5/3 4/2", b"f 3/5 6/3 4/2"), "names number 6 of the vertices, but there are only 5"),
        (TEXT.replace(b"f 3/5 5/3 4/2", b"f 3/5 5/6 4/2"), "names number 6 of the texture coordinates"),
        (TEXT.replace(b"f 3/5 5/3 4/2", b"f 1 2 -6"), "of the vertices, but there are only 5"),
        (TEXT.replace(b"v 0.5 2 3", b"v 0.5 2 1e39"), "vertex 5 is not finite"),
        (TEXT.replace(b"vt 0.25 0.75", b"vt 0.25 1e400"), "texture coordinate 5 is not finite"),
        (b"v 0 0 0\nv 1 0 0\nf 1 2 99999999999999999999\n", "there are only 2"),
    ],
)
def test_what_is_no_mesh_is_refused_in_a_sentence(tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(BrokenScan) as caught:
        read(tmp_path, data)
    assert says in str(caught.value)
    assert "a.obj" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.25, 0.75]])
    quads, uv_quads = [[0, 1, 2, 3], [2, 4, 3]], [[0, 1, 2, 3], [4, 2, 1]]
    write_obj(tmp_path / "a.obj", VERTICES, quads, uv, uv_quads, "a.mtl", "skin")
    text = (tmp_path / "a.obj").read_text()
    assert text.startswith("mtllib a.mtl\nv 0 0 0\nv 1 0 0.5\n")
    assert text.endswith("usemtl skin\nf 1/1 2/2 3/3 4/4\nf 3/5 5/3 4/2\n")
    mesh = read_obj(tmp_path / "a.obj")
    np.testing.assert_array_equal(mesh.vertices, VERTICES)
    assert mesh.triangles.tolist() == TRIANGLES
    assert mesh.uv_triangles is not None
    assert mesh.uv_triangles.tolist() == UV_TRIANGLES
    write_obj(tmp_path / "b.obj", VERTICES, np.array(TRIANGLES))
    assert read_obj(tmp_path / "b.obj").triangles.tolist() == TRIANGLES


@settings(max_examples=300)
@given(st.data())
def test_no_damage_does_harm(tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject) -> None:
    damaged = bytearray(TEXT[: draw.draw(st.integers(0, len(TEXT)))])
    for _ in range(draw.draw(st.integers(0, 6))):
        if damaged:
            damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.obj"
    path.write_bytes(bytes(damaged) + draw.draw(st.binary(max_size=8)))
    try:
        mesh = read_obj(path)
    except BrokenScan:
        return
    assert np.isfinite(mesh.vertices).all()
    assert 0 <= mesh.triangles.min() <= mesh.triangles.max() < len(mesh.vertices)
    if mesh.uv is not None and mesh.uv_triangles is not None:
        assert 0 <= mesh.uv_triangles.min() <= mesh.uv_triangles.max() < len(mesh.uv)


@settings(max_examples=200)
@given(st.text(alphabet="vtf 0123456789.-+e/\n\r\t", max_size=80))
def test_no_text_does_harm(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "text.obj"
    path.write_bytes(text.encode())
    try:
        read_obj(path)
    except BrokenScan:
        return


def test_a_mark_before_the_text_is_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    path.write_bytes(b"\xef\xbb\xbfv 9 9 9\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\n")
    mesh = read_obj(path)
    assert mesh.vertices[0].tolist() == [9, 9, 9]
    assert mesh.triangles.tolist() == [[0, 1, 2]]
