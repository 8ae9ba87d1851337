"""From a suite to its cells: what will run, what cannot and why, and whether finished cells still fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from fer_bench import registry
from fer_bench.cells.cell import DERIVED, Cell, Part, cell_path
from fer_bench.cells.fused_cells import fused_cells
from fer_bench.cells.saved_predictions import saved_cell
from fer_bench.cells.snapshots import Snapshots
from fer_bench.cells.trackers import require
from fer_bench.data.base import FaceDataModule
from fer_bench.data.layouts import find_root
from fer_bench.errors import DatasetNotFound, InvalidSuite
from fer_bench.launch.descriptions import Unsuitable, check_suitable, describe
from fer_bench.protocols import Protocol
from fer_bench.protocols.base import join
from fer_bench.protocols.snapshot import ProtocolSnapshot
from fer_bench.representations.base import Representation
from fer_bench.representations.cache_entry import CacheEntry, default_cache, entry_path
from fer_bench.representations.joined_entries import left_out
from fer_bench.representations.sample_source import Source
from fer_bench.suites.arguments import resolve_arguments
from fer_bench.suites.selection import default_selection, faults
from fer_bench.suites.suite import Suite


@dataclass(frozen=True)
class Need:
    """What some cells read: a dataset in some representations."""

    dataset: type[FaceDataModule]
    source: Source
    representations: tuple[Representation, ...]

    def path(self, representation: Representation) -> Path:
        """Where the cache entry is or will be."""
        return entry_path(default_cache(), self.source, representation)


@dataclass(frozen=True)
class Plan:
    """A suite, resolved against the data at hand.

    Attributes:
        cells: What runs, in order of protocol, entry, fold and seed.
        needs: What the cells read, one a dataset.
        skipped: (protocol, entry) -> why nothing of it can run.
        snapshots: Digest -> the protocol on the data at hand.
    """

    name: str
    suite: Suite
    cells: list[Cell]
    needs: list[Need]
    skipped: dict[tuple[str, str], str]
    snapshots: dict[str, ProtocolSnapshot]

    @property
    def trained(self) -> list[Cell]:
        """The cells of methods."""
        return [cell for cell in self.cells if cell.method not in DERIVED]

    def of(self, kind: str) -> list[Cell]:
        """The cells of one of `DERIVED`."""
        return [cell for cell in self.cells if cell.method == kind]


def make_plan(name: str, suite: Suite, runs: Path, only: Sequence[str] = (), fetch: bool = False) -> Plan:
    """Resolve a suite against the data.

    Args:
        name: The suite's name, and its folder below `runs`.
        only: `key=value` filters on protocol, entry, fold and seed; values of one key are alternatives.
        fetch: Fetch the weights that methods start from, and skip methods whose weights cannot be fetched; check that
            trackers are installed.

    Raises:
        FerBenchError: with `fetch`, the package of a tracker is not installed.
        DatasetNotFound: none of its datasets is found.
        InvalidSuite: a filter names no cell.
        ProtocolError: a dataset cannot be divided as a protocol requires.
    """
    filters = _parse_filters(only)
    require(suite.loggers if fetch else [])
    builder = _Builder(name, suite, runs, filters, fetch)
    for protocol_id in builder.selected(suite.protocols, "protocol"):
        builder.add_saved(registry.find_protocol(protocol_id))
        builder.add_trained(registry.find_protocol(protocol_id))
    builder.add_fused()
    if not builder.cells and builder.skipped:
        reason = f"{name}: nothing in it can run; {next(iter(builder.skipped.values()))}."
        raise builder.absent[0] if builder.absent else InvalidSuite(reason)
    kept = _filtered(builder.cells, suite, filters)
    if not kept:
        raise InvalidSuite(f"--only {','.join(only)}: no cell of {name} fits; see `fer-bench plan {name}`.")
    return Plan(name, suite, kept, builder.needs_of(kept), builder.skipped, builder.snapshots.taken)


class _Builder:
    """Collects the cells of a suite, one protocol after the other.

    Attributes:
        cells: All cells that can run, those that only a fusion needs too.
        needs: Dataset -> folder in the cache -> representation.
        skipped: (protocol, entry) -> why no cell of it can run.
        absent: Errors of datasets that were not found.
    """

    def __init__(self, name: str, suite: Suite, runs: Path, filters: Mapping[str, set[str]], fetch: bool) -> None:
        self.name, self.suite, self.runs, self.filters, self.fetch = name, suite, runs, filters, fetch
        self.cells: list[Cell] = []
        self.needs: dict[str, dict[str, Representation]] = {}
        self.skipped: dict[tuple[str, str], str] = {}
        self.absent: list[DatasetNotFound] = []
        self.snapshots = Snapshots()
        # Entries that the filters exclude are neither looked up nor fetched, unless a fusion is made of them.
        self.entries = self.selected(suite.entries, "entry")
        self.fused = {entry: fusion for entry, fusion in suite.fusions.items() if entry in self.entries}
        members = {member for fusion in self.fused.values() for member in fusion.of}
        self.needed = {*self.entries, *members}

    def selected(self, values: Iterable[str], key: str) -> list[str]:
        """Those values that pass the filter of a key."""
        return [value for value in values if value in self.filters.get(key, {value})]

    def add_saved(self, protocol: Protocol) -> None:
        """Cells of saved predictions."""
        for entry, file in self.suite.predictions.items():
            if entry in self.needed:
                self.cells.append(saved_cell(self.name, protocol, entry, file, self.runs))

    def add_trained(self, protocol: Protocol) -> None:
        """Cells of methods."""
        entries = [entry for entry in self.suite.methods if entry in self.needed]
        if not entries:
            return
        try:
            datasets = [_open(dataset) for dataset in protocol.datasets]
        except DatasetNotFound as error:
            self.absent.append(error)
            why = str(error).partition(";")[0].partition(". ")[0]
            self.skipped |= {(protocol.id, entry): why for entry in self.entries}
            return
        for entry in entries:
            try:
                self.cells += self._cells_of_entry(protocol, entry, datasets)
            except Unsuitable as error:
                self.skipped[protocol.id, entry] = str(error)

    def _cells_of_entry(self, protocol: Protocol, entry: str, datasets: Sequence[_Opened]) -> list[Cell]:
        """Cells of one method entry on one protocol; raises `Unsuitable`."""
        method, arguments = resolve_arguments(entry, self.suite.methods[entry], self.name)
        trainer = self.suite.trainer_of(entry)
        check_suitable(method, protocol, trainer)
        offers = [dataset.offers for dataset in datasets]
        description = describe(method, arguments, protocol.target, offers, self.fetch)
        representation = description.representation
        entries = {
            dataset.source.dataset: CacheEntry(entry_path(default_cache(), dataset.source, representation).resolve())
            for dataset in datasets
        }
        for name, cached in entries.items():
            self.needs.setdefault(name, {})[str(cached.path)] = representation
        provenance = " and ".join(dict.fromkeys(dataset.source.provenance for dataset in datasets))
        # Samples found unreadable during extraction leave the folds, and so change the digest.
        unreadable = frozenset(left_out(entries))
        digest = self.snapshots.take(protocol, index_of(protocol), provenance, unreadable)
        default = default_selection(protocol.task)
        selection = self.suite.selection_of(entry, protocol) if description.trains else default
        return [
            Cell(
                suite=self.name,
                protocol=protocol.id,
                entry=entry,
                fold=fold,
                seed=seed,
                method=method,
                arguments=arguments,
                trainer=trainer.model_dump(),
                parts=tuple(
                    Part(name, str(dataset.source.root.resolve()), str(entries[name].path))
                    for name, dataset in zip(entries, datasets, strict=True)
                ),
                provenance=provenance,
                protocol_digest=digest,
                representation={
                    "name": representation.name,
                    "label": representation.label,
                    "digest": representation.digest,
                },
                parameters=description.parameters,
                weights=description.weights,
                unsound=faults(description.unsound, selection),
                folder=self.runs / self.name / cell_path(protocol.id, entry, fold, seed),
                loggers=tuple(self.suite.loggers),
                selection=selection,
            )
            for fold in self.suite.folds_of(protocol)
            for seed in self.suite.seeds
        ]

    def add_fused(self) -> None:
        """Cells of fusions, from the cells collected before."""
        protocols = self.selected(self.suite.protocols, "protocol")
        for entry, fusion in self.fused.items():
            cells, skipped = fused_cells(entry, fusion, self.cells)
            self.cells += cells
            self.skipped |= {(protocol, entry): why for protocol, why in skipped.items() if protocol in protocols}

    def needs_of(self, cells: Sequence[Cell]) -> list[Need]:
        """What these cells read, one entry a dataset."""
        used = {part.cache for cell in cells if cell.method not in DERIVED for part in cell.parts}
        needs = []
        for name, representations in self.needs.items():
            if wanted := tuple(r for path, r in representations.items() if path in used):
                opened = _open(name)
                needs.append(Need(opened.dataset, opened.source, wanted))
        return needs


def _filtered(cells: Sequence[Cell], suite: Suite, filters: Mapping[str, set[str]]) -> list[Cell]:
    """Cells that pass the filters, in the order of the tables: protocol, then entry."""
    kept = [cell for cell in cells if all(str(getattr(cell, key)) in values for key, values in filters.items())]
    return sorted(kept, key=lambda cell: (suite.protocols.index(cell.protocol), suite.entries.index(cell.entry)))


def index_of(protocol: Protocol) -> pd.DataFrame:
    """The index of a protocol's datasets; raises `DatasetNotFound`."""
    copies = [_open(dataset) for dataset in protocol.datasets]
    return copies[0].index if len(copies) == 1 else join({copy.source.dataset: copy.index for copy in copies})


@dataclass(frozen=True)
class _Opened:
    dataset: type[FaceDataModule]
    index: pd.DataFrame
    source: Source
    offers: frozenset[str]


@cache
def _open(name: str) -> _Opened:
    dataset = registry.load_dataset(name)
    root = find_root(name)
    return _Opened(dataset, dataset.index(root), dataset.source(root), dataset.offers(root))


def _parse_filters(only: Sequence[str]) -> dict[str, set[str]]:
    filters: dict[str, set[str]] = {}
    for text in (part for item in only for part in item.split(",")):
        key, equals, value = text.partition("=")
        if key not in ("protocol", "entry", "fold", "seed") or not equals:
            raise InvalidSuite(f"--only {text}: write protocol=, entry=, fold= or seed= and a value, as in fold=0.")
        filters.setdefault(key, set()).add(str(int(value)) if key in ("fold", "seed") and value.isdigit() else value)
    return filters
