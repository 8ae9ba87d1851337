"""Makes `fer_bench/geometry/mean_face.npz`, the face that scans are aligned and registered to: run this module."""

import numpy as np
from numpy.typing import NDArray

from fer_bench.geometry.alignment import align
from fer_bench.geometry.mean_face import FILE
from fer_bench.geometry.scan import Scan
from fer_bench.io.bnd import named_landmarks
from fer_bench.records import atomic_write
from fer_bench.twins.face import procedural_face
from fer_bench.twins.landmarks import landmarks83
from fer_bench.twins.sculpt_mesh import SKIN

_NOSE_TIP = 30  # of the 68 landmarks


def mean_face_arrays() -> dict[str, NDArray[np.generic]]:
    """The skin of the procedural face's mean, in the canonical frame.

    Returns:
        `vertices` (V, 3) float32 millimetres, `triangles` (F, 3) uint16, `landmark_names` (L,) and `landmarks` (L,)
        uint16 rows of `vertices`, and `template` (V,) uint16 the vertices of the procedural face that they are.
    """
    face = procedural_face()
    skin = face.parts == SKIN
    kept, renumbered = np.unique(face.triangles[skin], return_inverse=True)
    rows = landmarks83(face.template, face.triangles, skin, face.landmarks68)
    positions = face.template[rows].astype(np.float32)
    row_at = {point.tobytes(): int(row) for point, row in zip(positions, rows, strict=True)}
    points = named_landmarks(positions)
    named = {name: row_at[point.tobytes()] for name, point in points.items()}
    named["nose_tip"] = int(face.landmarks68[_NOSE_TIP])
    vertices = face.template[kept].astype(np.float32)
    triangles = renumbered.reshape(-1, 3)
    aligned = align(Scan(vertices, triangles.astype(np.int32), landmarks=points))
    return {
        # A rotation's last bits differ between processors; a micrometre does not matter here.
        "vertices": np.round(aligned.vertices, 3) + np.float32(0),
        "triangles": triangles.astype(np.uint16),
        "landmark_names": np.array(sorted(named)),
        "landmarks": np.searchsorted(kept, [named[name] for name in sorted(named)]).astype(np.uint16),
        "template": kept.astype(np.uint16),
    }


if __name__ == "__main__":
    with atomic_write(FILE) as file:
        np.savez_compressed(file, allow_pickle=False, **mean_face_arrays())
