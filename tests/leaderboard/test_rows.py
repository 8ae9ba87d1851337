from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics

from fer_bench.cells.cell import Cell, Part
from fer_bench.commands.tables import leaderboard_tables
from fer_bench.errors import InvalidFile
from fer_bench.leaderboard.optimism import optimism
from fer_bench.leaderboard.pages.csv_table import to_frame
from fer_bench.leaderboard.pages.markdown_page import to_markdown, write
from fer_bench.leaderboard.pairwise import families, resampled_t
from fer_bench.leaderboard.per_class import classes_of
from fer_bench.leaderboard.row import Row
from fer_bench.leaderboard.rows import collect
from fer_bench.metrics import score
from fer_bench.protocols import PROTOCOLS
from fer_bench.records import OUTPUT, Result
from fer_bench.suites.selection import CHOSEN_ON_TEST
from fer_bench.suites.suite import Suite

ARGUMENTS = {"size": "nano", "pretrained": False}
CLASSIFICATION, SEVERAL = "bu3dfe-s1-cv10@1", "fourdme-multilabel@1"


def suite(protocol: str, names: Sequence[str] = ("ours", "other"), **options: Any) -> Suite:
    entries = {name: {"method": "facet_vlm", **ARGUMENTS} for name in names}
    return Suite(protocols=[protocol], methods=entries, folds=[0, 1], reference="ours", **options)


def write_cell(
    runs: Path, protocol_id: str, entry: str, fold: int, skill: float, items: bool = False, **changes: Any
) -> None:
    """A finished cell of twelve samples of three subjects a fold, whose outputs are right the more, the more skill."""
    protocol = PROTOCOLS[protocol_id]
    folder = runs / "mine" / protocol_id / entry / f"fold{fold:02d}" / "seed0"
    folder.mkdir(parents=True)
    values: dict[str, Any] = {
        "suite": "mine",
        "protocol": protocol_id,
        "entry": entry,
        "fold": fold,
        "seed": 0,
        "method": "facet_vlm",
        "arguments": ARGUMENTS,
        "trainer": {},
        "parts": (Part(protocol.datasets[0], "somewhere", "cache"),),
        "provenance": "twin-r1",
        "protocol_digest": "d",
        "representation": {"name": "views", "label": "views", "digest": "r"},
        "parameters": 10,
        "weights": "",
        "unsound": "",
        "folder": folder,
    }
    cell = Cell(**(values | changes))
    cell.write()
    cell.report("done", epoch=3, epochs=3)
    generator = np.random.default_rng(fold)
    several = 3 if items else 1
    labels = np.array(protocol.classes, dtype=object)[np.arange(12) % len(protocol.classes)].repeat(several)
    right = np.array([[name == label for name in protocol.classes] for label in labels]) - 0.5
    outputs = skill * right + generator.normal(size=right.shape)
    table = pd.DataFrame(outputs, columns=[f"{OUTPUT}{name}" for name in protocol.classes])
    table.insert(0, "id", [f"f{fold}s{number:02d}" for number in range(12) for _ in range(several)])
    table.insert(1, "subject", [f"f{fold}p{number % 3}" for number in range(12) for _ in range(several)])
    table.insert(2, "label", labels)
    if items:
        table.to_parquet(folder / "items.parquet")
        table = table.groupby(["id", "subject", "label"], as_index=False).mean()
    table.to_parquet(folder / "predictions.parquet")
    truth = table["label"].to_numpy(dtype=object)
    metrics = score(protocol.task, table[outputs_of(table)].to_numpy(), truth, protocol.classes)
    Result(metrics, 12, 0, "d", "r", "twin-r1", 10, 3, 2, 60.0).write(folder / "result.json")


def outputs_of(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name.startswith(OUTPUT)]


def board(runs: Path, protocol: str, skills: dict[str, float], **options: Any) -> dict[str, Row]:
    for entry, skill in skills.items():
        for fold in (0, 1):
            write_cell(runs, protocol, entry, fold, skill, **options)
    return {row.entry: row for row in collect("mine", suite(protocol), runs)}


@pytest.mark.parametrize("protocol", [CLASSIFICATION, SEVERAL])
def test_rows_of_every_task_are_ranked_and_compared_with_the_reference(tmp_path: Path, protocol: str) -> None:
    rows = board(tmp_path, protocol, {"ours": 3.0, "other": 0.5})
    assert list(rows) == ["ours", "other"], "best first"
    ours, other = rows["ours"], rows["other"]
    assert ours.headline is not None and other.headline is not None
    assert ours.difference is None
    assert other.difference is not None
    assert other.difference.value == pytest.approx(other.headline - ours.headline)
    assert other.difference.interval.high is not None and other.difference.interval.high < 0
    assert (ours.n, ours.interval and ours.interval.n_clusters) == (24, 6)
    page = to_markdown("mine", suite(protocol), list(rows.values()))
    assert f"{100 * other.difference.value:+.2f} [" in page
    assert "| Against ours |" in page
    assert "Only folds 0, 1 of 10" in page
    assert "Synthetic faces" in page
    frame = to_frame(list(rows.values())).set_index("entry")
    assert frame.loc["other", "difference"] == pytest.approx(other.difference.value)
    assert frame.loc["ours", "weights"] == "random"


def test_several_labels_are_ranked_by_f1_and_show_both_kinds(tmp_path: Path) -> None:
    rows = board(tmp_path, SEVERAL, {"ours": 3.0, "other": 0.5})
    page = to_markdown("mine", suite(SEVERAL), list(rows.values()))
    assert "| Entry | F1 macro | Group | Against ours | F1 two-sided | Accuracy of a class | All right |" in page
    assert rows["ours"].headline == rows["ours"].metrics["f1_macro"]
    assert {"f1_two_sided_positive", "accuracy_negative"} <= set(rows["ours"].metrics)


def test_items_of_samples_count_for_themselves_beside_the_samples(tmp_path: Path) -> None:
    rows = board(tmp_path, CLASSIFICATION, {"ours": 1.0, "other": 0.5}, items=True)
    assert rows["ours"].n == 24
    tables = [pd.read_parquet(path) for path in sorted(tmp_path.rglob("ours/*/*/items.parquet"))]
    items = pd.concat(tables)
    assert len(items) == 72
    classes = PROTOCOLS[CLASSIFICATION].classes
    predicted = items[outputs_of(items)].to_numpy().argmax(1)
    expected = np.mean([classes[p] == label for p, label in zip(predicted, items["label"], strict=True)])
    assert rows["ours"].metrics["item_accuracy"] == pytest.approx(expected)
    assert "| Items |" in to_markdown("mine", suite(CLASSIFICATION), list(rows.values()))


def test_an_unsound_row_says_so_wherever_it_stands(tmp_path: Path) -> None:
    rows = board(tmp_path, CLASSIFICATION, {"ours": 1.0}) | board(
        tmp_path, CLASSIFICATION, {"other": 3.0}, unsound="it was told the label", weights="clip"
    )
    page = to_markdown("mine", suite(CLASSIFICATION), list(rows.values()))
    assert "| other (unsound) |" in page
    assert "- other is unsound: it was told the label." in page
    assert to_frame(list(rows.values())).set_index("entry").loc["other", "unsound"] == "it was told the label"


def test_other_questions_are_not_compared(tmp_path: Path) -> None:
    rows = board(tmp_path, CLASSIFICATION, {"ours": 1.0})
    for fold in (0, 1):
        write_cell(tmp_path, CLASSIFICATION, "other", fold, 1.0, protocol_digest="another")
    rows = {row.entry: row for row in collect("mine", suite(CLASSIFICATION), tmp_path)}
    assert rows["other"].difference is None and rows["other"].headline is not None


def test_samples_are_the_same_in_whatever_order(tmp_path: Path) -> None:
    names = ("ours", "alike", "turned", "moved", "seen")
    board(tmp_path, CLASSIFICATION, dict.fromkeys(names, 1.0))
    for entry, change in {
        "turned": lambda table: table[::-1],
        "moved": lambda table: table.assign(subject=table["subject"].to_numpy()[::-1]),
        "seen": lambda table: table.assign(id="x" + table["id"]),
    }.items():
        path = next(tmp_path.rglob(f"{entry}/fold01/seed0/predictions.parquet"))
        change(pd.read_parquet(path)).to_parquet(path, index=False)
    requested = suite(CLASSIFICATION, names)
    rows = {row.entry: row for row in collect("mine", requested, tmp_path)}
    same = [name for name in names if rows[name].samples == rows["ours"].samples]
    assert same == ["ours", "alike", "turned"] and len({row.samples for row in rows.values()}) == 3
    assert {row.n for row in rows.values()} == {24}
    assert [name for name in names if rows[name].difference is not None] == ["alike", "turned"]
    (compared,) = families([*rows.values()])
    assert {row.entry for row in compared} == set(same)


def test_an_unfinished_reference_compares_nothing(tmp_path: Path) -> None:
    for fold in (0, 1):
        write_cell(tmp_path, CLASSIFICATION, "other", fold, 1.0)
    write_cell(tmp_path, CLASSIFICATION, "ours", 0, 1.0)
    rows = {row.entry: row for row in collect("mine", suite(CLASSIFICATION), tmp_path)}
    assert rows["ours"].headline is None and rows["ours"].state == "1/2 done, 1 missing"
    assert rows["other"].headline is not None and rows["other"].difference is None
    written = write("mine", suite(CLASSIFICATION), list(rows.values()), tmp_path / "out")
    assert [path.name for path in written] == ["mine.csv", "mine.md", "mine-classes.csv"]
    assert list(rows) == ["other", "ours"], "rows without a value come last"


def test_rows_of_different_questions_are_never_ranked_together(tmp_path: Path) -> None:
    board(tmp_path, CLASSIFICATION, {"ours": 1.0})
    for fold in (0, 1):
        write_cell(tmp_path, CLASSIFICATION, "other", fold, 3.0, protocol_digest="d2")
    requested = suite(CLASSIFICATION)
    requested.methods["third"] = requested.methods["other"]
    board(tmp_path / "third", CLASSIFICATION, {"third": 2.0})
    (tmp_path / "third" / "mine" / CLASSIFICATION / "third").rename(tmp_path / "mine" / CLASSIFICATION / "third")
    rows = collect("mine", requested, tmp_path)
    assert [row.entry for row in rows] == ["third", "ours", "other"], "best first within a question, though other leads"
    page = to_markdown("mine", requested, rows)
    tables = [part.partition("\n\n")[0] for part in page.split("\n| Entry | Accuracy |")[1:]]
    firsts = [["| Entry", *(line.split(" | ")[0] for line in part.splitlines()[2:])] for part in tables]
    assert firsts == [["| Entry", "| third", "| ours"], ["| Entry", "| other"]]
    assert "stand in tables of their own; `fer-bench protocol diff d d2` tells in what they differ" in page
    shown = list(leaderboard_tables(rows))
    assert [table.row_count for table in shown] == [2, 1]
    assert "question d2" in str(shown[1].title)
    rows = collect("mine", suite(CLASSIFICATION), tmp_path / "third")
    assert len(list(leaderboard_tables(rows))) == 1, "what is not done yet stands with the others"


def test_folds_of_different_questions_or_rules_are_never_averaged(tmp_path: Path) -> None:
    rows = board(tmp_path, CLASSIFICATION, {"ours": 1.0})
    folder = tmp_path / "mine" / CLASSIFICATION / "ours" / "fold01" / "seed0"
    cell, result = Cell.read(folder), Result.read(folder / "result.json")
    replace(result, protocol_digest="d2").write(folder / "result.json")
    (row,) = (row for row in collect("mine", suite(CLASSIFICATION), tmp_path) if row.entry == "ours")
    assert rows["ours"].headline is not None and row.headline is None and row.pooled is None
    assert row.reason == "its folds were run on 2 different states of the data; run with --overwrite"
    result.write(folder / "result.json")
    replace(cell, selection="last").write()
    (row,) = (row for row in collect("mine", suite(CLASSIFICATION), tmp_path) if row.entry == "ours")
    assert row.headline is None and (row.n, row.selection) == (None, "validation and last")
    assert row.reason.startswith("the epochs of its folds were chosen by different rules (validation and last)")


def peek(runs: Path, entry: str, honest: float) -> None:
    """As if the epochs of an entry had been chosen on the test samples, and honest ones were of this skill."""
    for fold in (0, 1):
        folder = runs / "mine" / CLASSIFICATION / entry / f"fold{fold:02d}" / "seed0"
        replace(Cell.read(folder), selection="best_on_test", unsound=CHOSEN_ON_TEST).write()
        replace(Result.read(folder / "result.json"), honest_epoch=fold).write(folder / "result.json")
        other = runs / f"honest{fold}"
        write_cell(other, CLASSIFICATION, entry, fold, honest)
        (other / folder.relative_to(runs) / "predictions.parquet").rename(folder / "honest.parquet")


def test_the_table_shows_what_it_buys_to_choose_on_the_test_set(tmp_path: Path) -> None:
    before = board(tmp_path, CLASSIFICATION, {"ours": 1.0, "other": 2.0})
    peek(tmp_path, "other", honest=1.0)
    rows = {row.entry: row for row in collect("mine", suite(CLASSIFICATION), tmp_path)}
    gap = optimism(rows["other"])
    assert optimism(rows["ours"]) is None and gap is not None
    # Its honest epochs predict what the other entry predicts.
    expected = before["other"].difference
    assert expected is not None and gap == expected and gap.value > 0
    assert gap.interval.low is not None and gap.interval.low <= gap.value <= (gap.interval.high or 0)
    for path in tmp_path.rglob("honest.parquet"):
        path.unlink()  # it is read once for all formats
    page = to_markdown("mine", suite(CLASSIFICATION), list(rows.values()))
    told = f"{100 * gap.value:+.2f} ["
    assert "| Entry | Accuracy | Optimism | Against ours |" in page
    line = next(line for line in page.splitlines() if line.startswith("| other (unsound) |"))
    assert line.split(" | ")[2].startswith(told) and " | best_on_test | " in line
    assert f"- other: to choose the epochs on the test samples buys {told}" in page
    assert "epochs chosen with and without them: 2 for 0, 2 for 1." in page
    assert "- other is unsound: its epoch was chosen on the test set." in page
    assert "`validation`, the epoch with the best validation metric" in page and "`last`" not in page
    frame = to_frame(list(rows.values())).set_index("entry")
    assert frame["selection"].to_dict() == {"ours": "validation", "other": "best_on_test"}
    assert frame.loc["other", "optimism"] == pytest.approx(gap.value)
    assert np.isnan(frame.loc["ours", "optimism"])
    alone = board(tmp_path / "alone", CLASSIFICATION, {"ours": 1.0, "other": 2.0})
    assert "Optimism" not in to_markdown("mine", suite(CLASSIFICATION), list(alone.values()))


def test_pairs_groups_and_classes_are_written_beside_the_page(tmp_path: Path) -> None:
    rows = [*board(tmp_path, CLASSIFICATION, {"ours": 3.0, "other": 0.5}).values()]
    written = {path.name: path for path in write("mine", suite(CLASSIFICATION), rows, tmp_path / "out")}
    assert list(written) == ["mine.csv", "mine.md", "mine-pairs.csv", "mine-classes.csv"]
    assert pd.read_csv(written["mine.csv"])["group"].tolist() == ["a", "b"]
    pair = pd.read_csv(written["mine-pairs.csv"]).iloc[0]
    ours, other = rows
    assert ours.headline is not None and other.headline is not None
    assert (pair["first"], pair["second"], pair["subjects"], pair["n"]) == ("ours", "other", 6, 24)
    assert pair["difference"] == pytest.approx(ours.headline - other.headline, abs=1e-6)
    by_fold = [
        a.metrics["accuracy"] - b.metrics["accuracy"]
        for (_, a), (_, b) in zip(ours.finished, other.finished, strict=True)
    ]
    assert pair["fold_p"] == pytest.approx(resampled_t(by_fold, 1 / 8), abs=1e-6) and pair["folds"] == 2
    classes = pd.read_csv(written["mine-classes.csv"])
    for row in rows:
        assert row.pooled is not None
        names = PROTOCOLS[CLASSIFICATION].classes
        predicted = np.array(names)[row.pooled[outputs_of(row.pooled)].to_numpy().argmax(1)]
        truth = row.pooled["label"].to_numpy(dtype=str)
        own = classes[classes["entry"] == row.entry]
        counts = own[[f"predicted_{name}" for name in names]].to_numpy()
        assert (counts == sklearn.metrics.confusion_matrix(truth, predicted, labels=list(names))).all()
        expected = sklearn.metrics.precision_recall_fscore_support(
            truth, predicted, labels=list(names), zero_division=0
        )
        found = own[["precision", "recall", "f1", "support"]].to_numpy().T
        assert np.allclose(found, np.array(expected), atol=1e-6)
    page = written["mine.md"].read_text()
    assert "| ours | 100.00 [54.1, 100.0] | a |" in page, "without a fault is not without doubt"
    assert "Tested on 24 scans of 6 subjects; resolves a difference of accuracy of 30.6 points." in page
    assert "<details><summary>Per class, and confusion matrices</summary>" in page
    assert "No critical-difference diagram: 2 entries are compared" in page
    alone = suite(CLASSIFICATION).model_copy(update={"methods": {"ours": {"method": "facet_vlm", **ARGUMENTS}}})
    again = write("mine", alone, rows[:1], tmp_path / "out")
    assert "mine-pairs.csv" not in [path.name for path in again] and not written["mine-pairs.csv"].exists()


def test_classes_that_hold_together_are_told_by_their_presence(tmp_path: Path) -> None:
    (row, *_) = board(tmp_path, SEVERAL, {"ours": 1.0, "other": 0.5}).values()
    found = classes_of(row)
    assert found is not None and found.confusion is None and row.pooled is not None
    for place, name in enumerate(PROTOCOLS[SEVERAL].classes):
        there = row.pooled["label"].to_numpy() == name
        said = row.pooled[f"{OUTPUT}{name}"].to_numpy() > 0
        assert found.each.f1[place] == pytest.approx(row.metrics[f"f1_{name}"])
        assert found.each.recall[place] == pytest.approx((there & said).sum() / there.sum())
        assert found.each.precision[place] == pytest.approx((there & said).sum() / max(said.sum(), 1))


def test_an_entry_of_any_name_stays_in_its_cell(tmp_path: Path) -> None:
    found = board(tmp_path, CLASSIFICATION, {"ours": 3, "other": 1}).values()
    rows = [replace(row, entry=f"<b>|{row.entry}") for row in found]
    page = to_markdown("mine", suite(CLASSIFICATION), rows)
    assert "<b>" not in page and "&lt;b>\\|ours" in page


def test_a_damaged_file_of_predictions_is_named(tmp_path: Path) -> None:
    board(tmp_path, CLASSIFICATION, {"ours": 3.0, "other": 0.5})
    path = next(tmp_path.rglob("ours/fold01/seed0/predictions.parquet"))
    whole = pd.read_parquet(path)
    whole.head(3).to_parquet(path)
    with pytest.raises(InvalidFile, match="holds 3 predictions, not 12"):
        collect("mine", suite(CLASSIFICATION), tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidFile, match=r"predictions\.parquet"):
        collect("mine", suite(CLASSIFICATION), tmp_path)
