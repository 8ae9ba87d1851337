import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fer_bench.leaderboard.pages import latex
from fer_bench.leaderboard.pages.columns import header, texts
from fer_bench.leaderboard.row import Row
from fer_bench.stats.intervals import Difference, Interval
from fer_bench.suites.suite import Suite

PROTOCOLS = ["bu3dfe-s1-cv10@1", "coma-identity@1"]
NASTY = (
    "\\input{/etc/passwd} }{ $x_1^2$ 100% #1 & ~ [*] -- ,, ?` !` << >> \"a\" 'b' `c` "
    "\\\\[1em] ß é Ω 中 \u200b \x07 −1 ± 2"
)
# What is set as it is; after these names and characters escaping leaves nothing that TeX acts upon.
_COMMAND = re.compile(r"\\(text[a-z]+\{\}|[{}#$%&_])|\$(-|\\times|\\pm|\\leq|\\geq|\\rightarrow)\$")


def rows() -> list[Row]:
    """Entries of two kinds, of which one is unsound, and one has no result."""
    metrics = {"accuracy": 0.6111, "balanced_accuracy": 0.6, "f1_macro": 0.59, "f1_weighted": 0.59}
    shared = {"protocol_digest": "d", "provenance": "twin-r1", "representation": "points_100% (r)", "parameters": 1234}
    difference = Difference(-0.1234, Interval(-0.2, 0.05, 6, 72))
    return [
        Row(PROTOCOLS[0], "ours", "pointnet2", 3, Counter(done=3), metrics=metrics, interval=Interval(0.5, 0.7, 6, 72),
            fold_sd=0.1, n=72, epochs=(3, 3), recipe_epochs=3, fit_minutes=1.0, weights=NASTY, **shared),  # type: ignore[arg-type]
        Row(PROTOCOLS[0], "other", "mit", 3, Counter(done=3), metrics=metrics, n=72, difference=difference,
            epochs=(3, 3), recipe_epochs=200, fit_minutes=1.0, unsound=NASTY, **shared),  # type: ignore[arg-type]
        Row(PROTOCOLS[0], "third", "mit", 3, Counter(failed=3), NASTY),
        Row(PROTOCOLS[1], "faces", "morphable_mlp", 1, Counter(done=1),
            metrics={"neutral_mean": 1.5, "identity_mean": 2}, n=9, epochs=(1, 1), recipe_epochs=1, fit_minutes=1.0,
            **shared),  # type: ignore[arg-type]
    ]  # fmt: skip


def suite() -> Suite:
    entries = {row.entry: {"method": row.method} for row in rows()}
    return Suite(protocols=PROTOCOLS, methods=entries, title=f"{NASTY} {NASTY}", reference="ours")


@given(st.text())
@example(NASTY)
@example("-1 --- a-b 1-2 -x [-5.2, 3]")
def test_nothing_that_tex_acts_upon_is_left(text: str) -> None:
    escaped = latex.escape(text)
    left = re.sub(r"\{([\[\]*=]?)\}", r"\1", _COMMAND.sub("", escaped))
    assert not set(left) & set("\\{}#$%&_~^<>|\"'`"), left
    assert "\n" not in escaped
    assert not re.search(r"--|,,|[\[\]](?!\})", escaped.replace("{[}U+", "").replace("{-}{-}", ""))
    for character in escaped:
        assert " " <= character <= "~" or ("À" <= character <= "ÿ" and character.isalpha())


def test_plain_text_stays_and_a_minus_is_one() -> None:
    assert latex.escape("mit-nano, 3 of 200 (done)") == "mit-nano, 3 of 200 (done)"
    assert latex.escape("-15.28 [-27.8, +5.6]") == "$-$15.28 {[}$-$27.8, +5.6{]}"
    assert latex.escape("中 é") == "{[}U+4E2D{]} é"


def test_tables_have_the_texts_of_the_other_formats() -> None:
    page = latex.to_latex("mine", suite(), rows())
    for row in rows()[:3]:
        line = " & ".join(map(latex.escape, texts(row, header(rows()[:3], "ours"))))
        assert f"{line} \\\\\n" in page
    assert page.count("\\toprule") == page.count("\\bottomrule") == 3, "two protocols, and what stands beside one"
    assert "$-$12.34 {[}$-$20.0, +5.0{]}" in page
    assert "other is unsound: " in page
    assert "Synthetic faces" in page


def test_it_compiles(tmp_path: Path) -> None:
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("no pdflatex here: apt-get install texlive-latex-recommended")
    path = latex.write("mine", suite(), rows(), tmp_path)
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", path.name]
    done = subprocess.run(
        command, check=False, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "mine.pdf").read_bytes().startswith(b"%PDF")
    assert "Overfull" not in done.stdout, "tables are no wider than the page"
    assert "Missing character" not in (tmp_path / "mine.log").read_text(errors="replace")
