"""What there is, in words: `fer-bench list`."""

from __future__ import annotations

from fer_bench.bench import registry
from fer_bench.bench.published import papers, read_paper
from fer_bench.bench.units import plural
from fer_bench.errors import UnknownName
from fer_bench.protocols import PROTOCOLS, Protocol

KINDS = ("methods", "datasets", "protocols", "suites", "papers")


def listing(kind: str, name: str | None = None) -> str:
    """All components of a kind, a line each, or everything known of one; raises `UnknownName`."""
    if kind not in KINDS:
        raise UnknownName("kind", kind, KINDS)
    entries = {
        "methods": _methods,
        "datasets": _datasets,
        "protocols": _protocols,
        "suites": _suites,
        "papers": _papers,
    }[kind]()
    if name is not None:
        if name not in entries:
            raise UnknownName(kind.removesuffix("s"), name, entries)
        return _details(kind, name)
    width = max(map(len, entries), default=0)
    return "\n".join(f"{entry:<{width}}  {line}" for entry, line in entries.items()) or f"no {kind}"


def _methods() -> dict[str, str]:
    return {name: registry.card("methods", name).partition("\n")[0] for name in registry.methods()}


def _datasets() -> dict[str, str]:
    return {name: registry.card("data", name).partition("\n")[0] for name in registry.datasets()}


def _protocols() -> dict[str, str]:
    return {
        name: f"{p.task.replace('_', ' and ')} of {p.expected:,} {plural(p.unit)}"
        + (f", {len(p.classes)} classes" if p.classes else "")
        + f", {p.num_folds} fold{'s' if p.num_folds > 1 else ''}, on {' and '.join(p.datasets)}"
        for name, p in PROTOCOLS.items()
    }


def _suites() -> dict[str, str]:
    from fer_bench.bench.suite import read_title

    return {name: read_title(path) for name, path in registry.suites().items()}


def _papers() -> dict[str, str]:
    return {name: read_paper(name).notes.title for name in papers()}


def _details(kind: str, name: str) -> str:
    if kind == "methods":
        from fer_bench.bench.suite import argument_lines

        return registry.card("methods", name) + "\n\nArguments:\n" + "\n".join(argument_lines(name))
    if kind == "datasets":
        return f"{registry.card('data', name)}\n\n{_around(name)}"
    if kind == "suites":
        return registry.suites()[name].read_text(encoding="utf-8").rstrip()
    if kind == "papers":
        return _paper(name)
    return _protocol(PROTOCOLS[name])


def _paper(name: str) -> str:
    """What it prints, by table, and what measures it."""
    paper = read_paper(name)
    lines = [f"{name}: {paper.notes.title}"]
    for section in paper.sections:
        measured = f"; measured by {' and '.join(section.suites)}" if section.suites else ""
        title = f", {section.notes.title}" if section.notes.title else ""
        lines.append(f"{section.heading}{title}: {len(section.rows)} printed values{measured}")
    return "\n".join([*lines, *(f"- {note}" for note in paper.notes.notes)])


def _around(dataset: str) -> str:
    """The protocols on a dataset, and its twin."""
    lines = ["Protocols: " + (", ".join(p.id for p in PROTOCOLS.values() if dataset in p.datasets) or "none")]
    if dataset in registry.twins():
        twin = registry.load_twin(dataset)
        layouts = f"; layouts {', '.join(twin.layouts)}" if len(twin.layouts) > 1 else ""
        lines.append(f"Twin: fer-bench data twin {dataset}, {twin.default_subjects} subjects by default{layouts}")
    return "\n".join(lines)


def _protocol(p: Protocol) -> str:
    lines = [f"{p.id}: {_protocols()[p.id]}"]
    lines.append(f"samples: {p.expected:,} {plural(p.unit)} of a complete copy take part")
    if p.outputs:
        lines.append(f"{'classes' if p.classes else 'outputs'}: {', '.join(p.outputs)}")
    if p.tested:
        lines.append(f"tested on: {', '.join(p.tested)} alone")
    kind = "subject-independent" if p.subject_independent else "not subject-independent"
    repeats = f", {p.num_folds // p.repeats} at a time in {p.repeats} new divisions" if p.repeats > 1 else ""
    lines.append(
        f"folds: {p.num_folds}{repeats}, {kind}, a function of the index alone; validation comes out of training"
    )
    lines.append(f"source: {p.source}")
    if p.uncertain:
        lines.append(f"uncertain: {p.uncertain}")
    return "\n".join(lines)
