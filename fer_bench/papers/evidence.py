"""The results of suites: each entry on each protocol, and its departures from the paper's configuration."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fer_bench import registry
from fer_bench.cells.cell import Cell
from fer_bench.errors import FerBenchError, UnknownName
from fer_bench.launch.descriptions import blueprint
from fer_bench.leaderboard import rows as leaderboard
from fer_bench.leaderboard.row import Row
from fer_bench.papers.published import Section
from fer_bench.papers.verdict import departures
from fer_bench.protocols import Protocol
from fer_bench.records import Result
from fer_bench.suites.arguments import resolve_arguments
from fer_bench.suites.reading import read_suite
from fer_bench.suites.suite import Suite


@dataclass(frozen=True)
class Evidence:
    """The results of one entry of a suite on one protocol.

    Attributes:
        cells, results: The finished cells, one per fold and seed, and their results.
        options: Options of the entry in the shipped suite.
        departures, remarks: See `Measured`.
    """

    row: Row
    cells: tuple[Cell, ...]
    results: tuple[Result, ...]
    options: dict[str, Any]
    departures: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def protocol(self) -> Protocol:
        """The protocol of the row."""
        return registry.find_protocol(self.row.protocol)

    @property
    def complete(self) -> bool:
        """Whether every cell is done, on the same protocol snapshot."""
        return self.row.pooled is not None


class Reader:
    """Reads results below a runs folder, each suite and protocol once.

    Args:
        runs: The folder.
        folds: Read only these folds, those that a protocol has; a protocol with a single fold always uses it. By
            default, the folds of the suite.
    """

    def __init__(self, runs: Path, folds: Sequence[int] | None = None) -> None:
        self.runs, self._folds = runs, folds
        self._suites: dict[str, Suite] = {}
        self._rows: dict[tuple[str, str], tuple[Suite, dict[str, Row]]] = {}
        self._found: dict[tuple[str, str, str], Evidence] = {}

    def suite(self, name: str) -> Suite:
        """A shipped suite; raises `UnknownName`."""
        if name not in self._suites:
            known = registry.suites()
            if name not in known:
                raise UnknownName("suite", name, known)
            self._suites[name] = read_suite(known[name])
        return self._suites[name]

    def evidence(self, name: str, protocol_id: str, entry: str) -> Evidence:
        """The results of an entry of a suite on a protocol.

        Raises:
            UnknownName: the suite or the entry does not exist.
            FerBenchError: the protocol has none of the folds.
        """
        key = name, protocol_id, entry
        if key not in self._found:
            suite, rows = self._on(name, protocol_id)
            if entry not in rows:
                raise UnknownName(f"entry of {name}", entry, rows)
            self._found[key] = _evidence(rows, entry, name, suite)
        return self._found[key]

    def _on(self, name: str, protocol_id: str) -> tuple[Suite, dict[str, Row]]:
        if (name, protocol_id) not in self._rows:
            shipped = self.suite(name)
            chosen = shipped.folds if self._folds is None else self._folds_of(registry.find_protocol(protocol_id))
            suite = shipped.model_copy(update={"protocols": [protocol_id], "folds": chosen})
            rows = {row.entry: row for row in leaderboard.collect(name, suite, self.runs)}
            self._rows[name, protocol_id] = suite, rows
        return self._rows[name, protocol_id]

    def _folds_of(self, protocol: Protocol) -> list[int]:
        assert self._folds is not None
        if protocol.num_folds == 1:
            return [0]
        if not (existing := [fold for fold in self._folds if fold < protocol.num_folds]):
            given = ",".join(map(str, self._folds))
            raise FerBenchError(f"--folds {given}: {protocol.id} has folds 0 to {protocol.num_folds - 1}.")
        return existing


def gather(
    section: Section, runs: Path | Reader, folds: Sequence[int] | None = None
) -> dict[tuple[str, str], Evidence]:
    """(protocol, entry) -> results of the suites of a section, in their order.

    Args:
        runs: The folder of all runs, or a reader shared between sections.
        folds: See `Reader`; used only with a folder.
    """
    reader = runs if isinstance(runs, Reader) else Reader(runs, folds)
    found: dict[tuple[str, str], Evidence] = {}
    for name in section.suites:
        suite = reader.suite(name)
        for protocol_id in section.notes.protocols or suite.protocols:
            for entry in section.notes.entries or suite.entries:
                evidence = reader.evidence(name, protocol_id, entry)
                if (protocol_id, entry) not in found or evidence.complete:
                    found[protocol_id, entry] = evidence
    return found


def _evidence(rows: Mapping[str, Row], entry: str, name: str, suite: Suite) -> Evidence:
    row, fusion = rows[entry], suite.fusions.get(entry)
    options = dict(suite.methods.get(entry, {})) if fusion is None else fusion.model_dump()
    evidence = Evidence(row, (), (), options, (), ())
    if not row.finished:
        return evidence
    cells, results = zip(*row.finished, strict=True)
    if entry in suite.predictions:
        return replace(evidence, cells=cells, results=results)
    if fusion is not None:
        # A fusion has the departures of its members.
        of = [_evidence(rows, member, name, suite) for member in fusion.of]
        requested = [f"{key} {cells[0].arguments[key]}" for key in options if cells[0].arguments[key] != options[key]]
        departed = tuple(dict.fromkeys([*requested, *(why for each in of for why in each.departures)]))
        remarks = tuple(dict.fromkeys(remark for each in of for remark in each.remarks))
        return replace(evidence, cells=cells, results=results, departures=departed, remarks=remarks)
    method, arguments = resolve_arguments(row.entry, options, name)
    kind = cells[0].representation["name"]
    seen = _label_and_weights(method, cells[0].arguments, evidence.protocol, kind)[0]
    weights = _label_and_weights(method, arguments, evidence.protocol, kind)[1]
    trainer = suite.trainer_of(row.entry).model_dump()
    selection = suite.selection_of(entry, evidence.protocol)
    departed, remarks = departures(cells, results, arguments, trainer, seen, weights, selection)
    if short := suite.shortened(evidence.protocol):
        # One repetition of the cross-validation tests the same subjects as a hundred; a subset of its folds does not.
        departed, remarks = ((*departed, short), remarks) if suite.folds else (departed, (*remarks, short))
    return replace(evidence, cells=cells, results=results, departures=departed, remarks=remarks)


def _label_and_weights(method: str, arguments: dict[str, Any], protocol: Protocol, kind: str) -> tuple[str, str]:
    """(label of the method's representation of this kind on data that provide everything, initial weights)."""
    built = blueprint(method, json.dumps(arguments), protocol.target)
    chosen = next((r for r in built.representations if r.name == kind), built.representations[0])
    return chosen.resolve(frozenset({chosen.takes[0], "texture", "landmarks", "topology"})).label, built.weights
