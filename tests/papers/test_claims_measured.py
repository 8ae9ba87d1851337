"""Claims of papers: how they are answered, and how the answers are shown."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.cells.stress import conditions
from fer_bench.cells.stress_outcome import predictions_path
from fer_bench.cli.main import main
from fer_bench.errors import FerBenchError, UnknownName
from fer_bench.papers import claims_measured
from fer_bench.papers.claims import Claim, Comparison, read_claims
from fer_bench.papers.claims_measured import Answer, Answered, Compared, _departures, answer
from fer_bench.papers.claims_page import summary, texts, to_markdown, to_records
from fer_bench.papers.evidence import Reader
from fer_bench.papers.published import papers, read_paper
from fer_bench.protocols import PROTOCOLS
from fer_bench.records import OUTPUT
from fer_bench.stats.intervals import Difference, Interval

if TYPE_CHECKING:
    from tests.faked_cells import Faker

S2, SIXTY = "bu3dfe-s2-cv10@1", "bu3dfe-drfer60-cv10@1"
VIEWS = {"suite": "mit/figure4", "protocol": S2, "metric": "accuracy", "entry": "all-views"}
TURNED = {"suite": "drfer/table1", "protocol": SIXTY, "metric": "accuracy", "entry": "drfer"}
TWIN = "twin-r1-procedural-7a920106a643-s0-n20"
SMALL = {"subjects": 4, "each": 10}


def claim(*comparisons: dict[str, Any], **more: Any) -> Claim:
    return Claim.model_validate({"id": "it", "claim": "It is so.", "where": "I", "comparisons": [*comparisons]} | more)


def asked(reader: Reader, *comparisons: dict[str, Any]) -> Answered:
    (found,) = answer([claim(*comparisons)], reader)
    return found


@pytest.fixture
def views(faker: Faker) -> Reader:
    """All views, at 0.95, above the front view, at 0.8; of the others one is the front again, and one is missing."""
    for entry, accuracy in (("all-views", 0.95), ("front", 0.8), ("plus-20", 0.8)):
        for fold in (0, 1, 2):
            faker.cell("mit/figure4", S2, entry, fold=fold, accuracy=accuracy, **SMALL)
    return Reader(faker.runs, folds=[0, 1, 2])


def right(faker_runs: Path, entry: str) -> float:
    files = [faker_runs / f"mit/figure4/{S2}/{entry}/fold{fold:02d}/seed0/result.json" for fold in (0, 1, 2)]
    return float(np.mean([yaml.safe_load(file.read_text())["metrics"]["accuracy"] for file in files]))


def test_a_claim_holds_fails_is_unresolved_or_not_measured(views: Reader) -> None:
    holds = asked(views, VIEWS | {"over": ["front"], "size": 14})
    (one,) = holds.compared
    apart = right(views.runs, "all-views") - right(views.runs, "front")
    assert (holds.answer, one.answer, one.n, one.subjects) == ("holds", "holds", 120, 12)
    assert one.difference is not None and one.difference.value == pytest.approx(apart)
    assert one.question == f"all-views above front on {S2}"
    low, high = one.difference.interval.low, one.difference.interval.high
    assert low is not None and high is not None and 0 < low < apart < high
    assert one.size_agrees is (low <= 0.14 <= high) is True
    assert asked(views, VIEWS | {"over": ["front"], "size": 60}).compared[0].size_agrees is False

    fails = asked(views, VIEWS | {"entry": "front", "over": ["all-views"]})
    assert (fails.answer, fails.compared[0].contradicts) == ("fails", True)
    lower = asked(views, VIEWS | {"entry": "front", "over": ["all-views"], "lower": True, "size": 14})
    assert (lower.answer, lower.compared[0].size_agrees) == ("holds", True), "a fall is printed without sign"
    assert asked(views, VIEWS | {"over": ["front"], "lower": True}).answer == "fails"
    assert asked(views, VIEWS | {"entry": "front", "over": ["plus-20"]}).answer == "unresolved"

    missing = asked(views, VIEWS | {"over": ["minus-20"], "size": 14})
    assert (missing.answer, missing.compared[0].reason) == ("not measured", "minus-20: 0/3 done, 3 missing")
    assert missing.compared[0].size_agrees is None
    several = asked(views, VIEWS | {"over": ["front", "plus-20", "minus-20"]})
    assert [each.answer for each in several.compared] == ["holds", "holds", "not measured"]
    assert several.answer == "not measured"


def test_against_the_mean_and_against_a_number(views: Reader, faker: Faker) -> None:
    for fold in (0, 1, 2):
        faker.cell("mit/figure4", S2, "minus-20", fold=fold, accuracy=0.3, **SMALL)
    (mean,) = asked(views, VIEWS | {"over": ["front", "plus-20", "minus-20"], "mean": True}).compared
    assert mean.difference is not None
    others = [right(faker.runs, entry) for entry in ("front", "plus-20", "minus-20")]
    assert mean.difference.value == pytest.approx(right(faker.runs, "all-views") - np.mean(others))
    assert (mean.n, mean.subjects, mean.question.count(" and ")) == (120, 12, 2), "copies are no samples"
    for entry, value, said in (("all-views", 80, "holds"), ("front", 95, "fails")):
        (one,) = asked(views, VIEWS | {"entry": entry, "value": value}).compared
        assert one.answer == said
        assert one.difference is not None
        assert one.difference.value == pytest.approx(right(faker.runs, entry) - value / 100)
    assert asked(views, VIEWS | {"value": 80}).compared[0].question == f"all-views above 80 % on {S2}"


def test_samples_that_differ_are_not_compared(views: Reader, faker: Faker) -> None:
    for fold in (0, 1, 2):
        faker.cell("mit/figure4", S2, "minus-20", fold=fold, subjects=4, each=9)
    (one,) = asked(views, VIEWS | {"over": ["minus-20"]}).compared
    assert (one.answer, one.reason) == ("not measured", "predicted other samples than what it is compared with")


def test_of_many_comparisons_one_contradicts_by_chance(views: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def barely(*arguments: object, confidence: float = 0.95) -> Difference:
        seen.append(confidence)
        return Difference(-0.1, Interval(-0.2, -0.01 if confidence == 0.95 else 0.01, 12, 120))

    monkeypatch.setattr(claims_measured, "metric_difference", barely)
    assert asked(views, VIEWS | {"over": ["front"]}).answer == "fails"
    assert seen == [0.95]
    found = asked(views, VIEWS | {"over": ["front", "plus-20"]})
    assert [each.answer for each in found.compared] == ["fails", "fails"]
    assert found.answer == "unresolved"
    assert seen[1:] == [0.95, 0.975, 0.95, 0.975]


@given(st.lists(st.tuples(st.sampled_from(get_args(Answer)), st.booleans()), max_size=5))
def test_a_claim_is_answered_conservatively(found: list[tuple[Answer, bool]]) -> None:
    comparison = Comparison.model_validate(VIEWS | {"over": ["front"]})
    compared = [Compared(comparison, "", said, contradicts=said == "fails" and sure) for said, sure in found]
    said = Answered(claim(VIEWS | {"over": ["front"]}), tuple(compared)).answer
    assert (said == "holds") == (bool(found) and all(each == "holds" for each, _ in found))
    assert (said == "fails") == any(each.contradicts for each in compared)
    if said == "unresolved":
        assert "not measured" not in {each for each, _ in found}


def test_folds_that_a_protocol_lacks_are_refused(faker: Faker) -> None:
    for entry, accuracy in (("all-views", 0.95), ("front", 0.8)):
        faker.cell("mit/figure4", S2, entry, fold=1, accuracy=accuracy, **SMALL)
    above = VIEWS | {"over": ["front"]}
    assert asked(Reader(faker.runs, folds=[1, 99]), above).compared[0].n == 40, "of those that are named and there"
    with pytest.raises(FerBenchError, match=rf"^--folds 10,99: {S2} has folds 0 to 9\.$"):
        asked(Reader(faker.runs, folds=[10, 99]), above)
    only = "mit/table3", "bu4dfe-to-bp4d@1", "mit-base"
    faker.cell(*only)
    assert Reader(faker.runs, folds=[3]).evidence(*only).complete, "the only one there is"


def test_claims_of_turned_faces(faker: Faker) -> None:
    drfer, baseline = (
        faker.cell("drfer/table1", SIXTY, entry, fold=0, accuracy=0.97, subjects=24, each=3)
        for entry in ("drfer", "baseline")
    )
    faker.turn(drfer, lambda stress: 0.99 if stress.axis == "yaw" else 0.6, 24, 3)
    faker.turn(baseline, lambda stress: 0.3 if abs(stress.degrees) > 15 else 0.99, 24, 3)
    reader = Reader(faker.runs, folds=[0])
    strong = {"member": "rotation", "severities": [2, 3, 4, 5]}
    (above,) = asked(reader, TURNED | {"over": ["baseline"], "stress": strong}).compared
    assert (above.answer, above.n, above.subjects) == ("holds", 72, 24)
    assert above.question == f"drfer under rotation above baseline on {SIXTY}"
    mild = TURNED | {"over": ["baseline"], "stress": strong | {"severities": [1]}}
    assert asked(reader, mild).answer == "fails", "of the severities that are named, and no other"
    axes = TURNED | {"stress": strong | {"axis": "yaw", "over_axis": "pitch"}}
    (axis,) = asked(reader, axes).compared
    assert (
        axis.answer == "holds"
        and axis.question == f"drfer under yaw rotation above itself under pitch rotation on {SIXTY}"
    )
    assert axis.difference is not None and axis.difference.value == pytest.approx(0.39, abs=0.1)
    poses = asked(reader, TURNED | {"value": 80, "stress": strong | {"each": True}})
    assert len(poses.compared) == 16
    assert {("yaw" in c.question, c.answer) for c in poses.compared} == {(True, "holds"), (False, "fails")}
    assert poses.answer == "fails"

    gone = conditions("rotation")[-1]
    predictions_path(reader.evidence("drfer/table1", SIXTY, "drfer").cells[0], gone).with_suffix(".json").unlink()
    (missing,) = asked(reader, TURNED | {"over": ["baseline"], "stress": strong}).compared
    assert missing.answer == "not measured"
    assert missing.reason == (
        "drfer: not all of its stress stage is there (fer-bench run drfer/table1 --stress rotation)"
    )


def test_to_be_above_what_guesses_settles_nothing(views: Reader, faker: Faker) -> None:
    for fold in (0, 1, 2):
        faker.cell("mit/figure4", S2, "minus-20", fold=fold, accuracy=1 / 6, **SMALL)
    for over, answered in ((["front"], "holds"), (["minus-20"], "unresolved"), (["front", "minus-20"], "unresolved")):
        assert asked(views, VIEWS | {"over": over}).answer == answered
    for entry, over in (("all-views", "minus-20"), ("minus-20", "all-views")):
        found = asked(views, VIEWS | {"entry": entry, "over": [over]})
        assert found.answer == "unresolved", "nor is to be below anything a refutation of what has learned nothing"
        assert found.compared[0].reason == "minus-20 cannot be told from guessing"
        assert found.compared[0].difference is not None
        assert "minus-20 cannot be told from guessing" in texts(found)[0]["Remarks"]


def test_concordance_that_is_not_above_0_is_guessing() -> None:
    protocol = PROTOCOLS["affectnet-va@1"]
    generator = np.random.default_rng(0)
    truth = generator.uniform(-1, 1, (60, 2))
    for outputs, guesses in ((truth + 0.3 * generator.normal(size=(60, 2)), False), (np.full((60, 2), 0.1), True)):
        table = pd.DataFrame({"id": np.arange(60).astype(str), "subject": np.arange(60).astype(str)})
        table[["valence", "arousal"]], table[[f"{OUTPUT}{name}" for name in protocol.outputs]] = truth, outputs
        row = SimpleNamespace(pooled=table)
        assert claims_measured._guesses(SimpleNamespace(protocol=protocol, row=row)) is guesses  # type: ignore[arg-type]


def test_what_does_not_exist_is_told(views: Reader) -> None:
    with pytest.raises(UnknownName, match=r"unknown entry of mit/figure4 'frnt'; did you mean 'front'"):
        asked(views, VIEWS | {"over": ["frnt"]})
    with pytest.raises(UnknownName, match=r"claim it: unknown protocol of mit/figure4 'bu3dfe-s1-cv10@1'"):
        asked(views, VIEWS | {"over": ["front"], "protocol": "bu3dfe-s1-cv10@1"})
    (one,) = asked(views, VIEWS | {"over": ["front"], "metric": "f1_best"}).compared
    assert (one.answer, one.reason) == ("not measured", "all-views gives no f1_best")


def test_what_is_shown(views: Reader, faker: Faker) -> None:
    for fold in (0, 1, 2):
        faker.cell("mit/figure4", S2, "minus-20", fold=fold, accuracy=0.5, provenance=TWIN, epochs=3, **SMALL)
    answers = answer(
        [
            claim(VIEWS | {"over": ["front"], "size": 60}, note="Mind | this."),
            claim(VIEWS | {"over": ["front", "minus-20"]}),
            claim(unmeasurable="nobody can"),
        ],
        views,
    )
    single, several, never = (texts(each) for each in answers)
    assert len(single) == 1 and len(several) == 3 and len(never) == 1
    assert single[0]["Answer"] == "holds, not as in the paper"
    assert single[0]["Remarks"] == "Mind | this; only folds 0, 1, 2 of 10"
    assert single[0]["Printed"] == "60.00, outside" and single[0]["Difference"].endswith(" pp")
    assert several[0]["Compared"] == "2 hold"
    assert several[0]["Answer"] == "holds on synthetic faces, not as in the paper"
    assert several[0]["Remarks"] == "only folds 0, 1, 2 of 10; minus-20: 3 of 200 epochs"
    assert [row["Data"] for row in several[1:]] == ["as distributed", f"as distributed and {TWIN}"]
    others = replace(answers[0].compared[0], data="predictions of others", departures=())
    assert texts(replace(answers[0], compared=(others,)))[0]["Answer"] == "holds"
    assert (never[0]["Answer"], never[0]["Remarks"]) == ("not measured", "nobody can")
    told = "3 claims: 2 hold, 1 not measured (1 of them beyond measuring); 1 answered on synthetic faces"
    assert summary(answers) == f"{told}, in part or whole."
    table = to_markdown(answers).splitlines()
    assert len(table) == 2 + 5 and all(line.count(" | ") == 9 for line in table[2:]), "a bar in a text is no cell"
    records = to_records("mit", answers)
    assert [record["compared_answer"] for record in records] == ["holds", "holds", "holds", ""]
    assert records[0]["printed_in_interval"] == "no" and records[0]["unit"] == "pp"
    first = answers[0].compared[0].difference
    assert first is not None and float(records[0]["difference"]) == pytest.approx(100 * first.value, abs=1e-4)
    assert len({tuple(record) for record in records}) == 1


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fer-bench", "claims", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run


def test_the_command_writes_all_papers_and_shows_one(call, views: Reader, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, told, _ = call("mit", "--folds", "0,1,2", "--out", "boards")
    assert code == 0
    assert told.rstrip().endswith("wrote boards/claims.md and boards/claims.csv")
    assert read_paper("mit").notes.title in told and read_paper("drfer").notes.title not in told
    with (tmp_path / "boards/claims.csv").open() as file:
        records = list(csv.DictReader(file))
    assert {(r["paper"], r["id"]) for r in records} == {(n, c.id) for n in papers() for c in read_claims(n)}
    held = [r for r in records if r["compared_answer"] == "holds"]
    assert [(r["id"], r["compared"]) for r in held] == [
        ("multi-view-beats-single-views", f"all-views above {view} on {S2}") for view in ("front", "plus-20")
    ]
    page = (tmp_path / "boards/claims.md").read_text()
    assert all(f"\n## {read_paper(name).notes.title}\n" in page for name in papers())
    assert call("mti") == (2, "", "fer-bench: unknown paper 'mti'; did you mean 'mit'?\n")
    assert call("mit", "--folds", "one")[::2] == (
        2,
        "fer-bench: --folds one: give numbers from 0 on, as in --folds 0,1.\n",
    )


def test_what_not_all_depart_in_is_told_of_whom_it_is() -> None:
    def evidence(entry: str, *departures: str) -> Any:
        return SimpleNamespace(row=SimpleNamespace(entry=entry), departures=departures)

    ours, other = evidence("ours", "synthetic", "16 of 40 epochs"), evidence("other", "synthetic", "24 of 40 epochs")
    assert _departures([ours, other]) == ("synthetic", "ours: 16 of 40 epochs", "other: 24 of 40 epochs")
    assert _departures([ours, ours]) == _departures([ours]) == ("synthetic", "16 of 40 epochs")
