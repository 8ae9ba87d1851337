"""The commands `fer-bench data`: parsed, and handed on."""

from pathlib import Path
from typing import Annotated

import typer

from fer_bench.cli.options import DatasetName, Launcher, Profile, Root, Workers, check_launcher, stopped
from fer_bench.errors import FerBenchError

data_app = typer.Typer(help="Check, imitate and prepare datasets.", no_args_is_help=True, rich_markup_mode=None)


@data_app.command()
def check(
    dataset: DatasetName,
    root: Root = None,
    names_only: Annotated[bool, typer.Option("--names-only", help="Do not read the samples themselves.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for machines; all names in full.")] = False,
    cache: Annotated[
        bool, typer.Option("--cache", help="Compare what was extracted of it with its checksums instead.")
    ] = False,
    workers: Workers = 2,
) -> None:
    """Report what was found, what is missing or assumed, which files are unreadable, and which protocols can run.

    Exit code 0: ready; 1: usable with warnings; 2: not usable.
    """
    from fer_bench.commands.check import check as check_data
    from fer_bench.commands.prepare import check_cache

    if cache and root is not None:
        raise FerBenchError("--cache: checks all that was extracted from a dataset, wherever it is; leave --root out.")
    try:
        code = check_cache(dataset) if cache else check_data(dataset, root, names_only, workers, as_json)
    except KeyboardInterrupt:
        stopped("nothing was changed")
    raise typer.Exit(code)


@data_app.command()
def twin(
    dataset: DatasetName,
    out: Annotated[Path, typer.Option("--out", help="Folder to create.")],
    subjects: Annotated[
        int | None, typer.Option("--subjects", min=1, help="How many people; by default what the protocols need.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, other people.")] = 0,
    face_model: Annotated[
        Path | None,
        typer.Option(
            "--face-model", help="The ICT face model as .npz (see docs/data.md); by default the procedural face."
        ),
    ] = None,
    layout: Annotated[
        str | None, typer.Option("--layout", help="One of the dataset's layouts (fer-bench list datasets ID).")
    ] = None,
    preview: Annotated[Path | None, typer.Option("--preview", help="Also write a contact sheet (.png) here.")] = None,
    workers: Workers = 2,
) -> None:
    """Write synthetic faces in a dataset's own layout, so that everything runs without the dataset."""
    from fer_bench.commands.twin import make_twin

    try:
        make_twin(dataset, out, subjects, seed, face_model, layout, preview, workers)
    except KeyboardInterrupt:
        stopped(f"nothing was left at {out}")


@data_app.command()
def prepare(
    dataset: DatasetName,
    root: Root = None,
    representation: Annotated[
        list[str] | None,
        typer.Option(
            "--representation",
            help="views, points, vertices, dynamic_views, image, morphable; or with parameters: points:count=1024. By "
            "default all that the dataset allows but vertices (a second a scan) and morphable.",
        ),
    ] = None,
    preview: Annotated[
        Path | None, typer.Option("--preview", help="Also draw some of what was extracted to this .png file.")
    ] = None,
    workers: Workers = 2,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out scans that cannot be read.")] = False,
    launcher: Launcher = "local",
    profile: Profile = None,
    shards: Annotated[
        int | None, typer.Option("--shards", min=1, help="With --launcher slurm: tasks; by default at most 8.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="With --launcher slurm: do not wait; the same command takes the rest in.")
    ] = False,
) -> None:
    """Extract representations into the cache, ahead of `run`. What is there already is not extracted again.

    With --launcher slurm tasks of a cluster extract shards, with as many processes each as the profile has cpus.
    """
    from fer_bench.commands import prepare as preparing

    check_launcher(launcher, profile, detach, shards)
    slurm = preparing.SlurmOptions(profile, shards, detach) if launcher == "slurm" else None
    try:
        preparing.prepare(dataset, root, representation or [], workers, skip_broken, preview, slurm)
    except KeyboardInterrupt:
        kept = "what Slurm has stays with it (scancel ends it), " if slurm else ""
        stopped(f"{kept}what was extracted is kept, run it again to go on")


@data_app.command()
def prune(
    everything: Annotated[bool, typer.Option("--all", help="Delete all entries, also those still of use.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would go, and delete nothing.")] = False,
) -> None:
    """Delete from the cache what was made from files that have changed or gone, and what stopped processes left."""
    from fer_bench.commands import prepare as preparing

    preparing.prune(everything, dry_run)


@data_app.command()
def morphable(
    dataset: DatasetName,
    regressor: Annotated[str, typer.Option("--regressor", help="smirk or emoca.")],
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="Its weights, which are licensed and not distributed here.")
    ] = None,
    root: Root = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Photographs at a time.")] = 64,
    workers: Workers = 2,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out photographs that cannot be read.")
    ] = False,
) -> None:
    """Regress the parameters of the 3D face from a dataset's photographs, and write them to a table in its folder."""
    from fer_bench.commands import regress

    try:
        regress.regress(dataset, root, regressor, checkpoint, batch_size, workers, skip_broken)
    except KeyboardInterrupt:
        stopped("no table was written; the crops are kept, run it again to go on")
