"""`make perf`: what turns scans into tensors, timed against named peers in the same run, each as a ratio."""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"  # before anything that reads them is imported
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import importlib.util
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fpsample
import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from timing import Row, against, height_field, seconds, write_tables
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from trimesh.registration import nricp_amberg, nricp_sumner

from fer_bench.data.batches import Samples, batches
from fer_bench.data.bu3dfe import BU3DFE
from fer_bench.geometry.alignment import align
from fer_bench.geometry.mean_face import mean_face
from fer_bench.geometry.nonrigid import register
from fer_bench.geometry.rasteriser import VARIABLE, rasterise, snap
from fer_bench.geometry.render import camera_axes, render_views
from fer_bench.geometry.sampling import farthest_point_sample, resample
from fer_bench.geometry.scan import Scan
from fer_bench.processes import available_cores, fork_server
from fer_bench.representations.cache import prepare
from fer_bench.representations.cache_entry import CacheEntry
from fer_bench.representations.points import Points
from fer_bench.representations.sample_source import Source
from fer_bench.representations.views import Views
from fer_bench.twins.bu3dfe import write_twin
from fer_bench.twins.face import procedural_face
from fer_bench.twins.landmarks import landmarks83
from fer_bench.twins.scans import scan_face, scan_of
from fer_bench.twins.sculpt_mesh import SKIN

SIZE, FIELD_MM = 224, 220.0
YAWS = (-20.0, 0.0, 20.0)
BATCH = 32


def rendering() -> Iterator[Row]:
    """Three views of a face of 22,050 triangles: which triangle is seen at each pixel, and all that a view holds."""
    scan = height_field(11_236)
    size = f"three {SIZE} x {SIZE} views, {len(scan.triangles):,} triangles"
    expected = visible(scan)
    for peer, draw in renderers(scan):
        assert (draw() == expected).mean() > 0.99, f"{peer} must answer the same question"
        yield Row.timed(f"{size}: the nearest triangle", lambda: visible(scan), peer, draw)
    channels = ("depth", "normal_x", "normal_y", "normal_z")
    what = f"{size}: ours with depth and normals as bytes, theirs without"
    whole = Row.timed(what, lambda: drawn(scan, channels), *next(renderers(scan)))
    yield whole
    yield Row("depth and normals on one core", "views/s", 1000 * len(YAWS) / whole.ours)
    if torch.cuda.is_available():
        os.environ[VARIABLE] = "torch"
        on_gpu = 1000 * seconds(lambda: drawn(scan, channels))
        name = f"our CPU; ours here is {torch.cuda.get_device_name()}"
        yield Row(f"{size}: depth and normals", "ms", on_gpu, name, whole.ours)
        del os.environ[VARIABLE]


def drawn(scan: Scan, channels: tuple[str, ...]) -> NDArray[np.uint8]:
    """The three views."""
    angles = [(yaw, 0.0) for yaw in YAWS]
    return render_views(scan, size=SIZE, field_mm=FIELD_MM, channels=channels, angles=angles)


def visible(scan: Scan) -> NDArray[np.int32]:
    """(3, SIZE, SIZE) the nearest triangle, -1 for none, by our z-buffer."""
    x, y, z = np.moveaxis(np.stack([camera_axes(yaw, 0) for yaw in YAWS]) @ scan.vertices.T.astype(np.float64), 1, 0)
    columns, rows = (snap(SIZE / 2 + s * SIZE / FIELD_MM) for s in (x, -y))
    return rasterise(columns, rows, z, scan.triangles, SIZE).triangle


def renderers(scan: Scan) -> Iterator[tuple[str, Callable[[], NDArray[np.integer]]]]:
    """What else can answer which triangle is seen; each is given a new mesh, as every scan is one."""
    centre = (np.arange(SIZE) + 0.5 - SIZE / 2) * FIELD_MM / SIZE
    px, py = (grid.ravel() for grid in np.meshgrid(centre, -centre))
    at = [(camera_axes(yaw, 0), np.column_stack([px, py, np.full(px.size, 200.0)])) for yaw in YAWS]
    origins = np.concatenate([points @ axes for axes, points in at])
    directions = np.concatenate([np.tile(-axes[2], (px.size, 1)) for axes, _ in at])

    def embree() -> NDArray[np.integer]:
        mesh = trimesh.Trimesh(scan.vertices, scan.triangles, process=False, maintain_order=True)
        rays = trimesh.ray.ray_pyembree.RayMeshIntersector(mesh)
        return rays.intersects_first(origins, directions).reshape(-1, SIZE, SIZE)

    yield "embree (trimesh)", embree
    if importlib.util.find_spec("pyvista"):
        import pyvista

        pyvista.global_theme.multi_samples = 1  # a mean of triangles' numbers is no triangle's
        plotter = pyvista.Plotter(off_screen=True, window_size=(SIZE, SIZE))
        plotter.disable_anti_aliasing()
        plotter.set_background("black")
        plotter.enable_parallel_projection()
        plotter.camera.parallel_scale = FIELD_MM / 2
        number = np.arange(1, len(scan.triangles) + 1)
        colours = np.stack([number >> 16, number >> 8, number], axis=1).astype(np.uint8)

        def vtk() -> NDArray[np.integer]:
            mesh = pyvista.PolyData.from_regular_faces(scan.vertices, scan.triangles)
            mesh.cell_data["number"] = colours
            actor = plotter.add_mesh(mesh, scalars="number", rgb=True, lighting=False, reset_camera=False)
            images = []
            for axes, _ in at:
                plotter.camera.focal_point, plotter.camera.position, plotter.camera.up = (
                    (0, 0, 0),
                    300 * axes[2],
                    axes[1],
                )
                plotter.camera.clipping_range = (1, 600)
                plotter.render()
                images.append(plotter.screenshot(return_img=True).astype(np.int32))
            plotter.remove_actor(actor)
            image = np.stack(images)
            return (image[..., 0] << 16 | image[..., 1] << 8 | image[..., 2]) - 1

        yield "VTK off-screen (pyvista)", vtk
        plotter.close()
    if importlib.util.find_spec("pytorch3d"):

        def pytorch3d() -> NDArray[np.integer]:
            os.environ[VARIABLE] = "pytorch3d"
            try:
                return visible(scan)
            finally:
                del os.environ[VARIABLE]

        yield "pytorch3d", pytorch3d


def sampling() -> Iterator[Row]:
    """Farthest points of a face resampled as the paper says."""
    face = mean_face()
    cloud = resample(face.vertices, face.triangles, 39_923)
    expected = farthest_point_sample(cloud, 2048)
    tensor = torch.from_numpy(cloud)

    def loop() -> list[int]:
        nearest, chosen = torch.full((len(tensor),), torch.inf), [0]
        for _ in range(2047):
            nearest = torch.minimum(nearest, ((tensor - tensor[chosen[-1]]) ** 2).sum(dim=1))
            chosen.append(int(nearest.argmax()))
        return chosen

    assert np.mean(np.array(loop()) == expected) > 0.9, "the same question, but for rounding"
    peers = {
        "torch loop": loop,
        "fpsample (exact)": lambda: fpsample.fps_sampling(cloud, 2048, start_idx=0),
        "fpsample (bucket, another start)": lambda: fpsample.bucket_fps_kdline_sampling(cloud, 2048, h=7, start_idx=0),
    }
    for peer, work in peers.items():
        what = "farthest-point sampling, 39,923 to 2,048"
        yield Row.timed(what, lambda: farthest_point_sample(cloud, 2048), peer, work, rounds=5)


def registering() -> Iterator[Row]:
    """The mean face bent onto scans whose true correspondence is known."""
    scans = [scanned(person) for person in range(3)]
    face = mean_face()
    template = trimesh.Trimesh(face.vertices, face.triangles, process=False)
    names = sorted(face.landmarks.keys() & scans[0][0].landmarks.keys())

    def theirs(scan: Scan, fit: Callable[..., NDArray[np.float64]]) -> NDArray[np.float64]:
        target = trimesh.Trimesh(scan.vertices, scan.triangles, process=False)
        places = np.array([scan.landmarks[name] for name in names], dtype=np.float64)
        rows = np.array([face.landmarks[name] for name in names])
        return fit(template, target, source_landmarks=rows, target_positions=places)

    register(scans[0][0])
    times, errors = judged(lambda scan: register(scan).vertices, scans)
    what = f"registration of {len(face.vertices):,} vertices to a scan, mean of {len(scans)}"
    if importlib.util.find_spec("rtree") is None:
        yield Row(f"{what}: time", "ms", 1000 * times)
        yield Row(f"{what}: distance to the truth", "mm", errors)
        return
    for peer, fit in (("trimesh nricp_amberg", nricp_amberg), ("trimesh nricp_sumner", nricp_sumner)):
        their_time, their_error = judged(lambda scan, fit=fit: theirs(scan, fit), scans)
        yield Row(f"{what}: time", "ms", 1000 * times, peer, 1000 * their_time)
        yield Row(f"{what}: distance to the truth", "mm", errors, peer, their_error)


def judged(
    work: Callable[[Scan], NDArray[np.floating]], scans: list[tuple[Scan, NDArray[np.int64]]]
) -> tuple[float, float]:
    """Mean seconds a scan, and mean millimetres from the true places."""
    times, errors = [], []
    for scan, rows in scans:
        start = time.perf_counter()
        found = work(scan)
        times.append(time.perf_counter() - start)
        known = rows >= 0
        errors.append(np.linalg.norm(found[known] - scan.vertices[rows[known]], axis=1).mean())
    return float(np.mean(times)), float(np.mean(errors))


def scanned(person: int) -> tuple[Scan, NDArray[np.int64]]:
    """Somebody's scan in the canonical frame, and which of its vertices each of the mean face is, -1 if none."""
    face, rng = procedural_face(), np.random.default_rng(person)
    expression = np.where(rng.random(len(face.expression)) > 0.9, 0.7, 0.0)
    marks = landmarks83(face.template, face.triangles, face.parts == SKIN, face.landmarks68)
    mesh = scan_face(face, face.vertices(rng.standard_normal(len(face.identity)), expression), marks, rng)
    row = np.full(len(face.template), -1)
    row[mesh.correspondence] = np.arange(len(mesh.correspondence))
    return align(scan_of(mesh, None)), row[mean_face().template]


def extraction(folder: Path) -> Iterator[Row]:
    """From `.wrl` on disk to three views and 2,048 points in the cache."""
    write_twin(folder / "bu3dfe", subjects=12, seed=0)
    source = BU3DFE.source(folder / "bu3dfe")
    wanted = [Views(yaws=YAWS, channels=("depth", "normal_x", "normal_y")), Points()]
    fork_server("fer_bench.data.bu3dfe")

    def fill(cache: str, workers: int, ids: int) -> float:
        part = Source(source.dataset, source.root, source.provenance, source.ids[:ids], source.files[:ids])
        start = time.perf_counter()
        prepare(folder / cache, part, wanted, BU3DFE.load, workers=workers)
        return time.perf_counter() - start

    fill("warm", 1, 4)
    fill("warm 2", 2, 8)
    # A process's start is paid once a dataset and not once a scan, so it is taken out by the difference of two lengths.
    few, many = 20, len(source.ids)
    processes = (1, 2)[: available_cores()]
    rates = np.empty((3, len(processes)))
    for turn, place in np.ndindex(rates.shape):
        times = [fill(f"{turn} {place} {ids}", processes[place], ids) for ids in (few, many)]
        rates[turn, place] = (many - few) / (times[1] - times[0])
    what = "BU-3DFE .wrl to three views and 2,048 points in the cache"
    for place, count in enumerate(processes):
        yield Row(f"{what}, {count} process{'es' * (count > 1)}", "scans/s", float(np.median(rates[:, place])))
    if len(processes) > 1:
        scaling = float(np.median(rates[:, 1] / rates[:, 0]))
        yield Row("the same, two processes against one, median of three turns", "times", scaling)


class Plain(Dataset[dict[str, torch.Tensor]]):
    """A dataset as most are written: one sample a call, stacked by the loader."""

    def __init__(self, entry: CacheEntry) -> None:
        self.array = entry.open()

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, position: int) -> dict[str, torch.Tensor]:
        return {"input": torch.from_numpy(self.array[position].copy()), "label": torch.tensor(0)}


def loading(folder: Path) -> Iterator[Row]:
    """Training batches of a prepared entry whose pages are in memory."""
    source = BU3DFE.source(folder / "bu3dfe")
    views = Views(yaws=YAWS, channels=("depth", "normal_x", "normal_y"))
    for representation in (Points(), views):
        (entry,) = prepare(folder / f"loader {representation.name}", source, [representation], BU3DFE.load)
        ids = tuple(entry.rows) * 4
        samples = Samples(entry, ids, np.zeros(len(ids), dtype=np.int64))
        sampler: DistributedSampler[object] = DistributedSampler(samples, 1, 0, shuffle=True)
        ours = batches(samples, sampler, BATCH, 0, training=True)  # type: ignore[arg-type]
        repeated = torch.utils.data.ConcatDataset([Plain(entry)] * 4)
        plain: DataLoader[object] = DataLoader(repeated, batch_size=BATCH, shuffle=True)
        times = against(lambda: sum(1 for _ in ours), lambda: sum(1 for _ in plain), 5)  # noqa: B023
        what = f"training loader, {representation.label}"
        yield Row(what, "samples/s", len(ids) / times[0], "DataLoader that stacks", len(ids) / times[1])


def main() -> None:
    """Time, print, and write perf_representations.{csv,md}."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = itertools.chain(rendering(), sampling(), registering(), extraction(folder), loading(folder))
        conditions = "one core unless a row says otherwise"
        write_tables("perf_representations", "Speed of the representations", conditions, rows)


if __name__ == "__main__":
    main()
