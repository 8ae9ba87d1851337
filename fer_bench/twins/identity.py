"""Identity modes of the procedural face: how one person's neutral face differs from another's.

Named modes move what anthropometry measures (widths, heights, projections); each weight is N(0, 1) and each amplitude
is about the adult standard deviation in millimetres. Low-frequency modes add what has no name. Every field is a smooth
function of position, so lids stay on eyeballs and lips stay closed.
"""

import hashlib

import numpy as np

from fer_bench.twins.sculpture import EYE_X, MOUTH_Q, Floats, hill, step

LOW_FREQUENCY_MODES = 24
_LOW_FREQUENCY_MM = 0.42


def generator(*key: str | int) -> np.random.Generator:
    """A random generator that depends on nothing but the key; the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype="<u4").tolist())


def identity_modes(vertices: Floats) -> Floats:
    """(K, V, 3) displacements in millimetres for one standard deviation of each mode."""
    return np.concatenate([np.stack(list(named_modes(vertices).values())), _low_frequency_modes(vertices)])


def named_modes(vertices: Floats) -> dict[str, Floats]:
    """Modes that have a name, each (V, 3)."""
    x, y, z = vertices.T
    side, away = np.tanh(x / 6.0), np.abs(x)
    zero = np.zeros_like(x)

    def move(weight: Floats, dx: float = 0.0, dy: float = 0.0, dz: float = 0.0) -> Floats:
        """`dx` is outwards, away from the midline."""
        return np.stack([dx * side * weight, dy * weight, dz * weight], axis=1)

    def at(centre: tuple[float, float], widths: tuple[float, float]) -> Floats:
        return hill(x, y, centre, widths)

    low = step(y, -40.0, -100.0)
    nose = at((0, -26), (13, 15)) * step(z, -4.0, 10.0)
    eyes = at((EYE_X, 0), (17, 12))
    ex, ey = (away - EYE_X) * side * eyes, y * eyes
    mouth = np.exp(-0.5 * ((x / 30.0) ** 2 + ((y - MOUTH_Q) / 13.0) ** 2))
    from_line = y - MOUTH_Q
    red = np.exp(-0.5 * ((x / 16.0) ** 2 + (from_line / 7.0) ** 2))
    return {
        "size": 0.022 * vertices,
        "face width": np.stack([0.040 * x, zero, zero], axis=1),
        "face height": np.stack([zero, 0.036 * y, zero], axis=1),
        "face depth": np.stack([zero, zero, 0.05 * z], axis=1),
        "forehead width": move(step(y, 5.0, 60.0) * away / 50.0, dx=2.4),
        "forehead slope": move(step(y, 15.0, 80.0), dz=-5.0),
        "forehead bulge": move(at((0, 48), (34, 16)), dz=1.8),
        "hairline height": move(step(y, 20.0, 78.0), dy=3.5),
        "temple hollow": move(at((60, 22), (14, 18)), dx=-1.8, dz=-1.5),
        "brow ridge": move(at((22, 19), (18, 7)) + at((0, 18), (9, 7)), dz=1.7),
        "brow height": move(at((28, 20), (18, 8)), dy=1.6),
        "brow slant": move(at((40, 20), (10, 8)) - at((14, 20), (9, 8)), dy=1.3),
        "eye distance": move(at((EYE_X, 0), (20, 16)), dx=1.5),
        "eye height": move(at((EYE_X, 0), (24, 15)), dy=1.4),
        "eye depth": move(at((EYE_X, 3), (18, 14)), dz=1.5),
        "eye size": np.stack([0.05 * ex, 0.05 * ey, zero], axis=1),
        "eye openness": np.stack([zero, 0.12 * y * at((EYE_X, 0), (15, 7)), zero], axis=1),
        "eye slant": np.stack([zero, 0.05 * (away - EYE_X) * eyes, zero], axis=1),
        "eye bags": move(at((32, -14), (13, 4)), dz=1.0),
        "nose length": move(step(y, 2.0, -30.0) * nose / nose.max(), dy=-2.6),
        "nose projection": move(nose * step(y, 4.0, -30.0), dz=2.4),
        "nose bridge height": move(at((0, -6), (7, 12)), dz=1.6),
        "nose bridge width": move(at((8, -8), (6, 14)), dx=0.9, dz=0.5),
        "nose width": move(at((14, -34), (8, 8)), dx=1.7),
        "nose tip height": move(at((0, -33), (10, 7)), dy=1.5),
        "nose tip breadth": move(at((6, -32), (4, 5)), dx=0.9, dz=0.4),
        "nose hump": move(at((0, -14), (6, 6)), dz=1.1),
        "cheekbone projection": move(at((46, -18), (15, 12)), dz=1.8, dx=0.6),
        "cheekbone width": move(at((62, -18), (16, 18)), dx=2.2),
        "cheek fullness": move(at((44, -54), (17, 18)), dz=2.6, dx=1.6),
        "mid-face projection": move(at((0, -40), (38, 22)), dz=1.8),
        "lip length": move(np.exp(-0.5 * ((x / 34.0) ** 2 + ((y + 66.0) / 14.0) ** 2)), dy=-1.7),
        "mouth width": np.stack([0.065 * x * mouth, zero, zero], axis=1),
        "mouth projection": move(mouth, dz=1.8),
        "mouth corner height": move(at((25, -62), (9, 9)), dy=1.3),
        "upper lip fullness": np.stack(
            [zero, np.where(from_line > 0, 0.12, 0.02) * from_line * red, 0.7 * red * step(from_line, -2, 3)], axis=1
        ),
        "lower lip fullness": np.stack(
            [zero, np.where(from_line < 0, 0.12, 0.02) * from_line * red, 0.8 * red * step(from_line, 2, -3)], axis=1
        ),
        "philtrum depth": move(at((0, -49), (3.0, 5.0)), dz=-0.6),
        "chin groove": move(at((0, -78), (17, 5)), dz=-1.1),
        "chin height": move(step(y, -72.0, -104.0), dy=-2.8),
        "chin projection": move(at((0, -94), (18, 12)), dz=2.3),
        "chin width": move(at((18, -94), (12, 12)), dx=1.7),
        "jaw width": move(low * np.clip(away / 45.0, 0.0, 1.0), dx=3.0),
        "jaw angle": move(at((56, -66), (14, 16)), dx=1.6, dy=-2.0),
        "under-chin": move(step(y, -92.0, -112.0), dy=-1.6, dz=1.5),
        "jaw set-back": move(low, dz=2.0),
    }


def _low_frequency_modes(vertices: Floats) -> Floats:
    """Smooth fields of random plane waves, 90 to 200 mm long; two in three are symmetric."""
    modes = []
    mirrored = vertices * [-1.0, 1.0, 1.0]
    for number in range(LOW_FREQUENCY_MODES):
        rng = generator("identity", number)
        waves = rng.standard_normal((8, 3))
        waves *= (2 * np.pi / rng.uniform(90.0, 200.0, 8) / np.linalg.norm(waves, axis=1))[:, None]
        phases, gains = rng.uniform(0, 2 * np.pi, 8), rng.standard_normal((8, 3))

        def field(points: Floats, w: Floats = waves, f: Floats = phases, g: Floats = gains) -> Floats:
            return np.cos(points @ w.T + f) @ g

        mode = field(vertices)
        if number % 3:
            mode = (mode + field(mirrored) * [-1.0, 1.0, 1.0]) / 2
        # A shift of the whole face is no identity: the head's pose would hide it.
        mode -= mode.mean(axis=0)
        modes.append(_LOW_FREQUENCY_MM * mode / np.sqrt((mode**2).sum(axis=1).mean()))
    return np.stack(modes)
