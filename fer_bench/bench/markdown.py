"""Text in Markdown pages."""

from __future__ import annotations

import re


def markdown_text(text: str) -> str:
    """Text that stays one cell of a Markdown table, and stays text."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
