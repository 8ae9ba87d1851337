"""Figures of methods on point clouds: features, and accuracy under rotation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fer_bench.geometry.perturbations import Rotation
from fer_bench.leaderboard.html.feature_map import tsne
from fer_bench.leaderboard.stress_board import curves
from fer_bench.papers.evidence import Evidence
from fer_bench.papers.figures.titles import Key, axes_of, title
from fer_bench.papers.published import Paper, Section
from fer_bench.plots import COLOURS, legend, saved_array
from fer_bench.records import OUTPUT

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def embedding(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """t-SNE (van der Maaten & Hinton, 2008) of the test features of each entry's first fold, coloured by true class.
    Networks of other folds have other feature spaces."""
    protocols, entries = axes_of(evidence)
    saved = {
        key: cell for key, own in evidence.items() for cell in own.cells[:1] if (cell.folder / "features.npy").exists()
    }
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
        places = tsne(saved_array(cell, "features"))
        classes = [name.removeprefix(OUTPUT) for name in table if name.startswith(OUTPUT)]
        for number, name in enumerate(classes):
            of_class = (table["label"] == name).to_numpy()
            ax.scatter(*places[of_class].T, s=14, color=COLOURS[number % len(COLOURS)], label=name)
        ax.set_xlabel(f"fold {cell.fold}: {len(table)} test samples of {table['subject'].nunique()} people", fontsize=8)
    legend(figure, axes.flat)
    title(figure, paper, section, evidence.values())
    return True


def rotation(figure: Figure, paper: Paper, section: Section, evidence: Mapping[Key, Evidence]) -> bool:
    """Accuracy of each entry against the angle of yaw and of pitch, one panel per axis, with 95 % intervals. The scans
    are those of the stress deck's rotation, with hidden parts removed."""
    found = {key: poses for key, own in evidence.items() if (poses := _accuracy_by_angle(own))}
    if not found:
        return False
    figure.set_size_inches(10, 5)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, axis in zip(axes, ("yaw", "pitch"), strict=True):
        for number, ((_, entry), poses) in enumerate(found.items()):
            degrees = sorted(angle for of, angle in poses if of in (axis, ""))
            values = 100 * np.array([poses[axis if angle else "", angle] for angle in degrees])  # (poses, 3)
            colour = COLOURS[number % len(COLOURS)]
            ax.plot(degrees, values[:, 0], marker="o", markersize=4, color=colour, label=entry)
            ax.fill_between(degrees, values[:, 1], values[:, 2], color=colour, alpha=0.18, linewidth=0)
            ax.set_xticks(degrees)
        ax.set_title(axis, fontsize=10)
        ax.set_xlabel(f"{axis} (degrees)")
        ax.tick_params(axis="x", labelsize=8)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("accuracy (%), 95 % interval")
    axes[0].set_ylim(0, 103)
    legend(figure, axes)
    title(figure, paper, section, evidence.values())
    return True


def _accuracy_by_angle(results: Evidence) -> dict[tuple[str, float], tuple[float, float, float]]:
    """(axis, degrees) -> accuracy and its interval; ("", 0) is the unperturbed scan. Empty if a pose is missing."""
    (curve,) = curves("rotation", [results.row], None)
    poses = {}
    for level in curve.levels:
        if level.interval is None:
            return {}
        turn = level.conditions[0] if level.conditions else None
        if turn is None or level.single:
            place = (turn.axis, turn.degrees) if isinstance(turn, Rotation) else ("", 0.0)
            low, high = (math.nan if bound is None else bound for bound in (level.interval.low, level.interval.high))
            poses[place] = (level.metrics["accuracy"], low, high)
    return poses
