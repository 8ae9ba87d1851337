"""The pages of datasets and of protocols."""

import inspect
import re

from fer_bench import registry
from fer_bench.cards.describe import folds, summary
from fer_bench.markdown import anchor, table
from fer_bench.protocols import PROTOCOLS, Protocol
from fer_bench.stats.metric_units import plural

_PART = re.compile(r"([A-Z][\w ]+): (.*)")


def read_card(text: str) -> tuple[str, dict[str, str]]:
    """Split a dataset's docstring into its title and its labelled parts, such as `What:` and `On disk:`."""
    title, _, rest = text.partition("\n")
    parts: dict[str, str] = {}
    for line in rest.strip().splitlines():
        if match := _PART.match(line):
            heading = match[1]
            parts[heading] = match[2]
        else:
            parts[heading] += f" {line.strip()}"
    return title, parts


def dataset_card(name: str) -> str:
    """The page of a dataset."""
    dataset = registry.load_dataset(name)
    title, parts = read_card(inspect.getdoc(dataset) or "")
    lines = [f"# `{name}`", "", title, ""]
    lines += [part for heading, message in parts.items() for part in (f"**{heading}**: {message}", "")]
    lines += ["## Pointing the suite at it", "", dataset.obtain, ""]
    lines += ["```", f"fer-bench data check {name} --root /where/it/is", "```", ""]
    lines += [f"The folder should hold {dataset.expected}", ""]
    lines += ["## What the doctor compares a copy with", ""]
    rows = [
        (f"[`{p.id}`](../protocols.md#{anchor(p.id)})", f"{p.expected:,} {plural(p.unit)}", folds(p))
        for p in PROTOCOLS.values()
        if name in p.datasets
    ]
    lines += [table(("Protocol", "Samples of a complete copy", "Folds"), rows), ""]
    if dataset.class_counts:
        splits = list(dataset.class_counts)
        labels = list(dict.fromkeys(label for counts in dataset.class_counts.values() for label in counts))
        counts = [(label, *(f"{dataset.class_counts[s].get(label, 0):,}" for s in splits)) for label in labels]
        sums = ("all", *(f"{sum(dataset.class_counts[s].values()):,}" for s in splits))
        lines += ["Samples of each class; a copy whose classes are in another order is told by them:", ""]
        lines += [table(("Class", *splits), [*counts, sums], splits), ""]
    if dataset.vertices:
        lines += [f"Vertices of each mesh: {' or '.join(f'{n:,}' for n in dataset.vertices)}, by release.", ""]
    lines += [
        "It reads every sample unless told `--names-only`, and names files that are missing, cannot be read, are there "
        "twice or look wrong, and subjects on both sides of a split.",
        "",
    ]
    if name in registry.twins():
        lines += ["## Its twin", "", *_twin(name), ""]
    lines += [
        "## Licence",
        "",
        "The data are not part of this project and their licence stays their owners'. Nothing of them is redistributed "
        "here: not scans, not photographs, not features made of them. Results on a twin are marked as such and are "
        "never ranked with results on the real data.",
        "",
    ]
    return "\n".join(lines)


def _twin(name: str) -> list[str]:
    twin = registry.load_twin(name)
    names = ", ".join(f"`{layout}`" for layout in twin.layouts)
    layouts = f" Layouts: {names}; the first by default." if twin.layouts[1:] else ""
    return [
        f"{inspect.getdoc(inspect.getmodule(twin.fill)) or ''}".partition("\n")[0],
        "",
        "```",
        f"fer-bench data twin {name} --out data/twins/{name}",
        "```",
        "",
        f"{twin.default_subjects} people by default, at most {twin.max_subjects:,}.{layouts} It holds faults on "
        "purpose, as real copies do; `twin.json` names each, and the doctor has to find it.",
    ]


def protocols_page() -> str:
    """The page of all protocols."""
    head = ("Protocol", "Task", "Samples", "Classes", "Folds", "Subjects apart")
    rows = [
        (
            f"[`{p.id}`](#{anchor(p.id)})",
            p.task.replace("_", " and "),
            f"{p.expected:,}",
            len(p.classes) or "-",
            f"{p.num_folds:,}",
            "yes" if p.subject_independent else "no",
        )
        for p in PROTOCOLS.values()
    ]
    lines = [
        "# Protocols",
        "",
        "A protocol says which samples take part, in which classes, and which are trained on, chosen on and tested on. "
        "It is versioned (`@1`) and never edited: another rule is another version.",
        "",
        "Folds are a function of the dataset's index alone: of names and label files, not of the training seed, the "
        "machine or the order of files. Validation samples come out of the training part, and of other subjects where "
        "the protocol keeps subjects apart.",
        "",
        "A result carries its protocol's **digest**: twelve hexadecimal digits of the name, the classes, the data's "
        "provenance (as distributed, or which twin: recipe, face model, seed) and the ids and labels in every part of "
        "every fold. Only results with equal digests are ranked together: one missing scan is another digest.",
        "",
        table(head, rows, ("Samples", "Classes", "Folds")),
        "",
    ]
    return "\n".join([*lines, *(line for p in PROTOCOLS.values() for line in _section(p))])


def _section(p: Protocol) -> list[str]:
    lines = [f"## {p.id}", "", f"{summary(p)[0].upper()}{summary(p)[1:]}.", ""]
    lines += [f"- **Datasets**: {', '.join(f'[`{name}`](datasets/{name}.md)' for name in p.datasets)}"]
    if p.outputs:
        lines += [f"- **{'Classes' if p.classes else 'Outputs'}**, in order: {', '.join(p.outputs)}"]
    if p.tested:
        lines += [f"- **Tested on**: {', '.join(p.tested)} alone"]
    lines += [f"- **Samples**: {p.expected:,} {plural(p.unit)} of a complete copy"]
    lines += [f"- **Folds**: {folds(p)}"]
    if p.auxiliary is not None:
        lines += ["- **Training may also see** samples of the training subjects outside the classes"]
    lines += [f"- **Source**: {p.source}"]
    if p.uncertain:
        lines += [f"- **Uncertain**: {p.uncertain}"]
    return [*lines, ""]
