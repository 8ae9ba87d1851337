"""The command line as a user meets it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from fer_bench.cli.main import app, main

HEAVY = ("torch", "lightning", "pandas", "numpy", "numba", "matplotlib")


def call(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fer_bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False)


Here = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Call the command line in this process and an empty folder; gives the exit code, stdout and stderr.

    A process of its own would take seconds, nearly all of them to import torch.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FER_BENCH_DATA", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fer-bench", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run


def python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_help_is_light_and_names_every_command() -> None:
    script = "import sys, fer_bench.cli.main\ntry: fer_bench.cli.main.main()\n"
    script += f"finally: print([m for m in {HEAVY} if m in sys.modules])"
    for arguments in (["--help"], ["run", "--help"], ["data", "twin", "--help"]):
        done = python(script, *arguments)
        assert done.stdout.rstrip().endswith("[]"), arguments
    text = call("--help").stdout + call("data", "--help").stdout
    commands = (
        "list",
        "plan",
        "run",
        "status",
        "repeat",
        "leaderboard",
        "paper",
        "claims",
        "evaluate",
        "predict",
        "export",
        "check",
        "twin",
        "prepare",
    )
    for command in commands:
        assert f"\n  {command} " in text


def test_lists_need_no_torch() -> None:
    script = "import sys\nfrom fer_bench.cards.describe import listing\n"
    script += "kinds = 'methods', 'datasets', 'protocols', 'papers', 'faults'\n"
    script += "[listing(kind) for kind in kinds]; print('torch' in sys.modules)"
    assert python(script).stdout == "False\n"


def test_a_leaderboard_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    arguments = ["leaderboard", "quickstart", "--runs", str(tmp_path / "none"), "--out", str(tmp_path)]
    script = f"import sys; sys.argv = ['fer-bench', *{arguments}]\nimport fer_bench.cli.main\n"
    script += "try: fer_bench.cli.main.main()\n"
    script += "finally: print([m for m in ('torch', 'numba', 'matplotlib') if m in sys.modules])"
    done = python(script)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]") and (tmp_path / "quickstart.html").exists()


def test_a_misspelt_paper_needs_no_torch() -> None:
    for arguments in (["paper", "mti"], ["paper", "mit", "IV"], ["claims", "mti"]):
        script = f"import sys; sys.argv = ['fer-bench', *{arguments}]\nimport fer_bench.cli.main\n"
        script += "try: fer_bench.cli.main.main()\nfinally: print('torch' in sys.modules)"
        done = python(script)
        assert (done.returncode, done.stdout) == (2, "False\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "quickstrat"], "unknown suite 'quickstrat'; did you mean 'quickstart'"),
        (["run", "quickstart", "--data", "nowhere"], "nowhere/bu3dfe: there is no such folder"),
        (["run", "quickstart", "--retry", "fail"], "--retry: unknown state 'fail'; did you mean 'failed'"),
        (["run", "quickstart", "--launcher", "slum"], "--launcher: unknown launcher 'slum'; did you mean 'slurm'"),
        (["run", "quickstart", "--detach"], "--detach is for tasks of Slurm; give --launcher slurm with it"),
        (["run", "quickstart", "--profile", "p.yaml"], "--profile is for tasks of Slurm"),
        (["run", "quickstart", "--launcher", "slurm", "--profile", "none.yaml"], "none.yaml: cannot be read (No such"),
        (["data", "prepare", "bu3dfe", "--detach"], "--detach is for tasks of Slurm"),
        (["plan", "quickstart", "--set", "epoch=1"], "unknown key 'epoch'; did you mean"),
        (["list", "method"], "unknown kind 'method'; did you mean 'methods'"),
        (["list", "datasets", "bu3df"], "unknown dataset 'bu3df'; did you mean 'bu3dfe'"),
        (["paper", "facetvlm"], "unknown paper 'facetvlm'; did you mean 'facet_vlm'"),
        (["evaluate", "none.csv", "--task", "valence_arousal"], "none.csv"),
        (["evaluate", "none.csv"], "needs either --task"),
        (["data", "check", "bu3dfe", "--root", "nowhere"], "nowhere: there is no such folder"),
        (["data", "check", "bosphrus"], "unknown dataset 'bosphrus'"),
        (["data", "check", "bu3dfe", "--cache", "--root", "."], "wherever it is; leave --root out"),
        (["data", "twin", "bu3dfe", "--out", "x", "--face-model", "none.npz"], "none.npz"),
        (["data", "prepare", "bu3dfe", "--representation", "view"], "unknown representation 'view'; did you mean"),
        (["data", "prepare", "bu3dfe", "--representation", "points:count=abc"], "a value is of the wrong kind"),
        (["data", "twin", "coma", "--out", "x", "--preview", "y.txt"], "y.txt: is not the name of an image"),
        (["protocol", "diff", "bu3dfe-s1", "bu3dfe-s1-cv10@1"], "unknown protocol 'bu3dfe-s1'; did you mean"),
        (["protocol", "diff", "runs/no", "bu3dfe-s1"], "runs/no: there is no such folder; give a cell's, a protocol's"),
        (["data", "check", "bu3dfe", "--root", __file__], "is a file; --root takes the folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_two(call_here: Here, arguments: list[str], says: str) -> None:
    code, _, told = call_here(*arguments)
    assert code == 2
    assert says in told
    assert told.startswith("fer-bench: ")
    assert told.count("\n") == 1
    assert list(Path().iterdir()) == [], "nothing is left behind"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "quickstart", "--out", "file"], "file: there is a file where a folder is needed"),
        (["run", "quickstart", "--runs", "file/runs"], "file: there is a file where a folder is needed"),
        (["run", "quickstart", "--out", "/proc/x"], "/proc/x: cannot be read or written (No such file or directory)"),
        (["leaderboard", "quickstart", "--runs", "empty", "--out", "file"], "file: there is a file where a folder is"),
        (["leaderboard", "quickstart", "--runs", "file"], "file: there is no such folder; name the folder of all runs"),
        (["leaderboard", "quickstart", "--runs", "none"], "none: there is no such folder; name the folder of all runs"),
        (["data", "twin", "bu3dfe", "--out", "x", "--preview", "file/x.png"], "file: there is a file where a folder"),
        (["data", "twin", "bu3dfe", "--out", "x", "--face-model", "/dev/zero"], "it is not a regular file"),
        (["data", "prepare", "bu3dfe", "--shards", "2"], "--shards is for tasks of Slurm; give --launcher slurm"),
        (["pack", "quickstart"], "none of 6 cells below runs/quickstart is done"),
        (["plan", "mine.yaml"], "mine.yaml: there is no such file; name a suite's YAML file"),
        (["plan", "empty.yaml"], "empty.yaml: is a folder; name a suite's YAML file"),
    ],
)
def test_what_is_in_the_way_is_told_before_anything_is_made(call_here: Here, arguments: list[str], says: str) -> None:
    Path("file").touch()
    Path("empty").mkdir()
    Path("empty.yaml").mkdir()
    code, _, told = call_here(*arguments)
    assert code == 2
    assert says in told
    assert told.startswith("fer-bench: ")
    assert told.count("\n") == 1
    assert sorted(path.name for path in Path().rglob("*")) == ["empty", "empty.yaml", "file"]


def test_a_process_ends_as_a_call_does(tmp_path: Path) -> None:
    done = call("data", "check", "bosphrus", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "fer-bench: unknown dataset 'bosphrus'; did you mean 'bosphorus'?\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["fly"],
        ["data", "twin", "bu3dfe"],
        ["data", "twin", "bu3dfe", "--out", "x", "--subjects", "0"],
    ],
)
def test_wrong_usage_is_exit_code_two(call_here: Here, arguments: list[str]) -> None:
    code, _, told = call_here(*arguments)
    assert code == 2
    assert "Usage" in told
    assert "Error" in told


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["list", "nothing"], 2), (["run", "nobodys"], 2)])
def test_a_process_ends_at_once_but_asks_who_wants_to_be_asked(arguments: list[str], code: int) -> None:
    script = f"""
import atexit, sys
import fer_bench.__main__ as command
class Left:
    def __del__(self):
        print("taken down")
left = Left()
left.itself = left
main = command.main
def asking():
    atexit.register(print, "asked")  # as what the commands import does
    main()
command.main = asking
sys.argv = ["fer-bench", *{arguments}]
command.script()
"""
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, env=plain)
    assert done.returncode == code
    assert done.stdout.endswith("asked\n"), "nor is anything left unwritten"
    assert bool(done.stderr) == bool(code)


def test_what_nobody_foresaw_is_told_in_full() -> None:
    script = "import fer_bench.__main__ as m\ndef main(): raise RuntimeError('why')\nm.main = main\nm.script()"
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("RuntimeError: why\n")


def leaves(command: Any, path: str = "fer-bench") -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from leaves(below, f"{path} {name}")
    else:
        yield path, command


def test_by_default_a_command_writes_below_runs_which_git_ignores() -> None:
    """The committed tables are compared with the packed results by other tests; using the suite must not change them.
    `cards` writes committed pages on purpose: it is what `make docs` runs."""
    outs = {
        name: parameter.default
        for name, command in leaves(typer.main.get_command(app))
        for parameter in command.params
        if parameter.name == "out" and parameter.default is not None and name != "fer-bench cards"
    }
    assert len(outs) >= 5
    assert {name: Path(out).parts[0] for name, out in outs.items()} == dict.fromkeys(outs, "runs")
    root = Path(__file__).parents[2]
    assert "/runs/" in (root / ".gitignore").read_text().splitlines()
