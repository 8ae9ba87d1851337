import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.leaderboard import pairwise
from fer_bench.leaderboard.html import cell_columns, confusion, curves, mistakes
from fer_bench.leaderboard.html import report as page
from fer_bench.leaderboard.html.pairs import lettered
from fer_bench.leaderboard.pages.columns import header, texts
from fer_bench.leaderboard.pages.latex import to_latex
from fer_bench.leaderboard.pages.markdown_page import by_question
from fer_bench.leaderboard.row import Row
from fer_bench.leaderboard.rows import collect
from fer_bench.metrics.classification import confusion_matrix, per_class
from fer_bench.suites.suite import Suite
from tests.leaderboard.html.conftest import FAILED, HOSTILE, METHODS, OTHER, PROTOCOL, suite, write_cell
from tests.suite_runner import Bench


class Page(HTMLParser):
    """What a parser finds: tags with their attributes, and the text of each script, style and table cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.content: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style", "th", "td", "title", "li"):
            self._open.append(tag)
            self.content.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self.content[self._open[-1]][-1] += data


def data_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Page(path.read_text(encoding="utf-8")).content["script"][0])
    return found


def rows_of(runs: Path, **changes: Any) -> tuple[Suite, list[Row]]:
    requested = suite(**changes)
    return requested, collect("mine", requested, runs)


def test_the_tables_hold_the_texts_of_the_other_formats(report: Path, runs: Path) -> None:
    requested, rows = rows_of(runs)
    shown = [text.strip() for text in Page(report.read_text(encoding="utf-8")).content["td"]]
    for row in rows:
        for text in texts(row, header(rows, requested.reference))[1:]:
            assert text in shown, text


def test_nothing_that_was_named_or_measured_becomes_markup(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    found = Page(text)
    assert [tag for tag, _ in found.tags].count("script") == 2, "the data and the page's own"
    assert not [tag for tag, _ in found.tags if tag == "img"]
    assert found.content["title"][0] == HOSTILE
    assert HOSTILE not in text, "it is always escaped"
    assert data_of(report)["cells"]["messages"] == {"11": f"it broke {HOSTILE}"}
    assert "49" not in found.content["title"][0], "no name is a template"


@settings(max_examples=25)
@given(st.text(max_size=40))
def test_any_title_comes_out_as_it_went_in(title: str) -> None:
    requested = suite(title=f"x{title}")
    text = page.to_html("mine", requested, [], {}, Path("nowhere"))
    parsed = re.sub(r"\r\n?", "\n", requested.title).replace("\x00", "�")
    assert Page(text).content["title"][0].replace("\x00", "�") == parsed or "\r" in title


def test_the_policy_names_the_one_script_and_the_one_style(report: Path) -> None:
    found = Page(report.read_text(encoding="utf-8"))
    policy = next(a["content"] for tag, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for text, name in ((found.content["script"][1], "script-src"), (found.content["style"][0], "style-src")):
        expected = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name} 'sha256-{expected}'" in policy


def test_nothing_refers_to_another_place(report: Path) -> None:
    for tag, attributes in Page(report.read_text(encoding="utf-8")).tags:
        for key in ("src", "href", "action", "poster", "data"):
            value = attributes.get(key)
            assert value is None or value.startswith(("#", "data:")), (tag, key, value)
        assert not [key for key in attributes if key.startswith("on") or key == "style"], "the policy forbids them"


def test_twins_and_unsound_rows_are_said_loudly(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert text.count("Synthetic faces") == 2, "on top, and with the table"
    assert "Unsound rows." in text
    assert re.search(r'<tr data-row="\d" class="unsound">', text)
    assert any("unsound is unsound: it looks at the answers" in note for note in Page(text).content["li"])


def test_real_data_are_not_called_synthetic(tmp_path: Path) -> None:
    for fold in range(3):
        write_cell(tmp_path, "strong", fold, provenance="as distributed")
    requested, rows = rows_of(tmp_path, methods={"strong": {"method": "pointnet2"}})
    assert "Synthetic" not in page.to_html("mine", requested, rows, {}, tmp_path)


def test_a_suite_without_results_says_what_to_do(tmp_path: Path) -> None:
    requested, rows = rows_of(tmp_path)
    path = page.write("mine", requested, rows, {}, tmp_path, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "No results yet." in text
    assert "fer-bench run mine" in text
    assert data_of(path)["cells"]["states"] == ["missing"]


def test_every_cell_has_its_place_state_and_end_of_log(report: Path) -> None:
    data = data_of(report)
    found = data["cells"]
    assert len(found["row"]) == len(METHODS) * 3
    states = {
        (data["rows"][row]["entry"], fold): found["states"][state]
        for row, fold, state in zip(found["row"], found["fold"], found["state"], strict=True)
    }
    assert states.pop(("broken", FAILED)) == "failed"
    assert set(states.values()) == {"done"}
    (place,) = found["logs"]
    assert found["logs"][place].endswith("the last line")
    assert "\x1b" not in found["logs"][place]
    assert found["value"][int(place)] is None
    assert found["runs"]["0"] == [["fit", "2026-01-01T00:00:00", 12.5, True, None, None, 0]]
    assert len(found["environments"]) == 1, "told once, however many cells share it"


def test_the_name_of_who_ran_it_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cell_columns._cleaned("in /home/somebody/data: no such file") == "in ~/data: no such file"


def test_confusion_is_counted_as_scikit_learn_counts_it(runs: Path) -> None:
    from sklearn.metrics import confusion_matrix as reference

    _, rows = rows_of(runs)
    row = next(row for row in rows if row.entry == "strong")
    assert row.pooled is not None
    names = [name for name in row.pooled if name.startswith("output_")]
    found = row.pooled[names].to_numpy().argmax(axis=1)
    labels = [name.removeprefix("output_") for name in names]
    expected = reference(row.pooled["label"], np.array(labels)[found], labels=labels)
    each = confusion.fold_matrices(row)
    assert each is not None
    np.testing.assert_array_equal(each.sum(axis=0), expected)
    first = row.pooled.iloc[: row.finished[0][1].n]
    expected = reference(first["label"], np.array(labels)[found[: len(first)]], labels=labels)
    np.testing.assert_array_equal(each[0], expected)


def test_an_entry_that_is_not_done_shows_what_is_there(runs: Path) -> None:
    _, rows = rows_of(runs)
    row = next(row for row in rows if row.entry == "broken")
    assert row.pooled is None
    (figure,) = [f for f, r in zip(confusion.class_figures(rows), rows, strict=True) if r is row]
    assert figure is not None
    assert figure["cells"] == 2
    assert np.sum(figure["matrix"]) == 48


@pytest.mark.parametrize("seed", range(3))
def test_figures_of_several_labels_are_those_of_each_class(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, found = random.integers(2, size=(2, 50))
    matrix = confusion_matrix(truth, found, 2)
    expected = per_class(matrix)
    recall, precision, f1, n = confusion._per_class(matrix)[1]
    assert (recall, precision, f1, n) == pytest.approx(
        (expected.recall[1], expected.precision[1], expected.f1[1], expected.support[1]), abs=1e-4
    )


def test_the_surest_mistakes_come_first_and_none_was_right(runs: Path) -> None:
    _, rows = rows_of(runs)
    row = next(row for row in rows if row.entry == "weak")
    assert row.pooled is not None
    worst = mistakes._worst(row)
    assert len(worst) == mistakes.SHOWN
    table = row.pooled.set_index("id")
    names = [name for name in table if name.startswith("output_")]
    shares = np.exp(table[names]).div(np.exp(table[names]).sum(axis=1), axis=0)
    wrong = shares.max(axis=1)[shares.idxmax(axis=1) != "output_" + table["label"]].sort_values(ascending=False)
    assert [record["id"] for record, _ in worst] == wrong.index[: mistakes.SHOWN].tolist()
    assert worst[0][0]["told"].endswith(f"{100 * wrong.iloc[0]:.0f} %")
    assert worst[0][0]["id"].startswith(f"f{worst[0][1].fold}s"), "with the cell that says so"


def test_who_is_wrong_more_than_once_is_shown_once_at_their_worst(runs: Path) -> None:
    row = next(row for row in rows_of(runs)[1] if row.entry == "weak")
    assert row.pooled is not None
    table = row.pooled.assign(id=row.pooled["subject"])  # several samples of each person
    worst = mistakes._worst(replace(row, pooled=table))
    ids = [record["id"] for record, _ in worst]
    once = mistakes._worst(row)
    subject = dict(zip(row.pooled["id"], row.pooled["subject"], strict=True))
    surest = [(subject[record["id"]], record["told"], cell) for record, cell in once]
    kept = [one for i, one in enumerate(surest) if one[0] not in [other[0] for other in surest[:i]]]
    assert len(set(ids)) == len(ids) > 1 and len(kept) < len(surest)
    assert [(record["id"], record["told"], cell) for record, cell in worst][: len(kept)] == kept


def test_shares_are_not_made_shares_again() -> None:
    outputs = np.array([[0.9, 0.1], [0.2, 0.8]])
    sure = mistakes._sure_and_wrong(outputs, np.array([1, 1]), outputs.argmax(axis=1))
    assert sure.tolist() == [0.9, 0.0]


def test_data_that_are_not_here_have_no_pictures_and_say_so(report: Path) -> None:
    (group,) = data_of(report)["groups"]
    assert {one["why"] for one in group["mistakes"]} == {
        "The data are not here: the cache that these cells read is empty, or of another version."
    }


def test_curves_are_thinned_and_keep_their_end(tmp_path: Path) -> None:
    cell = write_cell(tmp_path, "strong", 0)
    lines = ["epoch,val/loss"] + [f"{epoch},{1000 - epoch}" for epoch in range(1000)]
    (cell.folder / "csv" / "attempt0" / "metrics.csv").write_text("\n".join(lines))
    curve = curves._curve(cell)
    assert len(curve["epochs"]) == curves.EPOCHS
    assert (curve["epochs"][0], curve["epochs"][-1]) == (1, 1000)
    assert curve["values"]["val/loss"][-1] == 1
    (cell.folder / "csv" / "attempt0" / "metrics.csv").write_bytes(b"\xff\xfe\x00")
    assert curves._curve(cell) == {}


def test_other_questions_stand_apart(tmp_path: Path) -> None:
    for fold in range(3):
        write_cell(tmp_path, "strong", fold)
        write_cell(tmp_path, "strong", fold, OTHER)
    requested, rows = rows_of(tmp_path, protocols=[PROTOCOL, OTHER], methods={"strong": {"method": "pointnet2"}})
    path = page.write("mine", requested, rows, {}, tmp_path, tmp_path)
    assert [group["protocol"] for group in data_of(path)["groups"]] == [PROTOCOL, OTHER]


def test_letters_and_pairs_stand_where_entries_are_compared(runs: Path, tmp_path: Path) -> None:
    requested, rows = rows_of(runs)
    heads, lines, found = lettered(rows, requested.reference)
    assert heads[:3] == ["Entry", "Accuracy", "Group"]
    assert {line[0]: line[2] for line in lines} == {"strong": "a", "unsound (unsound)": "-", "weak": "b", "broken": "-"}
    path = page.write("mine", requested, rows, {}, runs, tmp_path)
    (group,) = data_of(path)["groups"]
    assert group["pairs"] == found
    (pair,) = pairwise.pairs(rows)
    assert (found[0]["first"], found[0]["value"], found[0]["p"]) == ("strong", pair.difference.value, pair.p_holm)
    assert (found[0]["low"], found[0]["apart"]) == (pair.difference.interval.low, True)
    assert 'data-kind="pairs"' in path.read_text(encoding="utf-8")
    assert " & Group & " in to_latex("mine", requested, rows)


def test_rows_without_a_result_stand_below_those_of_their_protocol() -> None:
    done, other, none = ({"protocol_digest": digest, "provenance": "x"} for digest in ("d", "e", ""))
    requested = [(PROTOCOL, none), (PROTOCOL, done), (PROTOCOL, other), (OTHER, none)]
    rows = [Row(name, f"entry{i}", "mit", 1, Counter(), **known) for i, (name, known) in enumerate(requested)]  # type: ignore[arg-type]
    found = {key[:2]: [row.entry for row in own] for key, own in by_question(rows).items()}
    assert found == {(PROTOCOL, "d"): ["entry1", "entry0"], (PROTOCOL, "e"): ["entry2"], (OTHER, ""): ["entry3"]}


def test_many_cells_leave_out_what_would_fill_the_file(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_columns, "DETAILED", 5)
    requested, rows = rows_of(runs)
    found = data_of(page.write("mine", requested, rows, {}, runs, tmp_path))["cells"]
    assert not found["detailed"]
    assert not {"runs", "environments", "confusions"} & found.keys()
    assert found["value"].count(None) == 1, "results are all there"


def test_a_real_run_writes_every_format_and_shows_people_only_when_told_to(bench: Bench) -> None:
    assert bench.run("learning_rate=0.000000001", only=("fold=0", "entry=views")), "it learns nothing, and errs"
    names = sorted(path.suffix for path in bench.out.glob("mine.*"))
    assert names == [".csv", ".html", ".md", ".tex"]
    hidden = data_of(bench.out / "mine.html")
    (worst,) = (one for one in hidden["groups"][0]["mistakes"] if one["samples"])
    assert hidden["images"] == []
    assert "--faces" in worst["why"]
    from fer_bench.commands.tables import write_leaderboard

    write_leaderboard(str(bench.file), [], bench.runs, bench.out, faces=True)
    shown = data_of(bench.out / "mine.html")
    assert shown["images"]
    assert all(image.startswith("data:image/webp;base64,UklGR") for image in shown["images"])
    (worst,) = (one for one in shown["groups"][0]["mistakes"] if one["samples"])
    assert {sample["image"] for sample in worst["samples"]} == set(range(len(shown["images"])))
