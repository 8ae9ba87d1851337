"""The results of the stage `stress`, read from the cell's folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_bench import registry
from fer_bench.cells.cell import DERIVED, Cell
from fer_bench.errors import InvalidFile
from fer_bench.records import read_json

if TYPE_CHECKING:  # importing perturbations takes a while
    from fer_bench.geometry.perturbations import Stress

FOLDER = "stress"


@dataclass(frozen=True)
class Outcome:
    """The score of one cell under one condition; `<condition>.json`.

    Attributes:
        condition: Its name.
        stress: See `Stress.record`.
        representation_digest: What the network saw, see `Stressed`.
        protocol_digest: Of the protocol's snapshot.
        n: Test samples that were predicted.
        broken: Test samples that were left out, because nothing could be extracted of them under this condition.
        metrics: As in `Result`.
    """

    condition: str
    stress: dict[str, Any]
    representation_digest: str
    protocol_digest: str
    n: int
    broken: int
    metrics: dict[str, float]
    versions: dict[str, str]


def outcome(cell: Cell, stress: Stress) -> Outcome | None:
    """The result of a condition; None if it is missing, or of another protocol or representation."""
    from fer_bench.representations.stressed import stressed_digest

    path = cell.folder / FOLDER / f"{stress.label}.json"
    if not path.exists() or not predictions_path(cell, stress).exists():
        return None
    try:
        found = Outcome(**read_json(path))
    except (InvalidFile, TypeError):
        return None  # damaged, or of another version: predict it again
    digest = stressed_digest(cell.representation["digest"], stress)
    requested = (stress.record, digest, cell.protocol_digest)
    return found if (found.stress, found.representation_digest, found.protocol_digest) == requested else None


def refusal(cell: Cell) -> str:
    """Why a cell cannot be put through the deck, a sentence without its stop; empty if it can."""
    if cell.method in DERIVED:
        return "it is predictions, and has no network to give other scans to"
    if len(cell.parts) > 1:
        return f"{cell.protocol} joins datasets, and the deck takes one at a time"
    name = cell.representation["name"]
    if name not in registry.representations():
        return ""  # packed by another version: its stress results exist
    from fer_bench.representations import stressed

    return stressed.refusal(registry.representation_class(name))


def predictions_path(cell: Cell, stress: Stress) -> Path:
    """Where the predictions under a condition are."""
    return cell.folder / FOLDER / f"{stress.label}.parquet"


def members_applied(cells: Iterable[Cell]) -> list[str]:
    """Members of the stress deck that one of the cells was put through, at least in part."""
    folders = [cell.folder / FOLDER for cell in cells]
    labels = {path.stem for folder in folders if folder.is_dir() for path in folder.glob("*.parquet")}
    if not labels:
        return []
    from fer_bench.geometry.perturbations import DECK

    deck = {
        name: {each.label for _, conditions in member.severities for each in conditions}
        for name, member in DECK.items()
    }
    return [name for name, theirs in deck.items() if theirs & labels]
