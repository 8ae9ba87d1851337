"""Photographs of a twin's people: a face under some light, before some background, in some pose."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from fer_bench.twins.face import FaceModel
from fer_bench.twins.population import Person
from fer_bench.twins.portrait import Camera, Light, draw_face, surroundings
from fer_bench.twins.scans import Pose

Floats = NDArray[np.float64]
Image8 = NDArray[np.uint8]

YAW_LIMIT, PITCH_LIMIT, ROLL_LIMIT = 40.0, 22.0, 25.0
"""Degrees of head pose in the wild, at most."""

ALIGNED = np.array([[0.325, 0.40], [0.675, 0.40], [0.5, 0.755]])
"""Where an aligned photograph has the middles of the image's left eye, right eye and mouth, as shares of its size."""


class Photograph(NamedTuple):
    """A photograph and what is known of it.

    Attributes:
        image: (H, W, 3) uint8, or (H, W) if grey; first row at the top.
        landmarks: (68, 2) float64 in Multi-PIE order, pixels: x right, y down, (0, 0) the middle of the first pixel.
        box: x, y, width, height of the face from the brow to the chin in pixels, inside the image.
    """

    image: Image8
    landmarks: Floats
    box: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Setting:
    """All that a photograph shows beside the face, so that frames of a video can share it.

    Attributes:
        pitch, yaw, roll: Of the head, degrees, see `Pose.turned`.
        fill: Height of the face as a share of the image's smaller side.
        offset: (2,) of the face's middle from the image's, as a share of the smaller side.
        light: On the face.
        backdrop: (h, w, 3) uint8, a few colours that are blended over the image.
        clothes: (3,) RGB; `hair` length, 0 short to 1 long.
        blur: Standard deviation in pixels of a 224-pixel image, `noise` in grey levels, `quality` of a JPEG or 100.
    """

    pitch: float
    yaw: float
    roll: float
    fill: float
    offset: Floats
    light: Light
    backdrop: Image8
    clothes: Floats
    hair: float
    blur: float
    noise: float
    quality: int

    @classmethod
    def draw(cls, rng: np.random.Generator, *, wild: bool = True) -> Setting:
        """A random one: anything that people put on the web, or, if not `wild`, a laboratory."""
        spread = 1.0 if wild else 0.15
        limits = np.array([PITCH_LIMIT, YAW_LIMIT, ROLL_LIMIT])
        pitch, yaw, roll = np.clip(spread * limits * [0.4, 0.45, 0.35] * rng.standard_normal(3), -limits, limits)
        towards = np.array([0.0, 0.35, 0.9]) + (0.5 if wild else 0.1) * rng.standard_normal(3)
        towards[2] = max(towards[2], 0.4)
        warmth, level = spread * 0.05 * rng.standard_normal(), float(rng.uniform(0.22, 0.5) if wild else 0.4)
        exposure = float(rng.uniform(0.75, 1.1) if wild else 1.0)
        rows, columns = rng.integers(1, 6, 2) if wild else (2, 1)
        brightness, tint = rng.uniform(30, 220), rng.uniform(-25, 25, 3)
        backdrop = brightness + tint + (16.0 if wild else 2.0) * rng.standard_normal((rows, columns, 3))
        backdrop += (35.0 if wild else 5.0) * rng.standard_normal((rows, columns, 1))
        return cls(
            pitch=float(pitch),
            yaw=float(yaw),
            roll=float(roll),
            fill=float(rng.uniform(0.52, 0.82) if wild else rng.uniform(0.6, 0.66)),
            offset=(0.05 if wild else 0.01) * rng.standard_normal(2),
            light=Light(
                towards=towards / np.linalg.norm(towards),
                colour=exposure * (1.05 - level) * np.array([1.0 + warmth, 1.0, 1.0 - warmth]),
                ambient=exposure * level * (1.0 + spread * 0.04 * rng.standard_normal(3)),
                shine=float(rng.uniform(0.0, 0.25)),
            ),
            backdrop=np.clip(backdrop, 0, 255).astype(np.uint8),
            clothes=rng.uniform(15, 225, 3),
            hair=float(rng.random()),
            blur=float(rng.uniform(0.3, 1.4) if wild else 0.5),
            noise=float(rng.uniform(0.5, 7.0) if wild else 1.5),
            quality=int(rng.integers(25, 101)) if wild else 100,
        )


def photograph(
    model: FaceModel,
    person: Person,
    weights: NDArray[np.floating],
    rng: np.random.Generator,
    size: int | tuple[int, int] = 224,
    *,
    setting: Setting | None = None,
    aligned: bool = False,
    grey: bool = False,
) -> Photograph:
    """Photograph a face.

    Args:
        model: The face model that the person is of.
        person: Whose face.
        weights: (53,) expression weights.
        rng: Randomness of this photograph: of its setting where none is given, and of its noise.
        size: Pixels of a side, or (width, height).
        setting: Light, background, pose, camera; drawn if None.
        aligned: Turned and scaled so that eyes and mouth come as near as may be to `ALIGNED`.
        grey: One channel.
    """
    setting = setting or Setting.draw(rng)
    width, height = (size, size) if isinstance(size, int) else size
    # Not a product of matrices: too small for the threads that one would start, in every worker process.
    shape = person.neutral + np.einsum("e,evx->vx", weights, model.expression)
    marks, pose = shape[model.landmarks68], Pose.turned(setting.pitch, setting.yaw, setting.roll)
    if aligned:
        camera = Camera.aligning(marks, pose, ALIGNED * [width, height])
    else:  # it does not follow a jaw that opens
        still = person.neutral[model.landmarks68]
        camera = Camera.framing(still, pose, width, height, setting.fill, setting.offset)
    landmarks = camera.pixels(marks)[:, :2]
    backdrop = Image.fromarray(setting.backdrop).resize((width, height), Image.Resampling.BICUBIC)
    image = surroundings(person, camera, setting.light, np.asarray(backdrop), setting.clothes, setting.hair)
    draw_face(image, model, person, camera.pixels(shape), setting.light)
    if grey:
        image = 0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2]
    return Photograph(_develop(image, setting, rng), landmarks - 0.5, _box(landmarks, width, height))


def _develop(image: NDArray[np.float32], setting: Setting, rng: np.random.Generator) -> Image8:
    """Blur, noise and compression of (H, W, 3) or (H, W)."""
    sharp = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    blurred = np.asarray(sharp.filter(ImageFilter.GaussianBlur(setting.blur * min(image.shape[:2]) / 224.0)))
    grain = np.rint(setting.noise * rng.standard_normal(image.shape[:2], dtype=np.float32)).astype(np.int16)
    grain = grain.reshape(*grain.shape, *(1,) * (image.ndim - 2))  # the same in all channels
    developed = np.clip(blurred + grain, 0, 255).astype(np.uint8)
    if setting.quality >= 100:
        return developed
    with io.BytesIO() as file:
        Image.fromarray(developed).save(file, format="JPEG", quality=setting.quality)
        return np.array(Image.open(file))


def _box(landmarks: Floats, width: int, height: int) -> tuple[float, float, float, float]:
    low = np.clip(landmarks.min(axis=0), 0, [width, height])
    high = np.clip(landmarks.max(axis=0), 0, [width, height])
    x, y, w, h = np.round([*low, *(high - low)], 2).tolist()
    return x, y, w, h


CIRCUMPLEX: dict[str, tuple[float, float]] = {
    "neutral": (0.0, 0.0),
    "happy": (0.78, 0.35),
    "sad": (-0.68, -0.35),
    "surprise": (0.15, 0.75),
    "fear": (-0.50, 0.76),
    "disgust": (-0.68, 0.42),
    "anger": (-0.58, 0.68),
    "contempt": (-0.55, 0.20),
}
"""Expression -> valence and arousal at full strength: the places of Russell's circumplex (J. Pers. Soc. Psychol. 39,
1980), moved towards where annotators of faces put them."""


def valence_arousal(expression: str, intensity: float, rng: np.random.Generator) -> tuple[float, float]:
    """What an annotator would say of a performance: each in [-1, 1], and both inside the unit circle.

    Args:
        expression: One of `EXPRESSIONS`.
        intensity: 0 to 1, the strength that the face was made with; at 0 something of the expression is still seen.
        rng: Randomness of this annotation.
    """
    said = (0.2 + 0.8 * intensity) * np.array(CIRCUMPLEX[expression]) + 0.07 * rng.standard_normal(2)
    said /= max(1.0, float(np.linalg.norm(said)))
    valence, arousal = np.round(said, 6).tolist()
    return valence, arousal
