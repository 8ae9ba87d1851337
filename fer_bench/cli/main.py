"""The commands on suites. Parses arguments; each command imports what it needs, so that `--help` is fast."""

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from fer_bench import __version__
from fer_bench.cli.data import data_app
from fer_bench.cli.models import models_app
from fer_bench.cli.options import (
    RUNS,
    TABLES,
    Data,
    Jobs,
    Launcher,
    Only,
    Profile,
    Runs,
    Set,
    SuiteName,
    check_launcher,
    stopped,
)
from fer_bench.cli.papers import claims, paper
from fer_bench.cli.protocol import protocol_app
from fer_bench.cli.results import cards, evaluate, fuse, leaderboard, pack, unpack
from fer_bench.errors import FerBenchError, UnknownName, sentence_of

app = typer.Typer(
    name="fer-bench",
    help="A benchmark suite for 3D, 4D and 2D facial expression recognition.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data")
app.command()(paper)
app.command()(claims)
app.add_typer(models_app)
app.add_typer(protocol_app, name="protocol")


def main() -> None:
    """Run the command line; a user's mistake ends in one sentence and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without a character shows its code
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if (message := sentence_of(error)) is None:
            raise
        print(f"fer-bench: {message}", file=sys.stderr)
        sys.exit(2)
    except FerBenchError as error:
        print(f"fer-bench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    if show:
        print(__version__)
        raise typer.Exit


@app.command("list")
def list_(
    kind: Annotated[
        str, typer.Argument(metavar="methods|datasets|protocols|suites|papers|faults", help="What to list.")
    ],
    name: Annotated[str | None, typer.Argument(help="One of them: print all that is known of it.")] = None,
) -> None:
    """List components, or describe one of them."""
    from fer_bench.cards import describe

    print(describe.listing(kind, name))


@app.command()
def plan(
    suite: SuiteName,
    settings: Set = None,
    only: Only = None,
    runs: Runs = RUNS,
    data: Data = None,
    jobs: Jobs = "auto",
    probe: Annotated[
        bool,
        typer.Option("--probe/--no-probe", help="Train three steps of entries without a known time, to estimate it."),
    ] = True,
) -> None:
    """Show every cell, what is skipped and why, and the time and memory that the rest will take."""
    from fer_bench.commands.plan import show_plan

    try:
        print(show_plan(suite, settings or [], only or [], runs, data, _jobs(jobs), probe))
    except KeyboardInterrupt:
        stopped("nothing was kept of it")


@app.command()
def run(
    suite: SuiteName,
    settings: Set = None,
    only: Only = None,
    runs: Runs = RUNS,
    data: Data = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write the leaderboard to.")] = TABLES,
    jobs: Jobs = "auto",
    retry: Annotated[str, typer.Option("--retry", help="Run these again: failed,oom,timeout.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete results of these cells first.")] = False,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out scans that cannot be read.")] = False,
    time_limit: Annotated[
        float | None,
        typer.Option("--time-limit", min=0.1, help="Minutes that a cell may take; then it is stopped: timeout."),
    ] = None,
    launcher: Launcher = "local",
    profile: Profile = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="With --launcher slurm: hand the cells over, and do not wait for them.")
    ] = False,
    stress: Annotated[
        list[str] | None,
        typer.Option(
            "--stress",
            help="Then put the 3D methods through the stress deck: rotation,noise,holes,decimation, any of them.",
        ),
    ] = None,
) -> None:
    """Run a suite: prepare its data, train and score every cell that is not done, write the leaderboard.

    Stop it at any time and run it again: finished cells are kept, interrupted ones continue. With --launcher slurm
    cells are tasks of a cluster: Ctrl-C leaves them there, and the same command follows them again. With --stress the
    test scans of finished cells are perturbed in five severities and predicted again; accuracy against severity goes
    to SUITE-stress-NAME.csv, .md and .png beside the leaderboard.
    """
    from fer_bench.commands.options import RunOptions
    from fer_bench.commands.run import run as run_suite
    from fer_bench.records import refuse_unwritable

    retry_states = [state for state in retry.split(",") if state]
    for state in retry_states:
        if state not in ("failed", "oom", "timeout"):
            raise UnknownName("state", state, ("failed", "oom", "timeout"), "--retry")
    check_launcher(launcher, profile, detach)
    for folder in (runs, out):  # before hours of training
        refuse_unwritable(folder)
    options = RunOptions(
        _jobs(jobs),
        retry_states,
        overwrite,
        skip_broken,
        None if time_limit is None else 60 * time_limit,
        launcher,  # type: ignore[arg-type]
        profile,
        detach,
    )
    try:
        complete = run_suite(suite, settings or [], only or [], runs, data, out, options, stress or [])
    except KeyboardInterrupt:
        kept = "what Slurm has stays with it (scancel ends it), " if launcher == "slurm" else ""
        stopped(f"{kept}run `fer-bench run {suite}{' --launcher slurm' if kept else ''}` again to continue")
    raise typer.Exit(0 if complete else 1)


def _jobs(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise FerBenchError(f"--jobs {text}: give a number of cells, from 1 on, or auto.")
    return int(text)


@app.command()
def status(suite: SuiteName, settings: Set = None, runs: Runs = RUNS) -> None:
    """Show the state of every cell of a suite."""
    from fer_bench.commands.status import show_status

    print(show_status(suite, settings or [], runs))


@app.command()
def repeat(
    cell: Annotated[Path, typer.Argument(metavar="CELL", help="The folder of a finished cell.")],
    times: Annotated[int, typer.Option("--times", min=1, help="How often.")] = 1,
) -> None:
    """Train and score a finished cell again, and check whether it gives the same predictions.

    It runs in a temporary folder with the same number of threads. Exit code 0: every bit is the same; 1: something
    differs, and the differences in code, versions and hardware are printed.
    """
    from fer_bench.launch.repeat import repeat as run_again

    try:
        same = run_again(cell, times)
    except KeyboardInterrupt:
        stopped(f"nothing was kept, and {cell} is as it was")
    raise typer.Exit(0 if same else 1)


for command in (leaderboard, pack, unpack, cards, evaluate, fuse):
    app.command()(command)
