"""The head's pose in a scan without landmarks, found by its shape, from any orientation."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import permutations, product
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from fer_bench.geometry.mean_face import mean_face
from fer_bench.geometry.sampling import farthest_point_sample
from fer_bench.geometry.surface import vertex_normals

Floats = NDArray[np.float64]

_POINTS = 600  # of the mean face that look for their like on the scan
_KEPT = 0.9  # of them count, the nearest: the others lie over a hole, a beard, or past the edge of the scan
_SCALES = 0.7, 1.4  # from a child's face to a large one
_FEWEST_POINTS, _MOST_POINTS = 6_000, 12_000  # of a scan; denser ones are thinned
_FRONTAL_POINTS = 4_000
_STEPS = 40
# Mean distance, mm, below which the orientation as scanned is taken without trying others. On the twins, whose faces
# look at the scanner, its median is 1.7 to 2.2; fitted upside down or from behind, the least of 200 scans is 2.2.
_PLAIN = 2.2
# Up to this one only its half turns are tried, not all 24, which take three times as long. Of 192 scans of twins that
# were turned by 90 degrees, by 180 or at random, four were fitted wrongly so, and two if all are tried.
_DOUBTFUL = 3.0
_HALF_TURNS = (np.diag([1.0, -1.0, -1.0]), np.diag([-1.0, 1.0, -1.0]), np.diag([-1.0, -1.0, 1.0]))
_ROUNDS = ((8, 8, 150), (2, 16, 150), (1, 40, 600))  # (orientations that are kept, steps, points)


class Pose(NamedTuple):
    """A head's place: `points @ rotation.T + translation` lie in the canonical frame.

    Attributes:
        rotation: (3, 3).
        translation: (3,) millimetres.
        distance: Mean distance in millimetres from the mean face, scaled to fit, to the nearest vertices.
    """

    rotation: Floats
    translation: Floats
    distance: float


def find_pose(vertices: NDArray[np.floating], triangles: NDArray[np.int32]) -> Pose:
    """Fit the mean face to a surface.

    Iterated closest points (Besl & McKay, PAMI 14, 1992) with the distance to the tangent planes (Chen & Medioni, 1992)
    and the farthest tenth left out (Chetverikov et al., 2005). Each fit begins with the foremost point as the nose tip:
    first as the scan stands and, unless that fits at once, in half turns of it or the 24 orientations of the principal
    axes. The mean face is scaled to the scan, because a smaller head would be fitted tilted; the scan never is.

    Args:
        vertices: (V, 3) finite, V > 0, millimetres.
        triangles: (F, 3), F >= 0; their centres are used for a surface of few vertices.
    """
    points = vertices.astype(np.float64)
    if len(points) < _FEWEST_POINTS:
        points = np.concatenate([points, points[triangles].mean(axis=1)])
    thinned = points[:: -(-len(points) // _MOST_POINTS)]
    tree = cKDTree(thinned)
    best = _fit(tree, thinned, np.eye(3), _STEPS, _POINTS)
    if best.distance > _PLAIN:
        others = _orientations(thinned) if best.distance > _DOUBTFUL else _HALF_TURNS
        poses = [Pose(rotation, np.zeros(3), 0.0) for rotation in others]
        for kept, steps, count in _ROUNDS:  # the likelier ones are refined
            poses = [_fit(tree, thinned, pose.rotation, steps, count) for pose in poses]
            poses = sorted(poses, key=attrgetter("distance"))[:kept]
        best = min(best, poses[0], key=attrgetter("distance"))
    return best


def _orientations(points: Floats) -> Iterator[Floats]:
    """The 24 rotations that bring the principal axes onto the coordinate axes."""
    centred = points - np.median(points, axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1].T
    for order, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3)):
        rotation = axes[list(order)] * np.array(signs)[:, None]
        if np.linalg.det(rotation) > 0:
            yield rotation


def _fit(tree: cKDTree, points: Floats, rotation: Floats, steps: int, count: int) -> Pose:
    """The pose near `rotation`, of a scan given by its tree and the same points, from the first points of the face."""
    face, normals = (part[:count] for part in _face())
    # It is the mean face that moves, `scale * face @ turn.T + place`; about its middle, where turning moves it least.
    middle = face.mean(axis=0)
    face = face - middle
    turn = rotation.T
    place = turn @ (middle - _frontal_shift(points @ rotation.T))
    scale, kept = 1.0, int(_KEPT * len(face))
    for _ in range(steps):
        turned, outwards = scale * face @ turn.T, normals @ turn.T
        distances, nearest = tree.query(turned + place)
        near = np.argpartition(distances, kept)[:kept]
        turned, outwards = turned[near], outwards[near]
        gaps = ((points[nearest[near]] - place - turned) * outwards).sum(axis=1)
        rows = np.column_stack([np.cross(turned, outwards), outwards, (turned * outwards).sum(axis=1)])
        step = np.linalg.lstsq(rows, gaps, rcond=None)[0]
        turn = Rotation.from_rotvec(step[:3]).as_matrix() @ turn
        place = place + step[3:6]
        scale = float(np.clip(scale * (1 + np.clip(step[6], -0.05, 0.05)), *_SCALES))
        if np.abs(step[:3]).max() < 1e-4 and np.abs(step[3:6]).max() < 1e-2:
            break
    distances = np.sort(tree.query(scale * face @ turn.T + place)[0])
    return Pose(turn.T, middle - turn.T @ place, float(distances[:kept].mean()))


@lru_cache(maxsize=1)
def _face() -> tuple[Floats, Floats]:
    """Points of the mean face between hairline, ears and chin, and their normals; the first ones are spread as evenly
    as all."""
    mean = mean_face()
    x, y, _ = mean.vertices.T
    inner = np.flatnonzero((np.abs(x) < 60) & (y > -60) & (y < 80))
    chosen = inner[farthest_point_sample(mean.vertices[inner], _POINTS)]
    normals = vertex_normals(mean.vertices, mean.triangles)[chosen]
    return mean.vertices[chosen].astype(np.float64), normals.astype(np.float64)


def _frontal_shift(vertices: Floats) -> Floats:
    """(3,) what brings a face that looks along +z to the canonical place: its median x to 0, its nose to the mean's."""
    vertices = vertices[:: max(1, len(vertices) // _FRONTAL_POINTS)]
    middle = np.median(vertices[:, 0])
    low, high = np.percentile(vertices[:, 1], [20, 80])  # leaves out hair, collar and a chin pushed forward
    x, y = vertices[:, 0], vertices[:, 1]
    band = vertices[(np.abs(x - middle) <= 25) & (y >= low) & (y <= high)]
    if len(band) == 0:
        band = vertices
    # The median of the foremost points, not the foremost one: a single stray vertex must not move the face.
    foremost = band[band[:, 2] >= np.percentile(band[:, 2], 99.5)]
    nose = mean_face().vertices[mean_face().landmarks["nose_tip"]] - np.median(foremost, axis=0)
    return np.array([-middle, nose[1], nose[2]])
