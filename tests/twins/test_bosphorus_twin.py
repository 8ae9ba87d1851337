import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.bosphorus import Bosphorus
from fer_bench.data.doctor import diagnose
from fer_bench.geometry.alignment import align
from fer_bench.geometry.plausibility import implausible
from fer_bench.geometry.scan import Scan
from fer_bench.io.bnt import read_bnt
from fer_bench.io.images import read_image
from fer_bench.io.landmark_lists import LABELS, read_lm2, read_lm3
from fer_bench.records import TWIN_MARKER, read_json
from fer_bench.twins import bosphorus
from fer_bench.twins.face import procedural_face
from fer_bench.twins.population import Population


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bosphorus") / "twin"
    bosphorus.write_twin(root, subjects=3, seed=3)
    return root


def test_landmarks_are_points_of_the_grid_and_lie_on_their_pixels(root: Path) -> None:
    stem = root / "bs001" / "bs001_E_SURPRISE_0"
    grid, marks = read_bnt(stem.with_suffix(".bnt")), read_lm3(stem.with_suffix(".lm3"))
    height, width = read_image(stem.with_suffix(".png")).shape[:2]
    places = read_lm2(stem.with_suffix(".lm2"))
    assert list(marks) == [label for label in LABELS if label in marks]
    assert marks.keys() == places.keys()
    for label, point in marks.items():
        apart = np.linalg.norm(grid.points[:, :3] - point, axis=1)
        assert apart.min() < 0.01, label
        uv = grid.points[int(apart.argmin()), 3:]
        np.testing.assert_allclose(uv * [width, height], places[label], atol=0.01)
    assert marks["Outer left eye corner"][0] < 0 < marks["Outer right eye corner"][0]
    assert marks["Chin middle"][1] < marks["Nose tip"][1] < marks["Inner left eye corner"][1]


def test_a_face_from_the_front_shows_its_landmarks() -> None:
    people = Population("bosphorus", procedural_face(), 3)
    for code in ("N_N", "E_SURPRISE", "E_HAPPY"):
        shot = bosphorus.shoot(people, "bs001", code)
        assert len(shot.marks) >= 20, code  # a hole may take some
        if {"Upper lip inner middle", "Lower lip inner middle"} <= shot.marks.keys():
            upper, lower = (shot.points[shot.marks[f"{lip} lip inner middle"]] for lip in ("Upper", "Lower"))
            assert upper[1] >= lower[1]


def test_some_scans_have_holes_or_spikes(monkeypatch: pytest.MonkeyPatch) -> None:
    people = Population("bosphorus", procedural_face(), 0)
    usual = [bosphorus.shoot(people, "bs000", code) for code in bosphorus._CODES]
    monkeypatch.setattr(bosphorus, "_SPIKES", 0.0)
    flat = [bosphorus.shoot(people, "bs000", code) for code in bosphorus._CODES]
    monkeypatch.setattr(bosphorus, "_HOLE", 0.0)
    whole = [bosphorus.shoot(people, "bs000", code) for code in bosphorus._CODES]

    assert all((a.valid == b.valid).all() for a, b in zip(usual, flat, strict=True))
    risen = [(a.points - b.points)[a.points[:, :, 2] != b.points[:, :, 2]] for a, b in zip(usual, flat, strict=True)]
    assert 0 < sum(len(points) > 0 for points in risen) < len(risen)
    for points in risen:
        assert len(points) <= 5
        assert ((np.abs(points[:, 2]) >= 5.0) & (np.abs(points[:, 2]) <= 15.0 * 2)).all()
        assert (points[:, [0, 1, 3, 4]] == 0).all()

    holes = [b.valid & ~a.valid for a, b in zip(flat, whole, strict=True)]
    assert all((a.valid <= b.valid).all() for a, b in zip(flat, whole, strict=True))
    assert 0 < sum(hole.any() for hole in holes) < len(holes)
    for hole in holes:
        assert hole.sum() < 100, "10 mm across at most, on a grid of 2 mm"


def test_a_landmark_is_the_nearest_point_in_space_or_hidden() -> None:
    step = bosphorus.STEP_MM
    row, column = np.mgrid[:9, :9]
    points = np.stack([column * step, row * step, np.zeros((9, 9)), np.zeros((9, 9)), np.zeros((9, 9))], axis=2)
    points[4, 4, 2] = -6.0  # a slit between two lips
    valid = np.ones((9, 9), dtype=bool)
    valid[4, 5] = False
    places = np.full((len(LABELS), 3), -500.0)
    places[0] = [4 * step - 0.5, 4 * step, 0.0]  # before the slit: the point beside it
    places[1] = [5 * step + 0.5, 4 * step, 0.0]  # in a hole of one point
    places[2] = [2 * step, 2 * step, -20.0]  # far behind what is seen
    places[3] = [2 * step, 2 * step, -4.0]
    assert bosphorus._seen(points, valid, places) == {LABELS[0]: (4, 3), LABELS[1]: (4, 6), LABELS[3]: (2, 2)}


def test_what_is_unusual_and_right_is_taken_silently(root: Path) -> None:
    stem = root / "bs000" / "bs000_E_ANGER_0"
    marks = read_lm3(stem.with_suffix(".lm3"))
    assert not {"Outer left eyebrow", "Middle left eyebrow"} & marks.keys()
    assert {"Inner left eyebrow", "Outer right eyebrow"} <= marks.keys()
    assert marks.keys() == read_lm2(stem.with_suffix(".lm2")).keys()
    windows = root / "bs000" / "bs000_E_SADNESS_0.lm3"
    assert b"\r\n" in windows.read_bytes()
    assert len(read_lm3(windows)) > 18
    told = json.dumps(diagnose(Bosphorus, root).to_json())
    assert "E_ANGER" not in told
    assert "E_SADNESS" not in told


def test_the_background_has_a_place_on_the_photograph_too(root: Path) -> None:
    grid = read_bnt(root / "bs001" / "bs001_N_N_0.bnt")
    away = grid.points[~grid.valid]
    assert len(away) > 1000
    assert (away[:, :3] == -1e9).all()
    assert ((away[:, 3:] > 0) & (away[:, 3:] <= 1)).all()


def test_the_photograph_fits_the_surface(root: Path) -> None:
    """The pixel under each measured point shows the person, and that under the background the wall."""
    scan = Bosphorus.load(root, Bosphorus.index(root).set_index("id").loc["bs001_N_N_0", "files"])
    assert isinstance(scan, Scan)
    assert scan.uv is not None
    assert scan.texture is not None
    height, width = scan.texture.shape[:2]
    columns, rows = (scan.uv[:, 0] * width).astype(int), height - 1 - (scan.uv[:, 1] * height).astype(int)
    wall = scan.texture[0, 0]
    assert (scan.texture[rows, columns] == wall).all(axis=1).mean() < 0.02
    assert (scan.texture == wall).all(axis=2).mean() > 0.1


def test_scans_are_faces_and_a_turned_head_is_turned(root: Path) -> None:
    index = Bosphorus.index(root).set_index("id")
    for name in ("bs001_E_HAPPY_0", "bs002_E_ANGER_0", "bs000_N_N_0"):
        scan = Bosphorus.load(root, index.loc[name, "files"])
        assert isinstance(scan, Scan)
        assert implausible(scan) is None
        assert implausible(align(scan)) is None
    # To the subject's left, +x, by 20 degrees: the nose goes there, between the ends of the brows.
    for code, low, high in (("N_N", 0.4, 0.6), ("YR_R20", 0.65, 0.95)):
        x = {label: point[0] for label, point in read_lm3(root / "bs001" / f"bs001_{code}_0.lm3").items()}
        left, right = x["Outer left eyebrow"], x["Outer right eyebrow"]
        assert low < (x["Nose tip"] - left) / (right - left) < high


def test_the_doctor_finds_every_fault(root: Path) -> None:
    diagnosis = diagnose(Bosphorus, root)
    told = json.dumps(diagnosis.to_json())
    assert diagnosis.samples == 3 * 9 - 1
    assert diagnosis.broken == {}
    for name in ("bs000_N_N_0", "bs000_LFAU_12_0", "bs000_E_HAPPY_1", "bs002_E_FEAR"):
        assert name in told
    assert len(read_json(root / TWIN_MARKER)["quirks"]) == 4
    assert "seem" not in told


def test_the_bytes_depend_on_the_seed_alone(tmp_path: Path) -> None:
    def digest(name: str, **options: int) -> str:
        bosphorus.write_twin(tmp_path / name, subjects=1, seed=1, **options)
        files = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file() and p.name != TWIN_MARKER)
        whole = b"".join(str(p.relative_to(tmp_path / name)).encode() + p.read_bytes() for p in files)
        return hashlib.sha256(whole).hexdigest()

    assert digest("a") == digest("b", workers=2)
    one, same, other = (
        bosphorus.shoot(Population("bosphorus", procedural_face(), seed), "bs000", "N_N") for seed in (1, 1, 2)
    )
    assert np.array_equal(one.points, same.points)
    assert not np.array_equal(one.points, other.points)


def test_the_preview_is_rows_of_seven_and_photographs_stand_upright() -> None:
    cells = bosphorus.preview(procedural_face(), 0)
    assert len({title for title, _ in cells}) == 16
    assert all(image.dtype == np.uint8 for _, image in cells)
    assert cells[0][1].shape[0] > cells[0][1].shape[1]
    assert [title for title, _ in cells[:7]] == [title for title, _ in cells[7:14]]
