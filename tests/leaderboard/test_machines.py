from typing import Any

import pytest

from fer_bench import registry
from fer_bench.leaderboard import machines
from fer_bench.leaderboard.html.report import to_html
from fer_bench.leaderboard.pages.latex import to_latex
from fer_bench.leaderboard.pages.markdown_page import to_markdown
from fer_bench.leaderboard.row import Row
from fer_bench.leaderboard.rows import collect
from fer_bench.records import write_json
from fer_bench.suites.reading import read_suite
from tests.faked_cells import Faker

NAME, PROTOCOL = "drfer/table1", "bu3dfe-drfer60-cv10@1"
SUITE = read_suite(registry.suites()[NAME], ["folds=[0,1,2,3]"])


def run(stage: str, cpu: str, gpus: tuple[str, ...] = (), completed: bool = True) -> dict[str, Any]:
    return {"stage": stage, "completed": completed, "hardware": {"cpu": cpu, "cores": 4, "gpus": list(gpus)}}


def rows(faker: Faker, *manifests: Any) -> list[Row]:
    """Of one entry, a fold a manifest."""
    for fold, manifest in enumerate(manifests):
        cell = faker.cell(NAME, PROTOCOL, "drfer", fold=fold)
        if manifest is not None:
            write_json(cell.folder / "manifest.json", manifest)
    return collect(NAME, SUITE, faker.runs)


def test_every_kind_of_machine_is_told_once(faker: Faker) -> None:
    one = {"runs": [run("fit", "Fast", ("H200", "H200")), run("fit", "Slow", completed=False), run("score", "Other")]}
    again = {"runs": [run("fit", "Fast", ("H200", "H200"))]}
    assert machines.trained_on(rows(faker, one, again, {"runs": [run("fit", "Old")]})) == (
        "Fast, 4 cores, 2 x H200; Old, 4 cores"
    )


def test_what_is_not_known_is_not_told(faker: Faker) -> None:
    damaged = {"runs": [{"stage": "fit", "completed": True, "hardware": "none"}]}
    assert machines.trained_on(rows(faker, None, damaged, {}, {"runs": [run("score", "Other")]})) == ""


def test_manifests_of_very_many_cells_are_not_read(faker: Faker, monkeypatch: pytest.MonkeyPatch) -> None:
    found = rows(faker, *[{"runs": [run("fit", "Fast")]}] * 3)
    assert machines.trained_on(found)
    monkeypatch.setattr(machines, "DETAILED", 2)
    assert not machines.trained_on(found)


def test_every_page_names_them_as_text(faker: Faker) -> None:
    found = rows(faker, *[{"runs": [run("fit", "<b>Fast_1|2</b>")]}] * 3)
    message = "Trained on {}, 4 cores."
    assert message.format("&lt;b>Fast_1\\|2&lt;/b>") in to_markdown(NAME, SUITE, found)
    assert message.format("&lt;b&gt;Fast_1|2&lt;/b&gt;") in to_html(NAME, SUITE, found, {}, faker.runs)
    assert "Fast\\_1" in to_latex(NAME, SUITE, found)
