"""Lists and descriptions of components: `fer-bench list`."""

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fer_bench import registry
from fer_bench.errors import UnknownName
from fer_bench.papers.notes import read_notes
from fer_bench.papers.published import papers, read_paper
from fer_bench.protocols import PROTOCOLS, Protocol
from fer_bench.stats.metric_units import plural
from fer_bench.yaml_text import read_yaml

KINDS = ("methods", "datasets", "protocols", "suites", "papers", "faults")


def listing(kind: str, name: str | None = None) -> str:
    """All components of a kind, one per line, or the details of one; raises `UnknownName`."""
    if kind not in KINDS:
        raise UnknownName("kind", kind, KINDS)
    entries = _entries(kind)
    if name is not None:
        if name not in entries:
            raise UnknownName(kind.removesuffix("s"), name, entries)
        return _details(kind, name)
    width = max(map(len, entries), default=0)
    return "\n".join(f"{entry:<{width}}  {line}" for entry, line in entries.items()) or f"no {kind}"


class Argument(NamedTuple):
    """An argument of a method, as a suite may set it."""

    name: str
    type: str
    default: Any


def arguments(method: str) -> list[Argument]:
    """A method's arguments, in order."""
    from fer_bench.suites.arguments import arguments_model

    model = arguments_model(registry.load_method(method))
    found = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        spelling = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
        found.append(Argument(name, spelling, field.default))
    return found


def _entries(kind: str) -> dict[str, str]:
    """Name -> one-line description of every component of a kind."""
    if kind == "methods":
        return {name: registry.card("methods", name).partition("\n")[0] for name in registry.methods()}
    if kind == "datasets":
        return {name: registry.card("data", name).partition("\n")[0] for name in registry.datasets()}
    if kind == "protocols":
        return {name: summary(p) for name, p in PROTOCOLS.items()}
    if kind == "suites":
        return {name: _title(path) for name, path in registry.suites().items()}
    if kind == "papers":
        return {name: read_paper(name).notes.title for name in papers()}
    return {f"{name}/{fault.id}": fault.fault for name, path in papers().items() for fault in read_notes(path).faults}


def summary(p: Protocol) -> str:
    """A protocol in a line: task, samples, classes, folds, datasets."""
    return (
        f"{p.task.replace('_', ' and ')} of {p.expected:,} {plural(p.unit)}"
        + (f", {len(p.classes)} classes" if p.classes else "")
        + f", {p.num_folds} fold{'s' if p.num_folds > 1 else ''}, on {' and '.join(p.datasets)}"
    )


def _title(path: Path) -> str:
    """A suite's title; a placeholder for an invalid file, which must not break the list."""
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
        return str(content.get("title") or "")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError):
        return "(not a readable suite)"


def _details(kind: str, name: str) -> str:
    if kind == "methods":
        lines = [f"  {a.name}: {a.type} = {a.default!r}" for a in arguments(name)]
        return registry.card("methods", name) + "\n\nArguments:\n" + "\n".join(lines)
    if kind == "datasets":
        return f"{registry.card('data', name)}\n\n{_protocols_and_twin(name)}"
    if kind == "suites":
        return registry.suites()[name].read_text(encoding="utf-8").rstrip()
    if kind == "papers":
        return _paper(name)
    if kind == "faults":
        return _fault(*name.split("/"))
    return _protocol(PROTOCOLS[name])


def _paper(name: str) -> str:
    paper = read_paper(name)
    lines = [f"{name}: {paper.notes.title}"]
    for section in paper.sections:
        measured = f"; measured by {' and '.join(section.suites)}" if section.suites else ""
        title = f", {section.notes.title}" if section.notes.title else ""
        lines.append(f"{section.heading}{title}: {len(section.rows)} printed values{measured}")
    faults = [f"- {mark} {fault.fault}" for mark, fault in paper.faults.items()]
    return "\n".join([*lines, *(f"- {note}" for note in paper.notes.notes), *faults])


def _fault(name: str, fault_id: str) -> str:
    paper = read_paper(name)
    ((mark, fault),) = [(mark, fault) for mark, fault in paper.faults.items() if fault.id == fault_id]
    rows = [row for row in paper.rows if mark in paper.faults_of(row)]
    lines = [f"{name}, {mark}: {fault.fault}", f"how it is known: {fault.evidence}", f"instead: {fault.instead}"]
    lines += [f"so that its values cannot be compared: {fault.incomparable}"] if fault.incomparable else []
    lines.append(f"printed values that it concerns: {len(rows) or 'none'}")
    lines += [f"- {row.table}, {row.dataset}, {row.method}, {row.metric}: {row.value}" for row in rows]
    return "\n".join(lines)


def _protocols_and_twin(dataset: str) -> str:
    lines = ["Protocols: " + (", ".join(p.id for p in PROTOCOLS.values() if dataset in p.datasets) or "none")]
    if dataset in registry.twins():
        twin = registry.load_twin(dataset)
        layouts = f"; layouts {', '.join(twin.layouts)}" if len(twin.layouts) > 1 else ""
        lines.append(f"Twin: fer-bench data twin {dataset}, {twin.default_subjects} subjects by default{layouts}")
    return "\n".join(lines)


def _protocol(p: Protocol) -> str:
    lines = [f"{p.id}: {summary(p)}"]
    lines.append(f"samples: {p.expected:,} {plural(p.unit)} of a complete copy take part")
    if p.outputs:
        lines.append(f"{'classes' if p.classes else 'outputs'}: {', '.join(p.outputs)}")
    if p.tested:
        lines.append(f"tested on: {', '.join(p.tested)} alone")
    lines.append(f"folds: {folds(p)}, a function of the index alone; validation comes out of training")
    lines.append(f"source: {p.source}")
    if p.uncertain:
        lines.append(f"uncertain: {p.uncertain}")
    return "\n".join(lines)


def folds(p: Protocol) -> str:
    """Number of folds and of repeated divisions, and whether folds are subject-independent."""
    repeats = f", {p.num_folds // p.repeats} at a time in {p.repeats} new divisions" if p.repeats > 1 else ""
    return f"{p.num_folds}{repeats}, {'' if p.subject_independent else 'not '}subject-independent"
