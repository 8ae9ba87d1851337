"""The page of a method: its docstring, recipe, size and cost, and the suites that run it."""

import csv
import inspect
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from fer_bench import registry
from fer_bench.cards.describe import arguments
from fer_bench.expressions import BASIC_SIX, FOURDME_EMOTIONS
from fer_bench.markdown import anchor, table
from fer_bench.methods.base import Method
from fer_bench.papers.published import published_folder, read_paper
from fer_bench.records import Target, Task
from fer_bench.suites.reading import read_suite
from fer_bench.suites.suite import Suite

_TARGETS: dict[Task, Target] = {
    "classification": Target("classification", BASIC_SIX),
    "multilabel": Target("multilabel", FOURDME_EMOTIONS),
    "valence_arousal": Target("valence_arousal", ("valence", "arousal")),
    "disentanglement": Target("disentanglement", ()),
}
_OFFERS = tuple(
    frozenset(offer) for offer in ({"mesh", "texture", "landmarks"}, {"sequence", "texture"}, {"photo"}, {"video"})
)
_COUNTED = (
    "Counted on the network as it is built, all other arguments at their defaults. Multiply-adds are those of matrix "
    "products, convolutions and attention in one prediction of one sample."
)
_UNCOUNTED = " They are not counted where the values of a sample decide what is done, as in a search for neighbours."
_ARGUMENT = re.compile(r"    (\w+(?:, \w+)*): (.*)")


class Docstring(NamedTuple):
    """A parsed docstring of a method."""

    idea: str
    notes: list[str]
    cite: str
    arguments: dict[str, str]


def read_docstring(text: str) -> Docstring:
    """Parse a method's docstring into its first paragraph, notes, citation (`Cite:`) and arguments."""
    body, _, rest = text.partition("\nArgs:\n")
    idea, *others = [" ".join(paragraph.split()) for paragraph in body.strip().split("\n\n")]
    cite = [paragraph for paragraph in others if paragraph.startswith("Cite: ")]
    described: dict[str, str] = {}
    names: list[str] = []
    for line in rest.partition("\n\nRaises:")[0].splitlines():
        if match := _ARGUMENT.match(line):
            names = match[1].split(", ")
            described |= dict.fromkeys(names, match[2])
        else:
            described |= {name: f"{described[name]} {line.strip()}" for name in names}
    notes = [paragraph for paragraph in others if paragraph not in cite]
    return Docstring(idea, notes, cite[0].removeprefix("Cite: ") if cite else "", described)


def method_card(name: str) -> str:
    """The page of a method."""
    method = registry.load_method(name)
    docstring = read_docstring(inspect.getdoc(method) or "")
    headline = registry.headline("methods", name)
    first = _build(method, method.tasks[0])
    lines = [f"# `{name}`", "", headline, "", docstring.idea, ""]
    lines += [f"- **Paper**: {docstring.cite}"]
    lines += [f"- **Task**: {' and '.join(task.replace('_', ' and ') for task in method.tasks)}"]
    lines += [f"- **Input**: {_inputs(first)}"]
    lines += [f"- **Starts from**: {first.weights or 'random weights'}"]
    lines += [f"- **Training**: {_training(first)}"]
    if method.auxiliary:
        lines += ["- **Needs** samples of the training subjects besides the classes, such as their neutral scans"]
    lines += [f"- **On the command line**: `fer-bench list methods {name}`", ""]
    if docstring.notes:
        lines += ["## As published, and as it is here", "", *(part for note in docstring.notes for part in (note, ""))]
    lines += ["## Size and cost", "", *_costs(headline, method, method.tasks), ""]
    lines += ["## Arguments", "", "What is not said in a suite has these values: the paper's, where it prints one.", ""]
    rows = [
        (f"`{a.name}`", f"`{a.default!r}`", f"`{a.type}`", docstring.arguments.get(a.name, "")) for a in arguments(name)
    ]
    lines += [table(("Argument", "Default", "Type", "Meaning"), rows), "", "## Suites", "", *_suites(name), ""]
    return "\n".join(lines)


def _build(method: type[Method], task: Task, **options: Any) -> Method:
    """The method on PyTorch's meta device, which allocates no weights."""
    with torch.device("meta"):
        return method(_TARGETS[task], **options)


def _inputs(method: Method) -> str:
    seen = [f"`{r.name}` of a {' or a '.join(r.takes)}" for r in method.representations]
    return ", or ".join(seen) + ("; the first that the data allow" if len(seen) > 1 else "")


def _training(method: Method) -> str:
    stages = [s for s in method.stages if s.epochs]
    if not stages:
        return "none"
    facts = [
        f"{f'stage {s.name}: ' if s.name else ''}{s.epochs} epochs, batches of {s.batch_size}"
        + ("" if s.sampling == "all" else f", {s.sampling} sampling")
        for s in stages
    ]
    end = f"the epoch with the best `{method.monitor}` is scored" if method.monitor else "the last epoch is scored"
    return f"{'; '.join(facts)}. {end[0].upper()}{end[1:]}"


def _costs(headline: str, method: type[Method], tasks: Iterable[Task]) -> list[str]:
    rows: list[tuple[str, ...]] = []
    hints = get_type_hints(method.__init__)
    options = {"pretrained": False} if "pretrained" in hints else {}
    sizes = getattr(hints.get("size"), "__args__", ("",))
    for task in tasks:
        for size in sizes:
            built = _build(method, task, **options, **({"size": size} if size else {}))
            if built.shaped_by_data:
                continue
            total = sum(parameter.numel() for parameter in built.parameters())
            count = multiply_adds(built)
            cost = "not counted" if count is None else f"{count / 1e9:.3f}"
            target = f"{task}, {len(built.target.outputs)}"
            rows.append((f"`{size}`" if size else "-", target, f"{total:,}", f"{built.num_parameters:,}", cost))
    if not rows:
        return ["The meshes decide how many parameters it has; every result tells the number."]
    # A method with one network for all sizes has one row.
    rows = list({row[1:]: row for row in reversed(rows)}.values())[::-1]
    head = ("Size", "Task, outputs", "Parameters", "trained", "Multiply-adds (G)")
    lines = [table(head, rows, head[2:]), ""]
    lines += [_COUNTED + (_UNCOUNTED if any(row[-1] == "not counted" for row in rows) else "")]
    if steps := _measured(headline):
        lines += ["", "Measured, beside a named peer on the same machine:", ""]
        lines += [table(("What", "ms", "Peer", "its ms", "Page"), steps, ("ms", "its ms"))]
    return lines


def multiply_adds(method: Method) -> int | None:
    """Multiply-adds of matrix products, convolutions and attention in one prediction of one sample, counted on
    PyTorch's meta device; None if the operations depend on the values of the sample."""
    first = method.representations[0]
    offered = next(offer for offer in _OFFERS if offer.intersection(first.takes))
    resolved = first.resolve(offered)
    kind = torch.uint8 if resolved.dtype == np.uint8 else torch.float32
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            method.eval()(torch.zeros((1, *resolved.shape), dtype=kind, device="meta"))
    except (NotImplementedError, RuntimeError):  # an operation needs values
        return None
    return counter.get_total_flops() // 2


def _measured(headline: str) -> list[tuple[str, ...]]:
    """Training-step rows of the committed speed pages for the method named first in a headline."""
    name = re.escape(re.split(r"[\s:,']", headline)[0])
    title = re.compile(rf"{name}\W.*training step")
    rows: list[tuple[str, ...]] = []
    for path in sorted(published_folder().parent.glob("perf_*.csv")):
        page = _link(path.stem, f"{path.stem}.md")
        steps = [row for row in _rows(path) if title.match(row["what"]) and row["unit"] == "ms"]
        rows += [(row["what"], row["ours"], row["peer"], row["theirs"], page) for row in steps]
    return rows


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def _suite(path: Path) -> Suite:
    return read_suite(path, arguments=False)


_paper = cache(read_paper)


def _suites(name: str) -> list[str]:
    rows: list[tuple[str, ...]] = []
    for suite_name, path in registry.suites().items():
        suite = _suite(path)
        entries = [entry for entry, options in suite.methods.items() if options.get("method") == name]
        if not entries:
            continue
        page, done = "-", set[str]()
        folder = published_folder().parent / "papers"
        if suite.paper and (folder / f"{suite.paper}.md").exists():
            section = next((s for s in _paper(suite.paper).sections if s.table == suite.table), None)
            if section is not None:
                title = ": ".join(filter(None, [section.heading, section.notes.title]))
                page = _link(section.heading, f"papers/{suite.paper}.md#{anchor(title)}")
            measured = _rows(folder / f"{suite.paper}.csv")
            done = {row["entry"] for row in measured if row["value"] and row["protocol"] in suite.protocols}
        shown = ", ".join(f"`{entry}`" for entry in entries)
        protocols = " ".join(f"`{p}`" for p in suite.protocols)
        kept = ", ".join(f"`{entry}`" for entry in entries if entry in done)
        rows.append((f"`{suite_name}`", shown, protocols, page, kept or "-"))
    if not rows:
        return ["No suite that comes with the package runs it."]
    head = ("Suite", "Entries", "Protocols", "Published beside measured", "Committed results of")
    return [table(head, rows), "", "Committed results are of twins unless their page says otherwise."]


def _link(text: str, target: str) -> str:
    return f"[{text}](../../leaderboards/{target})"
