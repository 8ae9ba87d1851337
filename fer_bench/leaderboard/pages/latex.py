"""A leaderboard as a LaTeX document of booktabs tables, one per page."""

import io
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from fer_bench import registry
from fer_bench.leaderboard.html.pairs import lettered
from fer_bench.leaderboard.machines import trained_on
from fer_bench.leaderboard.pages.columns import beside
from fer_bench.leaderboard.pages.markdown_page import ESTIMATORS, EXPLAINED, by_question, notes
from fer_bench.leaderboard.row import Row
from fer_bench.records import atomic_write
from fer_bench.stats.bootstrap import HEADLINE
from fer_bench.stats.metric_units import unit
from fer_bench.suites.suite import Suite

_PREAMBLE = r"""% Compiles as it is, with pdflatex. To take all tables into a paper, load docmute, booktabs and graphicx
% and \input this file there; or copy a table, which needs booktabs and graphicx.
\documentclass[10pt]{article}
\usepackage[T1]{fontenc}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{} % without it, T1's fonts are bitmaps
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
\pagestyle{empty}
\setlength{\belowcaptionskip}{6pt}
\begin{document}
"""

# A brace or a bracket after \\ or \item would be read as its argument.
_COMMANDS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "#": r"\#",
    "$": r"\$",
    "%": r"\%",
    "&": r"\&",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "=": "{=}",
    "−": "$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "·": r"\textperiodcentered{}",
    "°": r"\textdegree{}",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "…": r"\textellipsis{}",
}
_NEGATIVE = re.compile(r"(?<![\w.-])-(?=\d)")
# In T1 two hyphens are a dash, two commas a quotation mark, and ?` and !` are turned around.
_LIGATURE = re.compile(r"([-,])(?=\1)")


def escape(text: str) -> str:
    """Escape a text for LaTeX, on one line; a character missing from T1 fonts becomes `[U+4E2D]`."""
    text = _NEGATIVE.sub("−", re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)))
    return "".join(map(_character, _LIGATURE.sub("\\1\u200b", text)))


def _character(character: str) -> str:
    if character in _COMMANDS:
        return _COMMANDS[character]
    if character == "\u200b":
        return "{}"
    letter = "À" <= character <= "ÿ" and character.isalpha()
    return character if " " <= character <= "~" or letter else f"{{[}}U+{ord(character):04X}{{]}}"


def to_latex(name: str, suite: Suite, rows: list[Row]) -> str:
    """The leaderboard as a document: one table per protocol, with the columns and texts of the Markdown page."""
    page = io.StringIO()
    page.write(_PREAMBLE)
    for number, ((protocol, digest, data), members) in enumerate(by_question(rows).items()):
        page.write("\\clearpage\n" if number else "")
        heads, lines, _ = lettered(members, suite.reference)
        caption = [f"{suite.title or name}: {protocol}."]
        caption += [f"Protocol digest {digest}, data {data}."] if digest else []
        if which := suite.shortened(registry.find_protocol(protocol)):
            caption.append(f"{which[0].upper()}{which[1:]}.")
        if machines := trained_on(members):
            caption.append(f"Trained on {machines}.")
        if "twin" in data:
            caption.append("Synthetic faces: these numbers compare methods with one another, not with published ones.")
        page.write(f"\\begin{{table}}[htbp]\n\\centering\n\\caption{{{escape(' '.join(caption))}}}\n")
        _table(page, heads, lines)
        if second := beside(members):
            page.write("\n\\medskip\n\n")
            _table(page, second[0], second[1:])
        page.write("\n\\medskip\n\\begin{minipage}{\\textwidth}\\footnotesize\n")
        page.write("\\par\n".join(map(escape, _below(members, suite.reference))))
        page.write("\n\\end{minipage}\n\\end{table}\n")
    page.write("\\end{document}\n")
    return page.getvalue()


def _table(page: io.StringIO, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Write a table, scaled to the page width if wider; the first column and the column State are left-aligned."""
    sides = "l" + "r" * (len(heads) - 2) + ("l" if heads[-1] == "State" else "r")
    page.write("\\resizebox{\\ifdim\\width>\\textwidth\\textwidth\\else\\width\\fi}{!}{%\n")
    page.write(f"\\begin{{tabular}}{{{sides}}}\n\\toprule\n")
    page.write(f"{' & '.join(map(escape, heads))} \\\\\n\\midrule\n")
    page.writelines(f"{' & '.join(map(escape, line))} \\\\\n" for line in lines)
    page.write("\\bottomrule\n\\end{tabular}}\n")


def _below(rows: list[Row], reference: str | None) -> list[str]:
    task = rows[0].task
    paragraphs = [" ".join(filter(None, [EXPLAINED.get(task), ESTIMATORS]))]
    if reference:
        measured = unit(task, HEADLINE[task]).difference
        paragraphs.append(
            f"Against {reference}: the difference of the first column on the same samples, in {measured}, with the "
            "interval of a bootstrap that draws the same subjects for both."
        )
    paragraphs += [note for row in rows for note in notes(row)]
    return [*paragraphs, "Input: " + "; ".join(f"{row.entry} {row.representation or '-'}" for row in rows) + "."]


def write(name: str, suite: Suite, rows: list[Row], out: Path) -> Path:
    """Write `<out>/<name>.tex`; returns the file."""
    path = out / f"{name}.tex"
    with atomic_write(path) as file:
        file.write(to_latex(name, suite, rows).encode())
    return path
