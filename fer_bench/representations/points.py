"""Point clouds of a fixed size, the input of DrFER."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import InvalidSuite
from fer_bench.geometry.alignment import NOSE_TIP, UnusableScan, align
from fer_bench.geometry.contact_sheet import dots
from fer_bench.geometry.sampling import farthest_point_sample, resample, unit_sphere
from fer_bench.geometry.scan import Scan
from fer_bench.representations.base import Representation

_MOST_POINTS = 10_000_000


@dataclass(frozen=True)
class Points(Representation):
    """Farthest-point samples of the aligned surface near the nose, in the unit sphere: (count, 3) float32.

    As DrFER does: rigid registration, as many points of every scan, and 2,048 of them by farthest-point sampling. The
    paper names neither how it resamples, nor a crop, nor a scale. Here the points lie evenly on the surface, so that a
    scanner's density does not show; the crop keeps hair and neck, which some scans have and others lack, from deciding
    the scale; and the unit sphere is the habit of the PointNet++ code whose other settings it uses. Sampling begins at
    the point nearest the nose tip, so that the same scan gives the same points in every run.

    Attributes:
        count: points a scan.
        crop_mm: radius of the sphere around the canonical nose tip. 110 mm holds the chin of a wide-open mouth.
        resampled: points that `count` are chosen from; 0 chooses among the vertices, and repeats those of a scan that
            has fewer.
    """

    name: ClassVar[str] = "points"
    version: ClassVar[int] = 2

    count: int = 2048
    crop_mm: float = 110.0
    resampled: int = 39_923

    def __post_init__(self) -> None:
        object.__setattr__(self, "crop_mm", float(self.crop_mm))  # 110 and 110.0 must have one digest
        if self.count < 1:
            raise InvalidSuite(f"points: count is {self.count}; give 1 or more.")
        if not (self.crop_mm > 0 and math.isfinite(self.crop_mm)):
            raise InvalidSuite(f"points: crop_mm is {self.crop_mm}; give a positive number of millimetres.")
        if self.resampled and not self.count <= self.resampled <= _MOST_POINTS:
            raise InvalidSuite(
                f"points: resampled is {self.resampled}; give 0, or from count ({self.count}) to {_MOST_POINTS}."
            )

    def extract(self, scan: Scan) -> NDArray[np.float32]:
        vertices = align(scan).vertices
        near = np.linalg.norm(vertices - np.array(NOSE_TIP), axis=1) <= self.crop_mm
        triangles = scan.triangles[near[scan.triangles].all(axis=1)]
        if not near.any() or (self.resampled and not len(triangles)):
            raise UnusableScan(
                f"no surface lies within {self.crop_mm:g} mm of the nose, so the scan is not in millimetres, or its "
                "landmarks belong to another"
            )
        cloud = resample(vertices, triangles, self.resampled) if self.resampled else vertices[near]
        start = int(np.linalg.norm(cloud - np.array(NOSE_TIP), axis=1).argmin())
        return unit_sphere(cloud[farthest_point_sample(cloud, self.count, start)])

    def picture(self, row: NDArray[Any]) -> NDArray[np.uint8]:
        """The points from the front and from the subject's left."""
        return dots(row)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.count, 3

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    @property
    def label(self) -> str:
        crop = "" if self.crop_mm == 110 else f"-{self.crop_mm:g}mm"
        resampled = {39_923: "", 0: "-vertices"}.get(self.resampled, f"-of{self.resampled}")
        return f"points-{self.count}{crop}{resampled}"
