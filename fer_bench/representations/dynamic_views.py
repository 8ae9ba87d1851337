"""Dynamic images of rendered sequences, the input of MiT and FACET-VLM on 4D scans."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import InvalidSuite
from fer_bench.geometry.alignment import Motion, UnusableScan, find_motion, move
from fer_bench.geometry.frames import Clip
from fer_bench.geometry.rank_pooling import Pooling, dynamic_images, to_bytes, windows
from fer_bench.geometry.scan import Scan
from fer_bench.io.photo import Photo
from fer_bench.representations.base import Representation
from fer_bench.representations.crops import crop
from fer_bench.representations.views import Views


@dataclass(frozen=True)
class DynamicViews(Views, Representation):
    """The views of a sequence, each pooled over time to one image: (views, C, size, size) uint8, a row a window.

    Every frame is drawn as `Views` draws a scan, and approximate rank pooling makes one image of a window of frames
    (`geometry.rank_pooling`), stretched to a byte over all channels of a view. Neither paper says how many frames or
    windows it takes; MiT's 5,268 test items show that it took more than one image a sequence.

    A frame is brought into the canonical frame by its own landmarks. Where the first frame has none, the whole sequence
    moves as its first frame, so that the head's motion stays and no jitter of an alignment is added. Frames that lack
    the requested texture are passed over, as long as they are fewer than half.

    Of a video there is the front alone, the photographs themselves; views that leave it out are refused.

    Attributes:
        window: frames an image; None takes the whole sequence as one.
        stride: frames between the starts of two windows; None for `window`.
        frames: number of frames to take, evenly spread over the sequence; None takes all.
        pooling: `averaged`, the ranking of running means as derived by Bilen et al.; `plain`, of the frames themselves.
    """

    name: ClassVar[str] = "dynamic_views"
    version: ClassVar[int] = 2
    takes: ClassVar[tuple[str, ...]] = ("sequence", "video")
    many: ClassVar[bool] = True

    window: int | None = None
    stride: int | None = None
    frames: int | None = None
    pooling: Pooling = "averaged"

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("window", "stride", "frames"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise InvalidSuite(f"dynamic_views: {field} is {value}; give 1 or more, or leave it out.")
        if self.pooling not in ("averaged", "plain"):
            raise InvalidSuite(f"dynamic_views: pooling is {self.pooling}; give averaged or plain.")

    def resolve(self, modalities: frozenset[str]) -> Self:
        """Fix the channels, and of a video the one view.

        Raises:
            InvalidSuite: no view from the front is among those that are asked of a video, or as in `Views`.
        """
        if "video" in modalities:
            if (0.0, 0.0) not in zip(self.yaws, self.pitches or (0.0,) * len(self.yaws), strict=True):
                requested = ", ".join(f"{yaw:g}" for yaw in self.yaws)
                raise InvalidSuite(
                    f"dynamic_views: asks for yaws of {requested} degrees, and a video shows the front alone; "
                    "take meshes, or add the view at yaw 0 and pitch 0."
                )
            modalities |= {"texture"}
            return replace(super().resolve(modalities), yaws=(0.0,), pitches=(), channels=("texture",))
        return super().resolve(modalities)

    def rows(self, sample: Clip[Any]) -> int:
        return len(windows(len(self._chosen(sample)), self.window, self.stride))

    def extract(self, sample: Clip[Any]) -> NDArray[np.uint8]:
        spans = windows(len(self._chosen(sample)), self.window, self.stride)
        images = dynamic_images(self._drawn(sample), spans, self.pooling)
        return np.stack([np.stack([to_bytes(view) for view in image]) for image in images])

    @property
    def label(self) -> str:
        parts = [super().label]
        parts += [f"window{self.window}"] if self.window else []
        parts += [f"stride{self.stride}"] if self.stride else []
        parts += [f"frames{self.frames}"] if self.frames else []
        parts += ["plain"] if self.pooling == "plain" else []
        return "-".join(parts)

    def _chosen(self, clip: Clip[Any]) -> list[int]:
        """Numbers of the frames that are taken."""
        if not len(clip):
            raise UnusableScan("the sequence has no frame")
        if self.frames is None or self.frames >= len(clip):
            return list(range(len(clip)))
        return np.rint(np.linspace(0, len(clip) - 1, self.frames)).astype(int).tolist()

    def _drawn(self, clip: Clip[Any]) -> Iterator[NDArray[np.uint8]]:
        """The views of each frame that is taken, in order; of one without texture, those of the frame before it."""
        chosen, lacking = self._chosen(clip), 0
        steady: Motion | None = None
        last: NDArray[np.uint8] | None = None
        waiting = 0
        for number in chosen:
            frame = clip[number]
            if isinstance(frame, Photo):
                yield crop(frame, self.size)[None]
                continue
            if "texture" in self._fixed() and frame.texture is None:
                lacking += 1
                if 2 * lacking > len(chosen):
                    raise UnusableScan(f"{lacking} of the sequence's {len(chosen)} frames have no texture")
                if last is None:
                    waiting += 1
                else:
                    yield last
                continue
            aligned, steady = _follow(frame, steady)
            last = self.draw(aligned)
            for _ in range(waiting + 1):
                yield last
            waiting = 0


def _follow(frame: Scan, steady: Motion | None) -> tuple[Scan, Motion | None]:
    """A frame in the canonical frame, and the motion that all frames share, where they share one."""
    motion = steady or find_motion(frame)
    return move(frame, motion), None if motion.by_landmarks else motion
