"""What a plan leaves out, and why."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_bench.commands.plan import show_plan
from fer_bench.errors import InvalidSuite, WeightsNotFound
from fer_bench.expressions import BASIC_SIX
from fer_bench.launch.descriptions import describe
from fer_bench.launch.planning import _open, make_plan
from fer_bench.nn.weights import Published
from fer_bench.records import Target
from fer_bench.stats.power import smallest_difference
from fer_bench.suites.arguments import resolve_arguments
from fer_bench.suites.reading import read_suite

SUITE = """
protocols: [bu3dfe-s1-cv10@1]
methods:
  pretrained: {method: mit, size: tiny}
  random: {method: mit, size: nano, pretrained: false, image_size: 32, patch_size: 8}
  named: {method: mit, size: nano, pretrained: gone.pt, image_size: 32, patch_size: 8}
"""
SIX = Target("classification", BASIC_SIX)
TEXTURED = frozenset({"mesh", "texture"})


@pytest.fixture
def place(tmp_path: Path, bu3dfe_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the weights of nobody are, and the data of ten people."""
    monkeypatch.setenv("FER_BENCH_DATA", str(bu3dfe_root.parent))
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))

    def absent(self: Published) -> Path:
        raise WeightsNotFound(f"the weights {self.repository} are nowhere. Fetch them.")

    monkeypatch.setattr(Published, "fetch", absent)
    (tmp_path / "mine.yaml").write_text(SUITE)
    _open.cache_clear()
    yield tmp_path
    _open.cache_clear()


def test_what_lacks_its_weights_is_skipped_with_the_reason(place: Path) -> None:
    suite = read_suite(place / "mine.yaml")
    plan = make_plan("mine", suite, place / "runs", fetch=True)
    assert {cell.entry for cell in plan.cells} == {"random"}
    protocol = suite.protocols[0]
    assert plan.skipped == {
        (protocol, "pretrained"): "the weights timm/deit_tiny_patch16_224.fb_in1k are nowhere. Fetch them",
        (protocol, "named"): "gone.pt: there is no such file; pretrained is true, false or a file of weights",
    }
    assert len(make_plan("mine", suite, place / "runs").cells) == 30, "to look at a plan, nothing is fetched"


def test_nothing_is_fetched_for_what_is_left_out_by_name(place: Path) -> None:
    suite = read_suite(place / "mine.yaml")
    plan = make_plan("mine", suite, place / "runs", ["entry=random"], fetch=True)
    assert plan.skipped == {} and len(plan.cells) == 10
    with pytest.raises(InvalidSuite, match="nothing in it can run; the weights timm/deit_tiny"):
        make_plan("mine", suite, place / "runs", ["entry=pretrained"], fetch=True)
    with pytest.raises(InvalidSuite, match="no cell of mine fits"):
        make_plan("mine", suite, place / "runs", ["entry=randam"], fetch=True)


def test_a_suite_of_which_nothing_can_run_says_why(place: Path) -> None:
    (place / "mine.yaml").write_text("protocols: [bu3dfe-s1-cv10@1]\nmethods: {a: {method: mit, size: tiny}}\n")
    with pytest.raises(InvalidSuite, match=r"mine: nothing in it can run; the weights .* are nowhere\. Fetch them\."):
        make_plan("mine", read_suite(place / "mine.yaml"), place / "runs", fetch=True)


def test_a_description_says_what_is_unsound_and_what_it_starts_from() -> None:
    settings = {"method": "facet_vlm", "conditioning": "true_label"}
    _, arguments = resolve_arguments("literal", settings, "")
    described = describe("facet_vlm", arguments, SIX, [TEXTURED])
    assert described.weights == "vit_base_patch16_clip_224.openai"
    assert described.unsound
    assert described.representation.shape == (3, 3, 224, 224)
    _, arguments = resolve_arguments("random", {"method": "facet_vlm", "size": "nano", "pretrained": False}, "")
    assert describe("facet_vlm", arguments, SIX, [TEXTURED]).weights == ""


def test_what_asks_for_more_gpus_than_there_are_is_skipped(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = "{{method: pointnet2, size: nano, points: 128, trainer: {{devices: {0}}}}}"
    entries = "".join(f"  on-{n}: {points.format(n)}\n" for n in (1, 2, 4))
    (place / "mine.yaml").write_text(f"protocols: [bu3dfe-s1-cv10@1]\nmethods:\n{entries}")
    suite = read_suite(place / "mine.yaml")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    plan = make_plan("mine", suite, place / "runs")
    assert {cell.entry for cell in plan.cells} == {"on-1", "on-2"}
    assert plan.skipped == {(suite.protocols[0], "on-4"): "it asks for 4 GPUs (trainer.devices), of which 2 are here"}
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert not make_plan("mine", suite, place / "runs").skipped, "without any, processes on the CPU take their place"


def test_a_plan_says_what_difference_its_folds_resolve(place: Path) -> None:
    def line(*only: str) -> str:
        shown = show_plan(str(place / "mine.yaml"), [], list(only), place / "runs", None, probed=False)
        (found,) = (line for line in shown.splitlines() if "tested on" in line)
        return found

    everyone, some = line(), line("fold=0,fold=1,fold=2")
    expected = smallest_difference(10, 120)
    assert expected is not None
    assert "tested on 120 scans of 10 subjects; resolves a difference of accuracy of" in everyone
    assert f"of {100 * expected:.1f} points (80 % power at 5 %" in everyone
    assert "tested on 36 scans of 3 subjects" in some, "of the folds that are asked for alone"
