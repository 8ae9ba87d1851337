"""The commands `fer-bench protocol`."""

from pathlib import Path
from typing import Annotated

import typer

protocol_app = typer.Typer(help="Show and compare protocols.", no_args_is_help=True, rich_markup_mode=None)

_WHAT = "A folder with cells, a protocol's id, or the digest of a question."


@protocol_app.callback()
def protocol() -> None:
    """Show and compare protocols."""


@protocol_app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=_WHAT)],
    b: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    runs: Annotated[
        Path, typer.Option("--runs", envvar="FER_BENCH_RUNS", help="Folder of all runs, in which digests are sought.")
    ] = Path("runs"),
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data", help="Folder that holds one folder per dataset, for protocol ids; twice: A's, and then B's."
        ),
    ] = None,
) -> None:
    """Print how two protocol snapshots differ: classes, data, subjects, samples, labels, folds.

    Results are ranked together only if the digests of their questions are equal. Exit code 0: they are; 1: they are
    not; 2: one of them is missing or unknown.
    """
    from fer_bench.cells import snapshots

    same, told = snapshots.compare(a, b, runs, data or [])
    print(told)
    raise typer.Exit(0 if same else 1)
