import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def simulation():
    """benchmarks/interval_coverage.py, which makes leaderboards/coverage.csv."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("coverage_of_intervals", BENCHMARKS / "interval_coverage.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(BENCHMARKS))


# With 300 sets the standard error is 1.3 %: a band of 93 to 97 % and two of them each way, were the seed not fixed.
# Percentiles cover 78 to 91 % of these sets, and fail.
@pytest.mark.parametrize("subjects", [6, 20])
@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "difference", "ccc", "distance"])
def test_intervals_cover_with_few_subjects(simulation, metric, subjects):
    population = {
        "accuracy": lambda: simulation.classification("accuracy", 0.7, "balanced"),
        "f1_macro": lambda: simulation.classification("f1_macro", 0.7, "unbalanced"),
        "difference": lambda: simulation.classification("accuracy", 0.7, "balanced", second=0.2),
        "ccc": simulation.affect,
        "distance": simulation.distances,
    }[metric]()
    found = simulation.coverage(population, simulation.true_value(population), subjects, sets=300, resamples=300)
    assert 0.91 <= found.covered <= 0.99, found
    assert found.percentiles < found.covered


def test_the_page_says_where_it_does_not_hold(simulation):
    at_five, otherwise = ("90.0", "80.0", "0.1", "narrow"), ("95.0", "80.0", "0.1", "holds")
    cells = [
        ("accuracy", "balanced", "0.700", str(k), *(at_five if k == 5 else otherwise)) for k in simulation.SUBJECTS
    ]
    page = simulation.page(cells, 100, 200)
    assert "| accuracy | balanced | 0.700 | **90.0** (80.0) | 95.0 (80.0) |" in page
    assert "- Too narrow: accuracy (balanced) at K = 5.\n- Too wide: nowhere." in page
    assert f"{len(cells) - 1} of {len(cells)} cells hold" in page
