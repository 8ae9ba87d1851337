"""Which finished cells are put through which conditions of the stress deck, and what has to be extracted for it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from fer_bench import registry
from fer_bench.cells.cell import Cell
from fer_bench.cells.stress import conditions
from fer_bench.cells.stress_outcome import FOLDER, outcome, refusal
from fer_bench.errors import InvalidSuite, UnknownName
from fer_bench.geometry.perturbations import DECK, Stress
from fer_bench.launch.planning import Need, Plan
from fer_bench.records import write_json
from fer_bench.representations.base import Representation
from fer_bench.representations.cache_entry import CacheEntry
from fer_bench.representations.joined_entries import left_out
from fer_bench.representations.stressed import Stressed


def chosen_members(texts: Iterable[str]) -> list[str]:
    """Names of the deck's members, each once, from `rotation,noise`; raises `UnknownName`."""
    names = list(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))
    for name in names:
        if name not in DECK:
            raise UnknownName("stress", name, DECK, "--stress")
    return names


class Inputs(NamedTuple):
    """What a method entry sees: a dataset in a representation."""

    need: Need
    representation: Representation


def find_inputs(plan: Plan) -> tuple[dict[tuple[str, str], Inputs], dict[tuple[str, str], str]]:
    """(protocol, entry) -> its input, of those that can be put through the deck; and of the others, why they cannot.

    Raises:
        InvalidSuite: none can.
    """
    made = {str(need.path(r).resolve()): Inputs(need, r) for need in plan.needs for r in need.representations}
    found: dict[tuple[str, str], Inputs] = {}
    refused: dict[tuple[str, str], str] = {}
    for cell in plan.trained:
        key, inputs = (cell.protocol, cell.entry), made[cell.parts[0].cache]
        if why := refusal(cell):
            refused[key] = why
        else:
            found[key] = inputs
    if not found:
        raise InvalidSuite(f"--stress: nothing in {plan.name} can be put through it; {next(iter(refused.values()))}.")
    return found, refused


@dataclass(frozen=True)
class Trial:
    """The conditions that a cell is to be put through."""

    cell: Cell
    inputs: Inputs
    stresses: tuple[Stress, ...]

    def needs(self, ids: Sequence[str]) -> Need:
        """What has to be extracted for it: the stressed test samples."""
        stressed = tuple(Stressed(self.inputs.representation, stress) for stress in self.stresses)
        return replace(self.inputs.need, source=self.inputs.need.source.part(set(ids)), representations=stressed)

    def ready(self, need: Need) -> Cell:
        """The cell, ready to be launched for the stage `stress`; its conditions are written to its folder."""
        requested = [
            {
                "condition": stress.label,
                "stress": stress.record,
                "digest": r.digest,
                "cache": str(need.path(r).resolve()),
            }
            for stress, r in zip(self.stresses, need.representations, strict=True)
        ]
        staged = replace(self.cell, folder=self.cell.folder / FOLDER)
        staged.write()
        write_json(staged.folder / "asked.json", {"conditions": requested})
        staged.report("planned", message="", epoch=0, epochs=len(requested))
        return staged


def trials(cells: Iterable[Cell], inputs: dict[tuple[str, str], Inputs], members: Iterable[str]) -> list[Trial]:
    """The stress conditions of finished cells that are not done yet."""
    wanted = [stress for member in members for stress in conditions(member)]
    found = []
    for cell in cells:
        if (cell.protocol, cell.entry) in inputs and cell.status().state == "done":
            left = tuple(stress for stress in wanted if outcome(cell, stress) is None)
            if left:
                found.append(Trial(cell, inputs[cell.protocol, cell.entry], left))
    return found


def tested_ids(trial: Trial) -> tuple[str, ...]:
    """The test samples of a cell."""
    need, cell = trial.inputs.need, trial.cell
    index = need.dataset.index(need.source.root)
    broken = left_out({part.dataset: CacheEntry(Path(part.cache)) for part in cell.parts})
    return registry.find_protocol(cell.protocol).folds(index, broken)[cell.fold].test
