import hashlib
from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.doctor import diagnose
from fer_bench.data.fourdme import FourDME
from fer_bench.geometry.scan import Scan
from fer_bench.io.spreadsheet import read_sheet
from fer_bench.records import read_json
from fer_bench.representations.dynamic_views import DynamicViews
from fer_bench.twins.face import procedural_face
from fer_bench.twins.fourdme import plan, population, write_twin
from fer_bench.twins.population import Population

PEOPLE = {"meb": 2, "cas": 1, "4dmr": 2, "mesh": 2}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("twin")
    for layout in write_twin.layouts:
        write_twin(folder / layout, subjects=PEOPLE[layout], seed=5, layout=layout)
    return {layout: folder / layout for layout in write_twin.layouts}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))


def fingerprint(root: Path) -> dict[str, str]:
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in root.rglob("*")
        if p.is_file()
    }


def test_the_whole_twin_counts_as_the_distribution() -> None:
    takes = plan(Population("fourdme", procedural_face(), 0), 41)
    assert len({take.subject for take in takes}) == 41
    assert len({take.clip for take in takes}) == len(takes) == 267
    names = [name for take in takes for name in take.emotion.split("+")]
    sums = {"negative": 142, "positive": 55, "surprise": 54, "repression": 24, "others": 31}
    assert {name: names.count(name) for name in sums} == sums


@pytest.mark.parametrize("subjects", [1, 2, 20])
def test_a_few_people_have_six_or_seven_clips_each(subjects: int) -> None:
    takes = plan(Population("fourdme", procedural_face(), 0), subjects)
    clips = [sum(take.subject == f"S{n:02d}" for take in takes) for n in range(1, subjects + 1)]
    assert set(clips) <= {6, 7}


def test_bytes_depend_on_the_seed_alone(roots: dict[str, Path], tmp_path: Path) -> None:
    write_twin(tmp_path / "again", subjects=1, seed=5, layout="cas", workers=2)
    assert fingerprint(tmp_path / "again") == fingerprint(roots["cas"])


@pytest.mark.parametrize("layout", write_twin.layouts)
def test_the_doctor_reports_each_fault_and_nothing_else(roots: dict[str, Path], layout: str) -> None:
    diagnosis = diagnose(FourDME, roots[layout])
    assert not diagnosis.broken
    told = [finding for finding in diagnosis.findings if finding.kind in ("missing", "warning", "error")]
    quirks = read_json(roots[layout] / "twin.json")["quirks"]
    assert len(told) == len(quirks) == (3 if layout == "mesh" else 1)
    for finding in told:
        name = Path(finding.names[0]).with_suffix("").name
        assert [str(len(finding.names)) in quirk for quirk in quirks if name in quirk] == [True]


@pytest.mark.parametrize("layout", write_twin.layouts)
def test_a_layout_offers_what_it_holds(roots: dict[str, Path], layout: str) -> None:
    assert FourDME.offers(roots[layout]) == ({"sequence", "texture"} if layout == "mesh" else {"video"})


def test_meshes_are_of_the_people_and_takes_of_the_videos(roots: dict[str, Path]) -> None:
    video, mesh = (FourDME.index(roots[layout]) for layout in ("meb", "mesh"))
    assert mesh.drop(columns="files").equals(video.drop(columns="files"))
    sheet = "4DME_Labelling_Micro_release v1.xlsx"
    assert read_sheet(roots["mesh"] / sheet) == read_sheet(roots["meb"] / sheet), "onset, apex and offset too"
    lost = 0
    for photographs, meshes in zip(video["files"], mesh["files"], strict=True):
        numbers = [Path(name).stem for name in photographs]
        there = [Path(name).stem for name in meshes if name.endswith(".obj")]
        assert set(there) <= set(numbers)
        lost += len(numbers) - len(there)
    assert lost == 1
    models = (population(procedural_face(), 5, layout).person("S01") for layout in ("meb", "mesh"))
    (first, second) = models
    np.testing.assert_array_equal(first.identity, second.identity)
    np.testing.assert_array_equal(first.style.asymmetry, second.style.asymmetry)


def test_a_mesh_clip_moves_a_little_in_millimetres(roots: dict[str, Path]) -> None:
    index = FourDME.index(roots["mesh"])
    scans = list(FourDME.load(roots["mesh"], index["files"].iloc[0]))
    assert all(isinstance(scan, Scan) and scan.texture is not None for scan in scans)
    heights = [float(np.ptp(scan.vertices[:, 1])) for scan in scans]
    assert 120 < min(heights) <= max(heights) < 260
    middles = np.array([scan.vertices.mean(axis=0) for scan in scans])
    assert 0.2 < np.ptp(middles, axis=0).max() < 12, "a head that does not quite hold still"
    assert len({len(scan.vertices) for scan in scans}) > 1, "frames are scans of their own"


def test_a_mesh_clip_is_seen_from_three_sides_in_its_colours(roots: dict[str, Path]) -> None:
    views = DynamicViews(yaws=(-30, 0, 30), size=48, frames=4).resolve(FourDME.offers(roots["mesh"]))
    assert views.channels == ("texture",)
    files = FourDME.index(roots["mesh"])["files"].iloc[0]
    (row,) = views.extract(FourDME.load(roots["mesh"], files))
    assert row.shape == (3, 3, 48, 48)
    sides = row.astype(float)
    assert all(side.std() > 3 for side in sides)
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(sides[one] - sides[other]).mean() > 3
    # Of colours, not of a grey drawing.
    assert np.abs(sides[:, 0] - sides[:, 2]).max() > 0


def test_the_labels_are_those_of_the_plan(roots: dict[str, Path]) -> None:
    people = Population("fourdme", procedural_face(), 5)
    takes = {f"{take.subject}/{take.clip}": take for take in plan(people, 2)}
    index = FourDME.index(roots["meb"])
    assert dict(zip(index["id"], index["label"], strict=True)) == {name: take.emotion for name, take in takes.items()}
    for row in index.itertuples():
        frames = [int(Path(name).stem) for name in row.files]
        take = takes[row.id]
        assert frames == list(range(take.onset, take.onset + take.frames))
    sheet = read_sheet(roots["meb"] / "4DME_Labelling_Micro_release v1.xlsx")
    assert all(onset <= peak <= offset for _, _, _, onset, peak, offset, *_ in sheet[1:])  # type: ignore[operator]
    units = FourDME.action_units(roots["meb"])
    static = [name for name, found in units.items() if any(unit.static for unit in found)]
    assert static == [next(iter(takes))]
    assert all(units.values())


def test_one_label_a_clip(roots: dict[str, Path]) -> None:
    index = FourDME.index(roots["cas"])
    assert not index["label"].str.contains("+", regex=False).any()
    assert set(index["subject"]) == {"S01"}


def test_the_challenges_frames_show_two_views(roots: dict[str, Path]) -> None:
    index = FourDME.index(roots["4dmr"])
    assert set(index["split"]) == {"train"}
    assert set(index["subject"]) == {"S01"}
    clip = FourDME.load(roots["4dmr"], index["files"].iloc[0])
    first = clip[0].pixels()
    assert first.shape == (128, 256, 3)
    assert np.abs(first[:, :128].astype(float) - first[:, 128:]).mean() > 3


def test_a_clip_moves_and_comes_back(roots: dict[str, Path]) -> None:
    index = FourDME.index(roots["meb"])
    clip = FourDME.load(roots["meb"], index["files"].iloc[0])
    frames = np.stack([frame.pixels().astype(float) for frame in clip])
    assert frames.shape[1:] == (240, 320, 3)
    away = np.abs(frames - frames[0]).mean(axis=(1, 2, 3))
    assert away[1:].min() > 0
    assert away.max() < 12, "it is the same person before the same wall"
