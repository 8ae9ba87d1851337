import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fer_bench.errors import FerBenchError, InvalidFile
from fer_bench.records import provenance, read_json
from fer_bench.twins.base import NewTwin, TwinWriter, crlf, model_id, read_marker
from fer_bench.twins.coarse import coarse
from fer_bench.twins.expression_recipes import RECIPE
from fer_bench.twins.face import procedural_face
from fer_bench.twins.identity import generator
from fer_bench.twins.population import Population


@dataclass(frozen=True)
class Write:
    folder: Path
    people: Population

    def __call__(self, name: str) -> float:
        (self.folder / name).write_text(str(self.people.rng(name).random()))
        return float(gc.isenabled())


def write(root: Path, stop: BaseException | None = None, **options: Any) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []

    def fill(twin: NewTwin) -> None:
        names = [f"s{number}" for number in range(twin.subjects)]
        assert twin.map(Write(twin.folder, Population("some", twin.model, twin.seed)), names) == [0.0] * len(names)
        twin.write("labels/list.txt", "s0 5\r\n")
        twin.quirks.append("s1 lacks something.")
        if stop:
            raise stop

    layouts = ("plain", "wrapped")
    writer = TwinWriter("some", "Some Dataset", fill, default_subjects=4, max_subjects=9, layouts=layouts)
    writer(root, **{"seed": 3, "progress": lambda done, total: told.append((done, total))} | options)
    return told


def test_a_twin_appears_with_its_marker(tmp_path: Path) -> None:
    told = write(tmp_path / "new" / "twin")
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    root = tmp_path / "new" / "twin"
    assert read_json(root / "twin.json") == {
        "dataset": "some",
        "recipe": RECIPE,
        "face_model": f"procedural-{procedural_face().digest[:12]}",
        "seed": 3,
        "subjects": 4,
        "layout": "plain",
        "quirks": ["s1 lacks something."],
        "variants": [],
    }
    assert (root / "labels" / "list.txt").read_bytes() == b"s0 5\r\n"
    assert provenance(root) == f"twin-r{RECIPE}-{model_id(procedural_face())}-s3-n4"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["twin"], "no temporary folder is left"
    assert gc.isenabled()


def test_workers_change_nothing(tmp_path: Path) -> None:
    for workers in (1, 2):
        write(tmp_path / str(workers), subjects=7, workers=workers, layout="wrapped")
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / n).rglob("*") if p.is_file()} for n in "12")
    assert one == two
    assert len(one) == 9


def test_an_empty_folder_is_used_and_the_current_one_may_be_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    write(Path())
    assert (tmp_path / "empty" / "twin.json").is_file()
    assert Path("twin.json").is_file(), "relative paths still lead there"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"subjects": 0}, r"--subjects 0: Some Dataset has 9 subjects; ask for 1 to 9\."),
        ({"subjects": 10}, r"--subjects 10: Some Dataset has 9 subjects"),
        ({"layout": "flat"}, r"--layout flat: Some Dataset has the layouts plain, wrapped; name one of them\."),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_is_made(
    tmp_path: Path, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(FerBenchError, match=says):
        write(tmp_path / "new", **options)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FerBenchError, match=r"file: is not empty; name another folder with --out"):
        write(tmp_path / "file")
    with pytest.raises(FerBenchError, match=r"below: cannot be made \(.*\); name another folder with --out"):
        write(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), ValueError("a fault")])
def test_whatever_stops_it_leaves_nothing(tmp_path: Path, stop: BaseException) -> None:
    with pytest.raises(type(stop)):
        write(tmp_path / "new", stop=stop)
    assert not list(tmp_path.iterdir())


def test_another_models_marker_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "twin")
    assert read_marker(tmp_path / "twin", procedural_face())["seed"] == 3
    with pytest.raises(InvalidFile, match="was made with face model procedural-"):
        read_marker(tmp_path / "twin", coarse(procedural_face(), 300))


def test_line_ends_are_turned_once(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\r\nb\nc")
    crlf(path)
    crlf(path)
    assert path.read_bytes() == b"a\r\nb\r\nc"


def test_people_are_functions_of_dataset_seed_and_name() -> None:
    face = coarse(procedural_face(), 300)
    one = Population("some", face, 3, texture_pixels=48)
    again = Population("some", face, 3, texture_pixels=48).person("F001")
    assert (one.person("F001").identity == again.identity).all()
    assert (one.person("F001").albedo == again.albedo).all()
    assert one.person("F001").albedo.shape == (48, 48, 3)
    others = [
        one.person("F002"),
        Population("other", face, 3).person("F001"),
        Population("some", face, 4).person("F001"),
    ]
    for other in others:
        assert abs(other.identity - again.identity).min() > 0
    assert (one.person("F001").neutral == face.vertices(again.identity, one.person("F001").style.resting * 0)).all()
    assert one.rng("F001", 2).random() == generator("some", 3, "F001", 2).random()
    pale, dark = (one.person("F001", darkness).albedo.mean() for darkness in (0.0, 1.0))
    assert pale > dark + 50
    drawn = [one.person(f"P{number}").complexion.skin.mean() for number in range(12)]
    assert max(drawn) - min(drawn) > 40, "all kinds of people"
