"""Multi-view renders, the input of MiT and FACET-VLM."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import InvalidSuite
from fer_bench.geometry.alignment import align
from fer_bench.geometry.render import PLANES, render_views
from fer_bench.geometry.scan import Scan
from fer_bench.representations.base import Representation


@dataclass(frozen=True)
class Views(Representation):
    """Views of the aligned scan: (views, C, size, size) uint8.

    Attributes:
        yaws: camera angles in degrees, one a view; positive sees the subject's left side (`render.camera_axes`).
        pitches: the same upwards, one a view; 0 for all where there are none.
        size: pixels across.
        field_mm: millimetres across. In 220 mm an adult face fits from a wide-open chin to the hairline, and its ears
            at every yaw up to 30 degrees.
        channels: names of `render.PLANES`. None leaves the choice to the dataset: texture where there is one, else
            depth with two parts of the normal. The MiT paper never says what its images show; both readings have three
            planes, as its networks expect.
        distance_mm: of a perspective camera from the middle of the face; None draws orthographic views, in which a
            millimetre has the same size in every scan and place.
    """

    name: ClassVar[str] = "views"
    version: ClassVar[int] = 3

    yaws: tuple[float, ...] = (-20.0, 0.0, 20.0)
    pitches: tuple[float, ...] = ()
    size: int = 224
    field_mm: float = 220.0
    channels: tuple[str, ...] | None = None
    distance_mm: float | None = None

    def __post_init__(self) -> None:
        # Suites give lists and whole numbers; equal parameters must have equal digests.
        object.__setattr__(self, "yaws", tuple(float(yaw) for yaw in self.yaws))
        object.__setattr__(self, "field_mm", float(self.field_mm))
        object.__setattr__(self, "pitches", tuple(float(pitch) for pitch in self.pitches))
        if not self.yaws or not all(-90 <= yaw <= 90 for yaw in self.yaws):
            raise InvalidSuite(f"views: yaws is {list(self.yaws)}; give one or more angles from -90 to 90 degrees.")
        if self.pitches and len(self.pitches) != len(self.yaws):
            counts = f"{len(self.pitches)} pitches for {len(self.yaws)} yaws"
            raise InvalidSuite(f"views: there are {counts}; give one a view, or none.")
        if not all(-90 <= pitch <= 90 for pitch in self.pitches):
            raise InvalidSuite(f"views: pitches is {list(self.pitches)}; give angles from -90 to 90 degrees.")
        if self.distance_mm is not None:
            object.__setattr__(self, "distance_mm", float(self.distance_mm))
            if not 300 <= self.distance_mm < math.inf:
                raise InvalidSuite(f"views: distance_mm is {self.distance_mm}; give 300 or more, or leave it out.")
        if not 1 <= self.size <= 4096:
            raise InvalidSuite(f"views: size is {self.size}; give 1 to 4096 pixels.")
        if not (self.field_mm > 0 and math.isfinite(self.field_mm)):
            raise InvalidSuite(f"views: field_mm is {self.field_mm}; give a positive number of millimetres.")
        if self.channels is not None:
            object.__setattr__(self, "channels", tuple(self.channels))
            if not self.channels or not set(self.channels) <= set(PLANES):
                known = ", ".join(PLANES)
                raise InvalidSuite(f"views: channels is {list(self.channels)}; give some of {known}, or leave it out.")

    def resolve(self, modalities: frozenset[str]) -> Self:
        """Fix the channels; see `channels`."""
        super().resolve(modalities)
        if self.channels is None:
            textured = "texture" in modalities
            return dataclasses.replace(self, channels=("texture",) if textured else ("depth", "normal_x", "normal_y"))
        if "texture" in self.channels and "texture" not in modalities:
            raise InvalidSuite(
                "views: channels asks for texture, which the dataset does not have; use [depth, normal_x, normal_y]."
            )
        return self

    def extract(self, sample: Any) -> NDArray[np.uint8]:
        return self.draw(align(sample))

    def draw(self, aligned: Scan) -> NDArray[np.uint8]:
        """The views of a scan in the canonical frame."""
        return render_views(
            aligned,
            size=self.size,
            field_mm=self.field_mm,
            channels=self._fixed(),
            angles=list(zip(self.yaws, self.pitches or (0.0,) * len(self.yaws), strict=True)),
            distance_mm=self.distance_mm,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.yaws), sum(PLANES[channel] for channel in self._fixed()), self.size, self.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    @property
    def label(self) -> str:
        yaws = "".join(f"{yaw:+g}" for yaw in self.yaws)
        pitches = "-up" + "".join(f"{pitch:+g}" for pitch in self.pitches) if any(self.pitches) else ""
        field = "" if self.field_mm == 220 else f"-{self.field_mm:g}mm"
        camera = "" if self.distance_mm is None else f"-from{self.distance_mm:g}mm"
        channels = "+".join(self.channels).replace("_", "") if self.channels else "auto"
        return f"{self.name.replace('_', '')}{yaws}{pitches}-{self.size}{field}{camera}-{channels}"

    @property
    def digest(self) -> str:
        self._fixed()
        return super().digest

    def picture(self, row: NDArray[Any]) -> NDArray[np.uint8]:
        """The views side by side; three planes are taken for red, green and blue, others are stacked."""
        if row.shape[1] == 3:
            return np.hstack([np.ascontiguousarray(view.transpose(1, 2, 0)) for view in row])
        return np.repeat(np.hstack([np.vstack(list(view)) for view in row])[:, :, None], 3, axis=2)

    def _fixed(self) -> tuple[str, ...]:
        if self.channels is None:
            raise InvalidSuite("views: channels are still open; call resolve with the dataset's modalities first.")
        return self.channels
