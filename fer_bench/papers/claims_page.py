"""How the claims of papers are shown: as a part of a paper's page, as a page and a file of all, and on a terminal."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
from fer_bench.stats.units import counted, number, signed

READING = (
    "A claim is one or several comparisons on the same samples; brackets: 95 % interval over subjects, paired by "
    "sample, which covers who is tested and not how another training of the same networks would come out. `holds`: "
    "the interval lies on the claimed side of 0; `fails`: on the other; `unresolved`: it holds 0, or one of those "
    "compared cannot be told from guessing (mean recall and chance, concordance and 0); `not measured`: not "
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
_SYNTHETIC = "synthetic data"  # what the column of the data says already
_PLURAL = {"holds": "hold", "fails": "fail"}
_ON_TERMINAL = ("Claim", "Answer", "Compared", "Difference", "Printed", "Remarks")
_NUMBERS = ("Difference", "Printed")


def texts(answered: Answered) -> list[dict[str, str]]:
    """A claim under `HEADER`: itself, and, where it has several, each of its comparisons below it."""
    claim, compared = answered.claim, answered.compared
    known = [each for each in compared if each.difference is not None]
    apart = dict.fromkeys(text for each in known for text in each.departures if not text.startswith(_SYNTHETIC))
    told: str = answered.answer
    if told != "not measured":
        # Whoever reads only this must not take it for an answer on real faces, or of the paper's own configuration.
        twin = any(_is_synthetic(each) for each in known)
        told += " on synthetic faces" * twin + ", not as in the paper" * bool(apart)
    own = {"Claim": claim.claim, "Where": claim.where, "Answer": told}
    reason = compared[0].reason if len(compared) == 1 else ""
    remarks = "; ".join(filter(None, [claim.unmeasurable, claim.note.removesuffix("."), reason, *apart]))
    if len(compared) == 1:
        return [_texts(compared[0]) | own | {"Remarks": remarks}]
    counted = _counted(each.answer for each in compared)
    blank = dict.fromkeys(HEADER, "")
    return [blank | own | {"Compared": counted or "-", "Remarks": remarks}, *map(_texts, compared)]


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
    return dict(
        zip(
            HEADER,
            (
                *("", "", compared.answer, compared.question),
                compared.comparison.metric.replace("_", " "),
                *(difference, printed, n, compared.data or "-"),
                compared.reason,
            ),
            strict=True,
        )
    )


def _is_synthetic(compared: Compared) -> bool:
    """Saved predictions, whose data are unknown, are not."""
    return "twin-" in compared.data


def _name(compared: Compared) -> str:
    """Of the unit, beside a difference."""
    return "pp" if compared.unit.name == "%" else compared.unit.name


def summary(answers: Iterable[Answered]) -> str:
    """How many claims came out how."""
    found = list(answers)
    told = _counted(each.answer for each in found)
    beyond = sum(bool(each.claim.unmeasurable) for each in found)
    twins = sum(any(c.difference and _is_synthetic(c) for c in each.compared) for each in found)
    told += f" ({beyond} of them beyond measuring)" * bool(beyond)
    told += f"; {twins} answered on synthetic faces, in part or whole" * bool(twins)
    return f"{len(found)} claims: {told}." if found else "No claims are known."


def to_markdown(answers: Sequence[Answered]) -> str:
    """The table of a paper's claims."""
    rule = "|".join("---:" if name in _NUMBERS else "---" for name in HEADER)
    rows = [row for answered in answers for row in texts(answered)]
    lines = [f"| {' | '.join(map(markdown_text, row.values()))} |" for row in rows]
    return "\n".join([f"| {' | '.join(HEADER)} |", f"|{rule}|", *lines]) + "\n"


def to_records(paper: str, answers: Sequence[Answered]) -> list[dict[str, str]]:
    """One record a comparison, and one for a claim that has none; differences in the unit that is named."""
    records = []
    for answered in answers:
        claim = answered.claim
        whole = {"paper": paper, "id": claim.id, "claim": claim.claim, "where": claim.where, "answer": answered.answer}
        if not answered.compared:
            blank = dict.fromkeys(_COMPARED, "")
            records.append(whole | blank | {"reason": claim.unmeasurable, "note": claim.note})
        records += [whole | _record(compared) | {"note": claim.note} for compared in answered.compared]
    return records


def _record(compared: Compared) -> dict[str, str]:
    requested, agrees = compared.comparison, compared.size_agrees
    found = compared.difference
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
    markdown, table = out / "claims.md", out / "claims.csv"
    page, text = io.StringIO(), io.StringIO(newline="")
    everything = [answered for _, answers in found.values() for answered in answers]
    page.write(f"# What papers claim, and what was measured\n\n{READING}\n\n{summary(everything)}\n")
    records = []
    for name, (paper, answers) in found.items():
        page.write(f"\n## {paper.notes.title}\n\n{summary(answers)}\n\n{to_markdown(answers)}")
        records += to_records(name, answers)
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    for path, content in ((markdown, page), (table, text)):
        with atomic_write(path) as file:
            file.write(content.getvalue().encode())
    return [markdown, table]


def rich_table(paper: Paper, answers: Sequence[Answered]) -> Table:
    """A paper's claims with the columns that fit a terminal; the files have them all."""
    table = Table(title=paper.notes.title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in _ON_TERMINAL:
        table.add_column(name, justify="right" if name in _NUMBERS else "left")
    for answered in answers:
        for row in texts(answered):
            table.add_row(*(escape(row[name]) for name in _ON_TERMINAL))
    return table
