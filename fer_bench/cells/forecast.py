"""How long cells will take: from those that are done, or from three steps of their training."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fer_bench.cells.cell import DERIVED, Cell
from fer_bench.errors import InvalidFile
from fer_bench.records import read_json, write_json

Key = tuple[str, str]
"""(protocol, entry): cells with the same key cost the same."""

_KEPT = 50  # runs that `forecast.json` remembers


def key(cell: Cell) -> Key:
    """Which cells cost about as much."""
    return cell.protocol, cell.entry


@dataclass(frozen=True)
class Probe:
    """The measurements of three training steps; `probe.json`.

    Attributes:
        seconds: What the whole cell is expected to take, start and score included.
        memory: Largest resident memory, bytes.
        device_memory: Largest reserved memory of a GPU, bytes; 0 without one.
        threads: CPU threads that it was timed with.
        device: What trained.
    """

    seconds: float
    memory: int
    device_memory: int
    threads: int
    device: str


def probe_of(cell: Cell) -> Cell:
    """The same cell, in the folder that its entry's probe is kept in."""
    return replace(cell, folder=cell.folder.parent.parent / "probe")


def probed(cell: Cell) -> Probe | None:
    """The probe of a cell's entry; None if there is none with the same settings."""
    folder = probe_of(cell).folder
    try:
        first = replace(Cell.read(folder), fold=cell.fold, seed=cell.seed)
        return None if first.differences(cell) else Probe(**read_json(folder / "probe.json"))
    except (InvalidFile, TypeError):
        return None


@dataclass(frozen=True)
class Forecast:
    """What is expected of the cells of each (protocol, entry).

    Attributes:
        seconds: Wall time of a cell; without those of which nothing is known.
        measured: Those of `seconds` that come from finished cells, and not from a probe.
        memory, device_memory: Bytes, as measured by a probe.
    """

    seconds: dict[Key, float]
    measured: frozenset[Key]
    memory: dict[Key, int]
    device_memory: dict[Key, int]

    @classmethod
    def of(cls, cells: Sequence[Cell]) -> Forecast:
        """From the folders of all cells of a suite."""
        first: dict[Key, Cell] = {}
        done: dict[Key, list[float]] = {}
        for cell in cells:
            first.setdefault(key(cell), cell)
            if (status := cell.status()).state == "done":
                done.setdefault(key(cell), []).append(status.seconds or status.fit_seconds)
        probes = {k: p for k, cell in first.items() if cell.method not in DERIVED and (p := probed(cell))}
        seconds = {k: p.seconds for k, p in probes.items()} | {k: sum(all_) / len(all_) for k, all_ in done.items()}
        return cls(
            seconds,
            frozenset(done),
            {k: p.memory for k, p in probes.items()},
            {k: p.device_memory for k, p in probes.items() if p.device_memory},
        )

    def longest_first(self, cells: Sequence[Cell]) -> list[Cell]:
        """Cells in the order that ends soonest: those that take long first, and before them those of which nothing is
        known, so that it becomes known."""
        return sorted(cells, key=lambda cell: -self.seconds.get(key(cell), float("inf")))

    def total(self, cells: Iterable[Cell], slots: int) -> float | None:
        """Seconds until all cells are done, `slots` at a time; None where too little is known."""
        needs = [self.seconds.get(key(cell)) for cell in cells]
        return schedule([n for n in needs if n is not None], slots) if None not in needs else None


def schedule(seconds: Sequence[float], slots: int) -> float:
    """When the last job ends if each is given, longest first, to the slot that is free first."""
    free = [0.0] * max(1, slots)
    for need in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + need)
    return max(free)


def remember(folder: Path, expected: Forecast, cells: Sequence[Cell], slots: int, seconds: float) -> None:
    """Add the expected and the actual duration of a run to the suite's `forecast.json`.

    Args:
        cells: Those that it ran.
        seconds: Wall time of the run.
    """
    path = folder / "forecast.json"
    try:
        runs = read_json(path)["runs"] if path.exists() else []
    except (InvalidFile, KeyError):
        runs = []
    entries: list[dict[str, Any]] = []
    for protocol, entry in dict.fromkeys(map(key, cells)):
        states = [cell.status() for cell in cells if key(cell) == (protocol, entry)]
        took = [status.seconds for status in states if status.state == "done"]
        entries.append(
            {
                "protocol": protocol,
                "entry": entry,
                "cells": len(states),
                "done": len(took),
                "expected_seconds": expected.seconds.get((protocol, entry)),
                "took_seconds": round(sum(took) / len(took), 3) if took else None,
            }
        )
    total = expected.total(cells, slots)
    run = {
        "ended": time.time(),
        "at_a_time": slots,
        "expected_seconds": None if total is None else round(total, 3),
        "took_seconds": round(seconds, 3),
        "entries": entries,
    }
    write_json(path, {"runs": [*runs, run][-_KEPT:]})
