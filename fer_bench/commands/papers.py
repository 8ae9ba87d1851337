"""`fer-bench paper` and `fer-bench claims`: published values and claims beside measured ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fer_bench.errors import UnknownName
from fer_bench.papers import published
from fer_bench.papers.claims import read_claims


def compare(
    name: str, table: str | None, runs: Path, out: Path, figures: bool, meshes: bool, folds: Sequence[int] | None
) -> None:
    """Write a paper's page and show it, or one table of it.

    The files always contain the whole paper.
    """
    paper, claimed = published.read_paper(name), read_claims(name)
    shown = paper.sections if table is None else (paper.find(table),)
    # The imports below load every method; a misspelt name is reported before.
    from fer_bench.papers import claims_page, faults_page, paper_page
    from fer_bench.papers.claims_measured import answer
    from fer_bench.papers.comparison import compare as compare_section
    from fer_bench.papers.evidence import Reader, gather
    from fer_bench.terminal import console

    folder = out / "papers"
    lines, drawn, kept = {}, {}, []
    reader = Reader(runs, folds)
    with console.status(f"reading what was run below {runs} ..."):
        for section in paper.sections:
            evidence = gather(section, reader)
            lines[section.table] = compare_section(paper, section, evidence)
            if figures and section in shown:
                from fer_bench.papers.figures.drawing import draw

                drawn[section.table] = draw(paper, section, evidence, folder / "figures")
            if meshes and section in shown:
                from fer_bench.papers.figures.faces import write_meshes

                kept += write_meshes(evidence, folder / "meshes")
        answers = answer(claimed, reader)
    for section in shown:
        rows = lines[section.table]
        if rows:
            console.print(paper_page.rich_table(section, rows))
        else:
            console.print(f"{paper_page.heading(section)}\n", highlight=False, markup=False)
        notes = [f"{number} {note}" for note, number in paper_page.footnotes(rows).items()]
        for note in [*notes, *paper_page.fault_notes(paper, rows), *section.notes.notes]:
            console.print(f"- {note}", highlight=False, markup=False)
        for kind in section.notes.figures if figures and not drawn[section.table] else ():
            console.print(f"no figure ({kind}): nothing that it is drawn from is there", highlight=False)
        console.print()
    for note in paper.notes.notes:
        console.print(f"- {note}", highlight=False, markup=False)
    console.print(paper_page.summary(line for section in shown for line in lines[section.table]), highlight=False)
    written = [path for paths in drawn.values() for path in paths]
    if written:
        console.print(f"drew {' and '.join(map(str, written))}", highlight=False, soft_wrap=True)
    if meshes:
        message = f"wrote {len(set(kept))} meshes below {folder / 'meshes'}" if kept else "no cell of it saved meshes"
        console.print(message, highlight=False, soft_wrap=True)
    if answers:
        console.print(f"{claims_page.summary(answers)} See fer-bench claims {name}.", highlight=False)
    files = paper_page.write(paper, lines, answers, folder)
    files.append(faults_page.write(folder))
    console.print(f"wrote {' and '.join(map(str, files))}", highlight=False, soft_wrap=True)


def claims(name: str | None, runs: Path, out: Path, folds: Mapping[str, Sequence[int] | None]) -> None:
    """Write the claims of all papers, answered by what is below `runs`, and show them, or those of one paper.

    Args:
        folds: By paper, see `Reader`; of others all.
    """
    known = published.papers()
    if name is not None and name not in known:
        raise UnknownName("paper", name, known)
    read = {each: (published.read_paper(each), read_claims(each)) for each in known}
    # The imports below load every method; a misspelt name is reported before.
    from fer_bench.papers import claims_page
    from fer_bench.papers.claims_measured import answer
    from fer_bench.papers.evidence import Reader
    from fer_bench.terminal import console

    readers = {each: Reader(runs, folds.get(each)) for each in read}
    with console.status(f"reading what was run below {runs} ..."):
        found = {each: (paper, answer(claimed, readers[each])) for each, (paper, claimed) in read.items() if claimed}
    for each, (paper, answers) in found.items():
        if name in (None, each):
            console.print(claims_page.rich_table(paper, answers))
            console.print(claims_page.summary(answers), highlight=False)
            console.print()
    files = claims_page.write(found, out)
    console.print(f"wrote {' and '.join(map(str, files))}", highlight=False, soft_wrap=True)
