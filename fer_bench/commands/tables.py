"""`fer-bench leaderboard SUITE`: a suite's rows, on the terminal and as files."""

from collections.abc import Iterator
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from fer_bench.commands.options import load_suite
from fer_bench.leaderboard import rows as leaderboard
from fer_bench.leaderboard.pages import formats
from fer_bench.leaderboard.pages.columns import header, texts
from fer_bench.leaderboard.pairwise import groups, pairs
from fer_bench.leaderboard.row import Row
from fer_bench.suites.suite import Suite
from fer_bench.terminal import console

_ONLY_IN_FILES = ("F1 weighted", "All right", "Fold SD", "Weights", "Parameters", "Fit (min)")


def write_leaderboard(suite_name: str, settings: list[str], runs: Path, out: Path, faces: bool = False) -> None:
    """Show a suite's leaderboard, made from the results below `runs`, and write it.

    Args:
        faces: Whether the HTML page shows misclassified scans of real people.
    """
    name, suite = load_suite(suite_name, settings, arguments=False)
    with leaderboard.uncollected():
        write_tables(name, suite, collect_rows(name, suite, runs), runs, out, faces)


def collect_rows(name: str, suite: Suite, runs: Path, skipped: dict[tuple[str, str], str] | None = None) -> list[Row]:
    """Rows of a suite from the results below `runs`, shown on the terminal."""
    rows = leaderboard.collect(name, suite, runs, skipped)
    for table in leaderboard_tables(rows, suite.reference):
        console.print(table)
    return rows


def write_tables(name: str, suite: Suite, rows: list[Row], runs: Path, out: Path, faces: bool = False) -> None:
    """Write the rows in every format."""
    written = formats.write(name, suite, rows, runs, out, faces=faces)
    console.print(f"wrote {', '.join(map(str, written))}", highlight=False)


def leaderboard_tables(rows: list[Row], reference: str | None = None) -> Iterator[Table]:
    """One table a protocol, or one a question where its rows answer several, with the columns that fit a terminal; the
    files have them all."""
    letters = groups(rows, pairs(rows))
    questions = {row.comparison_key for row in rows if row.protocol_digest}
    several = {protocol for protocol, *_ in questions if sum(requested[0] == protocol for requested in questions) > 1}
    families: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        families.setdefault(row.comparison_key if row.protocol in several else (row.protocol,), []).append(row)
    for (protocol, *question), members in families.items():
        data = next((row.provenance for row in members if row.provenance), "")
        title = f"{protocol}  {data}" + (f"  question {question[0]}" if question and question[0] else "")
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        heads = [head for head in header(members, reference, bool(letters)) if head not in _ONLY_IN_FILES]
        for head in heads:
            table.add_column(head, justify="left" if head in ("Entry", "State") else "right")
        for row in members:
            group = letters.get((row.protocol, row.entry), "")
            table.add_row(*(escape(text) for text in texts(row, heads, group)))
        yield table
