"""A common frame for all faces: rigid alignment, without scale, because size in millimetres is part of a 3D scan."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import FerBenchError
from fer_bench.geometry.pose import find_pose
from fer_bench.geometry.scan import Scan


class UnusableScan(FerBenchError):
    """A scan without a usable surface; the caller adds the file's name and the remedy."""


# The canonical face, millimetres: the origin lies behind the nose, at the depth of the inner eye corners and midway
# between the lowest chin (mouth wide open) and the hairline. Distances are near the adult means of anthropometry
# (Farkas, Anthropometry of the Head and Face, 1994), rounded. They are a frame of reference and nothing more: every
# scan keeps its own proportions.
CANONICAL: dict[str, tuple[float, float, float]] = {
    "left_eye_outer": (45.0, 33.0, -10.0),
    "left_eye_inner": (16.0, 33.0, 0.0),
    "right_eye_inner": (-16.0, 33.0, 0.0),
    "right_eye_outer": (-45.0, 33.0, -10.0),
    "left_alare": (17.0, -4.0, 15.0),
    "right_alare": (-17.0, -4.0, 15.0),
    "subnasale": (0.0, -10.0, 25.0),
    "left_mouth_corner": (26.0, -33.0, 15.0),
    "right_mouth_corner": (-26.0, -33.0, 15.0),
    "upper_lip": (0.0, -25.0, 27.0),
    "lower_lip": (0.0, -43.0, 23.0),
    "chin": (0.0, -78.0, 8.0),
}
NOSE_TIP = (0.0, 0.0, 40.0)

_EYES = ("left_eye_outer", "left_eye_inner", "right_eye_inner", "right_eye_outer")
# Points that the skull carries. Mouth and chin move with the expression, and a fit to them would tilt the head by it;
# they serve only where the nose is unknown.
_STABLE = (*_EYES, "left_alare", "right_alare", "subnasale")
_MOUTH = ("left_mouth_corner", "right_mouth_corner")
_NO_FACE_MM = 10.0  # from the mean face; the worst of the twins' faces is 3 mm from it


@dataclass(frozen=True)
class Motion:
    """A rigid motion, `points @ rotation.T + translation`.

    Attributes:
        rotation: (3, 3).
        translation: (3,) millimetres.
        by_landmarks: Whether it comes from landmarks, or else from the shape of the surface.
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    by_landmarks: bool

    def of(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, 3) points, moved."""
        return (points.astype(np.float64) @ self.rotation.T + self.translation).astype(np.float32)


def align(scan: Scan) -> Scan:
    """Move a scan into the canonical frame; vertices and landmarks move together, and nothing is scaled.

    Raises:
        UnusableScan: there are no vertices, or some are not finite.
    """
    return move(scan, find_motion(scan))


def move(scan: Scan, motion: Motion) -> Scan:
    """The scan with vertices and landmarks moved."""
    landmarks = {name: motion.of(point) for name, point in scan.landmarks.items()}
    return replace(scan, vertices=motion.of(scan.vertices), landmarks=landmarks)


def find_motion(scan: Scan) -> Motion:
    """The motion that brings a scan into the canonical frame.

    With the four eye corners and the subnasale, or else both mouth corners, it is the least-squares rotation and
    translation of the known landmarks onto `CANONICAL` (Kabsch, Acta Cryst. A32, 1976). Without them it is the one that
    fits the surface to the mean face (`pose.find_pose`).

    Raises:
        UnusableScan: there are no vertices, some are not finite, or the surface is no face.
    """
    if len(scan.vertices) == 0 or not np.isfinite(scan.vertices).all():
        raise UnusableScan("the scan has no vertices, or some are not finite")
    known = {name for name, point in scan.landmarks.items() if np.isfinite(point).all()}
    names = [name for name in _STABLE if name in known]
    if "subnasale" not in known:
        names += [name for name in _MOUTH if name in known]
    if known.issuperset(_EYES) and ("subnasale" in known or known.issuperset(_MOUTH)):
        source = np.array([scan.landmarks[name] for name in names], dtype=np.float64)
        return Motion(*rigid_fit(source, np.array([CANONICAL[name] for name in names])), by_landmarks=True)
    pose = find_pose(scan.vertices, scan.triangles)
    if pose.distance > _NO_FACE_MM:
        raise UnusableScan(
            f"the scan has no landmarks, and its surface stays {pose.distance:.3g} mm from a face's, so it shows no "
            "face, or is not in millimetres"
        )
    return Motion(pose.rotation, pose.translation, by_landmarks=False)


def rigid_fit(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rotation (3, 3) and translation (3,) that bring `source @ rotation.T + translation` nearest to `target`.

    Nearest in the sum of squared distances; both are (N, 3), row for row, N >= 3 and not all on one line.
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    left, _, right = np.linalg.svd((target - target_mean).T @ (source - source_mean))
    handedness = np.sign(np.linalg.det(left @ right))  # -1 where the best orthogonal matrix would be a mirror
    rotation = left @ np.diag([1.0, 1.0, handedness]) @ right
    return rotation, target_mean - rotation @ source_mean
