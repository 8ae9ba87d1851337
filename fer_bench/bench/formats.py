"""A leaderboard in every format, from the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fer_bench.bench import latex, leaderboard_page
from fer_bench.bench.leaderboard import Row
from fer_bench.bench.report import page
from fer_bench.bench.stress_results import members_there
from fer_bench.bench.suite import Suite


def write(name: str, suite: Suite, rows: Sequence[Row], runs: Path, out: Path, *, faces: bool = False) -> list[Path]:
    """Write `<out>/<name>.csv`, `.md`, `.tex` and `.html`, and pages of what cells were put through; returns the files.

    Args:
        runs: What the rows were collected below.
        faces: Whether the HTML page shows scans of real people.
    """
    written = [
        *leaderboard_page.write(name, suite, list(rows), out),
        latex.write(name, suite, list(rows), out),
        page.write(name, suite, rows, runs, out, faces=faces),
    ]
    if members := members_there(rows):
        from fer_bench.bench import stress_board, stress_page  # what perturbs scans takes a while to import

        for member in members:
            curves = stress_board.curves(member, rows, suite.reference)
            written += stress_page.write(member, name, suite, curves, out)
    return written
