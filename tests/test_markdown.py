"""Text on Markdown pages stays text, as a parser of Markdown reads it."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from fer_bench.markdown import markdown_text

PARSER = MarkdownIt("commonmark").enable("table")


def inside(text: str) -> list[Token]:
    """What a parser finds in the one cell of a table's row."""
    tokens = PARSER.parse(f"| head |\n|---|\n| a {markdown_text(text)} |\n")
    cells = [after for token, after in itertools.pairwise(tokens) if token.type == "td_open"]
    assert len(cells) == 1
    assert not any(token.type == "html_block" for token in tokens)
    return cells[0].children or []


@settings(max_examples=300)
@given(text=st.text("ab`*|<>\\[]()!/&;: \n", max_size=24))
@example("</td><script>alert(1)</script>|x")
@example("``<script>`")
@example("\\`<b>`")
@example("![x](http://a/b.png) [x](javascript:a)")
@example("a\\|b")
def test_text_is_no_markup(text: str) -> None:
    kinds = {token.type for token in inside(text)}
    assert kinds <= {"text", "text_special", "code_inline"}, kinds


@pytest.mark.parametrize(
    "text", ["[28] and [90.1, 95.2]", "2 * 3 * 4", "a < b", "a|b", "C:\\x\\|y", "**bold**", "](a)"]
)
def test_text_reads_as_it_was_written(text: str) -> None:
    assert "".join(token.content for token in inside(text)) == f"a {text}"


def test_code_stays_code_as_it_is() -> None:
    code = [token.content for token in inside("the entries `*-broadcast` and `a<b`") if token.type == "code_inline"]
    assert code == ["*-broadcast", "a<b"]
