"""The figures of papers, drawn from results, with what is printed beside them.

Which figures a table has is said in the paper's notes; a figure here knows no paper by name. Colours are those of
Okabe and Ito (*Color Universal Design*, 2008), which the colour-blind can tell apart.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.bench.cell import Cell
from fer_bench.bench.paper import Evidence, measure
from fer_bench.bench.published import LOGS, Paper, Published, Section
from fer_bench.bench.stress_board import curves as curves_of
from fer_bench.bench.training_logs import LOG_COLUMNS, published_log, training_log
from fer_bench.bench.verdict import AS_DISTRIBUTED
from fer_bench.errors import InvalidFile, UnknownName
from fer_bench.geometry.stress import Rotation
from fer_bench.records import OUTPUT, atomic_write

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Key = tuple[str, str]  # protocol, entry
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
DPI = 120
_ACCURACY = "accuracy"


def draw(paper: Paper, section: Section, evidence: Mapping[Key, Evidence], folder: Path) -> list[Path]:
    """Draw what the notes of a section name, as `<folder>/<paper>_<table>_<kind>.png`.

    A figure of which there is nothing to draw, neither measured nor printed, is not written.

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
    """Loss and accuracy by epoch. An entry `mit-tiny` is the line `mit` of the row of panels `tiny`, where the log of
    that name in `<paper>_<table>_logs.csv` is drawn too; an entry of several cells is their mean."""
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
    _legend(figure, axes.flat)
    _title(figure, paper, section, evidence.values())
    return True


def bars(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """Accuracy of each entry, grouped by protocol, with 95 % intervals; published values as markers, hollow where
    derived."""
    protocols, entries = _axes_of(evidence)
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
    # A bar's length is its value, so that bars start at 0; markers alone need not.
    lowest = 0 if found else 10 * math.floor(min(float(row.value) for row in marked.values()) / 10)
    ax.set_ylim(lowest, 103)
    ax.set_xticks(range(len(protocols)), [p.partition("@")[0].replace("-", "-\n", 1) for p in protocols])
    ax.set_xlabel("protocol")
    ax.set_ylabel("accuracy (%), 95 % interval" if found else "accuracy (%)")
    ax.grid(axis="y", alpha=0.3)
    ax.set_axisbelow(True)
    _legend(figure, [ax])
    _title(figure, paper, section, evidence.values() if found else ())
    return True


def scaling(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """Time of an epoch, with its validation, by the number of processes, and the line of an ideal speed-up."""
    times: dict[int, float] = {}
    for own in evidence.values():
        each = [r.epoch_seconds for r in own.results if r.epoch_seconds]
        if each:
            trainer = own.cells[0].trainer
            times[int(trainer["devices"]) * int(trainer["num_nodes"])] = float(np.mean(each))
    if not times:
        return False
    processes = sorted(times)
    first = processes[0]
    figure.set_size_inches(7, 4.8)
    ax = figure.subplots()
    measured = [times[p] for p in processes]
    ax.plot(processes, measured, "o-", color=COLOURS[0], label="measured")
    for p, seconds in zip(processes, measured, strict=True):
        ax.annotate(f"{seconds:.3g} s", (p, seconds), textcoords="offset points", xytext=(6, 6))
    ax.plot(
        processes, [times[first] * first / p for p in processes], "--", color=COLOURS[1], label=f"ideal, from {first}"
    )
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(processes, [str(p) for p in processes])
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.margins(0.12)
    ax.set_xlabel("processes (devices x nodes)")
    ax.set_ylabel("training time of an epoch (s)")
    ax.grid(alpha=0.3)
    ax.legend()
    _title(figure, paper, section, evidence.values())
    return True


def heatmap(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """Accuracy of each entry minus that of each other, in percentage points, a panel a protocol; a protocol of which
    nothing is measured shows what is printed, and measured and printed values are never subtracted."""
    protocols, entries = _axes_of(evidence)
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
        ax.set_facecolor("0.85")  # where nothing is known
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
    _title(
        figure, paper, section, evidence.values() if any(whose == "measured" for whose, _ in panels.values()) else ()
    )
    return True


def embedding(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """t-SNE (van der Maaten & Hinton, 2008) of the features of the test samples of each entry's first fold: another
    fold has another network, whose features are in no common space. Colours are the true classes."""
    protocols, entries = _axes_of(evidence)
    saved = {key: cell for key, own in evidence.items() for cell in own.cells[:1] if _features(cell).exists()}
    if not saved:
        return False
    rows = [p for p in protocols if any(protocol == p for protocol, _ in saved)]
    columns = [e for e in reversed(entries) if any(entry == e for _, entry in saved)]  # the baseline before its better
    figure.set_size_inches(1 + 3.8 * len(columns), 1.8 + 3.6 * len(rows))
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for (i, protocol), (j, entry) in itertools.product(enumerate(rows), enumerate(columns)):
        ax = axes[i, j]
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{entry}: {protocol.partition('@')[0]}", fontsize=10)
        if (cell := saved.get((protocol, entry))) is None:
            ax.set_facecolor("0.85")
            continue
        table = pd.read_parquet(cell.folder / "predictions.parquet")
        places = _tsne(_features(cell))
        classes = [name.removeprefix(OUTPUT) for name in table if name.startswith(OUTPUT)]
        for number, name in enumerate(classes):
            own = (table["label"] == name).to_numpy()
            ax.scatter(*places[own].T, s=14, color=COLOURS[number % len(COLOURS)], label=name)
        ax.set_xlabel(f"fold {cell.fold}: {len(table)} test samples of {table['subject'].nunique()} people", fontsize=8)
    _legend(figure, axes.flat)
    _title(figure, paper, section, evidence.values())
    return True


def rotation(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """Accuracy of each entry on scans that are turned by so many degrees of yaw and of pitch, of which the hidden parts
    are removed, a panel an axis, with 95 % intervals; from the stress deck's rotation."""
    found = {key: poses for key, own in evidence.items() if (poses := _turned(own))}
    if not found:
        return False
    figure.set_size_inches(10, 5)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, axis in zip(axes, ("yaw", "pitch"), strict=True):
        for number, ((_, entry), poses) in enumerate(found.items()):
            degrees = sorted(angle for of, angle in poses if of in (axis, ""))
            known = 100 * np.array([poses[axis if angle else "", angle] for angle in degrees])  # (poses, 3)
            colour = COLOURS[number % len(COLOURS)]
            ax.plot(degrees, known[:, 0], marker="o", markersize=4, color=colour, label=entry)
            ax.fill_between(degrees, known[:, 1], known[:, 2], color=colour, alpha=0.18, linewidth=0)
            ax.set_xticks(degrees)
        ax.set_title(axis, fontsize=10)
        ax.set_xlabel(f"{axis} (degrees)")
        ax.tick_params(axis="x", labelsize=8)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("accuracy (%), 95 % interval")
    axes[0].set_ylim(0, 103)
    _legend(figure, axes)
    _title(figure, paper, section, evidence.values())
    return True


def _turned(own: Evidence) -> dict[tuple[str, float], tuple[float, float, float]]:
    """(axis, degrees) -> accuracy and its interval, ("", 0) of the scan as it is; empty where a pose of a cell is
    missing."""
    (curve,) = curves_of("rotation", [own.row], None)
    poses = {}
    for level in curve.levels:
        if level.interval is None:
            return {}
        turn = level.conditions[0] if level.conditions else None
        if turn is None or level.single:
            place = (turn.axis, turn.degrees) if isinstance(turn, Rotation) else ("", 0.0)
            bounds = (math.nan if bound is None else bound for bound in (level.interval.low, level.interval.high))
            poses[place] = (level.metrics[_ACCURACY], *bounds)
    return poses


def _features(cell: Cell) -> Path:
    return cell.folder / "features.npy"


def _tsne(path: Path) -> NDArray[np.float32]:
    """Places (n, 2) of features (n, F)."""
    from sklearn.manifold import TSNE

    try:
        features = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidFile(path, f"cannot be read ({error})", "Run the cell again with --overwrite.") from None
    reduced = TSNE(perplexity=min(30, (len(features) - 1) / 3), random_state=0)
    places: NDArray[np.float32] = reduced.fit_transform(features)
    return places


KINDS: dict[str, Callable[[Figure, Paper, Section, Mapping[Key, Evidence]], bool]] = {
    "bars": bars,
    "curves": curves,
    "embedding": embedding,
    "heatmap": heatmap,
    "rotation": rotation,
    "scaling": scaling,
}
"""Each draws on an empty figure and returns whether there was anything to draw."""


def _printed(paper: Paper) -> dict[Key, Published]:
    """The accuracies that a paper prints of its own entries, in whichever table."""
    rows = (row for row in paper.rows if row.measure == _ACCURACY and not row.minus and row.number is not None)
    return {(row.protocol, row.entry): row for row in rows}


def _axes_of(evidence: Mapping[Key, Evidence]) -> tuple[list[str], list[str]]:
    return list(dict.fromkeys(p for p, _ in evidence)), list(dict.fromkeys(e for _, e in evidence))


def _legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend below all panels, each label once."""
    handles: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=min(3, len(handles)))


def _title(figure: Figure, paper: Paper, section: Section, evidence: Iterable[Evidence]) -> None:
    """Paper and section, what data it was measured on, and where the configuration is not the paper's."""
    run = [own for own in evidence if own.cells]
    found = dict.fromkeys(cell.provenance for own in run for cell in own.cells)
    if not found:
        told = ["published values; nothing was measured"]
    elif list(found) == [AS_DISTRIBUTED]:
        told = ["measured on the data as distributed"]
    else:
        names = (name if name == AS_DISTRIBUTED else f"synthetic faces ({name})" for name in found)
        told = [f"measured on {' and '.join(names)}"]
    apart = dict.fromkeys(text for own in run for text in own.departures if not text.startswith("synthetic"))
    name = paper.notes.title.partition(":")[0]
    lines = textwrap.wrap(f"{name}, {section.heading}: {section.notes.title}", 90)
    lines += textwrap.wrap("; ".join([*told, *apart]), 90)
    figure.suptitle("\n".join(lines), fontsize=11)
