"""The stress deck: what can be wrong with a scan, in physical units, and by how much.

A stress is applied to a scan before its representation, so that any 3D method can be put through it. The scan is
brought into the canonical frame first and perturbed there, and it carries the frame's own landmarks from then on: the
registration that was found before the head turned. Code that aligns it again (`alignment.align`, which every
representation calls) finds nothing to move. A turned head so stays turned, as in the rotation test of DrFER, which
rotates the registered cloud; landmarks that turned along would turn it back. All members do so, and what is measured
is the network and not a landmark detector.

What is drawn at random is drawn from the scan's own numbers, so that every method, run and machine sees the same
perturbed scan; and the severities of a member share their draws, so that a curve shows the severity and not the luck.
"""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_bench.geometry.alignment import CANONICAL, NOSE_TIP, UnusableScan, align
from fer_bench.geometry.render import camera_axes
from fer_bench.geometry.scan import Scan
from fer_bench.geometry.simplification import simplify
from fer_bench.geometry.visibility import seen

_FACE_MM = 85.0  # from the nose tip to the farthest middle of a hole: chin, brow and the outer corners of the eyes


@dataclass(frozen=True)
class Stress(ABC):
    """One condition: a perturbation with its physical parameters, which are the fields of the subclass.

    Attributes:
        name: of the deck's member that it belongs to.
        version: raised whenever the same parameters perturb otherwise.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    def __call__(self, scan: Scan) -> Scan:
        """The perturbed scan, in the canonical frame, with `FRAME` for landmarks; texture stays where there is any.

        Raises:
            UnusableScan: the scan cannot be aligned, has no valid triangles, or nothing of it is left.
        """
        aligned = align(scan)
        corners = aligned.triangles
        if len(corners) == 0 or corners.min() < 0 or corners.max() >= len(aligned.vertices):
            raise UnusableScan("the scan has no triangles, or some that refer to vertices it lacks")
        if scan.uv_triangles is not None and len(scan.uv_triangles) != len(corners):
            counts = f"{len(corners)} triangles, but {len(scan.uv_triangles)} with texture coordinates"
            raise UnusableScan(f"the scan has {counts}")
        perturbed = self.perturb(aligned, np.random.default_rng(self._seed(scan)))
        if len(perturbed.triangles) == 0:
            raise UnusableScan(f"{self.label} leaves nothing of the scan; are its triangles clockwise?")
        return replace(perturbed, landmarks={name: point.copy() for name, point in FRAME.items()})

    @abstractmethod
    def perturb(self, aligned: Scan, random: np.random.Generator) -> Scan:
        """The perturbation of a scan in the canonical frame; `random` is a function of the scan and the name."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The condition's name, unique in the deck, of the characters `a-z 0-9 . + -`: `yaw+20`."""

    @property
    def record(self) -> dict[str, Any]:
        """All that decides what it does to a scan, JSON-able."""
        return {"name": self.name, "version": self.version, "parameters": asdict(self)}

    def _seed(self, scan: Scan) -> int:
        # Of the scan as it was read: aligning it may differ in a last digit between machines.
        content = hashlib.sha256(self.name.encode())
        content.update(np.ascontiguousarray(scan.vertices, dtype="<f4").data)
        content.update(np.ascontiguousarray(scan.triangles, dtype="<i4").data)
        return int.from_bytes(content.digest()[:8], "big")


FRAME = {name: np.array(place, dtype=np.float32) for name, place in CANONICAL.items()}
"""The landmarks of a stressed scan. They define the frame, and carry no information about the face."""


@dataclass(frozen=True)
class Rotation(Stress):
    """The head turned by a number of degrees, seen from the front: surface that the camera does not see is gone.

    The camera looks along -z, without perspective. A turn by an angle shows what a camera at that angle sees of the
    head at rest (`render.camera_axes`): positive yaw shows more of the subject's left, positive pitch more of its top.
    The head turns about the canonical nose tip, because a cloud is cropped by a ball around it (`Points`), and that
    ball turns into itself: the turned cloud is the cloud, turned. About the frame's origin, up to a tenth of what is
    seen would leave the crop, and up to a sixth of the crop would be ears and neck that it did not hold before. In
    views the face moves aside as a turning head does, though less than about the neck: a field of 220 mm loses the
    near cheek's rim from 40 degrees on.

    Triangles that face away are never seen, also where an open scan would show its inside. Of the others those stay
    whose middle no other surface hides.
    """

    name: ClassVar[str] = "rotation"
    version: ClassVar[int] = 1

    axis: Literal["yaw", "pitch"]
    degrees: float

    def perturb(self, aligned: Scan, random: np.random.Generator) -> Scan:
        yaw, pitch = (self.degrees, 0.0) if self.axis == "yaw" else (0.0, self.degrees)
        centre = np.array(NOSE_TIP)
        turned = (aligned.vertices.astype(np.float64) - centre) @ camera_axes(yaw, pitch).T + centre
        return _with(replace(aligned, vertices=turned.astype(np.float32)), seen(turned, aligned.triangles))

    @property
    def label(self) -> str:
        return f"{self.axis}{self.degrees:+g}"


@dataclass(frozen=True)
class Noise(Stress):
    """Every vertex displaced along z by a Gaussian of a standard deviation in millimetres, each on its own.

    In depth and not along the normal, because that is how scanners err: along their line of sight, which is near z in
    frontal scans. A surface that is seen from the front never folds over itself, at any deviation.
    """

    name: ClassVar[str] = "noise"
    version: ClassVar[int] = 1

    sigma_mm: float

    def perturb(self, aligned: Scan, random: np.random.Generator) -> Scan:
        vertices = aligned.vertices.astype(np.float64)
        vertices[:, 2] += self.sigma_mm * random.standard_normal(len(vertices))
        return replace(aligned, vertices=vertices.astype(np.float32))

    @property
    def label(self) -> str:
        return f"noise-{self.sigma_mm:g}mm"


@dataclass(frozen=True)
class Holes(Stress):
    """Round holes: the surface within `radius_mm` of some of its points is gone, triangle by triangle.

    The points lie at random on the face, within 85 mm of the canonical nose tip, each part of its area being as likely.
    The same ones serve every radius, so that a larger hole holds the smaller one.
    """

    name: ClassVar[str] = "holes"
    version: ClassVar[int] = 1

    radius_mm: float
    count: int = 5

    def perturb(self, aligned: Scan, random: np.random.Generator) -> Scan:
        corners = aligned.vertices[aligned.triangles].astype(np.float64)  # (F, 3, 3)
        middles = corners.mean(axis=1)
        areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        areas[np.linalg.norm(middles - np.array(NOSE_TIP), axis=1) > _FACE_MM] = 0.0
        if not areas.sum() > 0:
            raise UnusableScan(f"no surface lies within {_FACE_MM:g} mm of the nose")
        for drawn in random.choice(len(areas), size=self.count, p=areas / areas.sum()):
            areas[np.linalg.norm(middles - middles[drawn], axis=1) <= self.radius_mm] = -1.0
        return _with(aligned, areas >= 0)

    @property
    def label(self) -> str:
        return f"holes-{self.radius_mm:g}mm"


@dataclass(frozen=True)
class Decimation(Stress):
    """A coarser mesh: a share of the vertices stays, chosen by quadric error metrics (`simplification.simplify`).

    Of a vertex on a seam of the texture each triangle takes the coordinates nearest to where it lay on the texture.
    """

    name: ClassVar[str] = "decimation"
    version: ClassVar[int] = 1

    kept: float

    def perturb(self, aligned: Scan, random: np.random.Generator) -> Scan:
        whole = _with(aligned, np.full(len(aligned.triangles), True))
        count = max(4, round(self.kept * len(whole.vertices)))
        if count >= len(whole.vertices):
            return whole
        found = simplify(whole.vertices, whole.triangles, count)
        uv_triangles = None
        if whole.uv is not None and whole.uv_triangles is not None:
            corners = found.kept[found.triangles]
            uv_triangles = _uv_corners(whole.uv, whole.uv_triangles, whole.triangles, corners, found.origins)
        return replace(whole, vertices=whole.vertices[found.kept], triangles=found.triangles, uv_triangles=uv_triangles)

    @property
    def label(self) -> str:
        return f"decimation-{self.kept:g}"


def _with(scan: Scan, stays: NDArray[np.bool_]) -> Scan:
    """The scan with those of its triangles that stay, and the vertices that they need."""
    used, renumbered = np.unique(scan.triangles[stays], return_inverse=True)
    return replace(
        scan,
        vertices=scan.vertices[used],
        triangles=renumbered.reshape(-1, 3).astype(np.int32),
        uv_triangles=None if scan.uv_triangles is None else scan.uv_triangles[stays],
    )


def _uv_corners(
    uv: NDArray[np.float32],
    uv_triangles: NDArray[np.int32],
    triangles: NDArray[np.int32],
    corners: NDArray[np.int64],
    origins: NDArray[np.int64],
) -> NDArray[np.int32]:
    """(K, 3) rows of `uv` for triangles whose corners moved to other vertices of the mesh.

    Args:
        uv, uv_triangles, triangles: Of the mesh.
        corners: (K, 3) vertices of the mesh.
        origins: (K,) the triangles that they were.
    """
    pairs = np.unique(np.column_stack([triangles.ravel(), uv_triangles.ravel()]), axis=0)  # vertex, row of uv
    starts = np.searchsorted(pairs[:, 0], corners)
    ends = np.searchsorted(pairs[:, 0], corners, side="right")
    chosen = pairs[starts, 1]
    places = uv[uv_triangles[origins]].astype(np.float64).mean(axis=1)  # (K, 2)
    for k, corner in np.argwhere(ends - starts > 1):
        rows = pairs[starts[k, corner] : ends[k, corner], 1]
        chosen[k, corner] = rows[((uv[rows] - places[k]) ** 2).sum(axis=1).argmin()]
    return chosen.astype(np.int32)


class Severity(NamedTuple):
    """One severity of a member: its physical value, and the conditions that have it."""

    value: float
    conditions: tuple[Stress, ...]


@dataclass(frozen=True)
class Member:
    """A member of the deck.

    Attributes:
        quantity: What the severities' values are, with the unit.
        severities: 1 to 5, mildest first; 0 is the scan as it is.
    """

    quantity: str
    severities: tuple[Severity, ...]


def _turns(degrees: float) -> Severity:
    turns = [(axis, sign * degrees) for axis in ("yaw", "pitch") for sign in (-1, 1)]
    return Severity(degrees, tuple(Rotation(axis, angle) for axis, angle in turns))  # type: ignore[arg-type]


def _each(kind: type[Stress], *values: float) -> tuple[Severity, ...]:
    return tuple(Severity(value, (kind(value),)) for value in values)  # type: ignore[call-arg]


DECK = {
    # The 16 poses of DrFER's figure 5 are the last four of these.
    "rotation": Member("angle of yaw or pitch (degrees)", tuple(map(_turns, (10.0, 20.0, 40.0, 60.0, 80.0)))),
    # From what a good scanner leaves to more than an expression moves the face.
    "noise": Member("standard deviation of depth (mm)", _each(Noise, 0.25, 0.5, 1.0, 2.0, 4.0)),
    "holes": Member("radius of five holes (mm)", _each(Holes, 5.0, 10.0, 15.0, 20.0, 25.0)),
    "decimation": Member("share of vertices that stay", _each(Decimation, 0.5, 0.25, 0.1, 0.05, 0.02)),
}
"""Name -> member."""
