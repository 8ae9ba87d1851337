import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from fer_bench.leaderboard.mean_ranks import Ranking, critical_difference, range_quantile, rank_test, ranking
from fer_bench.leaderboard.pages.rank_page import draw_ranks, ranks_section
from fer_bench.leaderboard.row import Row
from fer_bench.metrics.disentanglement import MEASURES
from fer_bench.protocols import PROTOCOLS
from fer_bench.stats.bootstrap import resample_metric

S1 = "bu3dfe-s1-cv10@1"
CLASSES = PROTOCOLS[S1].classes


def row(entry: str, skill: float, seed: int, subjects: int = 12, protocol: str = S1) -> Row:
    generator = np.random.default_rng(seed)
    who = np.repeat([f"p{i:02d}" for i in range(subjects)], 12).astype(object)
    if PROTOCOLS[protocol].task == "disentanglement":
        outputs = np.full((len(who), len(MEASURES)), np.nan)
        outputs[:, MEASURES.index("neutral")] = np.exp(-skill + generator.normal(size=len(who)))
        draws = resample_metric("disentanglement", "neutral_mean", outputs, who, (), who, resamples=50)
    else:
        truth = np.arange(len(who)) % 6
        outputs = skill * np.eye(6)[truth] + generator.normal(size=(len(who), 6))
        draws = resample_metric("classification", "accuracy", outputs, truth, CLASSES, who, resamples=50)
    return Row(protocol, entry, "mit", 1, Counter(done=1), protocol_digest="d", draws=draws, samples=1)


@given(st.integers(3, 6), st.integers(10, 25), st.integers(2, 30), st.integers(0, 99))
def test_friedman_is_that_of_scipy_with_ties_and_without(entries, subjects, levels, seed):
    values = np.random.default_rng(seed).integers(0, levels, size=(subjects, entries)) / levels
    values[0] = np.arange(entries)  # not all the same
    found = rank_test("p", [str(i) for i in range(entries)], values)
    expected = stats.friedmanchisquare(*values.T)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)
    means = stats.rankdata(values, axis=1).mean(axis=0)
    assert dict(zip(found.entries, found.ranks, strict=True)) == pytest.approx(
        {str(i): mean for i, mean in enumerate(means)}
    )
    assert list(found.ranks) == sorted(found.ranks)


# Demsar 2006, Table 5 (a), critical values of the two-tailed Nemenyi test at 0.05.
@pytest.mark.parametrize(
    ("entries", "printed"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_the_critical_values_are_those_in_print(entries, printed):
    assert critical_difference(entries, 14) == pytest.approx(printed * np.sqrt(entries * (entries + 1) / 84), abs=1e-3)


@pytest.mark.parametrize("right", [0.5, 0.9])
def test_the_critical_difference_keeps_its_level_where_most_ranks_are_tied(right):
    random = np.random.default_rng(3)
    wrong = 0
    for _ in range(1000):
        # Six methods that are equally good, on photographs of which each is right or wrong: hard ones and easy ones.
        share = random.beta(3 * right, 3 * (1 - right), size=(150, 1))
        found = rank_test("p", list("abcdef"), (random.random((150, 6)) < share).astype(float))
        wrong += found.ranks[-1] - found.ranks[0] > found.critical
    assert 0.03 <= wrong / 1000 <= 0.07


@pytest.mark.parametrize("count", [2, 5, 40])
def test_the_studentized_range_is_that_of_scipy(count):
    assert range_quantile(0.95, count) == pytest.approx(stats.studentized_range.ppf(0.95, count, np.inf), abs=1e-5)


def test_the_best_ranks_first_whichever_way_is_better():
    for protocol in (S1, "bu3dfe-identity@1"):
        rows = [row("worst", 0.1, 0, protocol=protocol), row("best", 3, 1, protocol=protocol)]
        found = ranking([*rows, row("middle", 1.2, 2, protocol=protocol)])
        assert isinstance(found, Ranking)
        assert found.entries == ("best", "middle", "worst") and found.subjects == 12


def test_what_cannot_be_ranked_says_why():
    assert "2 entries are compared" in ranking([row("a", 1, 0), row("b", 2, 1)])
    assert "9 subjects are tested" in ranking([row(name, 1, i, 9) for i, name in enumerate("abc")])
    assert "no f1_macro of their own" in ranking([row(n, 1, 0, protocol="fourdme-multilabel@1") for n in "abc"])
    assert "says the same of all entries" in ranking([row(name, 1, 0) for name in "abc"])


def test_bars_join_what_is_not_told_apart():
    def bars(*ranks: float, p: float = 0.01) -> list[tuple[int, int]]:
        return Ranking("p", tuple("abcdef"[: len(ranks)]), ranks, 20, 9.0, p, 1.0).bars

    assert bars(1.0, 1.8, 2.6, 4.5) == [(0, 1), (1, 2)], "neighbours, and not the ends"
    assert bars(1.0, 1.5, 2.0, 4.5) == [(0, 2)], "one bar for three"
    assert bars(1.0, 3.0, 5.0) == []
    assert bars(1.0, 3.0, 5.0, p=0.2) == [(0, 2)], "Friedman's test comes first"


def test_the_page_shows_the_diagram_or_says_why_there_is_none(tmp_path):
    rows = [row("a", 3, 0), row("b", 1, 1), row("c", 0.5, 2)]
    (path,) = draw_ranks("mine", rows, tmp_path)
    assert path.name == "mine-bu3dfe-s1-cv10@1-ranks.png"
    assert "(mine-bu3dfe-s1-cv10%401-ranks.png)" in ranks_section("mine", rows)
    with Image.open(path) as image:
        assert image.format == "PNG" and image.width > 600
        assert len(image.convert("RGB").getcolors(2**24)) > 20, "not an empty picture"
    assert draw_ranks("mine", rows[:2], tmp_path) == [] and not path.exists(), "no diagram of what is no longer so"
    assert "2 entries are compared" in ranks_section("mine", rows[:2])
    assert ranks_section("mine", rows[:1]) == ""


def test_a_leaderboard_with_a_diagram_needs_no_torch():
    code = "import sys\nfrom fer_bench.leaderboard.pages import markdown_page, rank_figure\n"
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
