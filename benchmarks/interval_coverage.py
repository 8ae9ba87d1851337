"""How often the intervals of `fer_bench.stats.intervals` cover, simulated: coverage.{csv,md}.

Each set is a test set of K people who differ: in how hard their faces are to any method, and in how well each of two
methods does on them. The true value is that of the population they are drawn from, measured on very many people.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from timing import OUT, machine, write_csv

from fer_bench.metrics.disentanglement import MEASURES
from fer_bench.records import atomic_write
from fer_bench.stats.bootstrap import resample_sums, scale_of
from fer_bench.stats.intervals import Scale
from fer_bench.stats.metric_sums import Statistic, metric_terms

SUBJECTS = (5, 6, 10, 20, 30, 60, 100)
CLASSES = tuple("abcdef")
HEADER = ("metric", "people", "true value", "K", "covered", "percentiles", "median width", "93 to 97 %")
_MANY = 40_000  # people of whom the true value is measured: its error is a twentieth of that of a hundred's
_SHARES = (0.3, 0.25, 0.2, 0.12, 0.08, 0.05)

People = Literal["balanced", "unbalanced", "uneven"]
"""How many scans people have, see `faces`."""

Generator = np.random.Generator
Sample = tuple[NDArray[np.int64], NDArray[np.float64]]  # subjects (N,), and what each sample adds to the sums (N, D)


class Population(NamedTuple):
    """What a set is drawn from, and what is measured of it.

    Attributes:
        draw: (generator, K) -> a set of K people.
    """

    metric: str
    people: str
    draw: Callable[[Generator, int], Sample]
    statistic: Statistic
    scale: Scale


def faces(generator: Generator, subjects: int, people: People) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Subjects and true classes, each `(N,)`.

    Balanced: two scans of each of six expressions a person, as on BU-3DFE with two intensities. Unbalanced: 6 to 30
    scans, and the expressions unequally frequent. Uneven: one scan to hundreds, lognormal, half of the people have 12
    or fewer; and only three people in ten show the sixth expression at all.
    """
    if people == "balanced":
        return np.repeat(np.arange(subjects), 12), np.tile(np.repeat(np.arange(6), 2), subjects)
    sizes = generator.integers(6, 31, size=subjects)
    if people == "uneven":
        sizes = np.maximum(1, np.exp(generator.normal(np.log(12), 1, subjects)).round().astype(np.int64))
    who = np.repeat(np.arange(subjects), sizes)
    truth = generator.choice(6, size=len(who), p=_SHARES)
    if people == "uneven":
        rarely = (generator.random(subjects) < 0.3)[who]
        truth = np.where(rarely & (generator.random(len(who)) < 0.3), 5, np.where(truth == 5, 0, truth))
    return who, truth


def answers(
    generator: Generator, subjects: int, skill: float, people: People, second: float = 0.0
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[NDArray[np.int64]]]:
    """Subjects, true classes, and the answers of two methods, each `(N,)`; the second has so much more skill.

    An answer is right where a sum of normal terms is above zero: skill less the difficulty of the class, of the person
    (standard deviation 0.7), of the person for this method (0.4), of the scan (0.7), of the scan for this method (0.7).
    Six wrong answers in ten go to the class next to the true one.
    """
    who, truth = faces(generator, subjects, people)
    n = len(who)
    shared = np.linspace(0.6, -0.6, 6)[truth] + generator.normal(0, 0.7, subjects)[who] + generator.normal(0, 0.7, n)
    found = []
    for more in (0.0, second):
        own = generator.normal(0, 0.4, subjects)[who] + generator.normal(0, 0.7, n)
        wrong = truth + np.where(generator.random(n) < 0.6, 1, generator.integers(1, 6, size=n))
        found.append(np.where(skill + more + shared + own > 0, truth, wrong % 6))
    return who, truth, found


def classification(metric: str, skill: float, people: People, second: float | None = None) -> Population:
    """One method, or the difference between two."""
    eye = np.eye(6)

    def terms(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> tuple[NDArray[np.float64], Statistic]:
        return metric_terms("classification", metric, eye[predicted], truth, CLASSES)

    def draw(generator: Generator, subjects: int) -> Sample:
        who, truth, found = answers(generator, subjects, skill, people, second or 0.0)
        return who, np.hstack([terms(each, truth)[0] for each in found[: 1 if second is None else 2]])

    score = terms(np.arange(6), np.arange(6))[1]
    shape = f"{people}, {'hard' if skill < 1.5 else 'nearly solved'}"
    if second is None:
        return Population(metric, shape, draw, score, scale_of("classification", metric))
    name = f"difference of {metric}"
    return Population(name, shape, draw, lambda sums: score(sums[:, :36]) - score(sums[:, 36:]), "difference")


def affect() -> Population:
    """Valence and arousal of people whose mean differs, predicted with a bias of each person's own."""

    def draw(generator: Generator, subjects: int) -> Sample:
        who = np.repeat(np.arange(subjects), generator.integers(6, 31, size=subjects))
        truth = generator.normal(0, 0.25, (subjects, 2))[who] + generator.normal(0, 0.3, (len(who), 2))
        bias = generator.normal(0, 0.15, (subjects, 2))[who]
        predicted = 0.6 * truth + bias + generator.normal(0, 0.2, truth.shape)
        return who, metric_terms("valence_arousal", "ccc", predicted, truth, ())[0]

    statistic = metric_terms("valence_arousal", "ccc", np.eye(2), np.eye(2), ())[1]
    return Population("ccc", "unbalanced", draw, statistic, scale_of("valence_arousal", "ccc"))


def distances() -> Population:
    """Mean distance of vertices over 20 meshes a person, of people who are unequally hard to tell from their neutral
    face: lognormal, a standard deviation of 0.3 between people and of 0.2 within."""

    def measured(values: NDArray[np.float64]) -> NDArray[np.float64]:
        table = np.full((len(values), len(MEASURES)), np.nan)
        table[:, MEASURES.index("neutral")] = values
        return table

    def draw(generator: Generator, subjects: int) -> Sample:
        who = np.repeat(np.arange(subjects), 20)
        values = np.exp(generator.normal(0, 0.3, subjects)[who] + generator.normal(0, 0.2, len(who)))
        return who, metric_terms("disentanglement", "neutral_mean", measured(values), who, ())[0]

    statistic = metric_terms("disentanglement", "neutral_mean", measured(np.ones(2)), [0, 1], ())[1]
    scale = scale_of("disentanglement", "neutral_mean")
    return Population("mean distance", "20 meshes each", draw, statistic, scale)


def populations() -> Iterator[Population]:
    """All that the table shows."""
    for metric in ("accuracy", "balanced_accuracy", "f1_macro"):
        for skill in (0.7, 2.3):
            for people in get_args(People):
                if (metric, people) != ("balanced_accuracy", "balanced"):  # the accuracy itself
                    yield classification(metric, skill, people)
    yield classification("accuracy", 0.7, "balanced", second=0.2)
    yield classification("accuracy", 2.3, "unbalanced", second=0.2)
    yield classification("accuracy", 0.7, "uneven", second=0.2)
    yield classification("f1_macro", 0.7, "unbalanced", second=0.2)
    yield affect()
    yield distances()


class Coverage(NamedTuple):
    """Of a population and K: how often the interval covers, how often percentiles do, and its median width."""

    truth: float
    covered: float
    percentiles: float
    width: float


def true_value(population: Population) -> float:
    """Measured on very many people."""
    generator, sums = np.random.default_rng(0), 0.0
    for _ in range(10):
        sums = sums + population.draw(generator, _MANY // 10)[1].sum(0, dtype=np.float64)
    return float(population.statistic(np.asarray(sums)[None])[0])


def coverage(population: Population, truth: float, subjects: int, sets: int, resamples: int = 2000) -> Coverage:
    """Simulate so many sets of K people."""
    generator = np.random.default_rng(subjects)
    hits, hits_of_percentiles, widths = 0, 0, []
    for number in range(sets):
        who, terms = population.draw(generator, subjects)
        found = resample_sums(population.statistic, who, terms, population.scale, resamples, seed=number)
        interval = found.interval()
        assert interval.low is not None and interval.high is not None
        low, high = np.quantile(found.draws, [0.025, 0.975])
        hits += interval.low <= truth <= interval.high
        hits_of_percentiles += bool(low <= truth <= high)
        widths.append(interval.high - interval.low)
    return Coverage(truth, hits / sets, hits_of_percentiles / sets, float(np.median(widths)))


def rows(sets: int, resamples: int) -> Iterator[tuple[str, ...]]:
    for population in populations():
        truth = true_value(population)
        for subjects in SUBJECTS:
            found = coverage(population, truth, subjects, sets, resamples)
            row = (
                *(population.metric, population.people, f"{truth:.3f}", str(subjects), f"{100 * found.covered:.1f}"),
                *(f"{100 * found.percentiles:.1f}", f"{found.width:.3f}"),
                "holds" if 0.93 <= found.covered <= 0.97 else "narrow" if found.covered < 0.93 else "wide",
            )
            print(" | ".join(row), flush=True)
            yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=4000, help="Simulated test sets of each population and K.")
    parser.add_argument("--resamples", type=int, default=2000, help="Draws of the bootstrap.")
    chosen = parser.parse_args()
    cells = list(rows(chosen.sets, chosen.resamples))
    write_csv(OUT / "coverage.csv", HEADER, cells)
    with atomic_write(OUT / "coverage.md") as file:
        file.write(page(cells, chosen.sets, chosen.resamples).encode())


def page(cells: list[tuple[str, ...]], sets: int, resamples: int) -> str:
    """The table, a line a population and a column a K, and in words where it does not hold."""
    held = sum(cell[-1] == "holds" for cell in cells)
    error = 100 * (0.95 * 0.05 / sets) ** 0.5
    lines = [
        "# How often the intervals cover",
        "",
        "Made by `python benchmarks/interval_coverage.py`: "
        f"{sets:,} simulated test sets of K people each, whose difficulty",
        "differs, and the nominal 95 % interval of the leaderboards (Student's t on the metric's scale with the",
        f"standard error of the bootstrap over subjects, {resamples:,} resamples; K - 1 degrees of freedom, fewer",
        "where few people make most of the spread). Cells: how many in a hundred intervals hold the true value, and in",
        "brackets how many percentile intervals of the same draws do; the standard error of a cell is "
        f"{error:.1f}. Bold:",
        f"outside 93 to 97. {held} of {len(cells)} cells hold.",
        "",
        "Of few people who are nearly all right, many sets hold one mistake or none, and coverage goes in steps (L. D.",
        'Brown, T. T. Cai, A. DasGupta, "Interval estimation for a binomial proportion", Statistical Science 16, 2001,',
        "101-133). There an interval errs by being too wide rather than too narrow.",
        "",
        *(f"- Too {verdict}: {_where(cells, verdict)}." for verdict in ("narrow", "wide")),
        "",
        f"Machine: {machine()}.",
        "",
        f"| Metric | People | True value | {' | '.join(f'K = {k}' for k in SUBJECTS)} |",
        f"|---|---|---:|{'---:|' * len(SUBJECTS)}",
    ]
    by_population: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for cell in cells:
        by_population.setdefault(cell[:3], []).append(cell)
    for key, own in by_population.items():
        shown = (f"{c[4]} ({c[5]})" if c[-1] == "holds" else f"**{c[4]}** ({c[5]})" for c in own)
        lines.append(f"| {' | '.join([*key, *shown])} |")
    return "\n".join([*lines, ""])


def _where(cells: list[tuple[str, ...]], verdict: str) -> str:
    """`accuracy (unbalanced, hard) at K = 5, 6`, of all cells of a verdict."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        if cell[-1] == verdict:
            found.setdefault(f"{cell[0]} ({cell[1]})", []).append(cell[3])
    return "; ".join(f"{what} at K = {', '.join(each)}" for what, each in found.items()) or "nowhere"


if __name__ == "__main__":
    main()
