"""Published and measured values as a Markdown page, a CSV file and a terminal table."""

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.table import Table

from fer_bench import registry
from fer_bench.markdown import markdown_text
from fer_bench.papers import claims_page, faults_page
from fer_bench.papers.claims_measured import Answered
from fer_bench.papers.comparison import Line
from fer_bench.papers.published import Paper, Section
from fer_bench.stats.intervals import BRACKETS
from fer_bench.stats.metric_units import counted

READING = (
    f"Measured values are computed on the predictions of all folds pooled; {BRACKETS}, which covers the choice of test "
    "subjects and not the training seed. `match`: the published value lies within the brackets, which says little "
    "where they are wide; `below` and `above`: the measured value is, and the brackets leave the published one "
    "out; `not comparable`: measured, but on other data or in another way than what is printed, as said; `missing`: "
    "not run, or not all of it; `published only`: rows of other work, and what is no metric; `not published`: "
    "measured, and nothing is printed. Difference: measured minus published. F1, F2, ...: a known fault concerns the "
    "published value."
)
_NUMBERS = ("Published", "Measured", "Difference", "n")
_ON_TERMINAL = ("Dataset", "Method", "Metric", "Published", "Measured", "Difference", "Verdict", "As run")


def texts(line: Line, note: str = "") -> dict[str, str]:
    """Column -> formatted text of a line; `note` is its footnote number, shown before the marks of known faults."""
    published, measured = line.published, line.measured
    digits = 2 if line.scale == 100 else 4
    value, n = "-", "-"
    if measured is not None and measured.value is not None:
        value = f"{measured.value:.{digits}f}"
        if measured.low is not None and measured.high is not None:
            value += f" [{measured.low:.{digits}f}, {measured.high:.{digits}f}]"
        named = registry.find_protocol(line.protocol).subject_independent
        n = counted(measured.n, measured.subjects, named)
    printed = "-"
    if published is not None:
        printed = " ".join(filter(None, [published.value, "derived" if published.derived else "", note, *line.faults]))
    difference = "-"
    if line.difference is not None:
        in_points = line.scale == 100 or line.points == 100
        difference = f"{line.difference:+.2f} pp" if in_points else f"{line.difference:+.{digits}f}"
    as_run = measured.as_run if measured is not None else ""
    if line.reason and line.reason not in as_run:
        as_run = "; ".join(dict.fromkeys([*filter(None, as_run.split("; ")), *line.reason.split("; ")]))
    return {
        "Dataset": published.dataset if published else line.protocol,
        "Evaluation": published.evaluation if published else "-",
        "Method": published.method if published else line.entry,
        "Metric": line.metric,
        "Published": printed,
        "Measured": value,
        "Difference": difference,
        "n": n,
        "Measured by": f"{line.entry} on {line.protocol}" if line.entry else "-",
        "Verdict": line.verdict,
        "As run": as_run,
    }


def footnotes(lines: Sequence[Line]) -> dict[str, str]:
    """Note -> footnote number, for every distinct note of the published rows."""
    notes = dict.fromkeys(line.published.note for line in lines if line.published and line.published.note)
    return {note: f"({number})" for number, note in enumerate(notes, start=1)}


def summary(lines: Iterable[Line]) -> str:
    """Number of the paper's own values with each verdict."""
    counts = Counter(line.verdict for line in lines if line.published is not None and line.measured is not None)
    message = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    return (
        f"{counts.total()} of the paper's own values can be measured: {message}." if counts else "Nothing to measure."
    )


def fault_notes(paper: Paper, lines: Sequence[Line]) -> list[str]:
    """The known faults that concern these lines, as `F1 <fault>`."""
    marks = {mark for line in lines for mark in line.faults}
    return [f"{mark} {fault.fault}" for mark, fault in paper.faults.items() if mark in marks]


def to_markdown(
    paper: Paper,
    lines: Mapping[str, list[Line]],
    answers: Sequence[Answered],
    figures: Mapping[str, Sequence[Path]],
) -> str:
    """The whole paper as a Markdown page; `figures` are paths relative to the page, by table."""
    page = io.StringIO()
    page.write(f"# {paper.notes.title}\n\n{READING}\n\n{summary(line for each in lines.values() for line in each)}\n")
    page.write("".join(f"\n- {markdown_text(note)}" for note in paper.notes.notes) + "\n")
    if answers:
        table = claims_page.to_markdown(answers)
        page.write(f"\n## Claims\n\n{claims_page.READING}\n\n{claims_page.summary(answers)}\n\n{table}")
    if paper.faults:
        message = "Marked F1, F2, ... on the printed values that they concern."
        page.write(f"\n## Known faults\n\n{message}\n\n{faults_page.to_markdown(paper.faults, paper)}")
    for section in paper.sections:
        page.write(f"\n## {heading(section)}\n")
        rows, numbers = lines[section.table], footnotes(lines[section.table])
        if rows:
            page.write(f"\n{claims_page.markdown_table(_rows(rows), _NUMBERS)}")
        notes = [f"{number} {note}" for note, number in numbers.items()]
        notes += [*fault_notes(paper, rows), *section.notes.notes]
        page.write("".join(f"\n- {markdown_text(note)}" for note in notes) + "\n" * bool(notes))
        for path in figures.get(section.table, ()):
            page.write(f"\n![{heading(section)}]({path.as_posix()})\n")
    return page.getvalue()


def to_records(paper: Paper, lines: Mapping[str, list[Line]]) -> list[dict[str, str]]:
    """One record per line, with measured values in the unit of the published one."""
    records = []
    for table, rows in lines.items():
        for line in rows:
            published, measured = line.published, line.measured
            shown = texts(line)
            records.append(
                {
                    "paper": paper.name,
                    "table": table,
                    **{name: shown[name.capitalize()] for name in ("dataset", "evaluation", "method", "metric")},
                    "published": published.value if published else "",
                    "derived": "yes" if published and published.derived else "",
                    "protocol": line.protocol,
                    "entry": line.entry,
                    "measure": line.measure,
                    "minus": " ".join(published.minus) if published else "",
                    **{name: _number(getattr(measured, name, None)) for name in ("value", "low", "high")},
                    "difference": _number(line.difference),
                    "n": _number(measured.n if measured else None),
                    "subjects": _number(measured.subjects if measured else None),
                    "verdict": line.verdict,
                    "data": measured.data if measured else "",
                    "as_run": shown["As run"],
                    "note": published.note if published else "",
                    "faults": "; ".join(f"{mark} {paper.faults[mark].id}" for mark in line.faults),
                }
            )
    return records


def write(paper: Paper, lines: Mapping[str, list[Line]], answers: Sequence[Answered], out: Path) -> list[Path]:
    """Write `<out>/<paper>.md`, with the figures that exist in `<out>/figures`, and `.csv`; returns the files."""
    figures = {}
    for section in paper.sections:
        files = [Path("figures") / f"{paper.name}_{section.stem}_{kind}.png" for kind in section.notes.figures]
        figures[section.table] = [path for path in files if (out / path).exists()]
    page = to_markdown(paper, lines, answers, figures)
    return claims_page.write_page(out / paper.name, page, to_records(paper, lines))


def rich_table(section: Section, lines: Sequence[Line]) -> Table:
    """A section with the columns that fit a terminal; the files have all columns."""
    return claims_page.terminal_table(heading(section), _rows(lines), _ON_TERMINAL, _NUMBERS)


def _rows(lines: Sequence[Line]) -> list[dict[str, str]]:
    numbers = footnotes(lines)
    return [texts(line, numbers.get(line.published.note, "") if line.published else "") for line in lines]


def heading(section: Section) -> str:
    """`Table II: 4D expression recognition on BU-4DFE`."""
    return ": ".join(filter(None, [section.heading, section.notes.title]))


def _number(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.4f}"
