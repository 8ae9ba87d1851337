"""What `make paper-<paper>` would run, without running it."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from fer_bench import registry
from fer_bench.cells.cell import Cell
from fer_bench.leaderboard.archive import unpack
from fer_bench.papers.published import papers as known_papers
from fer_bench.papers.published import read_paper
from fer_bench.suites.arguments import resolve_arguments
from fer_bench.suites.reading import read_suite


@pytest.fixture
def called(papers: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would be run; they all end well."""
    commands: list[list[str]] = []

    def record(*arguments: object) -> int:
        commands.append([str(argument) for argument in arguments])
        return 0

    monkeypatch.setattr(papers, "fer_bench", record)
    return commands


def test_what_is_run_on_twins_are_suites_and_settings_that_there_are(papers: ModuleType) -> None:
    known = papers.settings()
    assert set(known["papers"]) == set(known_papers())
    for paper, plan in known["papers"].items():
        for name in plan["suites"]:
            suite = read_suite(registry.suites()[name], papers.settings_of(plan, name))
            assert name in {each for section in read_paper(paper).sections for each in section.suites}
            for protocol in suite.protocols:
                assert set(registry.find_protocol(protocol).datasets) <= set(known["twins"])


def test_what_is_packed_was_run_as_twins_are_run(papers: ModuleType, tmp_path: Path) -> None:
    """Who runs the settings that are committed comes to the results that are."""
    told = {
        name: papers.settings_of(plan, name) for plan in papers.settings()["papers"].values() for name in plan["suites"]
    }
    checked = set(papers.settings()["withdrawn"]["suites"])  # of these nothing is shown
    for packed in sorted((papers.RESULTS / papers.PROCEDURAL).rglob("*.zip")):
        name = packed.relative_to(papers.RESULTS / papers.PROCEDURAL).with_suffix("").as_posix()
        if name in checked:
            continue
        suite = read_suite(registry.suites()[name], told.get(name, []))
        unpack(packed, tmp_path)
        for file in sorted((tmp_path / name).rglob("cell.json")):
            cell = Cell.read(file.parent)
            if cell.entry in suite.fusions:
                arguments = suite.fusions[cell.entry].model_dump()
            else:
                _, arguments = resolve_arguments(cell.entry, suite.methods[cell.entry], name)
            asked = replace(cell, arguments=arguments, trainer=suite.trainer_of(cell.entry).model_dump())
            assert not asked.differences(cell), f"{cell.id}: run it anew, or say in {papers.SETTINGS} how it was run"
            checked.add(name)
    assert checked > set(told)


def test_twins_are_made_once_and_every_suite_is_run_and_packed(
    papers: ModuleType, called: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["papers.py", "drfer", "--twins", str(tmp_path), "--runs", "mine"])
    (tmp_path / "bosphorus").mkdir()
    (tmp_path / "bosphorus" / "twin.json").write_text("{}")
    with pytest.raises(SystemExit) as ended:
        papers.main()
    assert ended.value.code == 0
    told = [" ".join(command) for command in called]
    assert [words.split()[0] for words in told] == [
        "data",
        "run",
        "pack",
        "run",
        "pack",
        "data",
        "run",
        "pack",
        "paper",
    ]
    assert told[0] == f"data twin bu3dfe --out {tmp_path}/bu3dfe --subjects=60"
    assert "drfer/table1" in told[1] and "--set drfer.epochs=[30,10,5]" in told[1] and "--set folds=[0]" in told[1]
    assert "--stress rotation" in told[1] and "--stress" not in told[3]
    assert told[2].startswith("pack drfer/table1 --set") and "--runs mine" in told[2]
    assert told[2].endswith("--out runs/packed")
    assert told[-1] == "paper drfer --folds 0 --runs mine --out runs/leaderboards --figures"


def test_what_is_too_much_for_twins_is_left_out(
    papers: ModuleType, called: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["papers.py", "mit", "--twins", str(tmp_path)])
    with pytest.raises(SystemExit):
        papers.main()
    only = {
        " ".join(words).split()[1]: "--only entry=mit-tiny" in " ".join(words) for words in called if words[0] == "run"
    }
    assert only == {"mit/table1": True, "mit/table2": True, "mit/figure4": False, "mit/figure5": False}


@pytest.mark.parametrize("data", [[], ["--data", "/licensed"]])
def test_what_measures_time_is_run_one_at_a_time(
    papers: ModuleType, called: list[list[str]], data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["papers.py", "mit", "--jobs", "4", "--twins", str(tmp_path), *data])
    with pytest.raises(SystemExit):
        papers.main()
    jobs = {words[1]: words[words.index("--jobs") + 1] for words in called if words[0] == "run"}
    assert jobs["mit/figure5"] == "1" and jobs["mit/table1"] == "4"


def test_on_datasets_suites_are_run_as_they_ship(
    papers: ModuleType, called: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["papers.py", "ig3d", "--data", "/licensed"])
    with pytest.raises(SystemExit):
        papers.main()
    told = [" ".join(command) for command in called]
    assert not any("--set" in words or "twin" in words or words.startswith("pack") for words in told)
    assert {words.split()[1] for words in told[:-1]} == {f"ig3d/table{number}" for number in (2, 3, 4, 5, 7)}
    assert told[-1] == "paper ig3d --runs runs --out runs/leaderboards --figures"


def test_a_suite_that_fails_leaves_the_others_to_run(
    papers: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[str] = []

    def fail(*arguments: object) -> int:
        ran.append(str(arguments[0]))
        return int(arguments[:2] == ("run", "drfer/table1"))

    monkeypatch.setattr(papers, "fer_bench", fail)
    monkeypatch.setattr(sys, "argv", ["papers.py", "drfer", "--twins", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        papers.main()
    assert ended.value.code == 1
    assert ran.count("run") == 3 and ran[-1] == "paper"


@pytest.mark.parametrize("arguments", [[], ["nothing"]])
def test_who_names_no_paper_is_told_which_there_are(
    papers: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["papers.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        papers.main()
    assert ended.value.code == 2
    assert "facet_vlm, drfer" in capsys.readouterr().err
