import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.errors import BrokenScan
from fer_bench.io.ply import Format, read_ply, write_ply

FORMATS: tuple[Format, ...] = ("ascii", "binary_little_endian", "binary_big_endian")
POINTS = np.array([[0, 0, 0], [1, 0, 0.5], [1, 1, -2.25], [0, 1, 1e-7], [0.5, 2, 3]], dtype=np.float32)
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3], [2, 4, 3]])

ASCII = b"""ply
format ascii 1.0
comment made by hand
obj_info 5 points
element vertex 5
property float x
property float y
property float z
property uchar red
element face 2
property list uchar int vertex_indices
property float quality
element edge 1
property int vertex1
property int vertex2
end_header
0 0 0 255
1 0 .5 0
1 1 -2.25 1
0 1 1e-7 2
0.5 2 3 3
4 0 1 2 3 0.25
3 2 4 3 1
0 1
"""
# Nothing but triangles, as in CoMA.
PLAIN = ASCII.replace(b"property float quality\n", b"").replace(b"element face 2", b"element face 3")
PLAIN = PLAIN.replace(b"4 0 1 2 3 0.25\n3 2 4 3 1\n", b"3 0 1 2\n3 0 2 3\n3 2 4 3\n")


def binary(order: str, *, mixed: bool = True) -> bytes:
    """The mesh above as bytes written value by value: doubles, a normal, and a quad among the triangles if mixed."""
    kind = "big" if order == ">" else "little"
    faces = [(0, 1, 2, 3), (2, 4, 3)] if mixed else TRIANGLES.tolist()
    header = (
        f"ply\r\nformat binary_{kind}_endian 1.0\r\nelement vertex 5\r\nproperty double x\r\nproperty float64 y\r\n"
        f"property double z\r\nproperty short nx\r\nelement face {len(faces)}\r\nproperty uint8 flags\r\n"
        "property list ushort uint vertex_index\r\nend_header\r\n"
    )
    body = b"".join(struct.pack(f"{order}dddh", *point, 7) for point in POINTS.tolist())
    body += b"".join(struct.pack(f"{order}BH{len(face)}I", 9, len(face), *face) for face in faces)
    return header.encode() + body


def read(tmp_path: Path, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    (tmp_path / "a.ply").write_bytes(data)
    mesh = read_ply(tmp_path / "a.ply")
    assert mesh.vertices.dtype == np.float32
    assert mesh.triangles.dtype == np.int32
    return mesh.vertices, mesh.triangles


@pytest.mark.parametrize(
    "data",
    [
        ASCII,
        ASCII.replace(b"\n", b"\r\n"),
        PLAIN,
        binary("<"),
        binary(">"),
        binary("<", mixed=False),
        binary(">", mixed=False),
    ],
    ids=["ascii", "ascii-crlf", "ascii-plain", "little-mixed", "big-mixed", "little", "big"],
)
def test_bytes_of_each_kind_give_the_mesh_in_the_files_order(tmp_path: Path, data: bytes) -> None:
    vertices, triangles = read(tmp_path, data)
    np.testing.assert_array_equal(vertices, POINTS)
    np.testing.assert_array_equal(triangles, TRIANGLES)


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_is_read_and_has_the_layout_of_the_format(tmp_path: Path, format: Format) -> None:
    write_ply(tmp_path / "a.ply", POINTS, TRIANGLES, format=format)
    mesh = read_ply(tmp_path / "a.ply")
    np.testing.assert_array_equal(mesh.vertices, POINTS)
    np.testing.assert_array_equal(mesh.triangles, TRIANGLES)
    data = (tmp_path / "a.ply").read_bytes()
    body = data[data.index(b"end_header\n") + 11 :]
    if format == "ascii":
        assert body.splitlines()[4:6] == [b"0.5 2 3", b"3 0 1 2"]
    else:
        order = "<" if "little" in format else ">"
        assert struct.unpack(f"{order}3f", body[12:24]) == (1.0, 0.0, 0.5)
        assert struct.unpack(f"{order}B3i", body[60:73]) == (3, 0, 1, 2)
        assert len(body) == 5 * 12 + 3 * 13


def test_a_file_without_faces_is_a_cloud(tmp_path: Path) -> None:
    header = (
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    )
    vertices, triangles = read(tmp_path, header + b"1 2 3\n")
    assert vertices.tolist() == [[1, 2, 3]]
    assert triangles.shape == (0, 3)


def test_an_element_before_the_vertices_is_passed_over(tmp_path: Path) -> None:
    header = (
        b"ply\nformat binary_little_endian 1.0\nelement note 2\nproperty list uchar char text\nelement vertex 1\n"
        b"property float x\nproperty float y\nproperty float z\nend_header\n"
    )
    body = b"\x02ab\x00" + struct.pack("<3f", 1, 2, 3)
    assert read(tmp_path, header + body)[0].tolist() == [[1, 2, 3]]


VERTEX = b"element vertex 1\nproperty float x\nproperty float y\nproperty float z\n"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the file is empty"),
        (b"solid stl", "no PLY file"),
        (b"ply\nformat ascii 1.0\n", "cut off inside the header"),
        (b"ply\n" + VERTEX + b"end_header\n1 2 3\n", "names no format"),
        (b"ply\nformat ascii 1.0\nelement vertex -1\nend_header\n", "'element vertex -1' is not of the PLY format"),
        (b"ply\nformat ascii 1.0\nproperty float x\nend_header\n", "'property float x' is not of"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty half x\nend_header\n", "'property half x' is not of"),
        (b"ply\nformat ascii 1.0\n" + VERTEX + b"end_header\n1 2\n", "too few numbers"),
        (b"ply\nformat ascii 1.0\n" + VERTEX + b"end_header\n1 2 x\n", "'x' on line 8 is not a number"),
        (b"ply\nformat ascii 1.0\n" + VERTEX + b"end_header\n1 2 nan\n", "'nan' on line 8"),
        (b"ply\nformat ascii 1.0\n" + VERTEX + b"end_header\n1 2 1e300\n", "vertex 0 is not finite"),
        (
            b"ply\nformat ascii 1.0\n" + VERTEX.replace(b"vertex 1", b"vertex 0") + b"end_header\n",
            "no vertex",
        ),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n", "no x, y and z"),
        (ASCII.replace(b"vertex_indices", b"corners"), "no list vertex_indices"),
        (ASCII.replace(b"3 2 4 3 1", b"3 2 5 3 1"), "names vertex 5, but there are only 5"),
        (ASCII.replace(b"3 2 4 3 1", b"3 2 -4 3 1"), "names vertex -4"),
        (ASCII.replace(b"3 2 4 3 1", b"3 2 4.5 3 1"), "names vertex 4.5"),
        (ASCII.replace(b"3 2 4 3 1", b"2 2 4 3 1"), "face 1 has 2 corners"),
        (ASCII.replace(b"3 2 4 3 1", b"-3 2 4 3 1"), "has the length -3"),
        (ASCII.replace(b"property float y", b"property float x"), "no x, y and z"),
        (binary("<")[:-1], "too few"),
        (binary("<").replace(b"element vertex 5", b"element vertex 4000000000"), "claims 4000000000 rows of vertex"),
        (binary("<").replace(b"element face 2", b"element face 4000000000"), "claims 4000000000 rows of face"),
        (binary("<", mixed=False).replace(b"property short nx", b"property double x"), "two properties of one name"),
    ],
)
def test_what_is_no_mesh_is_refused_in_a_sentence(tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(BrokenScan) as caught:
        read(tmp_path, data)
    assert says in str(caught.value)
    assert "a.ply" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_byte_order_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenScan):
        read(tmp_path, binary("<").replace(b"binary_little", b"binary_big"))


def test_rows_of_nothing_take_no_time(tmp_path: Path) -> None:
    """Four thousand million rows without a property need no byte in the file."""
    empty = b"element nothing 4000000000\n"
    data = b"ply\nformat ascii 1.0\n" + empty + VERTEX + b"end_header\n1 2 3\n"
    assert read(tmp_path, data)[0].tolist() == [[1, 2, 3]]
    data = b"ply\nformat binary_little_endian 1.0\n" + empty + VERTEX + b"end_header\n" + struct.pack("<3f", 1, 2, 3)
    assert read(tmp_path, data)[0].tolist() == [[1, 2, 3]]


@settings(max_examples=300)
@given(st.sampled_from([ASCII, binary("<"), binary(">"), binary("<", mixed=False)]), st.data())
def test_no_damage_does_harm(tmp_path_factory: pytest.TempPathFactory, data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data[: draw.draw(st.integers(0, len(data)))])
    for _ in range(draw.draw(st.integers(0, 4))):
        if damaged:
            damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.ply"
    path.write_bytes(bytes(damaged) + draw.draw(st.binary(max_size=8)))
    try:
        mesh = read_ply(path)
    except BrokenScan:
        return
    assert np.isfinite(mesh.vertices).all()
    assert mesh.triangles.size == 0 or (mesh.triangles.min() >= 0 and mesh.triangles.max() < len(mesh.vertices))


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_no_bytes_do_harm(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.ply"
    path.write_bytes(data)
    with pytest.raises(BrokenScan):
        read_ply(path)
