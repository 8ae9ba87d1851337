"""What there is, in words: `fer-bench list`."""

from __future__ import annotations

from fer_bench.bench import registry
from fer_bench.errors import UnknownName
from fer_bench.protocols import PROTOCOLS

KINDS = ("methods", "datasets", "protocols", "suites")


def listing(kind: str, name: str | None = None) -> str:
    """All components of a kind, a line each, or everything known of one; raises `UnknownName`."""
    if kind not in KINDS:
        raise UnknownName("kind", kind, KINDS)
    entries = {"methods": _methods, "datasets": _datasets, "protocols": _protocols, "suites": _suites}[kind]()
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
        name: f"{p.task} of {p.unit}s, {len(p.classes)} classes, {p.num_folds} folds, on {' and '.join(p.datasets)}"
        for name, p in PROTOCOLS.items()
    }


def _suites() -> dict[str, str]:
    from fer_bench.bench.suite import read_title

    return {name: read_title(path) for name, path in registry.suites().items()}


def _details(kind: str, name: str) -> str:
    if kind == "methods":
        from fer_bench.bench.suite import argument_lines

        return registry.card("methods", name) + "\n\nArguments:\n" + "\n".join(argument_lines(name))
    if kind == "datasets":
        return registry.card("data", name)
    if kind == "suites":
        return registry.suites()[name].read_text(encoding="utf-8").rstrip()
    p = PROTOCOLS[name]
    return (
        f"{p.id}: {_protocols()[name]}\nclasses: {', '.join(p.classes)}\nsource: {p.source}\n"
        "folds: subject-independent, a function of the index alone; validation subjects come out of the training ones"
    )
