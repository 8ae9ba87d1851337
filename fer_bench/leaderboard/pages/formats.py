"""A leaderboard in every format, from the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fer_bench.cells.stress_outcome import members_applied
from fer_bench.leaderboard.html import report
from fer_bench.leaderboard.pages import latex, markdown_page
from fer_bench.leaderboard.row import Row
from fer_bench.suites.suite import Suite

if TYPE_CHECKING:  # importing perturbations takes a while
    from fer_bench.leaderboard.stress_board import Curve


def write(name: str, suite: Suite, rows: Sequence[Row], runs: Path, out: Path, *, faces: bool = False) -> list[Path]:
    """Write `<out>/<name>.csv`, `.md`, `.tex` and `.html`, and pages of the stress deck; returns the files.

    Args:
        runs: The folder of runs from which the rows were collected.
        faces: Whether the HTML page shows scans of real people.
    """
    stress = _curves(_stressed(rows), suite, rows)
    return [
        *markdown_page.write(name, suite, list(rows), out),
        latex.write(name, suite, list(rows), out),
        report.write(name, suite, rows, stress, runs, out, faces=faces),
        *_stress_pages(name, suite, stress, out),
    ]


def write_stress(
    members: Sequence[str], name: str, suite: Suite, rows: Sequence[Row], runs: Path, out: Path
) -> list[Path]:
    """Write the pages of members of the stress deck, even without results, and the HTML page, which shows stress
    results too; returns the pages of the members."""
    finished = _stressed(rows)
    stress = _curves(list(dict.fromkeys([*finished, *members])), suite, rows)
    report.write(name, suite, rows, {member: stress[member] for member in finished}, runs, out)
    return _stress_pages(name, suite, {member: stress[member] for member in members}, out)


def _stressed(rows: Sequence[Row]) -> list[str]:
    return members_applied(cell for row in rows for cell, _ in row.finished)


def _curves(members: Sequence[str], suite: Suite, rows: Sequence[Row]) -> dict[str, list[Curve]]:
    if not members:
        return {}
    from fer_bench.leaderboard import stress_board

    return {member: stress_board.curves(member, rows, suite.reference) for member in members}


def _stress_pages(name: str, suite: Suite, stress: Mapping[str, Sequence[Curve]], out: Path) -> list[Path]:
    if not stress:
        return []
    from fer_bench.leaderboard.pages import stress_board_page

    return [path for each, curves in stress.items() for path in stress_board_page.write(each, name, suite, curves, out)]
