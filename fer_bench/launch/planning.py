"""From a suite to its cells: what will run, what cannot and why, and whether finished cells still fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from fer_bench import registry
from fer_bench.cells.cell import DERIVED, Cell, Part, cell_path
from fer_bench.cells.fused import fused_cells
from fer_bench.cells.saved import saved_cell
from fer_bench.cells.snapshots import Snapshots
from fer_bench.cells.trackers import require
from fer_bench.data.base import FaceDataModule
from fer_bench.data.layouts import find_root
from fer_bench.errors import DatasetNotFound, InvalidSuite
from fer_bench.launch.descriptions import Unsuitable, _refuse, describe
from fer_bench.protocols import Protocol
from fer_bench.protocols.base import join
from fer_bench.protocols.snapshot import ProtocolSnapshot
from fer_bench.representations.base import Representation
from fer_bench.representations.cache_entry import CacheEntry, default_cache, entry_path
from fer_bench.representations.joined import left_out
from fer_bench.representations.source import Source
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
    """Resolve a suite.

    Args:
        name: The suite's name, and its folder below `runs`.
        only: `key=value` filters on protocol, entry, fold and seed; values of one key are alternatives.
        fetch: Fetch the weights that methods start from, and skip what cannot be had; see that trackers are installed.

    Raises:
        FerBenchError: with `fetch`, the package of a tracker is not installed.
        DatasetNotFound: none of its datasets is there.
        InvalidSuite: a filter names no cell.
        ProtocolError: a dataset that is there cannot be divided as a protocol asks.
    """
    chosen = _parse_filters(only)
    require(suite.loggers if fetch else [])
    cells: list[Cell] = []
    needs: dict[str, dict[str, Representation]] = {}  # dataset -> cache folder -> representation
    skipped: dict[tuple[str, str], str] = {}
    absent: list[DatasetNotFound] = []
    snapshots = Snapshots()
    # What is left out by name is neither looked for nor fetched.
    asked = {key: [v for v in values if v in chosen.get(key, {v})] for key, values in _names(suite).items()}
    fused = {entry: fusion for entry, fusion in suite.fusions.items() if entry in asked["entry"]}
    members = {member for fusion in fused.values() for member in fusion.of}
    trained = [entry for entry in suite.methods if entry in asked["entry"] or entry in members]
    for protocol_id in asked["protocol"]:
        protocol = registry.find_protocol(protocol_id)
        cells += [
            saved_cell(name, protocol, entry, file, runs)
            for entry, file in suite.predictions.items()
            if entry in asked["entry"] or entry in members
        ]
        if not trained:
            continue
        try:
            copies = [_open(dataset) for dataset in protocol.datasets]
        except DatasetNotFound as error:
            absent.append(error)
            why = str(error).partition(";")[0].partition(". ")[0]
            skipped |= {(protocol_id, entry): why for entry in asked["entry"]}
            continue
        index = index_of(protocol)
        for entry in trained:
            method, arguments = resolve_arguments(entry, suite.methods[entry], name)
            trainer = suite.trainer_of(entry)
            try:
                _refuse(method, protocol, trainer)
                described = describe(method, arguments, protocol.target, [copy.offers for copy in copies], fetch)
            except Unsuitable as error:
                skipped[protocol_id, entry] = str(error)
                continue
            representation = described.representation
            entries = {
                copy.source.dataset: CacheEntry(entry_path(default_cache(), copy.source, representation).resolve())
                for copy in copies
            }
            for dataset, cached in entries.items():
                needs.setdefault(dataset, {})[str(cached.path)] = representation
            # Samples found broken when an entry was made leave the folds, and so the digest.
            provenance = " and ".join(dict.fromkeys(copy.source.provenance for copy in copies))
            digest = snapshots.take(protocol, index, provenance, frozenset(left_out(entries)))
            selection = suite.selection_of(entry, protocol) if described.trains else default_selection(protocol.task)
            cells += [
                Cell(
                    suite=name,
                    protocol=protocol_id,
                    entry=entry,
                    fold=fold,
                    seed=seed,
                    method=method,
                    arguments=arguments,
                    trainer=trainer.model_dump(),
                    parts=tuple(
                        Part(dataset, str(copy.source.root.resolve()), str(entries[dataset].path))
                        for dataset, copy in zip(entries, copies, strict=True)
                    ),
                    provenance=provenance,
                    protocol_digest=digest,
                    representation={
                        "name": representation.name,
                        "label": representation.label,
                        "digest": representation.digest,
                    },
                    parameters=described.parameters,
                    weights=described.weights,
                    unsound=faults(described.unsound, selection),
                    folder=runs / name / cell_path(protocol_id, entry, fold, seed),
                    loggers=tuple(suite.loggers),
                    selection=selection,
                )
                for fold in suite.folds_of(protocol)
                for seed in suite.seeds
            ]
    for entry, fusion in fused.items():
        more, why_not = fused_cells(entry, fusion, cells)
        cells += more
        skipped |= {(p, entry): why for p, why in why_not.items() if p in asked["protocol"]}
    if not cells and skipped:
        raise absent[0] if absent else InvalidSuite(f"{name}: nothing in it can run; {next(iter(skipped.values()))}.")
    kept = _kept(cells, suite, chosen)
    if not kept:
        raise InvalidSuite(f"--only {','.join(only)}: no cell of {name} fits; see `fer-bench plan {name}`.")
    used = {part.cache for cell in kept if cell.method not in DERIVED for part in cell.parts}
    wanted = {name: tuple(r for path, r in each.items() if path in used) for name, each in needs.items()}
    opened = {name: _open(name) for name, representations in wanted.items() if representations}
    return Plan(
        name,
        suite,
        kept,
        [Need(o.dataset, o.source, wanted[n]) for n, o in opened.items()],
        skipped,
        snapshots.taken,
    )


def _kept(cells: Sequence[Cell], suite: Suite, chosen: Mapping[str, set[str]]) -> list[Cell]:
    """What is not left out by name, in order of protocol and entry, as they are tabulated."""
    kept = [cell for cell in cells if all(str(getattr(cell, key)) in values for key, values in chosen.items())]
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


def _names(suite: Suite) -> dict[str, list[str]]:
    """What filters by name choose from."""
    return {"protocol": list(suite.protocols), "entry": suite.entries}


def _parse_filters(only: Sequence[str]) -> dict[str, set[str]]:
    filters: dict[str, set[str]] = {}
    for text in (part for item in only for part in item.split(",")):
        key, equals, value = text.partition("=")
        if key not in ("protocol", "entry", "fold", "seed") or not equals:
            raise InvalidSuite(f"--only {text}: write protocol=, entry=, fold= or seed= and a value, as in fold=0.")
        filters.setdefault(key, set()).add(str(int(value)) if key in ("fold", "seed") and value.isdigit() else value)
    return filters
