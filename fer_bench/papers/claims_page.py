"""Claims of papers as a section of a paper's page, as a page and CSV file of all papers, and as a terminal table."""

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import get_args

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from fer_bench import registry
from fer_bench.markdown import markdown_text
from fer_bench.papers.claims_measured import Answer, Answered, Compared
from fer_bench.papers.published import Paper
from fer_bench.records import atomic_write
from fer_bench.stats.metric_units import counted, number, signed

READING = (
    "A claim is one or several comparisons on the same samples; brackets: 95 % interval over subjects, paired by "
    "sample, which covers who is tested and not how another training of the same networks would come out. `holds`: "
    "the interval lies on the claimed side of 0; `fails`: on the other; `unresolved`: it holds 0, or one of those "
    "compared cannot be told from guessing (mean recall and chance, concordance and 0), or would hold by an entry that "
    "is unsound; `not measured`: not "
    "run, or not all of it, or nothing here can measure it. A claim of several comparisons holds where all do, and "
    "fails where one of m contradicts it at 1 - 0.05 / m. Printed: the difference that the paper claims, and whether "
    "it lies within the interval. Remarks name the entry where those compared were not trained alike. On synthetic "
    "faces an answer is of these alone."
)
HEADER = ("Claim", "Where", "Answer", "Compared", "Metric", "Difference", "Printed", "n", "Data", "Remarks")
_COMPARED = (
    *("suite", "protocol", "metric", "entry", "compared", "compared_answer", "difference", "low", "high", "unit"),
    *("printed", "printed_in_interval", "n", "subjects", "data", "departures", "reason"),
)
_SYNTHETIC = "synthetic data"  # omitted from remarks because the Data column already shows it
_PLURAL = {"holds": "hold", "fails": "fail"}
_ON_TERMINAL = ("Claim", "Answer", "Compared", "Difference", "Printed", "Remarks")
_NUMBERS = ("Difference", "Printed")


def texts(answered: Answered) -> list[dict[str, str]]:
    """Rows of a claim, column -> text: one for the claim, then one per comparison if there are several."""
    claim, compared = answered.claim, answered.compared
    measured = [each for each in compared if each.difference is not None]
    departures = dict.fromkeys(text for each in measured for text in each.departures if not text.startswith(_SYNTHETIC))
    message: str = answered.answer
    if message != "not measured":
        # The answer alone must not be mistaken for one on real faces or with the paper's own configuration.
        twin = any(_is_synthetic(each) for each in measured)
        message += " on synthetic faces" * twin + ", not as in the paper" * bool(departures)
    shown = {"Claim": claim.claim, "Where": claim.where, "Answer": message}
    reason = compared[0].reason if len(compared) == 1 else ""
    remarks = "; ".join(filter(None, [claim.unmeasurable, claim.note.removesuffix("."), reason, *departures]))
    if len(compared) == 1:
        return [_texts(compared[0]) | shown | {"Remarks": remarks}]
    counts = _counted(each.answer for each in compared)
    blank = dict.fromkeys(HEADER, "")
    return [blank | shown | {"Compared": counts or "-", "Remarks": remarks}, *map(_texts, compared)]


def _counted(answers: Iterable[Answer]) -> str:
    """`2 hold, 1 fails`."""
    counts = Counter(answers)
    return ", ".join(
        f"{counts[name]} {_PLURAL.get(name, name) if counts[name] > 1 else name}"
        for name in get_args(Answer)
        if counts[name]
    )


def _texts(compared: Compared) -> dict[str, str]:
    size, agrees = compared.comparison.size, compared.size_agrees
    printed = "-"
    if size is not None:
        claimed = -size if compared.comparison.lower else size
        inside = "" if agrees is None else ", within" if agrees else ", outside"
        printed = f"{number(claimed / compared.unit.factor, compared.unit)}{inside}"
    difference = "-"
    if compared.difference is not None:
        difference = f"{signed(compared.difference, compared.unit)} {_name(compared)}".strip()
    named = registry.find_protocol(compared.comparison.protocol).subject_independent
    n = counted(compared.n, compared.subjects, named)
    metric = compared.comparison.metric.replace("_", " ")
    values = ("", "", compared.answer, compared.question, metric, difference, printed, n, compared.data or "-")
    return dict(zip(HEADER, (*values, compared.reason), strict=True))


def _is_synthetic(compared: Compared) -> bool:
    """Whether the data are a twin's; False for saved predictions, whose data are unknown."""
    return "twin-" in compared.data


def _name(compared: Compared) -> str:
    """Unit of a difference."""
    return "pp" if compared.unit.name == "%" else compared.unit.name


def summary(answers: Iterable[Answered]) -> str:
    """Number of claims with each answer."""
    found = list(answers)
    message = _counted(each.answer for each in found)
    unmeasurable = sum(bool(each.claim.unmeasurable) for each in found)
    twins = sum(any(c.difference and _is_synthetic(c) for c in each.compared) for each in found)
    message += f" ({unmeasurable} of them beyond measuring)" * bool(unmeasurable)
    message += f"; {twins} answered on synthetic faces, in part or whole" * bool(twins)
    return f"{len(found)} claims: {message}." if found else "No claims are known."


def to_markdown(answers: Sequence[Answered]) -> str:
    """The table of a paper's claims."""
    return markdown_table([row for answered in answers for row in texts(answered)], _NUMBERS)


def markdown_table(rows: Sequence[Mapping[str, str]], right: Collection[str]) -> str:
    """A Markdown table of rows (column -> text), with the columns named in `right` right-aligned."""
    rule = "|".join("---:" if name in right else "---" for name in rows[0])
    lines = [f"| {' | '.join(map(markdown_text, row.values()))} |" for row in rows]
    return "\n".join([f"| {' | '.join(rows[0])} |", f"|{rule}|", *lines]) + "\n"


def to_records(paper: str, answers: Sequence[Answered]) -> list[dict[str, str]]:
    """One record per comparison, and one per claim without comparisons; differences are in the named unit."""
    records = []
    for answered in answers:
        claim = answered.claim
        base = {"paper": paper, "id": claim.id, "claim": claim.claim, "where": claim.where, "answer": answered.answer}
        if not answered.compared:
            blank = dict.fromkeys(_COMPARED, "")
            records.append(base | blank | {"reason": claim.unmeasurable, "note": claim.note})
        records += [base | _record(compared) | {"note": claim.note} for compared in answered.compared]
    return records


def _record(compared: Compared) -> dict[str, str]:
    requested, agrees, found = compared.comparison, compared.size_agrees, compared.difference
    ends = (None, None, None) if found is None else (found.value, found.interval.low, found.interval.high)
    printed = None if requested.size is None else -requested.size if requested.lower else requested.size
    values = (
        *(requested.suite, requested.protocol, requested.metric, requested.entry, compared.question, compared.answer),
        *("" if end is None else f"{compared.unit.factor * end:.4f}" for end in ends),
        _name(compared),
        "" if printed is None else f"{printed:g}",
        "" if agrees is None else "yes" if agrees else "no",
        *("" if count is None else str(count) for count in (compared.n, compared.subjects)),
        *(compared.data, "; ".join(compared.departures), compared.reason),
    )
    return dict(zip(_COMPARED, values, strict=True))


def write(found: Mapping[str, tuple[Paper, Sequence[Answered]]], out: Path) -> list[Path]:
    """Write `<out>/claims.md` and `.csv` of all papers; returns the files."""
    page = io.StringIO()
    records = []
    everything = [answered for _, answers in found.values() for answered in answers]
    page.write(f"# What papers claim, and what was measured\n\n{READING}\n\n{summary(everything)}\n")
    for name, (paper, answers) in found.items():
        page.write(f"\n## {paper.notes.title}\n\n{summary(answers)}\n\n{to_markdown(answers)}")
        records += to_records(name, answers)
    return write_page(out / "claims", page.getvalue(), records)


def write_page(path: Path, page: str, records: Sequence[Mapping[str, str]]) -> list[Path]:
    """Write `<path>.md` and the records as `<path>.csv`; returns the files."""
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    files = [path.with_name(f"{path.name}.{kind}") for kind in ("md", "csv")]
    for target, content in zip(files, (page, table.getvalue()), strict=True):
        with atomic_write(target) as file:
            file.write(content.encode())
    return files


def rich_table(paper: Paper, answers: Sequence[Answered]) -> Table:
    """A paper's claims with the columns that fit a terminal; the files have all columns."""
    rows = [row for answered in answers for row in texts(answered)]
    return terminal_table(paper.notes.title, rows, _ON_TERMINAL, _NUMBERS)


def terminal_table(
    title: str, rows: Sequence[Mapping[str, str]], columns: Sequence[str], right: Collection[str]
) -> Table:
    """A terminal table of the selected columns of rows (column -> text)."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left")
    for row in rows:
        table.add_row(*(escape(row[name]) for name in columns))
    return table
