"""From a suite to its cells: what will run, what cannot and why, and whether finished cells still fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from fer_bench.bench import registry
from fer_bench.bench.cell import Cell
from fer_bench.bench.suite import Suite, resolve_arguments
from fer_bench.data.base import FaceDataModule
from fer_bench.data.layouts import find_root
from fer_bench.errors import DatasetNotFound, InvalidSuite
from fer_bench.representations.base import Representation
from fer_bench.representations.cache import CacheEntry, default_cache, entry_path
from fer_bench.representations.source import Source


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
    """

    name: str
    suite: Suite
    cells: list[Cell]
    needs: list[Need]
    skipped: dict[tuple[str, str], str]


def make_plan(name: str, suite: Suite, runs: Path, only: Sequence[str] = ()) -> Plan:
    """Resolve a suite.

    Args:
        name: The suite's name, and its folder below `runs`.
        only: `key=value` filters on protocol, entry, fold and seed; values of one key are alternatives.

    Raises:
        DatasetNotFound: none of its datasets is there.
        InvalidSuite: a filter names no cell.
        ProtocolError: a dataset that is there cannot be divided as a protocol asks.
    """
    chosen = _parse_filters(only)
    cells: list[Cell] = []
    needs: dict[str, dict[str, Representation]] = {}  # dataset -> cache folder -> representation
    skipped: dict[tuple[str, str], str] = {}
    absent: list[DatasetNotFound] = []
    for protocol_id in suite.protocols:
        protocol = registry.find_protocol(protocol_id)
        if len(protocol.datasets) > 1:
            why = f"joins {' and '.join(protocol.datasets)}, and a cell reads one dataset"
            skipped |= {(protocol_id, entry): why for entry in suite.methods}
            continue
        try:
            data = _open(protocol.datasets[0])
        except DatasetNotFound as error:
            absent.append(error)
            skipped |= {
                (protocol_id, entry): str(error).partition(";")[0].partition(". ")[0] for entry in suite.methods
            }
            continue
        for entry, options in suite.methods.items():
            method, arguments = resolve_arguments(entry, options, name)
            representation, parameters = describe(method, arguments, len(protocol.classes))
            representation = representation.resolve(data.dataset.modalities)
            path = entry_path(default_cache(), data.source, representation).resolve()
            needs.setdefault(protocol.datasets[0], {})[str(path)] = representation
            # Samples found broken when the entry was made leave the folds, and so the digest.
            broken = CacheEntry(path).broken if path.exists() else {}
            digest = protocol.digest(data.index, data.source.provenance, broken)
            cells += [
                Cell(
                    suite=name,
                    protocol=protocol_id,
                    entry=entry,
                    fold=fold,
                    seed=seed,
                    method=method,
                    arguments=arguments,
                    trainer=suite.trainer.model_dump(),
                    dataset=protocol.datasets[0],
                    root=str(data.source.root.resolve()),
                    provenance=data.source.provenance,
                    protocol_digest=digest,
                    representation={
                        "name": representation.name,
                        "label": representation.label,
                        "digest": representation.digest,
                    },
                    cache=str(path),
                    parameters=parameters,
                    folder=runs / name / protocol_id / entry / f"fold{fold:02d}" / f"seed{seed}",
                )
                for fold in suite.folds or range(protocol.num_folds)
                for seed in suite.seeds
            ]
    if not cells:
        raise absent[0] if absent else InvalidSuite(f"{name}: nothing in it can run; {next(iter(skipped.values()))}.")
    kept = [cell for cell in cells if all(str(getattr(cell, key)) in values for key, values in chosen.items())]
    if not kept:
        raise InvalidSuite(f"--only {','.join(only)}: no cell of {name} fits; see `fer-bench plan {name}`.")
    used = {cell.cache for cell in kept}
    wanted = {name: tuple(r for path, r in each.items() if path in used) for name, each in needs.items()}
    opened = {name: _open(name) for name, representations in wanted.items() if representations}
    return Plan(name, suite, kept, [Need(o.dataset, o.source, wanted[n]) for n, o in opened.items()], skipped)


def describe(method: str, arguments: dict[str, Any], num_classes: int) -> tuple[Representation, int]:
    """(representation, trainable parameters) of a method, without allocating its weights."""
    with torch.device("meta"):
        built = registry.load_method(method)(num_classes, **arguments)
    return built.representation, built.num_parameters


@dataclass(frozen=True)
class _Opened:
    dataset: type[FaceDataModule]
    index: pd.DataFrame
    source: Source


@cache
def _open(name: str) -> _Opened:
    dataset = registry.load_dataset(name)
    root = find_root(name)
    return _Opened(dataset, dataset.index(root), dataset.source(root))


def _parse_filters(only: Sequence[str]) -> dict[str, set[str]]:
    filters: dict[str, set[str]] = {}
    for text in (part for item in only for part in item.split(",")):
        key, equals, value = text.partition("=")
        if key not in ("protocol", "entry", "fold", "seed") or not equals:
            raise InvalidSuite(f"--only {text}: write protocol=, entry=, fold= or seed= and a value, as in fold=0.")
        filters.setdefault(key, set()).add(str(int(value)) if key in ("fold", "seed") and value.isdigit() else value)
    return filters
