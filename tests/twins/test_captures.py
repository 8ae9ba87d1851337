import numpy as np
import pytest

from fer_bench.twins.bu4dfe import population
from fer_bench.twins.captures import TEXTURE_PIXELS, Captured, capture
from fer_bench.twins.face import procedural_face
from fer_bench.twins.population import Population


@pytest.fixture(scope="module")
def people() -> Population:
    return population(procedural_face(), 5)


@pytest.fixture(scope="module")
def frames(people: Population) -> list[Captured]:
    return [frame for n in range(6) for frame in capture(people, "F002", f"take {n}", "neutral", 12)]


def test_every_frame_is_a_whole_scan(people: Population, frames: list[Captured]) -> None:
    for frame in frames:
        mesh = frame.mesh
        assert len(np.unique(mesh.triangles)) == len(mesh.vertices) == len(mesh.uv) == len(mesh.correspondence)
        assert np.array_equal(mesh.triangles, mesh.uv_triangles)
        assert mesh.polygons == mesh.triangles.tolist()
        assert np.array_equal(mesh.correspondence[mesh.landmarks], people.landmarks83), "faults spare the landmarks"
        assert frame.texture.shape == (*TEXTURE_PIXELS[::-1], 3)


def test_some_frames_have_a_hole_and_some_have_spikes(people: Population, frames: list[Captured]) -> None:
    sizes = np.array([len(frame.mesh.triangles) for frame in frames]).reshape(6, 12)
    short = sizes < np.median(sizes, axis=1)[:, None] - 5
    assert 0.03 < short.mean() < 0.3
    spiked = 0
    for frame in frames:
        mesh = frame.mesh
        edges = mesh.vertices[mesh.triangles] - mesh.vertices[np.roll(mesh.triangles, 1, axis=1)]
        template = people.model.template[mesh.correspondence]
        usual = template[mesh.triangles] - template[np.roll(mesh.triangles, 1, axis=1)]
        longer = np.linalg.norm(edges, axis=2) - np.linalg.norm(usual, axis=2)
        spiked += bool(longer.max() > 4.5)
    assert 1 <= spiked < len(frames) / 3


def test_outlines_are_the_sequences_and_vertices_the_frames(frames: list[Captured]) -> None:
    kept = [set(frame.mesh.correspondence.tolist()) for frame in frames]
    differing = (
        [len(kept[n] ^ kept[n + 1]) for n in range(0, 12, 2)],
        [len(kept[n] ^ kept[n + 13]) for n in range(0, 12)],
    )
    assert np.median(differing[0]) < np.median(differing[1])
    assert np.std([frame.mesh.vertices[0] for frame in frames], axis=0).min() > 5


def test_a_take_is_a_function_of_its_name(people: Population, frames: list[Captured]) -> None:
    again = list(capture(people, "F002", "take 1", "neutral", 12))
    for one, two in zip(again, frames[12:24], strict=True):
        assert np.array_equal(one.mesh.vertices, two.mesh.vertices)
        assert np.array_equal(one.texture, two.texture)
    assert not np.array_equal(again[0].mesh.vertices[:50], frames[0].mesh.vertices[:50])
