"""VRML 2.0 files in the grammars of BU-3DFE and BU-4DFE, for twins; `fer_bench.io.vrml` reads both."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.records import atomic_write

_APPEARANCE = """            appearance Appearance {
                texture ImageTexture {
                    url "%s"
                    repeatS FALSE
                    repeatT FALSE
                }
            }
"""
_FACES = """            geometry IndexedFaceSet {
                ccw TRUE
                solid FALSE
                convex TRUE
                creaseAngle 1.57
"""
_POINTS = """                %s {
                    point [
%s
                    ]
                }
"""
_INDICES = """                %s [
%s
                ]
"""
_VIEWPOINT = """DEF Tricorder_Camera_%s Viewpoint {
    position %s
    orientation %s
    fieldOfView 0.5
    description "Tricorder %s"
}
"""
_VIEWPOINTS = (
    ("Front", "0 0 214.7", "0 1 0 0"),
    ("Back", "0 0 -214.7", "0 1 0 3.14159"),
    ("Left", "-214.7 0 0", "0 1 0 -1.5708"),
    ("Right", "214.7 0 0", "0 1 0 1.5708"),
    ("Top", "0 214.7 0", "1 0 0 -1.5708"),
    ("Bottom", "0 -214.7 0", "1 0 0 1.5708"),
)


def write_vrml(
    path: Path | str,
    vertices: NDArray[np.floating],
    polygons: Sequence[Sequence[int]],
    uv: NDArray[np.floating] | None = None,
    uv_polygons: Sequence[Sequence[int]] | None = None,
    texture_name: str | None = None,
) -> None:
    """Write a mesh in BU-3DFE's own grammar, atomically. Numbers keep six significant digits, as theirs do.

    Args:
        path: The file; its folder is made if need be.
        vertices: (V, 3), millimetres.
        polygons: Vertex indices of each polygon, 3 or more.
        uv: (U, 2), origin at the bottom left.
        uv_polygons: Rows of `uv` for the corners of `polygons`, of the same sizes.
        texture_name: File name of the texture image.
    """
    parts = ["#VRML V2.0 utf8\n#Tricorder Technology plc - 2000\n"]
    parts.append("DEF Tricorder_object Transform {\n    children [\n        Shape {\n")
    if texture_name is not None:
        parts.append(_APPEARANCE % texture_name)
    parts.append(_FACES)
    parts.append(_POINTS % ("coord Coordinate", _point_rows(vertices)))
    parts.append(_INDICES % ("coordIndex", _index_rows(polygons)))
    if uv is not None and uv_polygons is not None:
        parts.append(_POINTS % ("texCoord TextureCoordinate", _point_rows(uv)))
        parts.append(_INDICES % ("texCoordIndex", _index_rows(uv_polygons)))
    parts.append("            }\n        }\n    ]\n}\n")
    parts += [_VIEWPOINT % (name, position, turn, name) for name, position, turn in _VIEWPOINTS]
    with atomic_write(Path(path)) as file:
        file.write("".join(parts).encode())


def _point_rows(points: NDArray[np.floating]) -> str:
    count, width = points.shape
    row = " " * 48 + " ".join(["%g"] * width)
    return ",\n".join([row] * count) % tuple(points.ravel().tolist())


def _index_rows(polygons: Iterable[Sequence[int]]) -> str:
    indent = " " * 40
    return ",\n".join([f"{indent}{' '.join(map(str, polygon))} -1" for polygon in polygons])


def write_vrml_sequence_frame(
    path: Path | str,
    vertices: NDArray[np.floating],
    triangles: NDArray[np.integer],
    uv: NDArray[np.floating],
    texture_name: str,
    *,
    coord_index: bool = True,
) -> None:
    """Write a mesh in BU-4DFE's grammar, atomically: indices and tabs where BU-3DFE has spaces, one index for both.

    Args:
        path: The file; its folder is made if need be.
        vertices: (V, 3), millimetres.
        triangles: (F, 3), rows of `vertices` and of `uv`.
        uv: (V, 2), origin at the bottom left.
        texture_name: File name of the texture image.
        coord_index: Also write `coordIndex`, which some files may lack; `texCoordIndex` then numbers the vertices too.
    """
    indices = "\n".join([f"\t\t\t\t\t{a}, {b}, {c}, -1," for a, b, c in np.asarray(triangles).tolist()])
    parts = [
        "#VRML V2.0 utf8\n\nTransform {\n\tchildren [\n\t\tShape {\n",
        f'\t\t\tappearance Appearance {{\n\t\t\t\ttexture ImageTexture {{ url "{texture_name}" }}\n\t\t\t}}\n',
        "\t\t\tgeometry IndexedFaceSet {\n",
        f"\t\t\t\tcoord Coordinate {{ point [\n{_tabbed_rows(vertices)}\n\t\t\t\t] }}\n",
        f"\t\t\t\tcoordIndex [\n{indices}\n\t\t\t\t]\n" if coord_index else "",
        f"\t\t\t\ttexCoord TextureCoordinate {{ point [\n{_tabbed_rows(uv)}\n\t\t\t\t] }}\n",
        f"\t\t\t\ttexCoordIndex [\n{indices}\n\t\t\t\t]\n",
        "\t\t\t}\n\t\t}\n\t]\n}\n",
    ]
    with atomic_write(Path(path)) as file:
        file.write("".join(parts).encode())


def _tabbed_rows(points: NDArray[np.floating]) -> str:
    row = "\t" * 5 + " ".join(["%g"] * points.shape[1]) + ","
    return "\n".join([row] * len(points)) % tuple(points.ravel().tolist())
