"""Square crops of photographs of faces."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_bench.errors import FerBenchError
from fer_bench.io.photo import Photo

Alignment = Literal["given", "five_points", "box", "emoca", "smirk"]

# Where the eyes' centres, the nose tip and the mouth's corners lie in a face of 112 x 112 pixels, the subject's right
# side (the image's left) first: the places that ArcFace made usual (Deng et al., CVPR 2019, after SphereFace).
FIVE_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
_FACE = 112
# Eyes, nose tip and mouth corners among the 68 points of AffectNet (the iBUG scheme).
_OF_68 = (slice(36, 42), slice(42, 48), slice(30, 31), slice(48, 49), slice(54, 55))
# A box holds brow to chin; papers take somewhat more around it.
_MARGIN = 1.2
# The box of the 68 points (left, top; right, bottom) of a face whose five points lie at FIVE_POINTS: the mean over
# 2,000 faces of the ICT face model (USC), seen from the front.
_BOX_OF_68 = np.array([[13.8, 36.3], [98.0, 115.4]])
# Half of width and height of the landmarks' box, times these, is the side of the square that a regressor sees.
_REGRESSORS = {"emoca": 1.1 * 1.25, "smirk": 1.4}


class UnusablePhoto(FerBenchError):
    """A photograph that cannot be cropped as requested; the caller adds the file's name."""


def crop(photo: Photo, size: int, alignment: Alignment = "given") -> NDArray[np.uint8]:
    """The face, (3, size, size) uint8 RGB; black where the photograph ends.

    Args:
        photo: The photograph.
        size: Pixels across.
        alignment: `five_points` moves, turns and scales the face so that eyes, nose and mouth lie nearest to
            `FIVE_POINTS`. `box` takes a square around the face's box, 1.2 times as large as its longer side. `given`
            takes a photograph that the dataset has aligned as it is, and of any other what is known best: five points,
            else the box, else the largest square in its middle. `emoca` and `smirk` take the square around the 68
            landmarks that these regressors were trained on, of the photograph that an aligned one was cut from where
            that is known. Of five landmarks the square is that of a mean face; without any it is the whole photograph,
            as EMOCA does where it finds no face. The regressors' own landmarks come from detectors, which do not run
            here.

    Raises:
        BrokenScan: the photograph cannot be read.
        UnusablePhoto: the landmarks or the box that `alignment` needs are not known.
    """
    if alignment in _REGRESSORS and photo.original is not None:
        photo = photo.original() or photo
    image = Image.fromarray(photo.pixels())
    if alignment == "given" and photo.aligned:
        return _resized(image, (0.0, 0.0, float(image.width), float(image.height)), size)
    points = five_points(photo.landmarks)
    if alignment == "five_points" or (alignment == "given" and points is not None):
        if points is None:
            raise UnusablePhoto("its landmarks are not known, which five_points needs; use box or given")
        return _warped(image, similarity(FIVE_POINTS * (size / _FACE), points), size)
    if alignment == "box" and photo.box is None:
        raise UnusablePhoto("its box is not known; use given")
    if alignment in _REGRESSORS:
        if points is None:
            return _resized(image, (0.0, 0.0, float(image.width), float(image.height)), size)
        (middle_x, middle_y), side = _box_of_68(points, photo.landmarks)
        half = _REGRESSORS[alignment] * side / 2
    elif photo.box is not None:
        x, y, width, height = photo.box
        half = _MARGIN * max(width, height) / 2
        middle_x, middle_y = x + width / 2, y + height / 2
    else:
        half = min(image.size) / 2
        middle_x, middle_y = image.width / 2, image.height / 2
    return _resized(image, (middle_x - half, middle_y - half, middle_x + half, middle_y + half), size)


def _box_of_68(five: NDArray[np.float64], landmarks: NDArray[np.float64] | None) -> tuple[list[float], float]:
    """Centre and mean side, in pixels, of the box of 68 landmarks, or of that of a mean face with these five."""
    if landmarks is not None and len(landmarks) == 68:
        box = np.stack([landmarks.min(axis=0), landmarks.max(axis=0)])
        return box.mean(axis=0).tolist(), float((box[1] - box[0]).mean())
    turn = similarity(FIVE_POINTS, five)
    scale = float(np.sqrt(abs(np.linalg.det(turn[:, :2]))))
    centre = turn[:, :2] @ _BOX_OF_68.mean(axis=0) + turn[:, 2]
    return centre.tolist(), scale * float((_BOX_OF_68[1] - _BOX_OF_68[0]).mean())


def five_points(landmarks: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Eyes, nose tip and mouth corners (5, 2) of 68 or five landmarks; None of any others, or of some not finite."""
    if landmarks is None or not np.isfinite(landmarks).all():
        return None
    if len(landmarks) == 5:
        return landmarks
    return np.stack([landmarks[part].mean(axis=0) for part in _OF_68]) if len(landmarks) == 68 else None


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (2, 3) scaled rotation and shift that brings (N, 2) points nearest to others, in the sum of squares."""
    centre, aim = source.mean(axis=0), target.mean(axis=0)
    (a, b), (c, d) = (source - centre).T @ (target - aim)
    spread = ((source - centre) ** 2).sum()
    cosine, sine = (a + d) / spread, (b - c) / spread  # of the rotation, times the scale
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([turn, aim - turn @ centre])


def _resized(image: Image.Image, box: tuple[float, float, float, float], size: int) -> NDArray[np.uint8]:
    """A part of an image, which may reach beyond it, at another size."""
    left, top, right, bottom = box
    inside = left >= 0 and top >= 0 and right <= image.width and bottom <= image.height
    if inside:
        return _planes(image.resize((size, size), Image.Resampling.BICUBIC, box=box))
    scale = np.array([[(right - left) / size, 0, left], [0, (bottom - top) / size, top]])
    return _warped(image, scale, size)


def _warped(image: Image.Image, matrix: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Draw an image through a (2, 3) map from the result's pixels to the image's; what is shrunk is averaged first."""
    shrink = int(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if shrink > 1:
        image = image.reduce(shrink)
        matrix = matrix / shrink
    numbers = tuple(matrix.ravel().tolist())
    return _planes(image.transform((size, size), Image.Transform.AFFINE, numbers, resample=Image.Resampling.BICUBIC))


def _planes(image: Image.Image) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))
