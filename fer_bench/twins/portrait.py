"""Drawing a face into an image: the camera, the light, and the surroundings of a face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import uniform_filter

from fer_bench.geometry.render import render
from fer_bench.geometry.scan import Scan
from fer_bench.twins.face import FaceModel
from fer_bench.twins.population import Person
from fer_bench.twins.scans import Pose

Floats = NDArray[np.float64]

_CENTRE = np.array([0.0, -15.0, -70.0])  # mm: the head turns about it
_DISTANCE = 800.0  # mm from the camera, for the perspective
_MOUTH = np.array([0.0, -68.0, -20.0])
_FINE_BELOW = 160  # pixels: a smaller face is drawn twice as large and averaged
_LOWER = np.array([0.0, 0.06])  # the middle of brows and chin is below the head's
_SKULL = (np.array([0.0, 22.0, -72.0]), 84.0, 104.0)  # centre, half width and half height of the hair


@dataclass(frozen=True, eq=False)
class Light:
    """The light on a face.

    Attributes:
        towards: (3,) unit vector to where it comes from: right, up, to the camera.
        colour: (3,) of it, about 1.
        ambient: (3,) of what comes from everywhere.
        shine: Of the skin, 0 to about 0.3.
    """

    towards: Floats
    colour: Floats
    ambient: Floats
    shine: float


@dataclass(frozen=True, eq=False)
class Camera:
    """From the head's millimetres to pixels: a pose, a mild perspective, and a similarity in the image."""

    pose: Pose
    turn: Floats  # (2, 2) scale and rotation; the image's y points down
    shift: Floats  # (2,)

    @classmethod
    def framing(cls, marks: Floats, pose: Pose, width: int, height: int, fill: float, offset: Floats) -> Camera:
        """A camera for a whole head.

        Args:
            marks: (68, 3) the face's landmarks, mm.
            pose: Of the head.
            width, height: Of the image, pixels.
            fill: Height of the face as a share of the image's smaller side.
            offset: (2,) of the face's middle from the image's, as a share of the smaller side.
        """
        flip = np.diag([1.0, -1.0])
        seen = cls(pose, flip, np.zeros(2)).pixels(marks)[:, :2]
        brows, chin = seen[[19, 24]].mean(axis=0), seen[8]
        # From the brows to the chin is three quarters of a face.
        scale = fill * min(width, height) / (np.linalg.norm(chin - brows) * 4 / 3)
        place = np.array([width, height]) / 2 + (offset + _LOWER) * min(width, height)
        return cls(pose, scale * flip, place - scale * (brows + chin) / 2)

    @classmethod
    def aligning(cls, marks: Floats, pose: Pose, places: Floats) -> Camera:
        """A camera that turns and scales a face until its parts are where they should be, as near as may be.

        Args:
            marks: (68, 3) the face's landmarks, mm.
            pose: Of the head.
            places: (3, 2) pixels of the middles of the image's left eye, its right eye and the mouth.
        """
        flip = np.diag([1.0, -1.0])
        seen = cls(pose, flip, np.zeros(2)).pixels(marks)[:, :2]
        parts = np.array([seen[36:42].mean(axis=0), seen[42:48].mean(axis=0), seen[48:68].mean(axis=0)])
        turn, shift = _similarity(parts, places)
        return cls(pose, turn @ flip, shift)

    @property
    def scale(self) -> float:
        """Pixels a millimetre."""
        return float(np.sqrt(abs(np.linalg.det(self.turn))))

    def pixels(self, points: Floats) -> Floats:
        """(N, 3) millimetres -> (N, 3): x, y (down) and the height towards the camera, in pixels."""
        turned = (points - _CENTRE) @ self.pose.rotation.T
        nearer = _DISTANCE / (_DISTANCE - turned[:, 2:])
        flat = (turned[:, :2] * nearer) @ self.turn.T + self.shift
        return np.column_stack([flat, turned[:, 2] * self.scale])


def _similarity(source: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Scale with rotation (2, 2) and shift (2,) that bring `source @ turn.T + shift` nearest to `target`, (N, 2)."""
    mean, goal = source.mean(axis=0), target.mean(axis=0)
    a, b = ((points - middle) @ [1.0, 1j] for points, middle in ((source, mean), (target, goal)))
    factor = np.vdot(a, b) / np.vdot(a, a)
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return turn, goal - turn @ mean


def surroundings(
    person: Person, camera: Camera, light: Light, backdrop: NDArray[np.uint8], clothes: Floats, hair: float
) -> NDArray[np.float32]:
    """(H, W, 3) background, clothes, neck and hair, which a mesh of a face lacks.

    Args:
        backdrop: (H, W, 3).
        clothes: (3,) RGB.
        hair: Its length, 0 short to 1 long.
    """
    image = Image.fromarray(backdrop)
    draw = ImageDraw.Draw(image)
    chin = np.array([[0.0, -105.0, -40.0], [0.0, -150.0, -75.0], [0.0, -310.0, -90.0]])
    jaw, neck, chest = camera.pixels(chin)[:, :2]
    lit = light.ambient + 0.6 * light.colour

    def blob(centre: Floats, wide: float, high: float, colour: Floats) -> None:
        across, up = camera.turn @ [1.0, 0.0], camera.turn @ [0.0, 1.0]
        angle = np.linspace(0, 2 * np.pi, 41)[:, None]
        outline = centre + wide * np.cos(angle) * across + high * np.sin(angle) * up
        draw.polygon([(x, y) for x, y in outline.tolist()], fill=tuple(np.clip(colour, 0, 255).astype(int).tolist()))

    centre, wide, high = _SKULL
    skull = camera.pixels(centre[None])[0, :2]
    colour = person.complexion.hair * lit
    if hair > 0.5:  # it falls to the shoulders
        blob(camera.pixels((centre - [0.0, 80.0 * hair, 20.0])[None])[0, :2], wide + 6, high + 40, colour)
    blob(chest, 190.0, 140.0, clothes * lit)
    blob((jaw + neck) / 2, 48.0, 80.0, person.complexion.skin * lit * 0.75)
    blob(skull, wide, high, colour)
    # What an open mouth shows of a face whose mesh has no inside.
    blob(camera.pixels(_MOUTH[None])[0, :2], 30.0, 24.0, person.complexion.lips * lit * 0.25)
    return np.asarray(image, dtype=np.float32)


def draw_face(image: NDArray[np.float32], model: FaceModel, person: Person, at: Floats, light: Light) -> None:
    """Draw a face over an image (H, W, 3), in place; only the square around it is rendered.

    Args:
        at: (V, 3) its vertices, as `Camera.pixels` gives them.
    """
    size = np.array(image.shape[1::-1])
    low = np.clip(np.floor(at[:, :2].min(axis=0)) - 1, -size, None).astype(int)
    side = int(min(np.ceil((at[:, :2].max(axis=0) - low).max()) + 2, 2 * size.max()))
    middle = low + side / 2
    mesh = Scan(
        np.column_stack([at[:, 0] - middle[0], middle[1] - at[:, 1], at[:, 2]]).astype(np.float32),
        model.triangles,
        model.uv.astype(np.float32),
        model.uv_triangles,
        person.albedo,
    )
    fine = 2 if side < _FINE_BELOW else 1
    planes = render(mesh, size=fine * side, field_mm=side, channels=("texture", "normal_x", "normal_y", "normal_z"))
    # What of the square lies inside the image.
    first, last = np.maximum(low, 0), np.minimum(low + side, size)
    if (last <= first).any():
        return
    (left, top), (right, bottom) = fine * (first - low), fine * (last - low)
    half = light.towards + np.array([0.0, 0.0, 1.0])
    half /= np.linalg.norm(half)
    seen = planes[:, top:bottom, left:right]
    face, share = _shade(seen, light.towards, half, light.colour, light.ambient, light.shine)
    if fine > 1:
        face, share = (_halved(plane) for plane in (face * share, share))
        face /= np.maximum(share, 1e-6)
    else:
        share *= 0.25 + 0.75 * uniform_filter(share[..., 0], 3)[..., None]  # the outline is not a staircase
    there = image[first[1] : last[1], first[0] : last[0]]
    there += share * (face - there)


@njit(cache=True, nogil=True)
def _shade(planes, light, half, colour, ambient, shine):  # type: ignore[no-untyped-def]
    """Shade rendered albedo and normals (6, H, W) as Lambert and Blinn do.

    `half` is the direction between the light's and the camera's. Returns colours (H, W, 3) float32, and where there is
    a face, (H, W, 1) float32 0 or 1.
    """
    height, width = planes.shape[1:]
    face = np.zeros((height, width, 3), dtype=np.float32)
    share = np.zeros((height, width, 1), dtype=np.float32)
    for row in range(height):
        for column in range(width):
            if planes[5, row, column] == 0:
                continue
            share[row, column, 0] = 1.0
            lit = gloss = 0.0
            for axis in range(3):
                normal = (planes[3 + axis, row, column] - 1.0) / 127.0 - 1.0
                lit += light[axis] * normal
                gloss += half[axis] * normal
            lit, gloss = max(lit, 0.0), max(gloss, 0.0)
            gloss = 255.0 * shine * lit * gloss**16
            for i in range(3):
                face[row, column, i] = planes[i, row, column] * (ambient[i] + colour[i] * lit) + gloss
    return face, share


def _halved(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2H, 2W, C) -> (H, W, C), means of 2 x 2."""
    total: NDArray[np.float32] = plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]
    return total * np.float32(0.25)
