"""Meshes of one topology, the input of face disentanglement."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import BrokenScan, InvalidSuite
from fer_bench.geometry.alignment import UnusableScan, align
from fer_bench.geometry.contact_sheet import dots
from fer_bench.geometry.mean_face import mean_face
from fer_bench.geometry.nonrigid import register
from fer_bench.geometry.render import render_views
from fer_bench.geometry.scan import Scan
from fer_bench.geometry.simplification import Simplification, simplify
from fer_bench.representations.base import Bound, Representation
from fer_bench.representations.sample_source import Load, Source

# Doubtful beyond these. On the twins of BU-3DFE and Bosphorus the worst is 0.22 mm, and 78 % of the face.
_RESIDUAL_MM, _MATCHED = 1.0, 0.75


@dataclass(frozen=True)
class Vertices(Representation):
    """The vertices of a mesh, the same ones in every sample: (V, 3) float32 millimetres. The entry holds
    `triangles`, `kept`, which rows of the whole topology they are, and `template`, one mesh of it, (V, 3).

    Where a dataset has one topology, its meshes are taken as they are, untouched and where they are. Otherwise the
    suite's mean face is bent onto each scan (`geometry.nonrigid`), in the canonical frame; the face disentanglement
    paper has such meshes of BU-3DFE (5,996 vertices) and says neither how they were made nor on which template.

    Attributes:
        topology: `own`, the dataset's; `mean_face`, registered. None takes the dataset's where it has one.
        count: so many vertices are kept, by quadric simplification (`geometry.simplification`) of one mesh, the first
            of the dataset or the mean face: the same rows of all. None keeps every vertex. The paper reduces FaceScape
            from 26,317 to 4,547.
    """

    name: ClassVar[str] = "vertices"
    version: ClassVar[int] = 2  # 2: `kept` and `template`
    same_vertices: ClassVar[bool] = True
    measures: ClassVar[tuple[str, ...]] = ("residual_mm", "matched")

    topology: Literal["own", "mean_face"] | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if self.topology not in (None, "own", "mean_face"):
            raise InvalidSuite(f"vertices: topology is {self.topology}; give own or mean_face, or leave it out.")
        if self.count is not None and self.count < 4:
            raise InvalidSuite(f"vertices: count is {self.count}; give 4 or more, or leave it out.")

    def resolve(self, modalities: frozenset[str]) -> Self:
        """Fix the topology."""
        super().resolve(modalities)
        if self.topology is None:
            return replace(self, topology="own" if "topology" in modalities else "mean_face")
        if self.topology == "own" and "topology" not in modalities:
            raise InvalidSuite("vertices: topology is own, and the dataset's scans have none in common; use mean_face.")
        return self

    def extract(self, sample: Any) -> NDArray[np.float32]:
        raise TypeError("which vertices are kept is known for a whole dataset; bind finds it")

    def bind(self, source: Source, load: Load) -> Bound:
        if self.topology is None:
            raise InvalidSuite("vertices: topology is still open; call resolve with the dataset's modalities first.")
        own = self.topology == "own"
        reference = _first(source, load) if own else Scan(mean_face().vertices, mean_face().triangles)
        total = len(reference.vertices)
        if self.count is None:
            every = np.arange(len(reference.triangles))
            kept = Simplification(np.arange(total), reference.triangles, every)
        elif self.count <= total:
            kept = simplify(reference.vertices, reference.triangles, self.count)
        else:
            raise InvalidSuite(f"vertices: count is {self.count}, and a mesh has {total} vertices; give no more.")
        extract = _Take(total, kept.kept) if own else _Register(kept.kept)
        template = np.asarray(reference.vertices[kept.kept], dtype=np.float32)
        shared: dict[str, NDArray[Any]] = {"triangles": kept.triangles, "kept": kept.kept, "template": template}
        return Bound(extract, template.shape, shared)

    def flag(self, measured: dict[str, float]) -> str | None:
        found = []
        if measured["residual_mm"] > _RESIDUAL_MM:
            found.append(f"the registered face stays {measured['residual_mm']:.2f} mm from the scan")
        if measured["matched"] < _MATCHED:
            found.append(f"only {measured['matched']:.0%} of the face found their place on it")
        return ", and ".join(found) or None

    def picture(self, row: NDArray[Any]) -> NDArray[np.uint8]:
        """From the front and from the subject's left; as dots where the triangles are not known."""
        if self.topology != "mean_face":
            middle = (row.max(axis=0) + row.min(axis=0)) / 2
            return dots((row - middle) / np.abs(row - middle).max())
        scan = Scan(row, _mean_triangles(self.count))
        images = render_views(scan, size=200, field_mm=220, channels=["shaded"], angles=[(0, 0), (50, 0)])
        return np.repeat(np.hstack([image[0] for image in images])[:, :, None], 3, axis=2)

    @property
    def shape(self) -> tuple[int, ...]:
        if self.count is not None:
            return self.count, 3
        if self.topology == "mean_face":
            return len(mean_face().vertices), 3
        raise InvalidSuite("vertices: how many there are is known when a dataset is read; ask the entry.")

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    @property
    def label(self) -> str:
        topology = (self.topology or "auto").replace("_", "")
        return f"vertices-{topology}" + (f"-{self.count}" if self.count else "")


@dataclass(frozen=True)
class _Take:
    """Vertices of a mesh that has the topology already; it lies on itself."""

    total: int
    kept: NDArray[np.int64]

    def __call__(self, position: int, scan: Scan) -> tuple[NDArray[np.float32], tuple[float, ...]]:
        if len(scan.vertices) != self.total:
            count = len(scan.vertices)
            raise UnusableScan(f"the mesh has {count} vertices, and the first of the dataset has {self.total}")
        if not np.isfinite(scan.vertices).all():
            raise UnusableScan("some of the mesh's vertices are not finite")
        return scan.vertices[self.kept], (0.0, 1.0)


@dataclass(frozen=True)
class _Register:
    """Vertices of the mean face, where a scan has them."""

    kept: NDArray[np.int64]

    def __call__(self, position: int, scan: Scan) -> tuple[NDArray[np.float32], tuple[float, ...]]:
        registered = register(align(scan))
        return registered.vertices[self.kept], (registered.residual_mm, registered.matched)


def _first(source: Source, load: Load) -> Scan:
    """The first mesh that can be read; errors of those before it are reported when they are extracted."""
    for files in source.files:
        try:
            scan: Scan = load(source.root, files)
        except BrokenScan:
            continue
        return scan
    raise BrokenScan(source.root, f"none of its {len(source.files)} meshes can be read", "Run `fer-bench data check`.")


@lru_cache(maxsize=2)
def _mean_triangles(count: int | None) -> NDArray[np.int32]:
    face = mean_face()
    return face.triangles if count is None else simplify(face.vertices, face.triangles, count).triangles
