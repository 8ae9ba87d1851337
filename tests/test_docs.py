"""The README and the guides: what they show runs, what they name is there, and pages that are made are not stale."""

import re
import shlex
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from fer_bench import __version__
from fer_bench.cards import pages
from fer_bench.cli.main import app
from fer_bench.markdown import anchor

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
BY_HAND = [page for page in PAGES if pages.MADE not in page.read_text(encoding="utf-8").partition("\n")[0]]


def blocks(page: Path, kind: str) -> list[str]:
    """The code blocks of a page, of a language; the empty one for commands."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [code for language, code in found if language == kind]


def commands() -> Iterator[tuple[str, str]]:
    """(page, line) of every `fer-bench` in a block of commands."""
    for page in BY_HAND:
        for block in blocks(page, ""):
            for line in block.replace("\\\n", " ").splitlines():
                if "fer-bench " in line:
                    yield page.name, line[line.index("fer-bench ") :]


COMMANDS = sorted(set(commands()))


def found(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words begin with, and the words after it."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name, *words = words
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    return command, words


def test_there_are_commands_to_look_at() -> None:
    assert len(COMMANDS) > 20
    assert found(["data", "check", "bu3dfe", "--root", "x"])[1] == ["bu3dfe", "--root", "x"]
    with pytest.raises(AssertionError, match="no command chek"):
        found(["data", "chek"])
    assert len(BY_HAND) >= 6


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_that_is_shown_parses(page: str, line: str) -> None:
    command, words = found(shlex.split(line, comments=True)[1:])
    if command is not None:
        with command.make_context(line, words):
            pass


@pytest.mark.parametrize("page", BY_HAND, ids=lambda page: page.name)
def test_a_command_that_is_mentioned_exists(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`(fer-bench [^`]+)`", text):
        command, words = found([word.strip("`,") for word in code.split()[1:]])
        options = {option for p in command.params for option in p.opts}
        for word in words:
            assert not word.startswith("-") or word in options, f"{code}: no {word}"


def test_make_targets_that_are_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {name for page in BY_HAND for name in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))}
    assert len(named) > 3
    rules = {name.replace("%", "[a-z_-]+") for name in re.findall(r"^([a-z%-]+):", makefile, re.MULTILINE)}
    assert not {name for name in named if not any(re.fullmatch(rule, name) for rule in rules)}


def headings(page: Path) -> set[str]:
    return {anchor(line.lstrip("# ")) for line in page.read_text(encoding="utf-8").splitlines() if line[:1] == "#"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        name, _, place = target.partition("#")
        assert ":" not in name, "an address is no part of a page"
        file = (page.parent / name).resolve() if name else page
        assert file.is_file(), target
        if place and file.suffix == ".md":
            assert place in headings(file), target


def test_the_dataset_of_the_guide_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
    reader, questions = blocks(ROOT / "docs" / "extending.md", "python")
    root = tmp_path / "studio"
    for number in range(1, 11):
        folder = root / f"S{number:02d}"
        folder.mkdir(parents=True)
        for label in ("anger", "disgust", "fear", "happy", "sad", "surprise"):
            (folder / f"{label}.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
        (folder / "notes.txt").write_text("")
    module = types.ModuleType("fer_bench.data.studio")
    module.__file__ = str(tmp_path / "studio.py")
    Path(module.__file__).write_text(reader)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(reader, module.__file__, "exec"), module.__dict__)
    index = module.Studio.index(root)
    assert len(index) == 60
    assert module.Studio.load(root, index["files"][0]).vertices.shape == (3, 3)
    asked: dict[str, object] = {}
    exec(questions, asked)
    (protocol,) = asked["PROTOCOLS"]  # type: ignore[misc]
    folds = protocol.folds(index)
    assert len(folds) == 10
    assert sorted(i for fold in folds for i in fold.test) == index["id"].tolist()


def test_the_citation_file_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert cited["version"] == __version__
    assert cited["license"] == "Apache-2.0"


def test_what_make_docs_writes_is_not_stale(same_picture: Callable[[Path, Path], bool], tmp_path: Path) -> None:
    def call(*boards: Path) -> subprocess.CompletedProcess[str]:
        pictures = [f"--picture={board}" for board in boards]
        command = [sys.executable, "-m", "fer_bench", "cards", "--out", str(tmp_path), *pictures]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    wrong = call(README)
    assert wrong.returncode == 2
    assert "README.md: " in wrong.stderr
    assert not list(tmp_path.iterdir())
    for guide in BY_HAND:
        if guide != README:
            shutil.copy(guide, tmp_path)  # the index names them
    drawn = call(*(ROOT / "leaderboards" / name for name in ("quickstart.csv",)))
    assert drawn.returncode == 0, drawn.stderr
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*") if path.is_file()}, (
        "make docs"
    )
    for name in made:
        if name.suffix == ".md":
            texts = [(folder / name).read_text(encoding="utf-8") for folder in (tmp_path, ROOT / "docs")]
            assert texts[0] == texts[1], f"docs/{name} is stale: make docs"
        else:
            assert same_picture(tmp_path / name, ROOT / "docs" / name), f"docs/{name} is stale: make docs"


def test_the_workflow_runs_every_part_of_ci() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["part"]["strategy"]["matrix"]
    (default,) = re.findall(r"^ *set -- (.+)$", script, re.MULTILINE)
    assert matrix["part"] == default.split()
    assert set(default.split()) <= set(re.findall(r"^(\w+)\(\)", script, re.MULTILINE))
    assert matrix["python"] == ["3.11", "3.13"]


def test_pre_commit_runs_what_make_lint_runs() -> None:
    content = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook["entry"].removeprefix(".venv/bin/") for repo in content["repos"] for hook in repo["hooks"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rule = makefile.partition("\nlint:")[2].partition("\n\n")[0]
    commands = [line.strip().removeprefix("$(BIN)/") for line in rule.splitlines()[1:]]
    assert [command.removesuffix(" fer_bench tests benchmarks") for command in commands] == hooks
