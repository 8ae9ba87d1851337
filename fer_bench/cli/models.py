"""The commands that use the network of a finished cell."""

from pathlib import Path
from typing import Annotated

import typer

from fer_bench.cli.options import Workers, stopped
from fer_bench.errors import UnknownName

models_app = typer.Typer()


@models_app.command()
def predict(
    checkpoint: Annotated[
        Path,
        typer.Option("--checkpoint", help="The folder of a finished cell, as runs/SUITE/PROTOCOL/ENTRY/fold00/seed0."),
    ],
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Scans (.wrl, .obj, .ply, .bnt), folders of the frames of a sequence, or photographs of faces; "
            "whichever the cell was trained on. Of single scans or photographs a folder is all that are in it.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write to this .csv, .parquet or .json file; predicted meshes to this folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    sequence: Annotated[
        bool, typer.Option("--sequence", help="A folder is a sequence, even if its frames are not numbered.")
    ] = False,
    parameters: Annotated[
        Path | None,
        typer.Option(
            "--parameters",
            help="For cells that see 3D morphable model parameters: a table of them, .csv or .parquet, whose ids are "
            "the photographs' names. By default they are looked for beside the photographs.",
        ),
    ] = None,
    workers: Workers = 2,
) -> None:
    """Predict scans, sequences or photographs with the network of a finished cell.

    They are read, aligned and drawn as the cell's test samples were. A texture and landmarks (.bnd, .lm3) are found by
    the scan's name. Exit code 1: some could not be predicted, and the others were.
    """
    from fer_bench.commands import predict as predict_command

    try:
        complete = predict_command.run(checkpoint, inputs or [], out, as_json, sequence, parameters, workers)
    except KeyboardInterrupt:
        stopped("nothing was written")
    raise typer.Exit(0 if complete else 1)


@models_app.command()
def export(
    cell: Annotated[Path, typer.Argument(metavar="CELL", help="The folder of a finished cell.")],
    format_: Annotated[str, typer.Option("--format", metavar="onnx", help="The format.")] = "onnx",
    out: Annotated[Path | None, typer.Option("--out", help="The file; by default CELL/network.onnx.")] = None,
) -> None:
    """Export a finished cell's network, from its representation to the raw outputs, for any number of samples.

    What was exported is run beside torch, on inputs of the cell where they are still in the cache, and nothing is
    written where the outputs differ.
    """
    if format_ != "onnx":
        raise UnknownName("format", format_, ("onnx",), "--format")
    from fer_bench.inference import export as exporting

    try:
        exporting.run(cell, out)
    except KeyboardInterrupt:
        stopped("nothing was written")
