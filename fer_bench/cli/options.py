"""Options that several commands share, and how commands end."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from fer_bench.errors import FerBenchError, UnknownName

SuiteName = Annotated[str, typer.Argument(help="A suite's name (fer-bench list suites) or the path of a YAML file.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a setting: size=tiny, mit-tiny.size=small, trainer.max_epochs=3, seeds=[0,1]."),
]
Only = Annotated[
    list[str] | None, typer.Option("--only", help="Run a part: fold=0,fold=1,entry=pointnet2 (also protocol=, seed=).")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", envvar="FER_BENCH_DATA", help="Folder that holds one folder per dataset, named by its id."),
]
Jobs = Annotated[str, typer.Option("--jobs", help="Cells at a time, or auto: the machine's share.")]
DatasetName = Annotated[str, typer.Argument(help="A dataset's id (fer-bench list datasets).")]
Root = Annotated[Path | None, typer.Option("--root", help="The dataset's folder; else $FER_BENCH_DATA/ID or data/ID.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes.")]
Launcher = Annotated[str, typer.Option("--launcher", metavar="local|slurm", help="Where it runs.")]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        help="With --launcher slurm: a YAML file with its tasks' resources (partition, account, constraint, gpus, "
        "gres, time, warning, memory, cpus, pack, jobs, parallel, setup, options).",
    ),
]
Runs = Annotated[Path, typer.Option("--runs", envvar="FER_BENCH_RUNS", help="Folder of all runs.")]
Folds = Annotated[str | None, typer.Option("--folds", help="Only these folds, as in 0,1; then nothing is comparable.")]
RUNS = Path("runs")
TABLES = RUNS / "leaderboards"
"""Tables of one's own; those that are committed are written by `make leaderboards` alone."""


def check_launcher(launcher: str, profile: Path | None, detach: bool = False, shards: int | None = None) -> None:
    """Refuse options of Slurm without `--launcher slurm`."""
    if launcher not in ("local", "slurm"):
        raise UnknownName("launcher", launcher, ("local", "slurm"), "--launcher")
    for option, given in (("--profile", profile), ("--detach", detach), ("--shards", shards)):
        if given and launcher != "slurm":
            raise FerBenchError(f"{option} is for tasks of Slurm; give --launcher slurm with it.")


def stopped(what: str) -> NoReturn:
    """Exit after Ctrl-C, with a sentence on what was kept."""
    print(f"fer-bench: stopped; {what}.", file=sys.stderr)
    raise typer.Exit(130)
