"""The command about papers: what they print beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fer_bench.bench import published


def compare(
    name: str, table: str | None, runs: Path, out: Path, figures: bool, meshes: bool, folds: Sequence[int] | None
) -> None:
    """Write a paper's page and show it, or one table of it.

    The files always hold the whole paper, whatever is shown.
    """
    paper = published.read_paper(name)
    shown = paper.sections if table is None else (paper.find(table),)
    # What follows imports every method: a misspelt name is told before.
    from fer_bench.bench import paper_page
    from fer_bench.bench.commands import console
    from fer_bench.bench.paper import compare as compare_section
    from fer_bench.bench.paper import gather

    folder = out / "papers"
    lines, drawn, kept = {}, {}, []
    with console.status(f"reading what was run below {runs} ..."):
        for section in paper.sections:
            evidence = gather(section, runs, folds)
            lines[section.table] = compare_section(paper, section, evidence)
            if figures and section in shown:
                from fer_bench.bench.figures import draw

                drawn[section.table] = draw(paper, section, evidence, folder / "figures")
            if meshes and section in shown:
                from fer_bench.bench.figures_of_faces import write_meshes

                kept += write_meshes(evidence, folder / "meshes")
    for section in shown:
        rows = lines[section.table]
        if rows:
            console.print(paper_page.rich_table(section, rows))
        else:
            console.print(f"{paper_page.heading(section)}\n", highlight=False, markup=False)
        notes = [f"{number} {note}" for note, number in paper_page.footnotes(rows).items()]
        for note in [*notes, *section.notes.notes]:
            console.print(f"- {note}", highlight=False, markup=False)
        for kind in section.notes.figures if figures and not drawn[section.table] else ():
            console.print(f"no figure ({kind}): nothing of it was run, and no numbers are printed", highlight=False)
        console.print()
    for note in paper.notes.notes:
        console.print(f"- {note}", highlight=False, markup=False)
    console.print(paper_page.summary(line for section in shown for line in lines[section.table]), highlight=False)
    written = [path for paths in drawn.values() for path in paths]
    if written:
        console.print(f"drew {' and '.join(map(str, written))}", highlight=False, soft_wrap=True)
    if meshes:
        told = f"wrote {len(set(kept))} meshes below {folder / 'meshes'}" if kept else "no cell of it saved meshes"
        console.print(told, highlight=False, soft_wrap=True)
    files = paper_page.write(paper, lines, folder, {name: paths for name, paths in drawn.items() if paths})
    console.print(f"wrote {' and '.join(map(str, files))}", highlight=False, soft_wrap=True)
