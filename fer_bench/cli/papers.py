"""The commands about papers. Parses, nothing else; `fer_bench.cli.main` has the others."""

from pathlib import Path
from typing import Annotated

import typer

from fer_bench.cli.options import RUNS, TABLES, Folds, Runs
from fer_bench.errors import FerBenchError


def paper(
    name: Annotated[str, typer.Argument(metavar="PAPER", help="A paper's id (fer-bench list papers).")],
    table: Annotated[
        str | None, typer.Argument(help="Show one of its tables: II, 'Fig. 3' or figure3. The files hold them all.")
    ] = None,
    runs: Runs = RUNS,
    out: Annotated[Path, typer.Option("--out", help="Folder to write papers/PAPER.md and .csv to.")] = TABLES,
    figures: Annotated[bool, typer.Option("--figures", help="Also draw its figures, to papers/figures/.")] = False,
    meshes: Annotated[
        bool,
        typer.Option("--meshes", help="Also write its best, median and worst faces as .ply, to papers/meshes/."),
    ] = False,
    folds: Folds = None,
) -> None:
    """Put what a paper prints beside what was measured, with a verdict on each of its own values.

    match: the published value lies within the 95 % interval of the measured one; below, above: it does not; not
    comparable: measured on other data or in another way (a twin, fewer epochs, other weights), or printed so (a single
    split, selection on the test set). Also writes the paper's claims, answered, and papers/faults.md.
    """
    from fer_bench.commands import papers

    papers.compare(name, table, runs, out, figures, meshes, _folds(folds))


def claims(
    name: Annotated[
        str | None, typer.Argument(metavar="PAPER", help="Show those of one paper. The files hold them all.")
    ] = None,
    runs: Runs = RUNS,
    out: Annotated[Path, typer.Option("--out", help="Folder to write claims.md and claims.csv to.")] = TABLES,
    folds: Folds = None,
) -> None:
    """Answer what papers claim in words by what was measured.

    holds: the 95 % interval of the difference, paired by sample, lies on the claimed side of 0; fails: on the other;
    unresolved: it holds 0; not measured: not run, or nothing here can measure it.
    """
    from fer_bench.commands import papers
    from fer_bench.papers import published

    papers.claims(name, runs, out, dict.fromkeys(published.papers(), _folds(folds)))


def _folds(text: str | None) -> list[int] | None:
    numbers = [number.strip() for number in text.split(",")] if text else []
    if not all(number.isdecimal() for number in numbers):
        raise FerBenchError(f"--folds {text}: give numbers from 0 on, as in --folds 0,1.")
    return [int(number) for number in numbers] or None
