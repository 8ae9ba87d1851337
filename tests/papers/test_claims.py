"""Claims of papers: what they ask for exists, and a file that is wrong is told."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fer_bench import registry
from fer_bench.errors import FerBenchError
from fer_bench.metrics.classification import CLASSIFICATION_METRICS
from fer_bench.metrics.disentanglement import MEASURES
from fer_bench.metrics.multilabel import MULTILABEL_METRICS
from fer_bench.metrics.valence_arousal import VALENCE_AROUSAL_METRICS
from fer_bench.papers.claims import read_claims
from fer_bench.papers.published import papers, read_paper
from fer_bench.stats.metric_units import unit
from fer_bench.suites.reading import read_suite

VIEWS = {"suite": "mit/figure4", "protocol": "bu3dfe-s2-cv10@1", "metric": "accuracy", "entry": "all-views"}
METRICS: dict[str, set[str]] = {
    "classification": set(CLASSIFICATION_METRICS),
    "multilabel": set(MULTILABEL_METRICS),
    "valence_arousal": set(VALENCE_AROUSAL_METRICS),
    "disentanglement": {f"{name}_mean" for name in MEASURES},
}


@pytest.mark.parametrize("name", sorted(papers()))
def test_every_claim_asks_for_what_exists(name: str) -> None:
    claims = read_claims(name)
    assert len(claims) >= 8
    printed: dict[tuple[str, str, str], set[float]] = {}
    for row in read_paper(name).rows:
        if row.entry and not row.minus and row.number is not None and "gain" not in row.metric:
            printed.setdefault((row.protocol, row.entry, row.measure), set()).add(row.number / row.scale)
    known = {(protocol, entry) for protocol, entry, _ in printed}
    checked = 0
    for each in claims:
        for comparison in each.comparisons:
            suite = read_suite(registry.suites()[comparison.suite])
            assert suite.paper == name
            assert comparison.protocol in suite.protocols, each.id
            assert {comparison.entry, *comparison.over} <= {*suite.entries}, each.id
            task = registry.find_protocol(comparison.protocol).task
            assert comparison.metric in METRICS[task], each.id
            if comparison.size is None or len(comparison.over) != 1:
                continue
            # Sizes are differences of printed values, where both are printed.
            ends = [
                printed.get((comparison.protocol, entry, comparison.metric), set())
                for entry in (comparison.entry, *comparison.over)
            ]
            if all((comparison.protocol, entry) in known for entry in (comparison.entry, *comparison.over)):
                # A claim is answered by the metric that stands beside the printed value, and by no namesake of it.
                assert all(ends), (each.id, comparison.metric)
                factor = (-1 if comparison.lower else 1) * unit(task, comparison.metric).factor
                differences = [factor * (mine - theirs) for mine in ends[0] for theirs in ends[1]]
                assert any(d == pytest.approx(comparison.size, abs=6e-5) for d in differences), (each.id, differences)
                checked += 1
    assert checked >= {"mit": 6, "drfer": 11, "facet_vlm": 9, "ig3d": 20, "face_disentanglement": 15}[name]


GOOD = {"id": "a", "claim": "A.", "where": "I", "comparisons": [VIEWS | {"over": ["front"]}]}


def changed(**more: Any) -> dict[str, Any]:
    return GOOD | {"comparisons": [VIEWS | {"over": ["front"]} | more]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([GOOD, GOOD], "two claims are named a"),
        ([GOOD | {"colour": "red"}], r"claims\.0\.colour: extra inputs"),
        ([GOOD | {"id": "A b"}], r"claims\.0\.id: string should match"),
        ([GOOD | {"unmeasurable": "no"}], "a claim has either comparisons or unmeasurable"),
        ([GOOD | {"comparisons": []}], "a claim has either comparisons or unmeasurable"),
        ([changed(ovr=["front"])], r"claims\.0\.comparisons\.0\.ovr: extra inputs"),
        ([changed(suite="mit/figure44")], r"a: unknown suite 'mit/figure44'; did you mean 'mit/figure4'"),
        ([changed(protocol="bu3dfe-s2@1")], r"a: unknown protocol 'bu3dfe-s2@1'; did you mean 'bu3dfe-s2-cv10@1'"),
        ([changed(value=80)], "a comparison has one of over, value and stress.over_axis"),
        ([changed(over=[])], "a comparison has one of over, value and stress.over_axis"),
        ([changed(over=["all-views"])], "over names each entry once, and not the one that is compared"),
        ([changed(mean=True)], "mean is of the accuracies of several entries"),
        ([changed(over=["front", "plus-20"], size=3)], "size is of one comparison"),
        ([changed(size=-3)], "input should be greater than or equal to 0"),
        ([changed(size="10")], "size: input should be a valid number"),
        ([changed(stress={"member": "rotatoin"})], "unknown member 'rotatoin' of the stress deck; known: rotation"),
        ([changed(stress={"member": "noise", "severities": [6]})], "noise has no severity 6"),
        ([changed(stress={"member": "noise", "axis": "yaw"})], "axis and over_axis are of rotation alone"),
        ([changed(over=[], stress={"member": "rotation", "over_axis": "yaw"})], "over_axis needs another axis"),
        ("a", "claims: input should be a valid list"),
    ],
)
def test_a_misspelt_file_is_one_sentence(tmp_path: Path, content: object, says: str) -> None:
    path = tmp_path / "mine_claims.yaml"
    assert read_claims("mine", tmp_path) == ()
    path.write_text(yaml.safe_dump({"claims": [GOOD]}))
    assert [each.id for each in read_claims("mine", tmp_path)] == ["a"]
    path.write_text(yaml.safe_dump({"claims": content}))
    with pytest.raises(FerBenchError, match=says) as error:
        read_claims("mine", tmp_path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["claims: [", "[" * 5000, "!!python/object/apply:os.system [ls]", "\x00"])
def test_a_hostile_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine_claims.yaml").write_text(text)
    with pytest.raises(FerBenchError, match="is not readable YAML") as error:
        read_claims("mine", tmp_path)
    assert "\n" not in str(error.value)
