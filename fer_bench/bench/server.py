"""What the process imports that those of cells are forked from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fer_bench.bench import registry
from fer_bench.bench.cell import DERIVED, Cell

PRELOAD = ("fer_bench.cli", "fer_bench.bench.preload")
"""Imported once by the fork server, torch and Lightning with them: a cell's process then starts in milliseconds. The
first is what the console's script imports, which Python runs again in each process."""


def preload(methods: Iterable[str], datasets: Iterable[str]) -> tuple[str, ...]:
    """Modules that the fork server of a suite imports: those of its methods and datasets, and then `PRELOAD`."""
    known = {name for name in methods if name in registry.methods() and registry.ships(name)}
    own = [f"fer_bench.methods.{name}" for name in sorted(known)]
    return (*own, *(registry.dataset_module(name) for name in sorted({*datasets})), *PRELOAD)


def preload_for(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The same of some cells."""
    trained = [cell for cell in cells if cell.method not in DERIVED]
    return preload((cell.method for cell in trained), (part.dataset for cell in trained for part in cell.parts))
