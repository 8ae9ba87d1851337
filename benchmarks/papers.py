"""`make paper-<paper>`: run the suites of a paper, and write its page.

On the datasets of a folder the suites are run as they ship. Without one, on twins, with the smaller networks and
trainings that `leaderboards/twins.yaml` names; what these give is packed to `leaderboards/results/`, from which the
committed pages can be made again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from fer_bench.bench import registry
from fer_bench.bench.archive import unpack
from fer_bench.bench.published import papers, read_paper
from fer_bench.bench.suite import read_suite

SETTINGS = Path("leaderboards/twins.yaml")
RESULTS = Path("leaderboards/results")


def fer_bench(*arguments: object) -> int:
    """Run a command, show it, and return its exit code."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ fer-bench {' '.join(words)}", flush=True)
    return subprocess.run([sys.executable, "-m", "fer_bench", *words], check=False).returncode


def flat(settings: Iterable[Any]) -> Iterator[str]:
    """Settings of lists in lists, which YAML's anchors give."""
    for each in settings:
        if isinstance(each, list):
            yield from flat(each)
        else:
            yield str(each)


def settings() -> dict[str, Any]:
    """What `leaderboards/twins.yaml` says."""
    content: dict[str, Any] = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))
    return content


def run_on_twins(paper: str, twins: Path, common: list[str], chosen: list[str]) -> int:
    """Run a paper's suites on twins, which are made where they are missing; returns how many were not completed.

    Args:
        common: What all commands are told.
        chosen: Suites of the paper to run; all where none is named.
    """
    known = settings()
    plan = known["papers"][paper]
    short = [f"folds={plan['folds']}"] if "folds" in plan else []
    failed = 0
    for suite, told in plan["suites"].items():
        if chosen and suite not in chosen:
            continue
        file = registry.suites()[suite]
        protocols = read_suite(file, own := [*short, "trainer.accelerator=cpu", *flat(told)]).protocols
        for dataset in sorted({name for each in protocols for name in registry.find_protocol(each).datasets}):
            if not (twins / dataset / "twin.json").exists():
                options = [f"--{key}={value}" for key, value in known["twins"][dataset].items()]
                fer_bench("data", "twin", dataset, "--out", twins / dataset, *options)
        given = [word for setting in own for word in ("--set", setting)]
        # Twins have scans that cannot be read, as real copies do.
        failed += fer_bench("run", suite, "--data", twins, "--skip-broken", *given, *common) != 0
        fer_bench("pack", suite, *given, *common[:2], "--out", RESULTS)
    return failed


def run_on_datasets(paper: str, data: Path, common: list[str]) -> int:
    """Run a paper's suites as they ship; returns how many were not completed."""
    suites = dict.fromkeys(name for section in read_paper(paper).sections for name in section.suites)
    suites = [name for name in suites if not read_suite(registry.suites()[name]).predictions]
    return sum(fer_bench("run", suite, "--data", data, *common) != 0 for suite in suites)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("papers", nargs="+", choices=sorted(papers()), metavar="PAPER", help=", ".join(papers()))
    parser.add_argument("--data", type=Path, help="Folder of one folder a dataset; without it, twins are used.")
    parser.add_argument("--twins", type=Path, default=Path("data/paper_twins"), help="Where twins are, or are made.")
    parser.add_argument("--suite", action="append", default=[], help="On twins: run this one alone.")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("leaderboards"))
    parser.add_argument("--jobs", default="auto")
    parser.add_argument("--only-pages", action="store_true", help="Run nothing: write pages from packed results.")
    chosen = parser.parse_args()
    failed = 0
    for paper in chosen.papers:
        common = ["--runs", str(chosen.runs), "--out", str(chosen.out), "--jobs", chosen.jobs]
        folds = settings()["papers"][paper].get("folds", [])
        if chosen.only_pages:
            for path in sorted(RESULTS.glob(f"{paper}/*.zip")):
                unpack(path, chosen.runs)
        elif chosen.data:
            failed += run_on_datasets(paper, chosen.data, common)
            folds = []
        else:
            failed += run_on_twins(paper, chosen.twins, common, chosen.suite)
        few = ["--folds", ",".join(map(str, folds))] if folds else []
        failed += fer_bench("paper", paper, "--figures", *few, *common[:4]) != 0
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
