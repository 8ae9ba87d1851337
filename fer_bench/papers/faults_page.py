"""The page of known faults of all papers, generated from the notes files."""

from collections.abc import Mapping
from pathlib import Path

from fer_bench.papers.claims_page import markdown_table
from fer_bench.papers.notes import Fault
from fer_bench.papers.published import Paper, papers, read_paper
from fer_bench.records import atomic_write

HEADER = ("", "Fault", "How it is known", "What the suites do instead", "Printed values")


def to_markdown(faults: Mapping[str, Fault], paper: Paper) -> str:
    """The table of a paper's known faults; the last column counts the values that each concerns."""
    rows = []
    for mark, fault in faults.items():
        count = sum(mark in paper.faults_of(row) for row in paper.rows)
        tables = dict.fromkeys(concerned.table for concerned in fault.rows)
        where = f"{count} in {', '.join(paper.find(table).heading for table in tables)}" if count else "-"
        cells = (f"{mark} `{fault.id}`", fault.fault, fault.evidence, fault.instead, where)
        rows.append(dict(zip(HEADER, cells, strict=True)))
    return markdown_table(rows, ())


def page(folder: Path | None = None) -> str:
    """The page, with one table per paper."""
    found = [read_paper(name, folder) for name in papers(folder)]
    count = sum(len(paper.faults) for paper in found)
    introduction = (
        f"{count} faults of {len(found)} papers. Each stands as a footnote (F1, F2, ...) on the printed values that it "
        "concerns, in the paper's page. From `leaderboards/published/*_notes.yaml`."
    )
    parts = [f"# Known faults of the papers\n\n{introduction}\n"]
    parts += [f"\n## {paper.notes.title}\n\n{to_markdown(paper.faults, paper)}" for paper in found if paper.faults]
    return "".join(parts)


def write(folder: Path) -> Path:
    """Write `<folder>/faults.md`; returns it."""
    path = folder / "faults.md"
    with atomic_write(path) as file:
        file.write(page().encode())
    return path
