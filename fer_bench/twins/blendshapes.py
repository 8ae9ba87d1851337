"""Blendshapes of the procedural face: one displacement field per name, in the ICT model's naming.

A field is a sum of pulls: a direction in millimetres times a smooth hill around the place that a muscle moves. Pulls on
the lips are weighted by the lip they act on, pulls on the lids by the lid, so that the slits open. `_L` is the
subject's left, +x; every `_R` field is the mirror image of its `_L` field.
"""

from collections.abc import Callable

import numpy as np

from fer_bench.twins.sculpt_mesh import SculptMesh
from fer_bench.twins.sculpture import EYE_HALF, EYE_X, MOUTH_HALF, MOUTH_Q, Floats, lid_opening, lip_height, step

JAW_OPEN_ANGLE = np.radians(18.0)
_JAW_HINGE = np.array([-14.0, -78.0])  # y, z of the temporomandibular joints


class Muscles:
    """What the fields are made of, seen from one side.

    Args:
        mesh: The neutral face.
        side: +1 for the subject's left, -1 for the right; all x below are positive on that side.
    """

    def __init__(self, mesh: SculptMesh, side: float) -> None:
        self.side = side
        self.x, self.y, self.z = mesh.vertices.T * np.array([[side], [1.0], [1.0]])
        q = mesh.flat[:, 1]
        self.skin = np.where(mesh.eyeball, 0.0, 1.0)
        self.eyeball = mesh.eyeball & (self.x > 0)
        # The lower lip and the jaw: 1 below the mouth's line, 0 above, one half at its corners and beside them.
        rim = step(np.abs(self.x), 6.0, MOUTH_HALF)
        fade = np.exp(-np.abs(q - MOUTH_Q) / (9.0 + 0.5 * np.clip(np.abs(self.x) - MOUTH_HALF, 0.0, None)))
        in_mouth = q < -40
        self.lower = self.skin * np.where(in_mouth & mesh.below, 1.0 - 0.5 * rim * fade, 0.5 * rim * fade)
        self.upper = self.skin * (1.0 - self.lower)
        self.from_line = q - MOUTH_Q
        # The lids: 1 at a rim.
        along = np.abs(self.x - EYE_X) / EYE_HALF
        lid = self.skin * np.exp(-((np.abs(q) / 8.0) ** 1.6)) * step(along, 1.3, 0.95) * (self.x > 0) * (q > -40)
        self.upper_lid, self.lower_lid = np.where(mesh.below, 0.0, lid), np.where(mesh.below, lid, 0.0)
        self.brow = self.skin * (1.0 - 0.9 * np.clip(self.upper_lid + self.lower_lid, 0.0, 1.0))

    def pull(
        self,
        centre: tuple[float, float],
        widths: tuple[float, float],
        by: tuple[float, float, float],
        on: Floats | None = None,
    ) -> Floats:
        """A displacement `by` (mm) under a hill around `centre`, on the skin or on a part of it: (V, 3)."""
        away = ((self.x - centre[0]) / widths[0]) ** 2 + ((self.y - centre[1]) / widths[1]) ** 2
        hill = np.exp(-0.5 * away) * (self.skin if on is None else on)
        return hill[:, None] * np.array(by)

    def along(
        self, start: tuple[float, float], end: tuple[float, float], width: float, by: tuple[float, float, float]
    ) -> Floats:
        """A displacement `by` along a straight furrow from `start` to `end`, `width` mm across: (V, 3)."""
        a, d = np.array(start), np.array(end) - np.array(start)
        t = np.clip(((self.x - a[0]) * d[0] + (self.y - a[1]) * d[1]) / (d @ d), 0.0, 1.0)
        away = np.hypot(self.x - a[0] - t * d[0], self.y - a[1] - t * d[1]) / width
        taper = 0.4 + 0.6 * np.sin(np.pi * np.clip(t, 0.05, 0.95))
        return (np.exp(-0.5 * away**2) * taper * self.skin)[:, None] * np.array(by)

    def lids(self, upper: float, lower: float) -> Floats:
        """Raise the lids' rims by `mm` millimetres; they keep to the eyeball."""
        dy = upper * self.upper_lid + lower * self.lower_lid
        return self._on_eye(dy)

    def blink(self) -> Floats:
        """Close the eye: the upper rim comes down most of the way, the lower one meets it."""
        up, down = lid_opening(self.x)
        gap = np.clip(up - down, 0.0, None)
        return self._on_eye(gap * (-0.86 * self.upper_lid + 0.14 * self.lower_lid))

    def _on_eye(self, dy: Floats) -> Floats:
        dz = -((self.y + dy) ** 2 - self.y**2) / 40.0
        return np.stack([np.zeros_like(dy), dy, np.where(np.abs(self.y) < 14, dz, 0.0)], axis=1)

    def look(self, across: float, up: float) -> Floats:
        """Turn the eyeball by angles in degrees: outwards and up."""
        points = np.stack([self.x, self.y, self.z], axis=1)
        centre = points[self.eyeball].mean(axis=0) * [1.0, 1.0, 0.0] + [0.0, 0.0, points[self.eyeball, 2].max() - 13.4]
        yaw, pitch = np.radians(across), np.radians(-up)
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        turn = turn @ np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        moved = np.zeros_like(points)
        moved[self.eyeball] = (points[self.eyeball] - centre) @ (turn.T - np.eye(3))
        return moved

    def jaw_open(self) -> Floats:
        """Turn the jaw about its joints."""
        y, z = self.y - _JAW_HINGE[0], self.z - _JAW_HINGE[1]
        c, s = np.cos(JAW_OPEN_ANGLE), np.sin(JAW_OPEN_ANGLE)
        drop = np.stack([np.zeros_like(y), c * y - s * z - y, s * y + c * z - z], axis=1)
        return self.lower[:, None] * drop * step(self.y, 10.0, -50.0)[:, None]

    def jaw_shift(self, by: tuple[float, float, float]) -> Floats:
        """Shift the jaw, in mm."""
        return (self.lower * step(self.y, 0.0, -55.0))[:, None] * np.array(by)

    def press(self, centre: float, width: float, thin: float, back: float) -> Floats:
        """Thin the lips by a fraction towards their line and draw them `back` mm, around x = `centre`."""
        upper, lower = lip_height(self.x)
        zone = np.exp(-((self.from_line / (1.3 * np.where(self.from_line >= 0, upper, lower) + 1.5)) ** 2))
        zone = (
            zone
            * np.exp(-0.5 * ((self.x - centre) / width) ** 2)
            * step(np.abs(self.x), MOUTH_HALF + 8, MOUTH_HALF - 4)
            * self.skin
        )
        return np.stack([np.zeros_like(zone), -thin * self.from_line * zone, -back * zone], axis=1)

    def roll(self, part: Floats, height: float, by: tuple[float, float, float]) -> Floats:
        """Roll the red of a lip inwards: `by` at its line, nothing `height` mm from it."""
        zone = part * step(np.abs(self.from_line), height, 0.0) * step(np.abs(self.x), MOUTH_HALF + 2, MOUTH_HALF - 12)
        return zone[:, None] * np.array(by)

    def narrow(self, share: float, forward: float) -> Floats:
        """Draw the corners of the mouth towards the midline by a share of their x, and the lips forward."""
        zone = np.exp(-0.5 * ((self.x / 30.0) ** 4 + ((self.y - MOUTH_Q) / 13.0) ** 2)) * self.skin
        tip = np.exp(-0.5 * ((self.x / 15.0) ** 2 + ((self.y - MOUTH_Q) / 8.5) ** 2)) * self.skin
        return np.stack([-share * self.x * zone, np.zeros_like(zone), forward * (0.75 * tip + 0.25 * zone)], axis=1)


Field = Callable[[Muscles], Floats]

PAIRED: dict[str, Field] = {
    "browDown": lambda m: (
        m.pull((20, 18), (13, 8), (-1.5, -5.5, 1.0), m.brow)
        + m.pull((9, 15), (6, 8), (-2.0, -2.5, 1.8), m.brow)
        + m.along((4.5, 10), (5.5, 24), 1.8, (0, 0, -1.4))
        + m.lids(-1.2, 0)
    ),
    "browInnerUp": lambda m: (
        m.pull((12, 21), (10, 10), (0.3, 6.5, 0.8), m.brow) + m.pull((8, 40), (16, 14), (0, 3.0, 0.8)) + m.lids(0.5, 0)
    ),
    "browOuterUp": lambda m: (
        m.pull((36, 21), (13, 10), (0.8, 7.0, -0.8), m.brow)
        + m.pull((34, 40), (16, 14), (0, 3.0, 0.6))
        + m.lids(0.6, 0)
    ),
    "cheekPuff": lambda m: m.pull((37, -52), (14, 14), (3.5, 0, 9)) + m.pull((0, -54), (16, 6), (0, 0, 1.2), m.upper),
    "cheekSquint": lambda m: (
        m.pull((36, -18), (14, 10), (0.5, 5.5, 3.5))
        + m.along((24, -13), (46, -8), 2.2, (0, 0.5, -1.0))
        + m.lids(0, 1.8)
        + m.pull((46, -4), (6, 6), (-1, 1.0, 0.6))
    ),
    "eyeBlink": lambda m: m.blink(),
    "eyeLookDown": lambda m: m.look(0, -24) + 0.5 * m.blink(),
    "eyeLookIn": lambda m: m.look(-24, 0),
    "eyeLookOut": lambda m: m.look(24, 0),
    "eyeLookUp": lambda m: m.look(0, 20) + m.lids(1.8, 0.8),
    "eyeSquint": lambda m: m.lids(-1.2, 3.0) + m.pull((32, -11), (13, 5), (-0.5, 2.2, 1.6)),
    "eyeWide": lambda m: m.lids(3.4, -1.0) + m.pull((31, 14), (13, 5), (0, 1.4, -0.4), m.brow),
    "mouthDimple": lambda m: (
        m.pull((27, -62), (8, 8), (3.2, 1.2, -4.0))
        + m.along((31, -54), (33, -68), 2.2, (0.6, 0, -1.6))
        + m.press(16, 9, 0.15, 0.8)
    ),
    "mouthFrown": lambda m: (
        m.pull((25, -64), (9, 9), (1.6, -7.5, -1.2))
        + m.pull((22, -78), (10, 7), (0, -2.0, 1.6))
        + m.along((27, -68), (27, -80), 2.0, (0, 0, -1.2))
    ),
    "mouthLowerDown": lambda m: m.pull((11, -67), (9, 9), (0.8, -6.0, -0.6), m.lower),
    "mouthPress": lambda m: m.press(12, 10, 0.42, 2.4) + m.pull((26, -62), (6, 6), (0.4, 0.5, -1.4)),
    "mouthSmile": lambda m: (
        m.pull((25, -62), (11, 11), (7.0, 9.0, -4.5))
        + m.pull((37, -36), (13, 12), (1.0, 5.0, 4.5))
        + m.along((21, -36), (34, -58), 2.4, (0.4, 0.3, -2.2))
        + m.pull((12, -58), (9, 6), (1.5, 0.3, -1.2), m.upper)
        + m.pull((12, -68), (9, 6), (1.5, 1.0, -1.4), m.lower)
    ),
    "mouthStretch": lambda m: (
        m.pull((26, -64), (10, 10), (8.0, -3.5, -4.5))
        + m.pull((28, -84), (16, 12), (2.0, -3.0, 0.4))
        + m.along((31, -52), (36, -70), 2.4, (0.4, 0, -1.3))
    ),
    "mouthUpperUp": lambda m: (
        m.pull((11, -56), (9, 8), (0.8, 7.0, 1.0), m.upper)
        + m.pull((21, -40), (8, 8), (0.8, 2.8, 1.6))
        + m.along((20, -36), (31, -54), 2.4, (0, 0.4, -1.8))
    ),
    "noseSneer": lambda m: (
        m.pull((14, -30), (7, 9), (1.4, 5.6, 1.4))
        + m.pull((11, -52), (9, 7), (0, 4.0, 0.8), m.upper)
        + m.pull((14, -10), (8, 9), (-0.5, 2.6, 2.0))
        + m.pull((11, 14), (8, 8), (-1.0, -2.8, 1.2), m.brow)
        + m.along((2, 1), (13, 3), 1.7, (0, 0, -1.5))
        + m.along((20, -32), (30, -50), 2.4, (0, 0.4, -2.0))
    ),
}
"""Fields of the left side (the right ones are mirrored)."""


def _mouth_close(m: Muscles) -> Floats:
    """Undo, at the lips, what a fully open jaw does: added to `jawOpen` it closes the mouth again."""
    zone = (
        step(m.from_line, -28.0, -10.0) * step(m.from_line, 28.0, 10.0) * step(np.abs(m.x), MOUTH_HALF + 22, MOUTH_HALF)
    )
    return -0.97 * zone[:, None] * m.jaw_open()


CENTRAL: dict[str, Field] = {
    "jawForward": lambda m: m.jaw_shift((0, -0.8, 8.0)),
    "jawLeft": lambda m: m.jaw_shift((8.0, 0, -0.3)),
    "jawOpen": lambda m: m.jaw_open() + m.pull((0, -56), (16, 6), (0, 0.4, -0.6), m.upper),
    "jawRight": lambda m: m.jaw_shift((-8.0, 0, -0.3)),
    "mouthClose": _mouth_close,
    "mouthFunnel": lambda m: (
        m.narrow(0.2, 3.0)
        + m.pull((0, -57), (15, 7), (0, 2.4, 4.5), m.upper)
        + m.pull((0, -68), (14, 8), (0, -4.0, 4.5), m.lower)
    ),
    "mouthLeft": lambda m: m.pull((0, MOUTH_Q), (26, 13), (9.0, 0, 0)) + m.pull((30, -60), (9, 12), (0, 1.0, 1.5)),
    "mouthPucker": lambda m: m.narrow(0.34, 7.5),
    "mouthRight": lambda m: m.pull((0, MOUTH_Q), (26, 13), (-9.0, 0, 0)) + m.pull((-30, -60), (9, 12), (0, 1.0, 1.5)),
    "mouthRollLower": lambda m: m.roll(m.lower, 11.0, (0, 2.0, -7.0)),
    "mouthRollUpper": lambda m: m.roll(m.upper, 10.0, (0, -2.0, -6.5)),
    "mouthShrugLower": lambda m: (
        m.pull((0, -86), (16, 11), (0, 5.0, 2.4))
        + m.pull((0, -68), (17, 7), (0, 3.0, 3.0), m.lower)
        + m.pull((0, -58), (17, 6), (0, 1.8, 1.0), m.upper)
        + m.along((-14, -79), (14, -79), 2.4, (0, 0, -1.6))
    ),
    "mouthShrugUpper": lambda m: m.pull((0, -56), (17, 7), (0, 4.0, 2.0), m.upper),
}
"""Fields of both sides at once."""


def blendshapes(mesh: SculptMesh) -> tuple[tuple[str, ...], Floats]:
    """All 53 names, in alphabetical order, and their displacements (53, V, 3) in millimetres at full activation."""
    left, right = Muscles(mesh, 1.0), Muscles(mesh, -1.0)
    fields: dict[str, Floats] = {name: field(left) for name, field in CENTRAL.items()}
    for name, field in PAIRED.items():
        fields[f"{name}_L"] = field(left)
        fields[f"{name}_R"] = field(right) * np.array([-1.0, 1.0, 1.0])
    names = tuple(sorted(fields))
    return names, np.stack([fields[name] for name in names])
