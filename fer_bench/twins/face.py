"""Morphable faces: the procedural one that the suite makes itself, and the ICT model from its file."""

import hashlib
import zipfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fer_bench.errors import InvalidFile
from fer_bench.io.file_bytes import open_regular
from fer_bench.twins.atlas import unwrap
from fer_bench.twins.blendshapes import blendshapes
from fer_bench.twins.identity import identity_modes
from fer_bench.twins.landmarks import sculpture_landmarks68
from fer_bench.twins.sculpt_mesh import EYE, SKIN, sculpt

Floats = NDArray[np.float64]

EXPRESSION_NAMES = (
    *("browDown_L", "browDown_R", "browInnerUp_L", "browInnerUp_R", "browOuterUp_L", "browOuterUp_R"),
    *("cheekPuff_L", "cheekPuff_R", "cheekSquint_L", "cheekSquint_R", "eyeBlink_L", "eyeBlink_R"),
    *("eyeLookDown_L", "eyeLookDown_R", "eyeLookIn_L", "eyeLookIn_R", "eyeLookOut_L", "eyeLookOut_R"),
    *("eyeLookUp_L", "eyeLookUp_R", "eyeSquint_L", "eyeSquint_R", "eyeWide_L", "eyeWide_R"),
    *("jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimple_L", "mouthDimple_R"),
    *("mouthFrown_L", "mouthFrown_R", "mouthFunnel", "mouthLeft", "mouthLowerDown_L", "mouthLowerDown_R"),
    *("mouthPress_L", "mouthPress_R", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper"),
    *("mouthShrugLower", "mouthShrugUpper", "mouthSmile_L", "mouthSmile_R", "mouthStretch_L", "mouthStretch_R"),
    *("mouthUpperUp_L", "mouthUpperUp_R", "noseSneer_L", "noseSneer_R"),
)
"""The 53 blendshapes every face has, in order: the names of ICT-FaceKit, `_L` the subject's left (+x)."""

DECIMALS = 4
"""Millimetres are rounded to 0.1 micrometre: processors differ in the last bits of a cosine, and a twin must not."""


@dataclass(frozen=True, eq=False)  # equal only to itself, so that it can be a cache's key
class FaceModel:
    """A linear morphable face: `template + sum_k w_k identity_k + sum_j e_j expression_j`.

    Axes as in `Scan`: +x the subject's left, +y up, +z out of the face; millimetres.

    Attributes:
        name: Short name, for the twin's marker.
        template: (V, 3) the mean face, neutral.
        triangles: (F, 3) int32, counter-clockwise from outside.
        parts: (F,) uint8, what each triangle is part of: 0 skin, 1 eyeball, 2 inside of the mouth.
        identity: (K, V, 3) modes for weights N(0, 1).
        expression: (53, V, 3) blendshapes for weights in [0, 1], in the order of `EXPRESSION_NAMES`.
        landmarks68: (68,) vertices in Multi-PIE (iBUG) order.
        uv: (U, 2) texture coordinates, origin at the bottom left; U > V because of the texture's seam.
        uv_triangles: (F, 3) int32 rows of `uv`.
        expression_names: 53 names.
    """

    name: str
    template: Floats
    triangles: NDArray[np.int32]
    parts: NDArray[np.uint8]
    identity: Floats
    expression: Floats
    landmarks68: NDArray[np.int64]
    uv: Floats
    uv_triangles: NDArray[np.int32]
    expression_names: tuple[str, ...] = EXPRESSION_NAMES
    digest: str = field(init=False)
    """SHA-256 of all the arrays, hexadecimal."""

    def __post_init__(self) -> None:
        digest = hashlib.sha256(self.name.encode())
        for array in (self.template, self.triangles, self.parts, self.identity, self.expression, self.landmarks68):
            digest.update(np.ascontiguousarray(array).tobytes())
        for array in (self.uv, self.uv_triangles):
            digest.update(np.ascontiguousarray(array).tobytes())
        object.__setattr__(self, "digest", digest.hexdigest())

    def vertices(self, identity_weights: NDArray[np.floating], expression_weights: NDArray[np.floating]) -> Floats:
        """(V, 3) millimetres for (K,) identity and (53,) expression weights."""
        shape = np.tensordot(identity_weights, self.identity, axes=1)
        return self.template + shape + np.tensordot(expression_weights, self.expression, axes=1)


@lru_cache(maxsize=1)
def procedural_face() -> FaceModel:
    """The face that needs no data: about 4,300 vertices, 70 identity modes, 53 blendshapes."""
    mesh = sculpt()
    names, shapes = blendshapes(mesh)
    assert names == EXPRESSION_NAMES
    template = _rounded(mesh.vertices)
    landmarks = sculpture_landmarks68(mesh)
    uv, uv_triangles = unwrap(template, mesh.triangles, mesh.parts)
    return FaceModel(
        name="procedural",
        template=template,
        triangles=mesh.triangles,
        parts=mesh.parts,
        identity=_rounded(identity_modes(mesh.vertices)),
        expression=_rounded(shapes),
        landmarks68=landmarks,
        uv=uv,
        uv_triangles=uv_triangles,
    )


def _rounded(array: Floats) -> Floats:
    return np.round(array, DECIMALS) + 0.0  # + 0.0 turns -0 into 0


_REMEDY = "Give the npz file of the ICT face model, or leave --face-model out for the procedural face."
_ICT_SHAPES = {  # name -> dimensions (a letter is a count shared between arrays), kind of dtype
    "template": ("V 3", "f"),
    "triangles": ("F 3", "iu"),
    "identity": ("K V 3", "f"),
    "expression": ("E V 3", "f"),
    "expression_names": ("E", "U"),
    "landmarks68": ("68", "iu"),
    "face_vertices": ("", "iu"),
}


def load_face_model(path: Path | str) -> FaceModel:
    """The ICT face model (USC-ICT FaceKit, MIT licence) from an npz file, in millimetres.

    Kept are the face's surface (rows before `face_vertices`) and the front of the eyeballs, without which the eyes
    would be holes; head and neck are dropped.

    Raises:
        InvalidFile: the file is missing, is no npz, or an array is absent, of another shape or kind, not finite, or
            out of range.
    """
    arrays = _read_npz(Path(path))
    count = int(arrays["face_vertices"])
    triangles = arrays["triangles"].astype(np.int64)
    template = arrays["template"].astype(np.float64) * 10.0  # centimetres
    eyes = _eyeball_triangles(template, triangles, count)
    face = triangles[(triangles < count).all(axis=1)]
    kept, renumbered = np.unique(np.concatenate([face, eyes]), return_inverse=True)
    faces = renumbered.reshape(-1, 3).astype(np.int32)
    parts = np.repeat(np.array([SKIN, EYE], dtype=np.uint8), [len(face), len(eyes)])
    landmarks = np.searchsorted(kept, arrays["landmarks68"]).astype(np.int64)
    if not np.isin(arrays["landmarks68"], kept[kept < count]).all():
        raise InvalidFile(path, "landmarks68 names vertices that are not on the face", _REMEDY)
    template = _rounded(template[kept])
    uv, uv_triangles = unwrap(template, faces, parts)
    return FaceModel(
        name="ict",
        template=template,
        triangles=faces,
        parts=parts,
        identity=_rounded(arrays["identity"][:, kept].astype(np.float64) * 10.0),
        expression=_rounded(arrays["expression"][:, kept].astype(np.float64) * 10.0),
        landmarks68=landmarks,
        uv=uv,
        uv_triangles=uv_triangles,
    )


def _read_npz(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with open_regular(path) as source, np.lib.npyio.NpzFile(source, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ICT_SHAPES if name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        message = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InvalidFile(path, f"cannot be read as an npz file ({message})", _REMEDY) from None
    sizes: dict[str, int] = {}
    for name, (shape, kinds) in _ICT_SHAPES.items():
        if name not in arrays:
            raise InvalidFile(path, f"the array {name!r} is missing", _REMEDY)
        found, wanted = arrays[name].shape, shape.split()
        expected = tuple(int(w) if w.isdigit() else sizes.setdefault(w, n) for w, n in zip(wanted, found, strict=False))
        if len(found) != len(wanted) or found != expected or arrays[name].dtype.kind not in kinds:
            problem = f"{name!r} is {arrays[name].dtype} of shape {found}; expected ({shape}) of kind {kinds}"
            raise InvalidFile(path, problem, _REMEDY)
        if kinds == "f" and not np.isfinite(arrays[name]).all():
            raise InvalidFile(path, f"{name!r} holds numbers that are not finite", _REMEDY)
    limits = {"triangles": sizes["V"] - 1, "landmarks68": sizes["V"] - 1, "face_vertices": sizes["V"]}
    for name, limit in limits.items():
        if arrays[name].size == 0 or arrays[name].min() < 0 or arrays[name].max() > limit:
            raise InvalidFile(path, f"{name!r} holds indices outside 0..{limit}", _REMEDY)
    if tuple(arrays["expression_names"].tolist()) != EXPRESSION_NAMES:
        raise InvalidFile(path, f"its expressions are not the {len(EXPRESSION_NAMES)} of the ICT model", _REMEDY)
    return arrays


def _eyeball_triangles(template: Floats, triangles: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The forward-facing triangles of each side's outermost part that is not connected to the face.

    Args:
        count: How many vertices the face itself has.
    """
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(template), len(template)))
    component = connected_components(graph, directed=False)[1]
    loose = np.flatnonzero(~np.isin(component, component[:count]))
    a, b, c = (template[triangles[:, corner]] for corner in range(3))
    forward = np.cross(b - a, c - a)
    forward = forward[:, 2] > 0.35 * np.linalg.norm(forward, axis=1)
    chosen = []
    for side in (-1, 1):
        candidates = loose[np.sign(template[loose, 0]) == side]
        if len(candidates):
            front = component[candidates[template[candidates, 2].argmax()]]
            chosen.append(triangles[(component[triangles[:, 0]] == front) & forward])
    return np.concatenate([np.zeros((0, 3), dtype=np.int64), *chosen])
