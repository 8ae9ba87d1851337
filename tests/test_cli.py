"""The command line as a user meets it: in processes of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "lightning", "pandas", "numpy", "numba", "matplotlib")


def call(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fer_bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False)


def python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_help_is_light_and_names_every_command() -> None:
    script = "import sys, fer_bench.cli\ntry: fer_bench.cli.main()\n"
    script += f"finally: print([m for m in {HEAVY} if m in sys.modules])"
    for arguments in (["--help"], ["run", "--help"], ["data", "twin", "--help"]):
        done = python(script, *arguments)
        assert done.stdout.rstrip().endswith("[]"), arguments
    text = call("--help").stdout + call("data", "--help").stdout
    for command in ("list", "plan", "run", "status", "leaderboard", "evaluate", "check", "twin", "prepare"):
        assert f"\n  {command} " in text


def test_lists_need_no_torch() -> None:
    script = "import sys\nfrom fer_bench.bench.describe import listing\n"
    script += "[listing(k) for k in ('methods', 'datasets', 'protocols')]; print('torch' in sys.modules)"
    assert python(script).stdout == "False\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "quickstrat"], "unknown suite 'quickstrat'; did you mean 'quickstart'"),
        (["run", "quickstart", "--data", "nowhere"], "nowhere/bu3dfe: there is no such folder"),
        (["run", "quickstart", "--retry", "fail"], "--retry: unknown state 'fail'; did you mean 'failed'"),
        (["plan", "quickstart", "--set", "epoch=1"], "unknown key 'epoch'; did you mean"),
        (["list", "method"], "unknown kind 'method'; did you mean 'methods'"),
        (["list", "datasets", "bu3df"], "unknown dataset 'bu3df'; did you mean 'bu3dfe'"),
        (["evaluate", "none.csv", "--task", "valence_arousal"], "none.csv"),
        (["evaluate", "none.csv"], "needs either --task"),
        (["data", "check", "bu3dfe", "--root", "nowhere"], "nowhere: there is no such folder"),
        (["data", "check", "bosphrus"], "unknown dataset 'bosphrus'"),
        (["data", "twin", "bu3dfe", "--out", "x", "--face-model", "none.npz"], "none.npz"),
        (["data", "prepare", "bu3dfe", "--representation", "view"], "unknown representation 'view'; did you mean"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_two(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done
    assert says in done.stderr
    assert done.stderr.startswith("fer-bench: ")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_wrong_usage_is_exit_code_two(tmp_path: Path) -> None:
    for arguments in (
        ["run"],
        ["fly"],
        ["data", "twin", "bu3dfe"],
        ["data", "twin", "bu3dfe", "--out", "x", "--subjects", "0"],
    ):
        done = call(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert "Usage" in done.stderr or "Error" in done.stderr
