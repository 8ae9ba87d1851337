"""The cells of a suite as columns, for pages of thousands of cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fer_bench import registry
from fer_bench.cells.cell import Cell, cell_path, status_of
from fer_bench.errors import InvalidFile
from fer_bench.leaderboard.html.confusion import fold_matrices
from fer_bench.leaderboard.machines import DETAILED
from fer_bench.leaderboard.pages.columns import BESIDE, SHOWN, SOMETIMES
from fer_bench.leaderboard.row import Row
from fer_bench.records import Result, read_json
from fer_bench.stats.bootstrap import HEADLINE
from fer_bench.suites.suite import Suite

MAX_LOGS = 100  # failed cells shown with the end of their log

_TAIL = 4000  # characters of a log
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass
class Cells:
    """All cells of a suite.

    Attributes:
        rows: Position of each cell's row.
        folds, seeds: Fold and seed of each cell.
        states: State of each cell; `missing` before its first run.
        results: Each finished cell with its result, else None.
        folders: Folder of each cell.
        messages: Position -> error message.
    """

    rows: list[int] = field(default_factory=list)
    folds: list[int] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    results: list[tuple[Cell, Result] | None] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    messages: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, suite: Suite, rows: Sequence[Row], runs: Path) -> Cells:
        """The cells of the rows in order, then by fold and seed; unfinished cells are read from their folders."""
        cells = cls()
        for place, row in enumerate(rows):
            done = {(cell.fold, cell.seed): (cell, result) for cell, result in row.finished}
            for fold in suite.folds_of(registry.find_protocol(row.protocol)):
                for seed in suite.seeds:
                    found = done.get((fold, seed))
                    if found is not None:
                        folder, state, message = found[0].folder, "done", ""
                    else:
                        folder = runs / name / cell_path(row.protocol, row.entry, fold, seed)
                        state, message = _state(folder, row)
                    if message:
                        cells.messages[len(cells.rows)] = message
                    cells.rows.append(place)
                    cells.folds.append(fold)
                    cells.seeds.append(seed)
                    cells.states.append(state)
                    cells.results.append(found)
                    cells.folders.append(folder)
        return cells

    @property
    def places(self) -> dict[Path, int]:
        """Folder -> position."""
        return {folder: place for place, folder in enumerate(self.folders)}

    def columns(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The data of the page's script: one list per column, one value per cell."""
        results = [found[1] if found else None for found in self.results]
        states = list(dict.fromkeys(self.states))
        named = {
            name: head
            for task in dict.fromkeys(row.task for row in rows)
            for name, head in {**SHOWN[task], **SOMETIMES, **BESIDE.get(task, {})}.items()
        }
        values = {name: [_rounded(r.metrics.get(name)) if r else None for r in results] for name in named}
        headlines = [HEADLINE[rows[place].task] for place in self.rows]
        found: dict[str, Any] = {
            "row": self.rows,
            "fold": self.folds,
            "seed": self.seeds,
            "states": states,
            "state": [states.index(state) for state in self.states],
            "value": [
                _rounded(r.metrics.get(metric)) if r else None for r, metric in zip(results, headlines, strict=True)
            ],
            "n": [r.n if r else None for r in results],
            "broken": {i: r.broken for i, r in enumerate(results) if r and r.broken},
            "epochs": [r.epochs if r else None for r in results],
            "selected": [r.selected_epoch if r else None for r in results],
            "minutes": [round(r.fit_seconds / 60, 2) if r else None for r in results],
            "metrics": {name: column for name, column in values.items() if any(v is not None for v in column)},
            "heads": named,
            "messages": {place: _cleaned(message) for place, message in self.messages.items()},
            "logs": self._logs(),
            # For more cells, manifests and confusion matrices would dominate the file's size and the time to write it.
            "detailed": len(self.rows) <= DETAILED,
        }
        if found["detailed"]:
            found |= self._manifests() | {"confusions": self._confusions(rows)}
        return found

    def _logs(self) -> dict[int, str]:
        """Position -> the last lines of a failed cell's log."""
        wrong = [i for i, state in enumerate(self.states) if state in ("failed", "oom", "timeout", "interrupted")]
        tails = {i: _tail(self.folders[i] / "log.txt") for i in wrong[:MAX_LOGS]}
        return {i: tail for i, tail in tails.items() if tail}

    def _manifests(self) -> dict[str, Any]:
        """Position -> stage runs: [[stage, start, seconds, completed, memory, memory of GPUs, environment], ...].
        Environments are stored once, because most runs share them."""
        environments: list[dict[str, Any]] = []
        seen: dict[str, int] = {}
        runs: dict[int, list[list[Any]]] = {}
        data: dict[int, Any] = {}
        for place, folder in enumerate(self.folders):
            try:
                manifest = read_json(folder / "manifest.json")
                runs[place] = [_run(run, environments, seen) for run in manifest["runs"]]
                data[place] = manifest["data"]
            except (InvalidFile, KeyError, TypeError, AttributeError):
                continue  # a damaged or older manifest; no result depends on it
        distinct = list({repr(source): source for source in data.values()}.values())
        return {
            "environments": environments,
            "runs": runs,
            "sources": distinct,
            "source": {place: distinct.index(source) for place, source in data.items()},
        }

    def _confusions(self, rows: Sequence[Row]) -> dict[int, list[int]]:
        """Position -> flattened confusion matrix of the cell; for classification only."""
        places, found = self.places, {}
        for row in rows:
            matrices = fold_matrices(row)
            for (cell, _), matrix in zip(row.finished, matrices if matrices is not None else (), strict=False):
                found[places[cell.folder]] = matrix.ravel().tolist()
        return found


def _state(folder: Path, row: Row) -> tuple[str, str]:
    """State and message of an unfinished cell."""
    if not (folder / "cell.json").exists():
        return ("skipped", row.reason) if row.states["skipped"] else ("missing", "")
    status = status_of(folder)
    return "missing" if status.state in ("planned", "done") else status.state, status.message


def _run(run: dict[str, Any], environments: list[dict[str, Any]], seen: dict[str, int]) -> list[Any]:
    environment = {key: run.get(key) for key in ("code", "versions", "hardware", "threads", "processes")}
    if (key := repr(environment)) not in seen:
        seen[key] = len(environments)
        environments.append(environment)
    names = ("stage", "started", "seconds", "completed", "peak_memory_bytes", "peak_gpu_memory_bytes")
    return [*(run.get(name) for name in names), seen[key]]


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4 * _TAIL))
            return _cleaned(file.read().decode(errors="replace"))[-_TAIL:].strip()
    except OSError:
        return ""


def _cleaned(text: str) -> str:
    """Remove colours, control characters and the user's name, because the report may be shared."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).replace(str(Path.home()), "~")


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.5g}")
