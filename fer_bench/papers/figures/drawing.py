"""The figures of papers, drawn from results, with the published values.

The paper's notes list the figures of a table. The code here does not depend on a particular paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fer_bench.cells.training_logs import LOG_COLUMNS, published_log, training_log
from fer_bench.errors import UnknownName
from fer_bench.papers.comparison import measure
from fer_bench.papers.evidence import Evidence
from fer_bench.papers.figures.faces import discriminator, interpolation, reconstructions, transfer
from fer_bench.papers.figures.point_clouds import embedding, rotation
from fer_bench.papers.figures.titles import Key, axes_of, title
from fer_bench.papers.published import LOGS, Paper, Section
from fer_bench.papers.published_rows import Published
from fer_bench.plots import COLOURS, DPI, legend
from fer_bench.records import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ACCURACY = "accuracy"


def draw(paper: Paper, section: Section, evidence: Mapping[Key, Evidence], folder: Path) -> list[Path]:
    """Draw the figures that the notes of a section name, as `<folder>/<paper>_<table>_<kind>.png`.

    A figure without measured or printed values is not written.

    Raises:
        UnknownName: the notes name a kind of figure that does not exist.
    """
    from matplotlib.figure import Figure  # needs no display, as pyplot may

    written = []
    for kind in section.notes.figures:
        if kind not in KINDS:
            raise UnknownName("kind of figure", kind, KINDS, f"{paper.name}_notes.yaml: {section.table}")
        figure = Figure(dpi=DPI, layout="constrained")
        if not KINDS[kind](figure, paper, section, evidence):
            continue
        path = folder / f"{paper.name}_{section.stem}_{kind}.png"
        with atomic_write(path) as file:
            figure.savefig(file, format="png")
        written.append(path)
    return written


def curves(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """Loss and accuracy by epoch. The entry `mit-tiny` is drawn as the line `mit` of the row of panels `tiny`, together
    with the log of that name in `<paper>_<table>_logs.csv`. Several cells of an entry are averaged."""
    lines: dict[str, dict[str, pd.DataFrame]] = {}  # panel -> line -> log
    for (_, entry), own in evidence.items():
        name, _, panel = entry.rpartition("-")
        logs = [training_log(cell) for cell in own.cells]
        if logs:
            lines.setdefault(panel, {})[name or entry] = pd.concat(logs).groupby(level=0).mean()
    printed = published_log(paper.folder / f"{paper.name}_{section.stem}{LOGS}.csv")
    panels = list(dict.fromkeys([*printed, *lines]))
    if not panels:
        return False
    figure.set_size_inches(10, 1.2 + 2.6 * len(panels))
    axes = figure.subplots(len(panels), 2, squeeze=False, sharex=True)
    names = list(dict.fromkeys(name for each in lines.values() for name in each))
    for row, panel in zip(axes, panels, strict=True):
        for ax, quantity in zip(row, ("loss", _ACCURACY), strict=True):
            factor = 100 if quantity == _ACCURACY else 1
            if panel in printed:
                log = printed[panel][LOG_COLUMNS[quantity]]
                ax.plot(
                    log.index + 1, log, color="0.35", linestyle=":", linewidth=1.8, label="authors' log, test images"
                )
            for number, (name, log) in enumerate((n, lines.get(panel, {}).get(n)) for n in names):
                if log is not None and f"val/{quantity}" in log:
                    values = factor * log[f"val/{quantity}"].dropna()
                    style = {"color": COLOURS[number % len(COLOURS)], "linestyle": ("-", "--", "-.")[number % 3]}
                    ax.plot(values.index + 1, values, **style, label=f"{name}, measured, validation")
            ax.set_title(f"{panel}: {quantity}", fontsize=10)
            ax.set_ylabel("loss (nats)" if quantity == "loss" else "accuracy (%)")
            ax.grid(alpha=0.3)
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    legend(figure, axes.flat)
    title(figure, paper, section, evidence.values())
    return True


def bars(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """Accuracy of each entry, grouped by protocol, with 95 % intervals; published values as markers, hollow where
    derived."""
    protocols, entries = axes_of(evidence)
    printed = _printed(paper)
    marked = {key: printed[key] for key in evidence if key in printed}
    found = {key: measure(own, [], _ACCURACY, 100.0) for key, own in evidence.items() if own.complete}
    if not found and not marked:
        return False
    figure.set_size_inches(max(7.0, 1.0 + 1.6 * len(protocols)), 5.6)
    ax = figure.subplots()
    width = 0.8 / len(entries)
    for number, entry in enumerate(entries):
        places = {(p, entry): i + (number - (len(entries) - 1) / 2) * width for i, p in enumerate(protocols)}
        for key, x in places.items():
            if key in found and (value := found[key].value) is not None:
                low, high = found[key].low, found[key].high
                error = None if low is None or high is None else [[value - low], [high - value]]
                ax.bar(x, value, 0.92 * width, color=COLOURS[number % len(COLOURS)], yerr=error, capsize=3, label=entry)
            if key in marked:
                row, colour = marked[key], "black" if found else COLOURS[number % len(COLOURS)]
                face = "white" if row.derived else colour
                label = ("published, derived" if row.derived else "published") + ("" if found else f": {entry}")
                ax.plot(
                    x, float(row.value), "D", color=colour, markerfacecolor=face, markersize=7, zorder=3, label=label
                )
    # Bars start at 0, because their length shows the value; markers alone need not.
    lowest = 0 if found else 10 * math.floor(min(float(row.value) for row in marked.values()) / 10)
    ax.set_ylim(lowest, 103)
    ax.set_xticks(range(len(protocols)), [p.partition("@")[0].replace("-", "-\n", 1) for p in protocols])
    ax.set_xlabel("protocol")
    ax.set_ylabel("accuracy (%), 95 % interval" if found else "accuracy (%)")
    ax.grid(axis="y", alpha=0.3)
    ax.set_axisbelow(True)
    legend(figure, [ax])
    title(figure, paper, section, evidence.values() if found else ())
    return True


def scaling(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """Time of an epoch, including validation, by the number of processes, and the line of an ideal speed-up."""
    times: dict[int, float] = {}
    for own in evidence.values():
        each = [r.epoch_seconds for r in own.results if r.epoch_seconds]
        if each:
            times[own.cells[0].processes] = float(np.mean(each))
    if not times:
        return False
    processes = sorted(times)
    first = processes[0]
    figure.set_size_inches(7, 4.8)
    ax = figure.subplots()
    measured = [times[p] for p in processes]
    ax.plot(processes, measured, "o-", color=COLOURS[0], label="measured")
    for p, seconds in zip(processes, measured, strict=True):
        ax.annotate(f"{seconds:.3g} s", (p, seconds), textcoords="offset points", xytext=(0, 8), ha="center")
    ax.plot(
        processes, [times[first] * first / p for p in processes], "--", color=COLOURS[1], label=f"ideal, from {first}"
    )
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(processes, [str(p) for p in processes])
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.margins(0.15)
    ax.set_xlabel("processes (devices x nodes)")
    ax.set_ylabel("training time of an epoch (s)")
    ax.grid(alpha=0.3)
    ax.legend(loc="lower left")
    title(figure, paper, section, evidence.values())
    return True


def heatmap(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """Accuracy of each entry minus that of each other, in percentage points, one panel per protocol. A protocol without
    measured values shows the printed ones; measured and printed values are never subtracted."""
    protocols, entries = axes_of(evidence)
    printed = _printed(paper)
    panels: dict[str, tuple[str, list[float]]] = {}  # protocol -> whose values, values
    for protocol in protocols:
        keys = [(protocol, entry) for entry in entries]
        ours = [100 * evidence[k].row.metrics[_ACCURACY] if evidence[k].complete else math.nan for k in keys]
        theirs = [float(printed[k].number or math.nan) if k in printed else math.nan for k in keys]
        whose, values = ("published", theirs) if np.isnan(ours).all() else ("measured", ours)
        if np.isfinite(values).sum() > 1:
            panels[protocol] = whose, values
    if not panels:
        return False
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure.set_size_inches(2.0 + 3.6 * columns, 1.6 + 3.3 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    tables = {p: np.subtract.outer(values, values) for p, (_, values) in panels.items()}
    bound = max(1.0, *(float(np.nanmax(np.abs(table))) for table in tables.values()))
    image = None
    for ax, (protocol, (whose, _)) in zip(axes.flat, panels.items(), strict=False):
        table = tables[protocol]
        image = ax.imshow(table, cmap="PuOr", vmin=-bound, vmax=bound)
        ax.set_facecolor("0.85")  # no value
        for (i, j), value in np.ndenumerate(table):
            text = "n/a" if math.isnan(value) else f"{value:+.2f}" if i != j else "0"
            red, green, blue, _ = image.cmap(image.norm(value))
            dark = not math.isnan(value) and 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            ax.text(j, i, text, ha="center", va="center", color="white" if dark else "black")
        ax.set_title(f"{protocol.partition('@')[0]} ({whose})", fontsize=10)
        ax.set_xticks(range(len(entries)), entries, rotation=35, ha="right")
        ax.set_yticks(range(len(entries)), entries)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    assert image is not None
    figure.colorbar(image, ax=axes, label="accuracy of the row minus that of the column (pp)", shrink=0.8)
    title(figure, paper, section, evidence.values() if any(whose == "measured" for whose, _ in panels.values()) else ())
    return True


KINDS: dict[str, Callable[[Figure, Paper, Section, Mapping[Key, Evidence]], bool]] = {
    "bars": bars,
    "curves": curves,
    "discriminator": discriminator,
    "embedding": embedding,
    "heatmap": heatmap,
    "interpolation": interpolation,
    "reconstructions": reconstructions,
    "rotation": rotation,
    "scaling": scaling,
    "transfer": transfer,
}
"""Each draws on an empty figure and returns whether it had values to draw."""


def _printed(paper: Paper) -> dict[Key, Published]:
    """The accuracies that a paper prints for its own entries, in any table."""
    rows = (row for row in paper.rows if row.measure == _ACCURACY and not row.minus and row.number is not None)
    return {(row.protocol, row.entry): row for row in rows}
