"""The commands on results and predictions."""

from pathlib import Path
from typing import Annotated

import typer

from fer_bench.cli.options import RUNS, TABLES, Root, Runs, Set, SuiteName
from fer_bench.errors import FerBenchError


def leaderboard(
    suite: SuiteName,
    settings: Set = None,
    runs: Runs = RUNS,
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = TABLES,
    faces: Annotated[
        bool,
        typer.Option("--faces", help="Show the most wrong scans in the HTML page also where they are of real people."),
    ] = False,
) -> None:
    """Write a suite's leaderboard from the results that are there: as .csv, .md, .tex and .html."""
    from fer_bench.commands.tables import write_leaderboard

    if not runs.is_dir():  # an empty table would take the place of one that is there
        raise FerBenchError(f"{runs}: there is no such folder; name the folder of all runs with --runs.")
    write_leaderboard(suite, settings or [], runs, out, faces)


def pack(
    suite: SuiteName,
    settings: Set = None,
    runs: Runs = RUNS,
    out: Annotated[Path, typer.Option("--out", help="Folder to write SUITE.zip to.")] = RUNS / "packed",
) -> None:
    """Put a suite's finished cells into one file: settings, results, predictions and logs, no checkpoints.

    Every table can be made from it again, with `fer-bench unpack` and then `fer-bench leaderboard`.
    """
    from fer_bench.commands import pack as packing

    packing.pack(suite, settings or [], runs, out)


def unpack(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `fer-bench pack`.")],
    runs: Runs = RUNS,
) -> None:
    """Put packed cells below the folder of runs; cells that are there are left alone."""
    from fer_bench.commands import pack as packing

    packing.unpack(archive, runs)


def cards(
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("docs"),
    picture: Annotated[
        list[Path] | None,
        typer.Option("--picture", help="Also draw this leaderboard (a CSV file) to pictures/<its name>.png."),
    ] = None,
) -> None:
    """Write the pages of methods, datasets and protocols, from their docstrings, signatures and records."""
    from fer_bench.cards import pages

    if picture:
        from fer_bench.leaderboard.pages.interval_plot import draw

        for path in picture:
            draw(path, out / "pictures" / f"{path.stem}.png")
    written = pages.write(out)
    print(f"wrote {len(written)} pages; begin with {out / 'index.md'}")


def evaluate(
    predictions: Annotated[list[Path], typer.Argument(help="Prediction files, csv or parquet.")],
    task: Annotated[str | None, typer.Option("--task", help="classification, multilabel or valence_arousal.")] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="Score against this protocol's test samples.")
    ] = None,
    fold: Annotated[int | None, typer.Option("--fold", help="With --protocol: the test samples of one fold.")] = None,
    fuse: Annotated[
        str | None, typer.Option("--fuse", help="mean, max, min, or weighted:W (W for the first file).")
    ] = None,
    root: Root = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the numbers to this CSV file.")] = None,
) -> None:
    """Score prediction files, alone and fused.

    Columns: `id` and one `output_<class>` a class, with `label` for the truth; or `id,valence,arousal` with
    `valence_true,arousal_true`; or `val_pred,val_true,aro_pred,aro_true`. With --protocol the truth comes from the
    dataset itself.
    """
    from fer_bench.commands import evaluate as evaluating

    print(evaluating.evaluate(predictions, task, protocol, fold, fuse, root, out))


def fuse(
    cells: Annotated[list[Path], typer.Argument(metavar="CELL...", help="Folders of finished cells of one protocol.")],
    rule: Annotated[
        str,
        typer.Option(
            "--rule", help="mean, max, min; of two, weighted:W (W for the first), or weighted: chosen on validation."
        ),
    ] = "weighted",
    published_broadcast: Annotated[
        int | None,
        typer.Option(
            "--published-broadcast",
            min=1,
            help="Unsound: the fault of Ig3D's scripts in batches of this size, where each gets the last cell's scores "
            "of the first. 128 in the paper.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write the fused predictions to this CSV file.")
    ] = None,
) -> None:
    """Fuse the saved scores of finished cells, sample by sample, without training anything."""
    from fer_bench.commands import evaluate as evaluating

    print(evaluating.fuse(cells, rule, published_broadcast, out))
