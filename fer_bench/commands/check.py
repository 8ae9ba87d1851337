"""`fer-bench data check DATASET`: what a dataset's folder holds, and what can be run on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from fer_bench import registry
from fer_bench.data.layouts import find_root
from fer_bench.processes import fork_server
from fer_bench.terminal import console

if TYPE_CHECKING:  # they import torch, which an unknown name need not wait for
    from fer_bench.data.doctor import Diagnosis, Verdict
    from fer_bench.data.survey import Finding

_SHOWN = 8
_COLOURS = {"found": "default", "assumed": "cyan", "missing": "yellow", "warning": "yellow", "error": "red"}
_ENDS = {0: "[green]ready[/]", 1: "[yellow]usable with warnings[/]", 2: "[red]not usable[/]"}


def check(name: str, root: Path | None, names_only: bool, workers: int, as_json: bool) -> int:
    """Print what a dataset's folder contains and what can be run on it; returns the exit code."""
    module, folder = registry.dataset_module(name), find_root(name, root)
    if workers > 1 and not names_only:
        fork_server(module)
    from fer_bench.commands import display
    from fer_bench.data.doctor import diagnose

    dataset = registry.load_dataset(name)
    if as_json:
        diagnosis = diagnose(dataset, folder, read=not names_only, workers=workers)
        print(json.dumps(diagnosis.to_json(), indent=2, ensure_ascii=False))
        return diagnosis.exit_code
    with display.reported(console, f"reading {name}") as report:
        diagnosis = diagnose(dataset, folder, read=not names_only, workers=workers, progress=report)
    for line in page(diagnosis):
        console.print(line, highlight=False, soft_wrap=True)
    return diagnosis.exit_code


def page(diagnosis: Diagnosis) -> Iterator[str]:
    """Lines with markup: what was found, what is broken, a verdict a protocol, and the verdict of all."""
    yield f"{diagnosis.dataset} at {escape(diagnosis.root)}: {diagnosis.provenance}"
    order = list(_COLOURS)
    for finding in sorted(diagnosis.findings, key=lambda finding: order.index(finding.kind)):
        yield f"  [{_COLOURS[finding.kind]}]{finding.kind:<8}[/] {escape(_sentence(finding))}"
    for problem in list(diagnosis.broken.values())[:_SHOWN]:
        yield f"  [red]broken  [/] {escape(problem)}"
    if len(diagnosis.broken) > _SHOWN:
        yield f"  [red]broken  [/] and {len(diagnosis.broken) - _SHOWN:,} more (--json names all)"
    if diagnosis.read:
        usable = diagnosis.samples - len(diagnosis.broken)
        yield f"  {'read':<8} {usable:,} of {diagnosis.samples:,} samples can be read"
    else:
        yield f"  {'read':<8} nothing: the samples themselves were left aside (--names-only)"
    width = max((len(verdict.protocol) for verdict in diagnosis.protocols), default=0)
    for verdict in diagnosis.protocols:
        yield f"  {verdict.protocol:<{width}}  {escape(_state(verdict, diagnosis.provenance))}"
    yield f"{diagnosis.dataset}: {_ENDS[diagnosis.exit_code]}"


def _sentence(finding: Finding) -> str:
    if not finding.names:
        return finding.text
    more = len(finding.names) - _SHOWN
    named = ", ".join(finding.names[:_SHOWN]) + (f" and {more:,} more (--json names all)" if more > 0 else "")
    return f"{finding.text} ({len(finding.names):,}): {named}"


def _state(verdict: Verdict, provenance: str) -> str:
    if verdict.state in ("not possible", "needs another dataset"):
        why = verdict.why.removeprefix(verdict.protocol).removeprefix(":").lstrip()  # the caller prints the name
        return f"{verdict.state}: {why}"
    if provenance != "as distributed":
        return f"ready: {verdict.samples:,} samples (the dataset has {verdict.expected:,})"
    if verdict.state == "ready":
        return f"ready: {verdict.samples:,} samples"
    return f"ready with {verdict.expected - verdict.samples:,} missing: {verdict.samples:,} of {verdict.expected:,}"
