"""What the process imports that those of cells are forked from."""

from collections.abc import Iterable, Sequence

from fer_bench import registry
from fer_bench.cells.cell import DERIVED, Cell
from fer_bench.suites.suite import Suite

PRELOAD = ("fer_bench.launch.preload", "fer_bench.__main__")
"""Imported once by the fork server, torch and Lightning with them: a cell's process then starts in milliseconds. The
second is what the console's script imports, which Python runs again in each process."""


def preload(methods: Iterable[str], datasets: Iterable[str]) -> tuple[str, ...]:
    """Modules that the fork server of a suite imports: `PRELOAD`, and those of its methods and datasets."""
    known = {name for name in methods if name in registry.methods() and registry.ships(name)}
    own = [f"fer_bench.methods.{name}" for name in sorted(known)]
    return (*PRELOAD, *own, *(registry.dataset_module(name) for name in sorted({*datasets})))


def preload_for(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The same of some cells."""
    trained = [cell for cell in cells if cell.method not in DERIVED]
    return preload((cell.method for cell in trained), (part.dataset for cell in trained for part in cell.parts))


def preload_of(suite: Suite) -> tuple[str, ...]:
    """The same of a suite whose arguments need not be sound: the server, one for extraction and for the cells, imports
    while its caller reads the rest, which takes as long."""
    datasets = [dataset for protocol in suite.protocols for dataset in registry.find_protocol(protocol).datasets]
    return preload((str(entry.get("method")) for entry in suite.methods.values()), datasets)
