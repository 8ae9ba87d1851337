"""A scan from a file of any supported format, with the texture and the landmarks beside it."""

from dataclasses import replace
from pathlib import Path, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import BrokenScan
from fer_bench.geometry.scan import Scan
from fer_bench.io import bnd, landmark_lists
from fer_bench.io.bnt import grid_scan, read_bnt
from fer_bench.io.file_bytes import open_regular
from fer_bench.io.images import read_image
from fer_bench.io.obj import read_obj
from fer_bench.io.ply import read_ply
from fer_bench.io.vrml import read_vrml

MESHES = (".bnt", ".obj", ".ply", ".wrl")
"""Suffixes of what `read_scan` reads."""

IMAGES = (".bmp", ".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""Suffixes of images, in the order in which a scan's texture is looked for."""

LANDMARKS = (".bnd", ".lm3")
"""Suffixes of landmark files."""

# Heights of what scanners keep of a head, in the file's unit, and that unit in millimetres; no two ranges overlap.
_UNITS = ((80.0, 600.0, 1.0), (8.0, 60.0, 10.0), (0.08, 0.6, 1000.0))
_MAX_MATERIAL = 1 << 20  # bytes


def read_scan(path: Path) -> Scan:
    """A scan in millimetres, as the datasets' readers give theirs.

    The unit is inferred from the height. The texture is the image of the scan's own name beside it, even
    where the file names another; else the one that an `.obj`'s material library, or a `.wrl`, names, in the same
    folder. A mesh without texture coordinates has none. Landmarks are those of the scan's own name beside it, `.bnd`
    (the 83 of the BU datasets) or `.lm3` (Bosphorus).

    Raises:
        BrokenScan: a file is missing or damaged, of another format, or has no surface.
    """
    scan, named = _mesh(path)
    if not len(scan.triangles):
        raise BrokenScan(path, "has no faces, so it is no mesh", "Give a mesh; a cloud of points has no surface.")
    with np.errstate(over="ignore"):  # overflow is reported by the alignment
        unit = np.float32(millimetres_a_unit(scan.vertices))
        landmarks = {name: point * unit for name, point in _landmarks(path).items()}
        scan = replace(scan, vertices=scan.vertices * unit, landmarks=landmarks)
    image = beside(path, IMAGES) or _in_folder(path, named)
    if scan.uv is None or image is None:
        return replace(scan, uv=None, uv_triangles=None)
    texture = read_image(image)
    if path.suffix.lower() != ".bnt":
        return replace(scan, texture=texture)
    return replace(scan, texture=texture, uv=photographed(scan.uv, texture))


def millimetres_a_unit(vertices: NDArray[np.float32]) -> float:
    """1, 10 or 1000, inferred from the height of a head in millimetres, centimetres or metres; 1 where its height, of
    vertices (V, 3) with y up, fits none."""
    if len(vertices):
        low, high = np.percentile(vertices[:, 1].astype(np.float64), [1, 99])
        for least, most, scale in _UNITS:
            if least <= high - low < most:
                return scale
    return 1.0


def photographed(uv: NDArray[np.float32], photograph: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Texture coordinates (U, 2) of a grid's points in its photograph (H, W, 3).

    The grid counts pixels from 1 and divides by the size, so a pixel's number is at its far edge; a texture coordinate
    of ours is at its middle.
    """
    height, width = photograph.shape[:2]
    return uv + np.array([-0.5 / width, 0.5 / height], dtype=np.float32)


def beside(path: Path, suffixes: tuple[str, ...]) -> Path | None:
    """The first file of a scan's own name with one of some suffixes, in small or capital letters."""
    for suffix in suffixes:
        for spelled in (suffix, suffix.upper()):
            if (found := path.with_suffix(spelled)).is_file():
                return found
    return None


def _mesh(path: Path) -> tuple[Scan, str | None]:
    """The mesh in the file's unit, without its texture, and the name of the texture as it is written."""
    suffix = path.suffix.lower()
    if suffix == ".wrl":
        vrml = read_vrml(path)
        return Scan(vrml.vertices, vrml.triangles, vrml.uv, vrml.uv_triangles), vrml.texture_name
    if suffix == ".obj":
        obj = read_obj(path)
        return Scan(obj.vertices, obj.triangles, obj.uv, obj.uv_triangles), _material(path, obj.material_library)
    if suffix == ".ply":
        ply = read_ply(path)
        return Scan(ply.vertices, ply.triangles), None
    if suffix == ".bnt":
        grid = read_bnt(path)
        vertices, triangles, uv = grid_scan(grid)
        return Scan(vertices, triangles, uv, triangles), grid.image_name
    raise BrokenScan(path, f"is no scan ({', '.join(MESHES)})", "Give a scan in one of these formats.")


def _landmarks(path: Path) -> dict[str, NDArray[np.float32]]:
    found = beside(path, LANDMARKS)
    if found is None:
        return {}
    if found.suffix.lower() == ".bnd":
        return bnd.named_landmarks(bnd.read_bnd(found)[1])
    return landmark_lists.named_landmarks(landmark_lists.read_lm3(found))


def _material(path: Path, library: str | None) -> str | None:
    """What the first `map_Kd` of a material library names; None where there is no library, or no such line."""
    found = _in_folder(path, library)
    if found is None:
        return None
    try:
        with open_regular(found) as file:
            lines = file.read(_MAX_MATERIAL).decode("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    maps = (line.strip().partition(" ") for line in lines)
    name = next((rest.strip() for key, _, rest in maps if key.lower() == "map_kd"), "")
    return (name.split()[-1] if name.startswith("-") else name) or None  # options precede the name


def _in_folder(path: Path, named: str | None) -> Path | None:
    """A file that another one names, in the folder of that one and nowhere else."""
    if not named or "\0" in named:
        return None
    name = PureWindowsPath(named).name  # which takes both kinds of slashes
    found = path.parent / name
    return found if name and found.is_file() else None
