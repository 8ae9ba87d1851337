"""Figures of face disentanglement, drawn from the meshes that cells saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from fer_bench.cells.cell import Cell
from fer_bench.cells.face_measures import neutral_of
from fer_bench.cells.fit import build, load_checkpoint
from fer_bench.geometry.render import render, value_map
from fer_bench.geometry.scan import Scan
from fer_bench.io.ply import write_ply
from fer_bench.papers.evidence import Evidence
from fer_bench.papers.figures.titles import Key, title
from fer_bench.papers.published import Paper, Section
from fer_bench.plots import saved_array
from fer_bench.representations.cache_entry import CacheEntry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

FAR = 4.0
"""Upper end of the error scale in millimetres, as in the paper's figures."""

_PIXELS = 220
_STEPS = 5
_COLUMNS = ("face", "identity", "expression")


@dataclass(frozen=True, eq=False)
class Faces:
    """The test faces of one cell and their predictions, rows in the order of `table`.

    Attributes:
        table: The cell's predictions.
        scanned, identity, rebuilt: (N, V, 3) millimetres.
        neutral: (N, V, 3) the neutral face of each subject.
        middle: (V, 3) the mean neutral face, to which an expression is added to show it.
        triangles: (F, 3).
    """

    cell: Cell
    table: pd.DataFrame
    scanned: NDArray[np.float32]
    identity: NDArray[np.float32]
    rebuilt: NDArray[np.float32]
    neutral: NDArray[np.float32]
    middle: NDArray[np.float32]
    triangles: NDArray[np.int32]

    @property
    def caption(self) -> str:
        """Entry, protocol and fold."""
        return f"{self.cell.entry}, {self.cell.protocol.partition('@')[0]}, fold {self.cell.fold}"

    def true_parts(self, row: int) -> list[NDArray[np.float32]]:
        """A scanned face, its subject's neutral face, and its expression on the middle face."""
        return [self.scanned[row], self.neutral[row], self.middle + self.scanned[row] - self.neutral[row]]

    def made_parts(self, row: int) -> list[NDArray[np.float32]]:
        """The predicted face, identity and expression, like `true_parts`."""
        return [self.rebuilt[row], self.identity[row], self.middle + self.rebuilt[row] - self.identity[row]]


def reconstructions(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """The test faces of each entry with the smallest, the median and the largest error: true and predicted face,
    identity and expression, and the distance between the two."""
    found = list(_all(evidence))
    if not found:
        return False
    figure.set_size_inches(15, 1.6 + 4.9 * len(found))
    axes = figure.subplots(3 * len(found), 9, squeeze=False)
    image = None
    for block, faces in enumerate(found):
        for group, (name, row) in enumerate(_examples(faces).items()):
            panels = axes[3 * block : 3 * block + 3, 3 * group : 3 * group + 3]
            for column, (true, made) in enumerate(zip(faces.true_parts(row), faces.made_parts(row), strict=True)):
                _show(panels[0, column], faces, true)
                _show(panels[1, column], faces, made)
                image = _show(panels[2, column], faces, made, np.linalg.norm(made - true, axis=1))
            panels[0, 1].set_title(f"{name}: {faces.table['id'].iloc[row]}\nface, identity, expression", fontsize=8)
        for row, text in enumerate(("scanned", "predicted", "error")):
            axes[3 * block + row, 0].set_ylabel(f"{faces.caption}\n{text}" if row == 1 else text, fontsize=8)
    if image is not None:
        label = f"distance (mm), {FAR:g} and more in one colour"
        figure.colorbar(image, ax=axes, label=label, shrink=0.6, extend="max")
    title(figure, paper, section, evidence.values())
    return True


def discriminator(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """The test face with the median neutral error of the first entry, decomposed by each entry of a protocol."""
    of: dict[str, list[Faces]] = {}
    for faces in _all(evidence):
        of.setdefault(faces.cell.protocol, []).append(faces)
    of = {protocol: several for protocol, several in of.items() if len(several) > 1}
    if not of:
        return False
    rows = 1 + max(map(len, of.values()))
    figure.set_size_inches(1 + 5.2 * len(of), 1.6 + 1.8 * rows)
    axes = figure.subplots(rows, 3 * len(of), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for block, several in enumerate(of.values()):
        first = several[0]
        row = int(np.argsort(first.table["output_neutral"].to_numpy(), kind="stable")[len(first.table) // 2])
        name = first.table["id"].iloc[row]
        for line, parts in enumerate([first.true_parts(row), *(f.made_parts(_row(f, name)) for f in several)]):
            for column, mesh in enumerate(parts):
                ax = axes[line, 3 * block + column]
                ax.set_axis_on()
                _show(ax, first, mesh)
                if line == 0:
                    ax.set_title(_COLUMNS[column], fontsize=8)
            entry = several[line - 1].cell.entry if line else f"{first.cell.protocol.partition('@')[0]}\n{name}"
            axes[line, 3 * block].set_ylabel(entry, fontsize=7)
    title(figure, paper, section, evidence.values())
    return True


def transfer(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """Two test faces of different people for each entry, and each person with the other's expression."""
    found = list(_all(evidence))
    if not found:
        return False
    figure.set_size_inches(8, 1.6 + 2.1 * len(found))
    axes = figure.subplots(len(found), 4, squeeze=False)
    for line, faces in zip(axes, found, strict=True):
        one, other = _pair(faces)
        moved = faces.rebuilt - faces.identity
        meshes = (faces.scanned[one], faces.scanned[other], faces.identity[one] + moved[other])
        names = faces.table["id"].iloc[one], faces.table["id"].iloc[other], "the first with the second's expression"
        for ax, mesh, name in zip(
            line,
            (*meshes, faces.identity[other] + moved[one]),
            (*names, "the second with the first's expression"),
            strict=True,
        ):
            _show(ax, faces, mesh)
            ax.set_title(name.replace("/", "\n").replace(" with", "\nwith"), fontsize=7)
        line[0].set_ylabel(faces.caption.replace(", ", "\n", 1), fontsize=7)
    title(figure, paper, section, evidence.values())
    return True


def interpolation(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """Interpolation by each entry that can decode: from the identity code of one test face to that of another, and from
    no expression to 1.5 times the first face's expression."""
    lines = []
    for faces in _all(evidence):
        _, method = build(faces.cell)
        method.load_state_dict(load_checkpoint(faces.cell.checkpoints / "best.ckpt")["state_dict"])
        one, other = _pair(faces)
        codes = [torch.from_numpy(saved_array(faces.cell, f"{name}_code")) for name in ("identity", "expression")]
        way = torch.linspace(0, 1, _STEPS)[:, None]
        persons = torch.lerp(codes[0][one], codes[0][other], way)
        with torch.no_grad():
            people = method.eval().compose(persons, torch.zeros(_STEPS, len(codes[1][0])))
            moods = method.compose(codes[0][one].expand(_STEPS, -1), 1.5 * way * codes[1][one])
        if people is not None and moods is not None:
            lines += [(faces, "identity", people.numpy()), (faces, "expression", moods.numpy())]
    if not lines:
        return False
    figure.set_size_inches(1 + 1.9 * _STEPS, 1.6 + 1.9 * len(lines))
    axes = figure.subplots(len(lines), _STEPS, squeeze=False)
    for row, (faces, what, meshes) in zip(axes, lines, strict=True):
        for ax, mesh in zip(row, meshes, strict=True):
            _show(ax, faces, mesh)
        row[0].set_ylabel(f"{what}\n{faces.caption.replace(', ', chr(10), 1)}", fontsize=7)
    title(figure, paper, section, evidence.values())
    return True


def _all(evidence: Mapping[Key, Evidence]) -> Iterator[Faces]:
    """The first cell of each entry that saved the meshes of a face and of its identity."""
    for results in evidence.values():
        for cell in results.cells[:1]:
            if (cell.folder / "identity.npy").exists() and (cell.folder / "reconstruction.npy").exists():
                yield _read(cell)


def _read(cell: Cell) -> Faces:
    data, _ = build(cell)
    assert isinstance(data.entry, CacheEntry)
    table = pd.read_parquet(cell.folder / "predictions.parquet")
    neutral = neutral_of(data, table["subject"].tolist())
    has_neutral = table["subject"].isin(neutral).to_numpy()
    faces = list(neutral.values())
    return Faces(
        cell=cell,
        table=table[has_neutral].reset_index(drop=True),
        scanned=data.read(table["id"][has_neutral].tolist()),
        identity=saved_array(cell, "identity")[has_neutral],
        rebuilt=saved_array(cell, "reconstruction")[has_neutral],
        neutral=np.stack([neutral[subject] for subject in table["subject"][has_neutral]]),
        middle=np.mean(faces, axis=0),
        triangles=np.asarray(data.entry.shared("triangles"), dtype=np.int32),
    )


def _pair(faces: Faces) -> tuple[int, int]:
    """Rows of two strong expressions of two people, with different labels if possible."""
    strength = np.linalg.norm(faces.scanned - faces.neutral, axis=-1).mean(-1)
    one = int(strength.argmax())
    subject, label = faces.table["subject"].to_numpy(object), faces.table["label"].fillna("").to_numpy(object)
    allowed = (subject != subject[one]) & (label != label[one])
    if not allowed.any():
        allowed = np.arange(len(strength)) != one
    return one, int(np.where(allowed, strength, -1).argmax())


def write_meshes(evidence: Mapping[Key, Evidence], folder: Path) -> list[Path]:
    """Write the meshes of `reconstructions` as `<folder>/<protocol>/<entry>/worst_predicted_identity.ply`, in mm."""
    written = []
    for faces in _all(evidence):
        place = folder / faces.cell.protocol.partition("@")[0] / faces.cell.entry
        for name, row in _examples(faces).items():
            for of, meshes in (("scanned", faces.true_parts(row)), ("predicted", faces.made_parts(row))):
                for part, mesh in zip(_COLUMNS, meshes, strict=True):
                    written.append(place / f"{name}_{of}_{part}.ply")
                    write_ply(written[-1], mesh, faces.triangles)
    return written


def _examples(faces: Faces) -> dict[str, int]:
    """Rows of the test faces with the smallest, the median and the largest sum of face and identity error."""
    error = (faces.table["output_reconstruction"] + faces.table["output_neutral"]).to_numpy()
    order = np.argsort(error, kind="stable").tolist()
    return {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}


def _row(faces: Faces, name: str) -> int:
    return int(np.flatnonzero((faces.table["id"] == name).to_numpy())[0])


def _show(ax: Axes, faces: Faces, mesh: NDArray[np.floating], error: NDArray[np.floating] | None = None) -> AxesImage:
    """Draw a mesh from the front, grey or coloured by the error of each vertex; returns the coloured image."""
    ax.set(xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set_visible(False)
    low, high = faces.middle.min(axis=0), faces.middle.max(axis=0)
    scan = Scan((mesh - (low + high) / 2).astype(np.float32), faces.triangles)
    field = 1.15 * float((high - low)[:2].max())
    shade = render(scan, size=_PIXELS, field_mm=field, channels=["shaded"])[0] / 255.0
    seen = shade > 0
    if error is None:
        return ax.imshow(np.where(seen, 0.25 + 0.75 * shade, 1.0), cmap="gray", vmin=0, vmax=1)
    # Drawn only for the colour bar; the shaded image below covers it.
    values = value_map(scan, error, size=_PIXELS, field_mm=field)
    image = ax.imshow(values, cmap="viridis", vmin=0, vmax=FAR)
    colours = image.to_rgba(values)[..., :3] * (0.45 + 0.55 * shade)[..., None]
    ax.imshow(np.where(seen[..., None], colours, 1.0))
    return image
