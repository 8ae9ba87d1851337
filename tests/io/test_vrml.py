"""The VRML reader against files as the datasets write them, and against files that are not."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.errors import BrokenScan
from fer_bench.io.vrml import VrmlMesh, read_vrml
from fer_bench.io.vrml_writer import write_vrml, write_vrml_sequence_frame

# A roof of a pentagon, a quad and a triangle over seven vertices, with a texture seam: vertices 1 and 2 have two uvs.
BU3DFE = b"""#VRML V2.0 utf8
#Tricorder Technology plc - 2000
DEF Tricorder_object Transform {
    children [
        Shape {
            appearance Appearance {
                texture ImageTexture {
                    url "F0001_AN01WH_F3D.bmp"
                    repeatS FALSE
                    repeatT FALSE
                }
            }
            geometry IndexedFaceSet {
                ccw TRUE
                solid FALSE
                convex TRUE
                creaseAngle 1.57
                coord Coordinate {
                    point [
                                                27.4703 -60.5966 -23.9859,
                                                1 0 0,
                                                1 1 0,
                                                0 1 .5,
                                                -1e-05 0.5 0,
                                                2 0 0,
                                                2 1 -1
                    ]
                }
                coordIndex [
                                        0 1 2 3 4 -1,
                                        1 5 6 2 -1,
                                        2 6 3 -1
                ]
                texCoord TextureCoordinate {
                    point [
                                                0 0,
                                                0.25 0,
                                                0.25 1,
                                                0 1,
                                                0 0.5,
                                                0.75 0,
                                                1 0,
                                                1 1,
                                                0.75 1
                    ]
                }
                texCoordIndex [
                                        0 1 2 3 4 -1,
                                        5 6 7 8 -1,
                                        8 7 3 -1
                ]
            }
        }
    ]
}
DEF Tricorder_Camera_Front Viewpoint {
    position 0 0 214.7
    orientation 0 1 0 0
    fieldOfView 0.5
    description "Tricorder Front"
}
"""
TRIANGLES = [[0, 1, 2], [0, 2, 3], [0, 3, 4], [1, 5, 6], [1, 6, 2], [2, 6, 3]]
UV_TRIANGLES = [[0, 1, 2], [0, 2, 3], [0, 3, 4], [5, 6, 7], [5, 7, 8], [8, 7, 3]]

BU4DFE = (
    b"#VRML V2.0 utf8\r\nShape {\r\n\tgeometry IndexedFaceSet {\r\n\tcoord Coordinate { point [\r\n"
    b"\t\t\t\t\t0 0 -118,\r\n\t\t\t\t\t10 0 -118,\r\n\t\t\t\t\t0 10 -118,\r\n\t\t\t\t\t10 10 -117,\r\n\t] }\r\n"
    b"\ttexCoord TextureCoordinate { point [\r\n\t0 0,\r\n\t1 0,\r\n\t0 1,\r\n\t1 1,\r\n\t] }\r\n"
    b"\tNAME [\r\n\t0, 1, 2, -1,\r\n\t2, 1, 3, -1,\r\n\t]\r\n\t}\r\n}\r\n"
)


def parse(data: bytes, folder: Path) -> VrmlMesh:
    path = folder / "scan.wrl"
    path.write_bytes(data)
    return read_vrml(path)


def same(a: VrmlMesh, b: VrmlMesh) -> bool:
    arrays = ("vertices", "triangles", "uv", "uv_triangles", "polygon_sizes")
    return a.texture_name == b.texture_name and all(np.array_equal(getattr(a, n), getattr(b, n)) for n in arrays)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vrml")


def test_bu3dfe_file(folder: Path) -> None:
    mesh = parse(BU3DFE, folder)
    assert mesh.vertices.shape == (7, 3) and mesh.vertices.dtype == np.float32
    np.testing.assert_array_equal(mesh.vertices[0], np.float32([27.4703, -60.5966, -23.9859]))
    np.testing.assert_array_equal(mesh.vertices[[3, 4]], np.float32([[0, 1, 0.5], [-1e-5, 0.5, 0]]))
    assert mesh.triangles.tolist() == TRIANGLES and mesh.triangles.dtype == np.int32
    assert mesh.uv is not None and mesh.uv[8].tolist() == [0.75, 1]
    assert mesh.uv_triangles is not None and mesh.uv_triangles.tolist() == UV_TRIANGLES
    assert mesh.texture_name == "F0001_AN01WH_F3D.bmp"
    assert mesh.polygon_sizes.tolist() == [5, 4, 3]


@pytest.mark.parametrize("name", [b"texCoordIndex", b"coordIndex"])
def test_bu4dfe_file_with_one_index_list_only(name: bytes, folder: Path) -> None:
    mesh = parse(BU4DFE.replace(b"NAME", name), folder)
    assert mesh.triangles.tolist() == [[0, 1, 2], [2, 1, 3]]
    assert mesh.uv_triangles is not None and mesh.uv_triangles.tolist() == [[0, 1, 2], [2, 1, 3]]
    assert mesh.vertices[3].tolist() == [10, 10, -117]
    assert mesh.texture_name is None


def test_without_texture_coordinates(folder: Path) -> None:
    start, end = BU3DFE.index(b"texCoord Tex"), BU3DFE.index(b"texCoordIndex")
    mesh = parse(BU3DFE[:start] + BU3DFE[end:], folder)
    assert mesh.uv is None and mesh.uv_triangles is None and mesh.triangles.tolist() == TRIANGLES


def test_only_the_first_face_set_is_read(folder: Path) -> None:
    assert same(parse(BU3DFE + BU3DFE.replace(b"27.4703", b"99"), folder), parse(BU3DFE, folder))


def test_clockwise_faces_are_turned(folder: Path) -> None:
    mesh = parse(BU3DFE.replace(b"ccw TRUE", b"ccw FALSE"), folder)
    a, b, c = mesh.vertices[mesh.triangles[3]]
    assert np.cross(b - a, c - a)[2] < 0  # the quad 1 5 6 2 runs counter-clockwise seen from +z
    assert mesh.uv_triangles is not None
    assert sorted(mesh.uv_triangles[3]) == [5, 6, 7] and mesh.uv_triangles[3].tolist() != UV_TRIANGLES[3]


def test_last_polygon_may_go_unterminated(folder: Path) -> None:
    assert same(parse(BU3DFE.replace(b"2 6 3 -1", b"2 6 3"), folder), parse(BU3DFE, folder))


coordinates = st.integers(-200_000, 200_000).map(lambda n: n / 1000)


@st.composite
def meshes(draw: st.DrawFn):
    count, uv_count = draw(st.integers(3, 12)), draw(st.integers(3, 15))
    vertices = draw(st.lists(st.tuples(coordinates, coordinates, coordinates), min_size=count, max_size=count))
    uv = draw(st.lists(st.tuples(*[st.floats(0, 1, width=16)] * 2), min_size=uv_count, max_size=uv_count))
    sizes = draw(st.lists(st.integers(3, 6), min_size=1, max_size=8))
    polygons = [draw(st.lists(st.integers(0, count - 1), min_size=n, max_size=n)) for n in sizes]
    uv_polygons = [draw(st.lists(st.integers(0, uv_count - 1), min_size=n, max_size=n)) for n in sizes]
    return np.array(vertices), polygons, np.array(uv), uv_polygons


def fan(polygons: list[list[int]]) -> list[list[int]]:
    return [[p[0], p[k], p[k + 1]] for p in polygons for k in range(1, len(p) - 1)]


@given(meshes(), st.booleans())
@settings(max_examples=60)
def test_round_trip(folder: Path, mesh, textured: bool) -> None:
    vertices, polygons, uv, uv_polygons = mesh
    path = folder / "round.wrl"
    texture = (uv, uv_polygons, "F0001_HA04WH_F3D.bmp") if textured else ()
    write_vrml(path, vertices, polygons, *texture)
    read = read_vrml(path)
    np.testing.assert_allclose(read.vertices, vertices, rtol=6e-6)  # six digits
    assert read.triangles.tolist() == fan(polygons)
    assert read.polygon_sizes.tolist() == [len(p) for p in polygons]
    if textured:
        np.testing.assert_allclose(read.uv, uv, rtol=6e-6)
        assert read.uv_triangles.tolist() == fan(uv_polygons) and read.texture_name == texture[2]
    else:
        assert read.uv is None and read.texture_name is None


def test_written_layout_is_that_of_a_real_file(folder: Path) -> None:
    path = folder / "layout.wrl"
    write_vrml(path, np.eye(3), [[0, 1, 2]], np.eye(3)[:, :2], [[2, 1, 0]], "F0001_NE00WH_F3D.bmp")
    lines = path.read_bytes().decode("ascii").split("\n")
    assert lines[:3] == ["#VRML V2.0 utf8", "#Tricorder Technology plc - 2000", "DEF Tricorder_object Transform {"]
    assert lines[18].strip() == "point [" and lines[19] == " " * 48 + "1 0 0,"  # lines 19 and 20 of the real file
    assert " " * 40 + "0 1 2 -1" in lines
    cameras = re.findall(r"DEF Tricorder_Camera_(\w+) Viewpoint \{", "\n".join(lines))
    assert cameras == ["Front", "Back", "Left", "Right", "Top", "Bottom"]
    assert [p.name for p in folder.iterdir() if p.name.startswith(".layout")] == []  # no temporary file is left


separators = st.sampled_from([b" ", b"\n", b"\r\n", b",", b"\t", b" ,\r\n", b' # ] } "note\n', b",,", b"\n\n  "])


@given(st.data())
@settings(max_examples=60)
def test_any_separators_mean_the_same(folder: Path, data: st.DataObject) -> None:
    tokens = re.findall(rb'"[^"]*"|[\[\]{}]|[^\s,\[\]{}"]+', BU3DFE.split(b"\n", 2)[2])
    drawn = iter(data.draw(st.lists(separators, min_size=60, max_size=60)) * (len(tokens) // 60 + 1))
    text = b"#VRML V2.0 utf8\r\n"
    for token in tokens:
        text += token + (b"" if token in b"[]{}" and data.draw(st.booleans()) else next(drawn))
    assert same(parse(text, folder), parse(BU3DFE, folder))


def test_hidden_structure_is_not_structure(folder: Path) -> None:
    tricky = BU3DFE.replace(b"Shape {", b'Shape { # geometry IndexedFaceSet { "\n  info "IndexedFaceSet { \\" # ] }" ')
    assert same(parse(tricky, folder), parse(BU3DFE, folder))


def test_cut_anywhere_it_is_read_whole_or_refused(folder: Path) -> None:
    whole = parse(BU3DFE, folder)
    closed = BU3DFE.index(b"            }\n        }\n    ]") + len(b"            }")  # the face set's own brace
    for end in range(len(BU3DFE)):
        if BU3DFE[end - 1 : end + 1] == b"  ":
            continue  # inside indentation every cut is the same
        if end < closed:
            with pytest.raises(BrokenScan):
                parse(BU3DFE[:end], folder)
        else:
            assert same(parse(BU3DFE[:end], folder), whole)


@given(st.lists(st.tuples(st.integers(0, len(BU3DFE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=400)
def test_damaged_bytes_give_a_valid_mesh_or_an_error(folder: Path, damage: list[tuple[int, int]]) -> None:
    data = bytearray(BU3DFE)
    for position, value in damage:
        data[position] = value
    try:
        mesh = parse(bytes(data), folder)
    except BrokenScan as error:
        assert "\n" not in str(error)
        return
    assert np.isfinite(mesh.vertices).all()
    assert 0 <= mesh.triangles.min() <= mesh.triangles.max() < len(mesh.vertices)
    if mesh.uv is not None and mesh.uv_triangles is not None:
        assert 0 <= mesh.uv_triangles.min() <= mesh.uv_triangles.max() < len(mesh.uv)
        assert mesh.uv_triangles.shape == mesh.triangles.shape


@given(st.binary(max_size=300))
@settings(max_examples=100)
def test_garbage_is_refused(folder: Path, data: bytes) -> None:
    with pytest.raises(BrokenScan):
        parse(data, folder)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (BU3DFE, b"", "the file is empty"),
        (BU3DFE, b" \n", "the file is empty"),
        (b"IndexedFaceSet", b"Sphere", "no IndexedFaceSet"),
        (b"2 1 -1\n", b"2 1 -1 5\n", "coord point list has 22 numbers"),
        (b"2 1 -1\n", b"2 1 nan\n", "'nan' in coord is not a number, on line 26"),
        (b"2 1 -1\n", b"2 1 1e999\n", "coord point 6 is not finite"),
        (b"2 1 -1\n", b"2 1 1e39\n", "coord point 6 is not finite"),
        (b"27.4703 -60", b"27.4703-60", "'27.4703-60.5966' in coord is not a number, on line 20"),
        (b"27.4703", b"27.47.03", "'27.47.03' in coord is not a number"),
        (b"27.4703", b"0x1F", "'0x1F' in coord is not a number"),
        (b"2 1 -1\n", b"2 1 1e\n", "'1e' in coord is not a number"),
        (b"1 5 6 2 -1", b"1 5 7 2 -1", "coordIndex names index 7, but there are only 7 vertices"),
        (b"1 5 6 2 -1", b"1 5 -2 2 -1", "number 8 of coordIndex is -2"),
        (b"1 5 6 2 -1", b"1 5 6.0 2 -1", "'6.0' in coordIndex is not a whole number, on line 31"),
        (b"1 5 6 2 -1", b"1 5 99999999999999999999 2 -1", "coordIndex names index"),
        (b"2 6 3 -1", b"2 6 -1", "polygon 2 of coordIndex has 2 corners"),
        (b"2 6 3 -1", b"2 6 3 -1 -1", "polygon 3 of coordIndex has 0 corners"),
        (b"2 6 3 -1", b"2 6 3 0 -1", "polygon 2 has 4 corners in coordIndex, but 3 in texCoordIndex"),
        (b"2 6 3 -1", b"2 6 3 -1, 0 1 2 -1", "coordIndex has 4 polygons, but texCoordIndex has 3"),
        (b"8 7 3 -1", b"8 7 9 -1", "texCoordIndex names index 9, but there are only 9 texture coordinates"),
        (b"0.75 1\n", b"0.75\n", "texCoord point list has 17 numbers"),
        (b"0.75 1\n", b"0.75 1e99\n", "texCoord point 8 is not finite"),
        (b"coord Coordinate {", b"coord Other {", "no coord point list"),
        (b"texCoordIndex [", b"coordIndex [", "list 'coordIndex' is given a second time on line 47"),
        (b"coordIndex [", b"otherIndex [", "neither coordIndex nor texCoordIndex"),
        (BU3DFE[950:], b"", "cut off inside the list 'point' that begins on line 19"),
        (b"creaseAngle 1.57", b"]", "a list ends that never began, on line 17"),
    ],
)
def test_what_is_wrong_is_said(old: bytes, new: bytes, problem: str, folder: Path) -> None:
    assert old in BU3DFE
    data = BU3DFE.replace(old, new)
    if new == b"otherIndex [":
        data = data.replace(b"texCoordIndex", b"texOther")
    with pytest.raises(BrokenScan, match=re.escape(problem)) as caught:
        parse(data, folder)
    assert str(caught.value).startswith(str(folder / "scan.wrl")) and "distribution" in str(caught.value)


def test_a_number_numpy_stops_at_is_refused_by_every_release(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current = np.fromstring

    def older_release(text: bytes, dtype: str, sep: str) -> np.ndarray:
        """Gave what came before the fault, with a warning that is off by default."""
        try:
            return current(text, dtype=dtype, sep=sep)
        except ValueError:
            return current(text[: text.index(b"e ")], dtype=dtype, sep=sep)

    monkeypatch.setattr(np, "fromstring", older_release)
    with pytest.raises(BrokenScan, match="'1e' in coord is not a number"):
        parse(BU3DFE.replace(b"1 0 0,", b"1 0 1e ,"), folder)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(BrokenScan, match="No such file"):
        read_vrml(tmp_path / "none.wrl")
    with pytest.raises(BrokenScan, match="not a regular file"):
        read_vrml(tmp_path)


@pytest.mark.parametrize(
    "unit",
    [b'"\\"', b'\\"', b"url ", b"IndexedFaceSet ,", b"ImageTexture { url ", b"#\n", b'" # \\', b"DEF a Shape {"],
)
@pytest.mark.parametrize("prefix", [b"", b"IndexedFaceSet {", b"IndexedFaceSet { a [ "])
def test_hostile_repetition_takes_linear_time(prefix: bytes, unit: bytes, folder: Path) -> None:
    # 200 kB: where a pattern backtracks, or a position is sought from the start again, this takes minutes.
    with pytest.raises(BrokenScan):
        parse(prefix + unit * (200_000 // len(unit)), folder)


@pytest.mark.parametrize("coord_index", [True, False])
def test_a_frame_in_the_grammar_of_bu4dfe(tmp_path: Path, coord_index: bool) -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0.5], [1, 1, -118.25], [0, 1, 1]], dtype=np.float32)
    triangles, uv = np.array([[0, 1, 2], [0, 2, 3]]), np.array([[0, 0], [1, 0], [1, 1], [0, 0.25]], dtype=np.float32)
    path = tmp_path / "000.wrl"
    write_vrml_sequence_frame(path, vertices, triangles, uv, "000.jpg", coord_index=coord_index)
    text = path.read_text()
    assert text.startswith("#VRML V2.0 utf8\n")
    assert "\tcoord Coordinate { point [\n\t\t\t\t\t0 0 0,\n\t\t\t\t\t1 0 0.5,\n" in text
    assert "\ttexCoordIndex [\n\t\t\t\t\t0, 1, 2, -1,\n\t\t\t\t\t0, 2, 3, -1,\n" in text
    assert ("\tcoordIndex [" in text) == coord_index
    mesh = read_vrml(path)
    np.testing.assert_array_equal(mesh.vertices, vertices)
    np.testing.assert_array_equal(mesh.triangles, triangles)
    np.testing.assert_array_equal(mesh.uv, uv)
    np.testing.assert_array_equal(mesh.uv_triangles, triangles)
    assert mesh.texture_name == "000.jpg"
