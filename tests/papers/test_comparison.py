"""Published beside measured: the verdicts, the rows, and the files."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fer_bench import registry
from fer_bench.cli.main import main
from fer_bench.errors import UnknownName
from fer_bench.metrics import score
from fer_bench.papers.comparison import Line, bootstrap_interval, compare
from fer_bench.papers.evidence import gather
from fer_bench.papers.notes import Fault
from fer_bench.papers.paper_page import markdown_text, texts
from fer_bench.papers.published import read_paper
from fer_bench.papers.published_rows import Published
from fer_bench.papers.verdict import Measured, judge
from fer_bench.records import OUTPUT
from fer_bench.stats.bootstrap import clustered_bootstrap
from fer_bench.suites.selection import CHOSEN_ON_TEST, faults
from fer_bench.suites.suite import Suite

if TYPE_CHECKING:
    from tests.faked_cells import Faker

MIT, FACET = read_paper("mit"), read_paper("facet_vlm")
S1, S2, BOSPHORUS = "bu3dfe-s1-cv10@1", "bu3dfe-s2-cv10@1", "bosphorus-cv10@1"
ROW = next(row for row in MIT.rows if row.value == "94.32")
THEIRS = next(row for row in FACET.rows if row.method == "Zhen et al. [43]")
OURS = Measured(94.0, 93.0, 95.0, 1200, 100, "done", data="as distributed")
TWIN = "twin-r1-procedural-7a920106a643-s0-n20"


def lines(paper: str, table: str, runs: Path) -> list[Line]:
    read = read_paper(paper)
    section = read.find(table)
    return compare(read, section, gather(section, runs))


def line(found: list[Line], method: str, dataset: str, metric: str = "accuracy (%)") -> Line:
    chosen = [one for one in found if one.published and one.published.method == method and one.metric == metric]
    (one,) = [each for each in chosen if each.published and each.published.dataset == dataset]
    return one


@pytest.mark.parametrize(
    ("published", "measured", "verdict", "reason"),
    [
        (ROW, OURS, "match", "differences from -1 to +1 are not resolved"),
        (ROW, replace(OURS, low=94.32), "match", "differences from +0.32 to +1 are not resolved"),
        (ROW, replace(OURS, high=94.32), "match", "differences from -1 to +0.32 are not resolved"),
        (ROW, replace(OURS, high=94.31), "below", ""),
        (ROW, replace(OURS, value=96.0, low=94.33, high=97.0), "above", ""),
        (ROW, replace(OURS, data=TWIN), "not comparable", f"data: {TWIN}"),
        (ROW, replace(OURS, data=f"as distributed and {TWIN}"), "not comparable", f"data: as distributed and {TWIN}"),
        (ROW, replace(OURS, data=""), "not comparable", "data: unknown"),
        (ROW, replace(OURS, departures=("3 of 200 epochs",)), "not comparable", "3 of 200 epochs"),
        (replace(ROW, incomparable="another unit"), OURS, "not comparable", "another unit"),
        (ROW, replace(OURS, low=None, high=None), "not comparable", "no interval: a single subject was tested"),
        (ROW, Measured(state="0/10 done, 10 failed", reason="it broke"), "missing", "it broke"),
        (replace(ROW, incomparable="another unit"), Measured(), "missing", ""),
        (None, Measured(), "missing", ""),
        (None, OURS, "not published", ""),
        (THEIRS, None, "published only", ""),
    ],
)
def test_a_verdict(published: Published | None, measured: Measured | None, verdict: str, reason: str) -> None:
    assert judge(published, measured) == (verdict, reason)


def test_a_value_that_comes_from_a_fault_is_not_held_against_ours() -> None:
    known = Fault(id="slip", fault="It slips.", evidence="Seen.", instead="Not.", incomparable="a slip")
    assert judge(ROW, OURS, {"F7": known}) == ("not comparable", "F7: a slip")
    assert judge(ROW, OURS, {"F7": known.model_copy(update={"incomparable": ""})})[0] == "match"
    assert judge(ROW, Measured(), {"F7": known}) == ("missing", "")


def test_what_ran_as_the_paper_says_is_held_against_it(faker: Faker) -> None:
    cells = faker.folds("mit/table1", S1, "mit-base", accuracy=0.94, subjects=3, each=8)
    faker.folds("mit/table1", S1, "mit-tiny", accuracy=0.6, subjects=3, each=8)
    faker.folds("mit/table1", S1, "mit-small", accuracy=1.0, subjects=8, each=4)
    found = lines("mit", "I", faker.runs)
    base = line(found, "MiT-Base", "BU-3DFE Subset I")
    assert base.verdict == "match"
    assert base.measured is not None
    right = [cell.result().metrics["accuracy"] for cell in cells]  # type: ignore[union-attr]
    assert base.measured.value == pytest.approx(100 * np.mean(right))
    assert (base.measured.n, base.measured.subjects, base.measured.as_run) == (240, 30, "")
    assert base.difference == pytest.approx(100 * np.mean(right) - 94.32)
    assert line(found, "MiT-Tiny", "BU-3DFE Subset I").verdict == "below"
    assert line(found, "MiT-Small", "BU-3DFE Subset I").verdict == "above"
    assert line(found, "MiT-Base", BOSPHORUS.partition("-")[0].capitalize()).verdict == "missing"


def test_every_departure_is_named_and_none_is_held_against_the_paper(faker: Faker) -> None:
    small = {"subjects": 2, "each": 6}
    faker.folds("mit/table1", S1, "mit-tiny", epochs=3, provenance=TWIN, broken=1, **small)
    faker.folds("mit/table1", S1, "mit-small", weights="", arguments={"pretrained": False, "size": "nano"}, **small)
    faker.folds("mit/table1", S1, "mit-base", trainer={"accumulate_grad_batches": 4, "devices": 2}, **small)
    faker.folds("mit/table1", BOSPHORUS, "mit-tiny", trainer={"devices": 2, "precision": "16-mixed"}, **small)
    faker.folds("mit/table1", BOSPHORUS, "mit-base", weights="", **small)
    faker.folds("mit/table2", "bu4dfe-cv10@1", "mit-base", **small)
    found = lines("mit", "I", faker.runs) + lines("mit", "II", faker.runs)
    told = {
        ("MiT-Tiny", "BU-3DFE Subset I"): f"synthetic data ({TWIN}); 3 of 200 epochs; 10 broken scans left out",
        ("MiT-Small", "BU-3DFE Subset I"): 'size "nano", not "small"; other weights (random)',
        ("MiT-Base", "BU-3DFE Subset I"): "accumulate_grad_batches 4, not 1; devices 2, not 1",
        ("MiT-Base", "Bosphorus"): "other weights (random)",
        ("MiT-Base", "BU-4DFE"): "F1: single split, and images are counted where we count sequences",
    }
    for (method, dataset), text in told.items():
        one = line(found, method, dataset)
        assert one.verdict == "not comparable", (method, dataset)
        assert texts(one)["As run"] == text
        assert one.measured is not None and one.measured.value is not None, "the number stands there all the same"
    same = line(found, "MiT-Tiny", "Bosphorus")
    assert same.verdict in ("match", "above", "below"), "devices and precision are told and change nothing"
    assert texts(same)["As run"].startswith("devices 2, not 1; precision 16-mixed, not 32-true")


def test_an_epoch_chosen_on_the_test_set_is_comparable_only_where_the_paper_chose_so(
    faker: Faker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for entry, rule in (("mit-tiny", "best_on_test"), ("mit-small", "last")):
        for cell in faker.folds("mit/table1", S1, entry, subjects=2, each=6):
            replace(cell, selection=rule, unsound=faults("", rule)).write()
    faker.folds("mit/table1", S1, "mit-base", subjects=2, each=6)
    found = {name: line(lines("mit", "I", faker.runs), name, "BU-3DFE Subset I") for name in ("MiT-Tiny", "MiT-Small")}
    for one, told in zip(found.values(), (CHOSEN_ON_TEST, "epoch chosen by last, not validation"), strict=True):
        assert (one.verdict, one.reason, texts(one)["As run"]) == ("not comparable", told, told)
    monkeypatch.setattr(Suite, "selection_of", lambda *_: "best_on_test")  # a suite of a paper that did the same
    same = line(lines("mit", "I", faker.runs), "MiT-Tiny", "BU-3DFE Subset I")
    assert same.verdict in ("match", "above", "below")
    assert texts(same)["As run"].startswith(f"{CHOSEN_ON_TEST}, as in the paper")
    honest = line(lines("mit", "I", faker.runs), "MiT-Base", "BU-3DFE Subset I")
    assert (honest.verdict, honest.reason) == ("not comparable", "epoch chosen by validation, not best_on_test")


def test_what_the_data_did_not_show_is_a_departure(faker: Faker) -> None:
    front = "dynamicviews+0-224-texture"
    faker.folds("facet_vlm/table5", "fourdme-multilabel@1", "facet-vlm", subjects=2, each=6, representation=front)
    found = [one for one in lines("facet_vlm", "5", faker.runs) if one.entry == "facet-vlm" and one.published]
    assert found
    for one in found:
        assert one.verdict == "not comparable"
        assert f"seen as {front}, not dynamicviews-30+0+30-224-texture" in texts(one)["As run"]


def test_published_weights_from_a_file_are_the_published_weights(faker: Faker) -> None:
    kept = {"pretrained": "weights/deit_tiny_patch16_224.fb_in1k/model.safetensors"}
    other = {"pretrained": "mine/model.safetensors"}
    faker.folds("mit/table1", S1, "mit-tiny", arguments=kept, subjects=2, each=6)
    faker.folds("mit/table1", BOSPHORUS, "mit-tiny", arguments=other, subjects=2, each=6)
    found = lines("mit", "I", faker.runs)
    same = line(found, "MiT-Tiny", "BU-3DFE Subset I")
    assert same.measured is not None and same.measured.as_run == ""
    assert texts(line(found, "MiT-Tiny", "Bosphorus"))["As run"] == "other weights (model.safetensors)"


def test_some_folds_alone_are_shown_and_never_comparable(faker: Faker) -> None:
    for fold in (0, 3):
        faker.cell("mit/table1", S1, "mit-tiny", fold=fold, subjects=2, each=6)
    section = MIT.find("I")
    found = compare(MIT, section, gather(section, faker.runs, folds=[0, 3]))
    one = line(found, "MiT-Tiny", "BU-3DFE Subset I")
    assert one.measured is not None and one.measured.n == 24
    assert (one.verdict, texts(one)["As run"]) == ("not comparable", "only folds 0, 3 of 10")


def test_a_cell_of_another_version_is_missing_and_ends_nothing(faker: Faker) -> None:
    cells = faker.folds("mit/table1", S1, "mit-tiny", subjects=2, each=6)
    (cells[4].folder / "cell.json").write_text('{"suite": "of old"}')
    found = lines("mit", "I", faker.runs)
    told = texts(line(found, "MiT-Tiny", "BU-3DFE Subset I"))["As run"]
    assert told.startswith("9/10 done, 1 missing; ") and "was written by another version" in told


def test_what_did_not_run_is_told(faker: Faker) -> None:
    faker.cell("mit/table1", S1, "mit-base", fold=0, subjects=2, each=6)
    faker.cell("mit/table1", S1, "mit-base", fold=1, state="failed")
    found = lines("mit", "I", faker.runs)
    assert len([one for one in found if one.published]) == len(MIT.find("I").rows)
    base = line(found, "MiT-Base", "BU-3DFE Subset I")
    assert (base.verdict, base.difference) == ("missing", None)
    assert texts(base)["As run"] == "1/10 done, 1 failed, 8 missing; fold 1, seed 0: it broke"
    assert texts(line(found, "MiT-Tiny", "Bosphorus"))["As run"] == "0/10 done, 10 missing"
    extra = [one for one in found if one.published is None]
    assert {(one.protocol, one.entry) for one in extra} == {
        ("bu3dfe-s2-cv10@1", "mit-small"),
        (BOSPHORUS, "mit-small"),
    }


def test_a_gain_is_paired_by_sample(faker: Faker) -> None:
    small = {"subjects": 3, "each": 10}
    everything = faker.folds("mit/figure4", S2, "all-views", accuracy=0.95, **small)
    singles = [faker.folds("mit/figure4", S2, e, accuracy=a, **small) for e, a in (("front", 0.9), ("plus-20", 0.8))]
    found = line(lines("mit", "Fig. 4", faker.runs), "MiT", "not stated", "gain of multi-view over single views (pp)")
    assert (found.verdict, texts(found)["As run"]) == ("missing", "minus-20: 0/10 done, 10 missing")
    singles.append(faker.folds("mit/figure4", S2, "minus-20", accuracy=0.8, **small))
    found = line(lines("mit", "Fig. 4", faker.runs), "MiT", "not stated", "gain of multi-view over single views (pp)")
    means = [np.mean([c.result().metrics["accuracy"] for c in cells]) for cells in (everything, *singles)]  # type: ignore[union-attr]
    measured = found.measured
    assert measured is not None and measured.low is not None and measured.high is not None
    assert measured.value == pytest.approx(100 * (means[0] - np.mean(means[1:])))
    assert measured.low < measured.value < measured.high  # type: ignore[operator]
    assert measured.high - measured.low < 15, "of the difference on the same samples, not of two independent ones"
    assert found.verdict == "not comparable"
    assert found.reason == "the paper names neither the dataset nor the size"


def test_a_gain_of_nothing_is_as_sure_as_its_samples_are_many(faker: Faker) -> None:
    for entry in ("all-views", "front", "plus-20", "minus-20"):
        faker.folds("mit/figure4", S2, entry, accuracy=0.9, subjects=3, each=10)
    found = line(lines("mit", "Fig. 4", faker.runs), "MiT", "not stated", "gain of multi-view over single views (pp)")
    measured = found.measured
    assert measured is not None and measured.low is not None and measured.high is not None
    assert measured.value == pytest.approx(0, abs=1e-9) and measured.low == pytest.approx(-measured.high)
    assert 0 < measured.high < 5


def test_a_gain_over_another_question_is_no_gain(faker: Faker) -> None:
    for entry in ("all-views", "front", "plus-20", "minus-20"):
        cells = faker.folds("mit/figure4", S2, entry, subjects=3, each=10)
        for cell in cells if entry == "front" else ():
            replace(cell, protocol_digest="ffffffffffff").write()
            result = cell.result()
            assert result is not None
            replace(result, protocol_digest="ffffffffffff").write(cell.folder / "result.json")
    found = line(lines("mit", "Fig. 4", faker.runs), "MiT", "not stated", "gain of multi-view over single views (pp)")
    assert found.verdict == "missing" and found.measured is not None and found.measured.value is None
    told = "answers another question than what it is compared with: fer-bench protocol diff 0123456789ab ffffffffffff"
    assert texts(found)["As run"] == told


def test_a_metric_of_one_class_has_the_interval_of_the_slow_way(faker: Faker) -> None:
    protocol = registry.find_protocol("fourdme-multilabel@1")
    table = faker.predictions(protocol.classes, (), "multilabel", 0, 0.8, 9, 5)
    table.loc[::3, "label"] = "positive+others"
    outputs, truth = table[[f"{OUTPUT}{c}" for c in protocol.classes]].to_numpy(), table["label"].to_numpy(object)
    for measure in ("f1_two_sided_positive", "accuracy_others"):
        found = bootstrap_interval(protocol, measure, table)
        slow = clustered_bootstrap(
            lambda o, t, m=measure: score("multilabel", o, t, protocol.classes)[m],
            table["subject"].to_numpy(object),
            outputs,
            truth,
            scale="share",
        )
        assert (found.low, found.high) == pytest.approx((slow.low, slow.high), abs=1e-12), measure


def test_a_multilabel_table_is_in_the_printed_units(faker: Faker) -> None:
    faker.folds("facet_vlm/table5", "fourdme-multilabel@1", "facet-vlm", accuracy=0.85, subjects=2, each=6)
    found = lines("facet_vlm", "5", faker.runs)
    f1 = line(found, "FACET-VLM (multi-views)", "4DME", "F1-score, Positive")
    accuracy = line(found, "FACET-VLM (multi-views)", "4DME", "Accuracy, Average (%)")
    assert f1.measured is not None and f1.measured.value is not None and f1.measured.value < 1
    assert f1.difference == pytest.approx(100 * (f1.measured.value - 0.7689)), "in percentage points"
    assert texts(f1)["Measured"].startswith(f"{f1.measured.value:.4f} [")
    assert accuracy.measured is not None and accuracy.measured.value == pytest.approx(85, abs=6)
    assert sum(one.verdict == "published only" for one in found) == 48
    assert sum(one.verdict == "not comparable" for one in found) == 12, "which clips the paper scores is not said"


def test_a_row_of_an_entry_that_no_suite_has_is_a_fault_of_the_file(faker: Faker) -> None:
    section = MIT.find("I")
    rows = tuple(replace(row, entry="mit-bse" if row.entry == "mit-base" else row.entry) for row in section.rows)
    with pytest.raises(UnknownName, match=r"mit_table1\.csv: MiT-Base: .*'mit-bse'; did you mean 'mit-base'"):
        compare(MIT, replace(section, rows=rows), gather(section, faker.runs))


def test_text_stays_one_cell() -> None:
    assert markdown_text("a|b\nc <d> *e*") == "a\\|b c &lt;d> \\*e\\*"
    (row,) = MIT.find("Fig. 4").rows
    one = Line(replace(row, method="x | y"), "", "", "", row.metric, None, "published only", "")
    assert "x | y" in texts(one).values()


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fer-bench", "paper", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run


def test_the_command_writes_all_tables_and_shows_one(call, faker: Faker, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, told, _ = call("mit", "table1", "--out", "boards")
    assert code == 0
    assert told.rstrip().endswith("wrote boards/papers/mit.md and boards/papers/mit.csv and boards/papers/faults.md")
    assert "Table I: 3D expression recognition" in told
    assert "Table II" not in told
    page, table = tmp_path / "boards/papers/mit.md", tmp_path / "boards/papers/mit.csv"
    first = page.read_text()
    for section in MIT.sections:
        assert f"\n## {section.heading}: {section.notes.title}\n" in first
        for note in section.notes.notes:
            assert f"\n- {note.replace('*', chr(92) + '*')}\n" in first
    assert all(f"\n- {note}\n" in first for note in MIT.notes.notes)
    assert "13 of the paper's own values can be measured: 13 missing." in first
    with table.open() as file:
        records = list(csv.DictReader(file))
    assert [r["published"] for r in records if r["published"]] == [row.value for row in MIT.rows]
    assert {r["verdict"] for r in records} == {"missing", "published only"}
    tables = first.partition("\n## Table I: ")[2]
    assert all(line.count(" | ") == 10 for line in tables.splitlines() if line.startswith("| "))

    faker.folds("mit/table1", S1, "mit-base", accuracy=0.94, subjects=3, each=8)
    code, told, _ = call("mit", "II", "--out", "boards")
    assert "Table II" in told and "Table I:" not in told
    second = page.read_text()
    assert second != first
    assert "1 match" in second, "a run of a table that is not shown is in the files too"
    assert sorted(path.name for path in page.parent.iterdir()) == ["faults.md", "mit.csv", "mit.md"]


def test_faults_stand_on_the_values_that_they_concern(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    _, told, _ = call("mit", "II", "--out", "boards")
    assert "- F1 The accuracies on BU-4DFE are called" in " ".join(told.split())
    page = (tmp_path / "boards/papers/mit.md").read_text()
    assert page.index("\n## Claims\n") < page.index("\n## Known faults\n") < page.index("\n## Table I: ")
    table = page.partition("\n## Table II: ")[2].partition("\n## ")[0]
    assert table.count("F1 |") == 6 and "\n- F1 The accuracies on BU-4DFE" in table
    assert "\n- F2 " not in table and "\n- F2 The printed 15, 63" in page.partition("\n## Text: ")[2]
    with (tmp_path / "boards/papers/mit.csv").open() as file:
        records = list(csv.DictReader(file))
    marked = {(r["table"], r["faults"]) for r in records if r["faults"]}
    assert marked == {("II", "F1 one-run-of-images"), ("III", "F5 no-such-share"), ("III", "F6 gain-of-310")} | {
        ("text", "F2 parameter-counts")
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mti"], "fer-bench: unknown paper 'mti'; did you mean 'mit'?\n"),
        (["mit", "IV"], "fer-bench: paper mit: unknown table 'IV'; did you mean 'I' or 'II'?\n"),
    ],
)
def test_an_unknown_name_is_one_sentence(call, arguments: list[str], says: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert call(*arguments) == (2, "", says)
    assert list(tmp_path.iterdir()) == []
