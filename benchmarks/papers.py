"""`make paper-<paper>`: run the suites of a paper, and write its page. `make leaderboards`: write all committed pages.

On the datasets of a folder the suites are run as they ship. Without one, on twins, with the smaller networks and
trainings that `leaderboards/twins.yaml` names, and packed. Tables go to `runs/leaderboards`. The committed pages are
written by `--pages` alone, from the packed results in `leaderboards/results/`, in a minute on any machine.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from fer_bench import registry
from fer_bench.cells.cell import Status
from fer_bench.commands import papers as paper_commands
from fer_bench.commands.tables import write_leaderboard
from fer_bench.leaderboard.archive import unpack
from fer_bench.papers.published import papers, read_paper
from fer_bench.records import write_json
from fer_bench.suites.reading import read_suite

SETTINGS = Path("leaderboards/twins.yaml")
RESULTS = Path("leaderboards/results")
PROCEDURAL = "procedural"
TIMED = ("mit/figure5",)  # they measure time: never two cells at once
AUTHORS = "ig3d/table7_from_authors_predictions"
PREDICTIONS = {"predictions.authors-cage": "cage_2d.csv", "predictions.authors-emoca": "emoca_3d.csv"}


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


def settings_of(plan: dict[str, Any], suite: str) -> list[str]:
    """With which settings a suite of a paper is run on twins."""
    few = [f"folds={plan['folds']}"] if "folds" in plan else []
    return [*few, "trainer.accelerator=cpu", *flat(plan["suites"][suite])]


def run_on_twins(paper: str, chosen: argparse.Namespace) -> int:
    """Run a paper's suites, or those that are chosen, on twins, which are made where they are missing; returns how many
    were not completed."""
    known = settings()
    plan, twins = known["papers"][paper], chosen.twins
    failed = 0
    for suite in plan["suites"]:
        if chosen.suite and suite not in chosen.suite:
            continue
        own = settings_of(plan, suite)
        protocols = read_suite(registry.suites()[suite], own).protocols
        for dataset in sorted({name for each in protocols for name in registry.find_protocol(each).datasets}):
            if not (twins / dataset / "twin.json").exists():
                options = [f"--{key}={value}" for key, value in known["twins"][dataset].items()]
                fer_bench("data", "twin", dataset, "--out", twins / dataset, *options)
        given = [word for setting in own for word in ("--set", setting)]
        parts = [
            word
            for key in ("stress", "only")
            for name in plan.get(key, {}).get(suite, [])
            for word in (f"--{key}", name)
        ]
        # Twins have scans that cannot be read, as real copies do.
        failed += run(suite, twins, chosen, "--skip-broken", *given, *parts)
        fer_bench("pack", suite, *given, "--runs", chosen.runs, "--out", chosen.packed)
    return failed


def run(suite: str, data: Path, chosen: argparse.Namespace, *options: str) -> int:
    """Run a suite; returns 1 if it was not completed."""
    jobs = 1 if suite in TIMED else chosen.jobs
    places = ("--runs", chosen.runs, "--out", chosen.out, "--jobs", jobs)
    return int(fer_bench("run", suite, "--data", data, *options, *places) != 0)


def run_on_datasets(paper: str, chosen: argparse.Namespace) -> int:
    """Run a paper's suites as they ship; returns how many were not completed."""
    suites = dict.fromkeys(name for section in read_paper(paper).sections for name in section.suites)
    stresses = settings()["papers"][paper].get("stress", {})
    return sum(
        run(name, chosen.data, chosen, *(word for stress in stresses.get(name, []) for word in ("--stress", stress)))
        for name in suites
        if not read_suite(registry.suites()[name]).predictions
    )


def write_page(paper: str, folds: list[int], runs: Path, out: Path, *options: str) -> int:
    """Write a paper's page of what is below `runs`, of these folds (all where none is named); returns 1 if it fails."""
    few = ["--folds", ",".join(map(str, folds))] if folds else []
    return int(fer_bench("paper", paper, *few, "--runs", runs, "--out", out, *options) != 0)


def withdraw(folder: Path, reason: str) -> None:
    """Make all cells below a folder skipped ones, for this reason: their results are of a recipe that was corrected."""
    for file in folder.rglob("cell.json"):
        for other in file.parent.iterdir():
            if other != file:
                shutil.rmtree(other) if other.is_dir() else other.unlink()
        write_json(file.parent / "status.json", asdict(Status("skipped", message=reason)))


def pages(out: Path, predictions: Path | None = None) -> None:
    """Write every committed page from the packed results.

    These lie by suite, in one folder a face that the twins were made of; the pages of the procedural face are those in
    `leaderboards` itself.

    Args:
        predictions: Folder of the two files that Ig3D's authors publish, which are not ours to pack; without it their
            rows are missing.
    """
    plans, withdrawn = settings()["papers"], settings()["withdrawn"]
    told = {suite: settings_of(plan, suite) for plan in plans.values() for suite in plan["suites"]}
    for folder in sorted(path for path in RESULTS.iterdir() if path.is_dir()):
        place = out if folder.name == PROCEDURAL else out / folder.name
        with tempfile.TemporaryDirectory() as name:
            runs = Path(name)
            packed = sorted(folder.rglob("*.zip"))
            for path in packed:
                unpack(path, runs)
                suite = path.relative_to(folder).with_suffix("").as_posix()
                if suite in withdrawn["suites"]:
                    withdraw(runs / suite, withdrawn["reason"])
            for path in packed:
                suite = path.relative_to(folder).with_suffix("").as_posix()
                write_leaderboard(suite, told.get(suite, []), runs, place)
            if folder.name != PROCEDURAL:
                continue
            if predictions is not None:
                given = [word for key, file in PREDICTIONS.items() for word in ("--set", f"{key}={predictions / file}")]
                fer_bench("run", AUTHORS, *given, "--runs", runs, "--out", place)
            folds = {paper: plan.get("folds") for paper, plan in plans.items()}
            for paper, few in folds.items():
                paper_commands.compare(paper, None, runs, place, True, False, few)
            paper_commands.claims(None, runs, place, folds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("papers", nargs="*", metavar="PAPER", help=", ".join(papers()))
    parser.add_argument("--pages", action="store_true", help="Run nothing: write all pages from packed results.")
    parser.add_argument("--predictions", type=Path, help="With --pages: folder of the files of Ig3D's authors.")
    parser.add_argument("--data", type=Path, help="Folder of one folder a dataset; without it, twins are used.")
    parser.add_argument("--twins", type=Path, default=Path("data/paper_twins"), help="Where twins are, or are made.")
    parser.add_argument("--suite", action="append", default=[], help="On twins: run this one alone.")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, help="Folder of tables; runs/leaderboards, or leaderboards with --pages.")
    parser.add_argument(
        "--packed",
        type=Path,
        default=Path("runs/packed"),
        help=f"On twins: pack results to this; {RESULTS / PROCEDURAL} to commit them.",
    )
    parser.add_argument("--jobs", default="auto")
    chosen = parser.parse_args()
    if chosen.pages:
        pages(chosen.out or Path("leaderboards"), chosen.predictions)
        return
    chosen.out = chosen.out or Path("runs/leaderboards")
    known = papers() if chosen.data else settings()["papers"]
    wrong = [f"{name} is not here" for name in chosen.papers if name not in known]
    if wrong or not chosen.papers:
        parser.error(f"{wrong[0] if wrong else 'name a paper'}: {', '.join(known)}; or --pages")
    failed = 0
    for paper in chosen.papers:
        if chosen.data:
            folds = []
            failed += run_on_datasets(paper, chosen)
        else:
            folds = known[paper].get("folds", [])
            failed += run_on_twins(paper, chosen)
        failed += write_page(paper, folds, chosen.runs, chosen.out, "--figures")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
