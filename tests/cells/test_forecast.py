"""How long a sweep takes, told before it runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fer_bench.cells.forecast import Forecast, Probe, key, probe_of, probed, remember, schedule
from fer_bench.commands.plan import show_plan
from fer_bench.launch import worker
from fer_bench.stats.metric_units import duration

if TYPE_CHECKING:
    from tests.faked_cells import Faker
    from tests.suite_runner import Bench

SUITE, PROTOCOL = "mit/table1", "bu3dfe-s1-cv10@1"


def test_jobs_are_dealt_longest_first() -> None:
    assert schedule([3, 3, 2, 2, 2], 2) == 7  # (3 + 2 + 2, 3 + 2): 3, 3, then each 2 to whoever is free
    assert schedule([5], 4) == 5
    assert schedule([], 2) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "1.5 min"), (5399, "90.0 min"), (5400, "1 h 30 min"), (93780, "26 h 03 min")],
)
def test_durations_are_told_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_finished_cells_tell_more_than_a_probe_and_the_unknown_comes_first(faker: Faker) -> None:
    tiny = faker.folds(SUITE, PROTOCOL, "mit-tiny")[:2]
    small = [faker.cell(SUITE, PROTOCOL, "mit-small", fold=fold, state="planned") for fold in range(2)]
    base = [faker.cell(SUITE, PROTOCOL, "mit-base", fold=fold, state="planned") for fold in range(2)]
    for cell, seconds in zip(tiny, (30.0, 50.0), strict=True):
        cell.report("done", seconds=seconds)
    place = probe_of(small[0])
    place.write()
    (place.folder / "probe.json").write_text(json.dumps(vars(Probe(100.0, 2**30, 3 * 2**30, 2, "CPU"))))
    forecast = Forecast.of([*tiny, *small, *base])
    assert forecast.seconds == {key(tiny[0]): 40.0, key(small[0]): 100.0}
    assert forecast.measured == {key(tiny[0])}
    assert forecast.device_memory == {key(small[0]): 3 * 2**30}
    order = [cell.entry for cell in forecast.longest_first([tiny[0], small[0], base[0], small[1]])]
    assert order == ["mit-base", "mit-small", "mit-small", "mit-tiny"]
    assert forecast.total([*tiny, *small], 2) == 140.0
    assert forecast.total([*tiny, *base], 2) is None
    # A probe is of one setting, and of any fold and seed.
    assert probed(replace(small[1], seed=3)) is not None
    assert probed(replace(small[1], arguments={**small[1].arguments, "size": "base"})) is None
    (place.folder / "probe.json").write_text("{}")
    assert probed(small[0]) is None


def test_what_was_expected_and_what_came_true_are_written_down(faker: Faker) -> None:
    cells = faker.folds(SUITE, PROTOCOL, "mit-tiny")[:2]
    for cell, seconds in zip(cells, (30.0, 50.0), strict=True):
        cell.report("done", seconds=seconds)
    folder = faker.runs / SUITE
    for _ in range(2):
        remember(folder, Forecast({key(cells[0]): 25.0}, frozenset(), {}, {}), cells, 2, 61.0)
    runs = json.loads((folder / "forecast.json").read_text())["runs"]
    assert len(runs) == 2
    assert (runs[0]["expected_seconds"], runs[0]["took_seconds"], runs[0]["at_a_time"]) == (25.0, 61.0, 2)
    (entry,) = runs[0]["entries"]
    assert (entry["expected_seconds"], entry["took_seconds"], entry["done"]) == (25.0, 40.0, 2)
    (folder / "forecast.json").write_text("not JSON")
    remember(folder, Forecast({}, frozenset(), {}, {}), cells, 2, 61.0)
    assert json.loads((folder / "forecast.json").read_text())["runs"][0]["expected_seconds"] is None


def test_three_steps_tell_the_time_and_leave_nothing_behind(bench: Bench) -> None:
    settings = ("points.epochs=4",)
    cell = bench.ready(*settings, only=("entry=points", "fold=0"))[0]
    place = probe_of(cell)
    place.folder.mkdir(parents=True)
    place.write()
    assert worker.work(place, "probe", 1) == 0, place.status()
    told = probed(cell)
    assert told is not None
    bench.fit_and_score(cell)
    took = cell.status().seconds
    assert 0.1 < told.seconds / took < 10, (told.seconds, took)  # the machine may be busy with other things
    assert told.memory > 2**26
    assert not list(place.folder.rglob("*.ckpt"))
    assert {path.name for path in place.folder.iterdir()} <= {"cell.json", "status.json", "cell.lock", "probe.json"}


def test_a_plan_tells_the_time_that_is_left(bench: Bench) -> None:
    text = show_plan(str(bench.file), [], [], bench.runs, None, jobs=2)
    assert "views: 2 cells, unknown until its input is extracted" in text
    cells = bench.ready()
    text = show_plan(str(bench.file), [], [], bench.runs, None, jobs=2)
    assert "points: 2 x " in text
    assert " from three steps, " in text
    assert text.splitlines()[-1].endswith("left, 2 at a time")
    for cell in cells:
        cell.report("done", seconds=30.0)
    assert show_plan(str(bench.file), [], [], bench.runs, None).endswith("nothing is left to train")
    cells[0].report("planned")
    text = show_plan(str(bench.file), [], [], bench.runs, None, probed=False)
    assert "views: 1 x 30 s as of finished cells" in text
