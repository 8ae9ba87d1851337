"""The page itself: tables as text, and all other results as data drawn by the page's own script.

All measured values and user-defined names are text on the page: Jinja escapes them in the markup, the data are JSON in
which no tag can begin, and the script sets text and never markup. A Content-Security-Policy with the digests of the one
script and the one style prevents a browser from running or fetching anything else.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2.utils import htmlsafe_json_dumps

from fer_bench import __version__, registry
from fer_bench.leaderboard.html.cell_columns import Cells
from fer_bench.leaderboard.html.confusion import class_figures
from fer_bench.leaderboard.html.curves import training_curves
from fer_bench.leaderboard.html.feature_map import embeddings
from fer_bench.leaderboard.html.mistakes import Mistakes
from fer_bench.leaderboard.html.pairs import lettered
from fer_bench.leaderboard.html.stresses import stress_curves
from fer_bench.leaderboard.machines import trained_on
from fer_bench.leaderboard.pages.columns import SHOWN, beside
from fer_bench.leaderboard.pages.markdown_page import ESTIMATORS, EXPLAINED, by_question, notes
from fer_bench.leaderboard.row import Row
from fer_bench.records import atomic_write
from fer_bench.stats.bootstrap import HEADLINE, LOWER_IS_BETTER
from fer_bench.stats.metric_units import unit
from fer_bench.suites.suite import Suite

if TYPE_CHECKING:  # importing perturbations takes a while
    from fer_bench.leaderboard.stress_board import Curve

_FOLDER = Path(__file__).parent / "assets"
_SCRIPTS = ("dom", "tables", "charts", "figures", "classes", "cell", "main")
_OPEN = 12
"""Maximum number of rows of a group whose figures are drawn at once; those of larger groups are drawn when opened."""


def write(
    name: str,
    suite: Suite,
    rows: Sequence[Row],
    stress: Mapping[str, Sequence[Curve]],
    runs: Path,
    out: Path,
    *,
    faces: bool = False,
) -> Path:
    """Write `<out>/<name>.html`; returns the file.

    Args:
        rows: The rows of `fer_bench.leaderboard.rows.collect`.
        stress: Member of the stress deck -> curves of the rows, for members with results.
        runs: The folder of runs from which the rows were collected.
        faces: Whether to show the worst-classified scans of real people; those of twins are always shown.
    """
    path = out / f"{name}.html"
    with atomic_write(path) as file:
        file.write(to_html(name, suite, list(rows), stress, runs, faces=faces).encode())
    return path


def to_html(
    name: str,
    suite: Suite,
    rows: list[Row],
    stress: Mapping[str, Sequence[Curve]],
    runs: Path,
    *,
    faces: bool = False,
) -> str:
    """The report; see `write`."""
    rows = [row for members in by_question(rows).values() for row in members]
    cells = Cells.of(name, suite, rows, runs)
    mistakes = Mistakes(faces)
    curves = training_curves(rows, cells.places)
    groups, first = [], 0
    for members in by_question(rows).values():
        stressed = stress_curves(stress, members, first)
        groups.append(_group(suite, members, first, mistakes, {cells.rows[place] for place in curves}, stressed))
        first += len(members)
    data = {
        "groups": [group["data"] for group in groups],
        "rows": [_row(row) for row in rows],
        "cells": cells.columns(rows),
        "curves": curves,
        "images": mistakes.images,
    }
    script, style = _script(), _read("report.css")
    return _template().render(
        title=suite.title or name,
        name=name,
        version=__version__,
        groups=groups,
        states=Counter(cells.states).most_common(),
        total=len(cells.states),
        done=cells.states.count("done"),
        twins=any(group["twin"] for group in groups),
        unsound=[row.entry for row in rows if row.unsound],
        entries=list(dict.fromkeys(row.entry for row in rows)),
        methods=list(dict.fromkeys(row.method for row in rows)),
        protocols=list(dict.fromkeys(row.protocol for row in rows)),
        explained=[EXPLAINED[task] for task in dict.fromkeys(row.task for row in rows)],
        estimators=ESTIMATORS,
        script=script,
        style=style,
        script_digest=_digest(script),
        style_digest=_digest(style),
        data=htmlsafe_json_dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False),
    )


def _group(
    suite: Suite, rows: list[Row], first: int, mistakes: Mistakes, logged: set[int], stressed: list[dict[str, Any]]
) -> dict[str, Any]:
    """The data of comparable rows for the template and the script.

    Args:
        first: Position of the first of them among all rows.
        logged: Positions of the rows with training curves.
        stressed: The result of `stress_curves`.
    """
    row = rows[0]
    protocol, measured = registry.find_protocol(row.protocol), unit(row.task, HEADLINE[row.task])
    heads, lines, found = lettered(rows, suite.reference)
    data: dict[str, Any] = {
        "protocol": row.protocol,
        "classes": list(protocol.classes),
        "factor": measured.factor,
        "digits": measured.digits,
        "unit": measured.name,
        "lower": row.task in LOWER_IS_BETTER,
        "metric": HEADLINE[row.task],
        "head": SHOWN[row.task][HEADLINE[row.task]],
        "first": first,
        "count": len(rows),
        "chance": protocol.chance if row.task == "classification" else None,
        "classFigures": class_figures(rows),
        "embeddings": embeddings(rows, first),
        "stress": stressed,
        "mistakes": mistakes.of(rows, first),
        "pairs": found,
    }
    figures = {
        "folds": any(r.finished for r in rows),
        "classes": any(data["classFigures"]),
        "curves": any(place in logged for place in range(first, first + len(rows))),
        "embeddings": bool(data["embeddings"]),
        "stress": bool(data["stress"]),
        "mistakes": any(each["samples"] for each in data["mistakes"]),
        "pairs": bool(found),
    }
    return {
        "protocol": row.protocol,
        "digest": row.protocol_digest,
        "provenance": row.provenance,
        "twin": "twin" in row.provenance,
        "shortened": suite.shortened(protocol),
        "machines": trained_on(rows),
        "reference": suite.reference,
        "difference": measured.difference,
        "heads": heads,
        "lines": list(zip(rows, range(first, first + len(rows)), lines, strict=True)),
        "beside": beside(rows),
        "notes": [note for r in rows for note in notes(r)],
        "inputs": [(r.entry, r.representation) for r in rows if r.representation],
        "figures": [kind for kind, drawn in figures.items() if drawn],
        "open": len(rows) <= _OPEN,
        "data": data,
    }


def _row(row: Row) -> dict[str, Any]:
    cell = row.finished[0][0] if row.finished else None
    interval = row.interval
    return {
        "entry": row.entry,
        "method": row.method,
        "state": row.state,
        "value": row.headline,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "unsound": row.unsound,
        "settings": {"arguments": cell.arguments, "trainer": cell.trainer} if cell else {},
        "facts": {
            "method": row.method,
            "data": row.provenance,
            "protocol digest": row.protocol_digest,
            "input": row.representation,
            "weights": (row.weights or "random") if row.finished else "",
            "trainable parameters": f"{row.parameters:,}" if row.parameters is not None else "",
        },
    }


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _script() -> str:
    parts = "\n".join(_read(f"{name}.js") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _digest(text: str) -> str:
    """The name of an inline script or style in a Content-Security-Policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html")
