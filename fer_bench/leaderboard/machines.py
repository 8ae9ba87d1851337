"""The machines on which finished cells were trained, from their manifests."""

from collections.abc import Sequence
from pathlib import Path

from fer_bench.cells.cell import last_run
from fer_bench.errors import InvalidFile
from fer_bench.leaderboard.row import Row
from fer_bench.records import read_json

DETAILED = 2000
"""Maximum number of cells whose manifests are read; reading more would dominate the run time."""


def trained_on(rows: Sequence[Row]) -> str:
    """The kinds of machines that trained these rows, with the GPUs used: `Intel(R) Xeon(R) Processor, 2 cores`.

    Empty if unknown, or for more than `DETAILED` cells.
    """
    folders = [cell.folder for row in rows for cell, _ in row.finished]
    found = map(_machine, folders) if len(folders) <= DETAILED else ()
    return "; ".join(dict.fromkeys(machine for machine in found if machine))


def _machine(folder: Path) -> str:
    try:
        hardware = last_run(read_json(folder / "manifest.json"), "fit")["hardware"]
        gpus = [f"{hardware['gpus'].count(gpu)} x {gpu}" for gpu in dict.fromkeys(hardware["gpus"])]
        return ", ".join([str(hardware["cpu"]), f"{int(hardware['cores'])} cores", *gpus])
    except (InvalidFile, LookupError, TypeError, ValueError, AttributeError):
        return ""  # a missing, damaged or older manifest; no result depends on it
