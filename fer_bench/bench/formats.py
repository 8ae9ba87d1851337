"""A leaderboard in every format, from the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fer_bench.bench import latex, leaderboard_page
from fer_bench.bench.leaderboard import Row
from fer_bench.bench.report import page
from fer_bench.bench.suite import Suite


def write(name: str, suite: Suite, rows: Sequence[Row], runs: Path, out: Path, *, faces: bool = False) -> list[Path]:
    """Write `<out>/<name>.csv`, `.md`, `.tex` and `.html`; returns the files.

    Args:
        runs: What the rows were collected below.
        faces: Whether the HTML page shows scans of real people.
    """
    return [
        *leaderboard_page.write(name, suite, list(rows), out),
        latex.write(name, suite, list(rows), out),
        page.write(name, suite, rows, runs, out, faces=faces),
    ]
