"""Text, tables and links of Markdown pages."""

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"((?<!`)`[^`\\]+`(?!`))")
_SPECIAL = str.maketrans({"\\": "\\\\", "|": "\\|", "*": "\\*", "<": "&lt;"})


def markdown_text(text: str) -> str:
    """Text that stays one cell of a Markdown table, and stays text: no HTML, link or image; what stands between single
    backticks stays code, in which nothing but the table's bar has to be told from its meaning."""
    parts = _CODE.split(re.sub(r"\s+", " ", text))
    for place, part in enumerate(parts):
        parts[place] = part.replace("|", "\\|") if place % 2 else part.translate(_SPECIAL).replace("](", "]\\(")
    return "".join(parts)


def cell(text: object) -> str:
    """Markdown as the cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()) -> str:
    """A table; the columns named in `right` are aligned there."""
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join('---:' if name in right else '---' for name in head)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(cell, row))} |" for row in rows)])


def anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it: lower case, digits, dashes and underscores."""
    return "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c in "-_")
