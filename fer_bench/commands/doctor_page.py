"""The doctor's page, as a person reads it in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from fer_bench.data.doctor import Diagnosis, Verdict
from fer_bench.data.survey import Finding

_SHOWN = 8
_COLOURS = {"found": "default", "assumed": "cyan", "missing": "yellow", "warning": "yellow", "error": "red"}
_ENDS = {0: "[green]ready[/]", 1: "[yellow]usable with warnings[/]", 2: "[red]not usable[/]"}


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
