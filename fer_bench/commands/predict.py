"""`fer-bench predict` as the command line has it: from paths to a table, JSON or a file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from fer_bench.cells.finished_cell import Finished, open_finished
from fer_bench.errors import FerBenchError
from fer_bench.inference.predict_inputs import MOVING, Input, find_inputs, notes_on
from fer_bench.inference.predictor import Predictions, predict, read_parameters, rows_of
from fer_bench.io.ply import write_ply
from fer_bench.records import OUTPUT, atomic_write, refuse_unwritable
from fer_bench.representations.morphable import Morphable
from fer_bench.terminal import UnhurriedConsole, console

_TABLES = (".csv", ".json", ".parquet")
_SHOWN = 40  # rows on a terminal; files have them all
_aside = UnhurriedConsole(stderr=True)


def run(
    folder: Path,
    given: Sequence[Path],
    out: Path | None,
    as_json: bool,
    sequence: bool,
    parameters: Path | None,
    workers: int,
) -> bool:
    """Predict the inputs and print the results; True when no input failed.

    Raises:
        FerBenchError: the cell cannot be used, or an option does not go with it.
    """
    finished = open_finished(folder)
    meshes = finished.protocol.task == "disentanglement"
    _check(finished, given, out, sequence, parameters)
    table = None if parameters is None else read_parameters(parameters, finished)
    alone = isinstance(finished.representation, Morphable)
    inputs: list[Input]
    problems: list[tuple[Path, str]]
    if table is not None and not given:
        inputs, problems = rows_of(table), []
    else:
        inputs, problems = find_inputs(
            list(dict.fromkeys(given)), finished.kind, finished.cell, sequence, pixels=not alone
        )
    with _aside.status(f"predicting {len(inputs)} inputs ..."):
        found = predict(finished, inputs, table, workers)
    problems = problems + found.problems
    for path, problem in problems:
        _say(f"{path}: {problem.rstrip('.')}.")
    failed = {path for path, _ in problems}
    for note in [*_notes(finished), *notes_on([one for one in inputs if one.given not in failed], finished.cell)]:
        _say(f"note: {note}")
    if as_json:
        print(json.dumps(_content(finished, found, problems), indent=2))
    if out is not None and len(found.table):
        written = _write_meshes(finished, found, out) if meshes else _write(finished, found, problems, out)
        if not as_json:
            console.print(f"wrote {written}", highlight=False, soft_wrap=True, markup=False)
    elif not as_json and len(found.table):
        console.print(_table(found))
    return not problems


def _say(sentence: str) -> None:
    _aside.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _check(
    finished: Finished, given: Sequence[Path], out: Path | None, sequence: bool, parameters: Path | None
) -> None:
    """Refuse what does not go together before anything is read."""
    cell, seen = finished.cell, finished.representation
    if sequence and finished.kind not in MOVING:
        raise FerBenchError(f"--sequence: {cell.id} sees single inputs; a folder without it is all that are in it.")
    if not given and (parameters is None or not isinstance(seen, Morphable)):
        raise FerBenchError("predict needs inputs: a scan, a folder of frames, or a photograph, as the cell sees.")
    if finished.protocol.task == "disentanglement":
        if out is None:
            raise FerBenchError(f"{cell.id} predicts meshes; name a folder for them with --out.")
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise FerBenchError(f"--out {out}: is there already; the meshes need a new or empty folder.")
    elif out is not None and (out.suffix.lower() not in _TABLES or out.is_dir()):
        raise FerBenchError(f"--out {out}: is not the name of a table; end it with {', '.join(_TABLES)}.")
    if out is not None:
        refuse_unwritable(out if finished.protocol.task == "disentanglement" else out.parent)


def _notes(finished: Finished) -> list[str]:
    cell = finished.cell
    said = []
    if cell.provenance.startswith("twin"):
        said.append(f"the network was trained on synthetic faces ({cell.provenance}); it has seen no real one.")
    if cell.unsound:
        said.append(f"the cell is unsound: {cell.unsound.rstrip('.')}.")
    return said


def _table(found: Predictions) -> Table:
    """For a terminal: the probabilities, or what else there is, without raw scores."""
    names = [str(name) for name in found.table if name not in ("id",) and not str(name).startswith(OUTPUT)]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name.removeprefix("probability_"), justify="left" if name in names[:2] else "right")
    for row in found.table[names].head(_SHOWN).itertuples(index=False):
        table.add_row(*(escape(value) if isinstance(value, str) else f"{value:.3f}" for value in row))
    if len(found.table) > _SHOWN:
        table.caption = f"and {len(found.table) - _SHOWN} more; --out FILE.csv has them all"
    return table


def _content(finished: Finished, found: Predictions, problems: Sequence[tuple[Path, str]]) -> dict[str, Any]:
    cell = finished.cell
    return {
        "cell": cell.id,
        "task": finished.protocol.task,
        "trained_on": cell.provenance,
        "representation": cell.representation["label"],
        "predictions": [_nested(row) for row in found.table.to_dict("records")],
        "problems": [{"file": str(path), "problem": problem} for path, problem in problems],
    }


def _nested(row: dict[Any, Any]) -> dict[str, Any]:
    """A row with the classes' numbers together."""
    nested: dict[str, Any] = {}
    for name, value in row.items():
        plain = value.item() if isinstance(value, np.generic) else value
        for prefix, group in (("probability_", "probabilities"), (OUTPUT, "outputs")):
            if name.startswith(prefix):
                nested.setdefault(group, {})[name.removeprefix(prefix)] = plain
                break
        else:
            nested[name] = plain
    return nested


def _write(finished: Finished, found: Predictions, problems: Sequence[tuple[Path, str]], out: Path) -> Path:
    with atomic_write(out) as file:
        if out.suffix.lower() == ".json":
            file.write(json.dumps(_content(finished, found, problems), indent=2).encode() + b"\n")
        elif out.suffix.lower() == ".parquet":
            found.table.to_parquet(file, index=False)
        else:
            found.table.to_csv(file, index=False)
    return out


def _write_meshes(finished: Finished, found: Predictions, out: Path) -> Path:
    """`<id>-<part>.ply` for each mesh, and `faces.parquet`."""
    assert finished.bound is not None
    triangles = finished.bound.shared["triangles"]
    for part, meshes in found.meshes.items():
        for name, mesh in zip(found.table["id"], meshes, strict=True):
            write_ply(out / f"{name.replace('/', '_')}-{part}.ply", mesh, triangles)
    with atomic_write(out / "faces.parquet") as file:
        found.table.to_parquet(file, index=False)
    return out
