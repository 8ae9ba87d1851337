"""A twin of Bosphorus: synthetic people as grids of depth, with photographs and landmarks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.expressions import BOSPHORUS_CODES
from fer_bench.geometry.rasteriser import rasterise, snap
from fer_bench.geometry.render import render
from fer_bench.geometry.scan import Scan
from fer_bench.io.bnt import BntGrid, grid_scan, write_bnt
from fer_bench.io.images import write_image
from fer_bench.io.landmark_lists import LABELS, read_lm2, read_lm3, write_lm2, write_lm3
from fer_bench.twins.actions import act
from fer_bench.twins.base import NewTwin, TwinWriter, crlf
from fer_bench.twins.face import FaceModel
from fer_bench.twins.population import Population
from fer_bench.twins.preview import lit
from fer_bench.twins.scans import Pose

ROWS, COLUMNS, STEP_MM = 108, 84, 2.0
_PIXELS_A_STEP = 3
_SIDE = ROWS * _PIXELS_A_STEP  # of the square that is drawn and cropped to the photograph
_MM_A_PIXEL = STEP_MM / _PIXELS_A_STEP
_MIDDLE_MM = -15.0  # of the photograph, below the pupils
_HIDDEN_MM = 8.0  # a landmark so far behind what is seen is not marked
_HOLE, _HOLE_MM = 0.25, (4.0, 10.0)  # how likely in a scan, and its radius
_SPIKES, _SPIKE_MM = 0.25, (5.0, 15.0)
_COVERED = ("Outer left eyebrow", "Middle left eyebrow")  # as if by hair
_CODES = (*BOSPHORUS_CODES, "LFAU_12", "YR_R20")
_YAW = {"YR_R20": 20.0}
# Landmarks of the labels in their order, as numbers of the 68; of two together, what lies between.
_MARKS = (
    *((17,), (19,), (21,), (22,), (24,), (26,), (36,), (39,), (42,), (45,), (39, 27), (27, 42), (31,), (30,), (35,)),
    *((48,), (51,), (54,), (62,), (66,), (57,), (8,)),
)


def _fill(twin: NewTwin) -> None:
    """Nine scans a subject: six expressions (nearly all subjects have them), neutral, an action unit, a rotation."""
    people = Population("bosphorus", twin.model, twin.seed)
    names = [f"bs{number:03d}" for number in range(twin.subjects)]
    twin.map(_Work(twin.folder, people), [(name, code) for name in names for code in _CODES])
    _vary(twin, names)


write_twin = TwinWriter("bosphorus", "Bosphorus", _fill, default_subjects=20, max_subjects=105, layouts=("subjects",))


@dataclass(frozen=True, eq=False)
class Shot:
    """One scan.

    Attributes:
        points: (ROWS, COLUMNS, 5) x, y, z, u, v as a `.bnt` holds them, row 0 at the bottom.
        valid: (ROWS, COLUMNS) bool.
        photograph: (H, W, 3) uint8.
        marks: Label -> (row, column) of the grid point, for the landmarks that are seen.
    """

    points: NDArray[np.float64]
    valid: NDArray[np.bool_]
    photograph: NDArray[np.uint8]
    marks: dict[str, tuple[int, int]]


def shoot(people: Population, subject: str, code: str) -> Shot:
    """A scan; a function of the names alone."""
    person, rng = people.person(subject), people.rng(subject, code)
    strength = float(rng.uniform(0.85, 1.0))
    expression = BOSPHORUS_CODES.get(code, code.replace("LFAU_", "AU") if code.startswith("LFAU") else "neutral")
    weights = act(person.style, expression, strength, rng)
    pose = Pose.turned(*rng.normal(0.0, (2.5, 2.5, 1.0)) + np.array([0.0, _YAW.get(code, 0.0), 0.0]))
    model = people.model
    vertices = pose.apply(people.shape(person, weights))
    vertices -= [(vertices[:, 0].min() + vertices[:, 0].max()) / 2, _MIDDLE_MM, 0.0]
    scan = Scan(
        vertices.astype(np.float32), model.triangles, model.uv.astype(np.float32), model.uv_triangles, person.albedo
    )
    depth = _depth(scan)
    image = render(scan, size=_SIDE, field_mm=_SIDE * _MM_A_PIXEL, channels=("texture", "shaded"))
    wall = rng.uniform(40, 110, 3)[:, None, None]
    colour = np.where(image[3] > 0, image[:3] * (0.3 + 0.7 * image[3] / 255.0), wall)
    # Whole columns of pixels beside the grid are cut off.
    margin = (_SIDE - COLUMNS * _PIXELS_A_STEP) // 2
    photograph = np.ascontiguousarray(colour[:, :, margin : _SIDE - margin].astype(np.uint8).transpose(1, 2, 0))
    points, valid = _grid(depth, margin, photograph.shape[1], photograph.shape[0], rng)
    marks = vertices[model.landmarks68]
    places = np.stack([marks[list(numbers)].mean(axis=0) for numbers in _MARKS])
    return Shot(points, valid, photograph, _seen(points, valid, places))


def _depth(scan: Scan) -> NDArray[np.float64]:
    """(SIDE, SIDE) the height of the surface at each pixel of the square, NaN where there is none."""
    x, y, z = scan.vertices.T.astype(np.float64)
    columns, rows = (snap(_SIDE / 2 + s / _MM_A_PIXEL)[None] for s in (x, -y))
    (depth,), (triangle,), _ = rasterise(columns, rows, z[None], scan.triangles, _SIDE)
    return np.where(triangle >= 0, depth, np.nan)


def _grid(
    depth: NDArray[np.float64], margin: int, width: int, height: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Every third pixel as a grid point, with noise, holes and spikes."""
    row, column = np.mgrid[:ROWS, :COLUMNS]
    across = _PIXELS_A_STEP * column + 1  # pixel in the photograph, counted from 0
    down = _PIXELS_A_STEP * (ROWS - 1 - row) + 1
    x = (across + margin + 0.5 - _SIDE / 2) * _MM_A_PIXEL
    y = (_SIDE / 2 - down - 0.5) * _MM_A_PIXEL
    z = depth[down, across + margin]
    valid = np.isfinite(z)
    z = z + np.where(valid, 0.12 * rng.standard_normal(z.shape), 0.0)
    if rng.random() < _HOLE:
        centre = rng.uniform((-45, -60), (45, 40))
        valid &= (x - centre[0]) ** 2 + (y - centre[1]) ** 2 > rng.uniform(*_HOLE_MM) ** 2
    if rng.random() < _SPIKES:
        for _ in range(int(rng.integers(1, 6))):
            place = tuple(np.argwhere(valid)[int(rng.integers(valid.sum()))])
            z[place] += rng.choice([-1.0, 1.0]) * rng.uniform(*_SPIKE_MM)
    return np.stack([x, y, np.nan_to_num(z), (across + 1) / width, (down + 1) / height], axis=2), valid


def _seen(
    points: NDArray[np.float64], valid: NDArray[np.bool_], places: NDArray[np.float64]
) -> dict[str, tuple[int, int]]:
    """Label -> (row, column) of the grid point nearest to each landmark, (22, 3), of those that are seen.

    Nearest in space: the point before the rim of an open mouth lies on its floor.
    """
    marks = {}
    for label, place in zip(LABELS, places, strict=True):
        apart = (points[:, :, :3] - place) ** 2
        near = valid & (apart[:, :, :2].sum(axis=2) < (2 * STEP_MM) ** 2) & (apart[:, :, 2] < _HIDDEN_MM**2)
        if near.any():
            nearest = int(np.where(near, apart.sum(axis=2), np.inf).argmin())
            marks[label] = divmod(nearest, near.shape[1])
    return marks


@dataclass(frozen=True)
class _Work:
    """Writes the files of one scan."""

    root: Path
    people: Population

    def __call__(self, item: tuple[str, str]) -> None:
        subject, code = item
        shot = shoot(self.people, subject, code)
        name = f"{subject}_{code}_0"
        stem = self.root / subject / name
        write_bnt(stem.with_suffix(".bnt"), shot.points, shot.valid, f"{name}.png")
        write_image(stem.with_suffix(".png"), shot.photograph)
        write_lm3(stem.with_suffix(".lm3"), {label: shot.points[place][:3] for label, place in shot.marks.items()})
        size = np.array(shot.photograph.shape[1::-1])
        write_lm2(
            stem.with_suffix(".lm2"), {label: shot.points[place][3:] * size for label, place in shot.marks.items()}
        )


def _vary(twin: NewTwin, names: list[str]) -> None:
    first, last = names[0], names[-1]
    folder = twin.folder / first
    for suffix in ("lm2", "lm3"):
        (folder / f"{first}_N_N_0.{suffix}").unlink()
        crlf(folder / f"{first}_E_SADNESS_0.{suffix}")
    twin.quirks.append(f"{first}_N_N_0 has no landmarks.")
    twin.variants.append(f"The landmarks of {first}_E_SADNESS_0 have the line ends of Windows.")
    lm2, lm3 = (folder / f"{first}_E_ANGER_0.{suffix}" for suffix in ("lm2", "lm3"))
    write_lm2(lm2, {label: point for label, point in read_lm2(lm2).items() if label not in _COVERED})
    write_lm3(lm3, {label: point for label, point in read_lm3(lm3).items() if label not in _COVERED})
    twin.variants.append(f"Two landmarks are left out of {first}_E_ANGER_0, and others where they are hidden.")
    twin.variants.append("Some scans have a hole, or a few spikes.")
    (folder / f"{first}_LFAU_12_0.png").unlink()
    twin.quirks.append(f"{first}_LFAU_12_0 has no photograph.")
    for path in sorted(folder.glob(f"{first}_E_HAPPY_0.*")):
        path.rename(path.with_name(path.name.replace("HAPPY_0", "HAPPY_1")))
    twin.quirks.append(f"{first}_E_HAPPY_1 is the only take, and inside its grid the photograph is called HAPPY_0.")
    if len(names) > 1:
        for path in sorted((twin.folder / last).glob(f"{last}_E_FEAR_0.*")):
            path.unlink()
        twin.quirks.append(f"There is no {last}_E_FEAR.")


def preview(model: FaceModel, seed: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """Photographs and surfaces of two people's expressions, then of an action unit and a turned head."""
    people = Population("bosphorus", model, seed)
    expressions, others = tuple(BOSPHORUS_CODES), _CODES[len(BOSPHORUS_CODES) :]
    cells = []
    for subject, codes in (("bs000", expressions), ("bs001", expressions), ("bs000", others)):
        shots = {f"{subject} {code}": shoot(people, subject, code) for code in codes}
        cells += [(title, shot.photograph) for title, shot in shots.items()]
        cells += [(title, lit(_surface(shot), textured=False)) for title, shot in shots.items()]
    return cells


def _surface(shot: Shot) -> Scan:
    grid = BntGrid(ROWS, COLUMNS, "", shot.points.reshape(-1, 5), shot.valid.ravel())
    return Scan(*grid_scan(grid)[:2])
