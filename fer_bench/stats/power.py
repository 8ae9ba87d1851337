"""The smallest difference between two methods that a protocol can resolve, before anything is run.

Two methods of accuracy p are tested on n samples of K people, n / K each. On one sample they differ by -1, 0 or 1; if
their answers are right together with a correlation r, that has the variance 2 p (1 - p) (1 - r). Differences on two
samples of one person are correlated by rho, so that the mean over all samples has (L. Kish, *Survey Sampling*, 1965,
section 5.4, for a mean over clusters)

    SE^2 = 2 p (1 - p) (1 - r) (1 + (n / K - 1) rho) / n

and a two-sided test at level alpha finds a difference of (t_{1 - alpha / 2} + t_{power}) SE with that power, t of K - 1
degrees of freedom as in `fer_bench.stats.intervals` where people differ as normal variables do. What is assumed is in
`Assumed`, and is said wherever it is printed; r and rho are not known before methods have been run, and pairs of one
suite differ in them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Assumed:
    """Assumptions behind the smallest difference.

    Attributes:
        accuracy: Of both methods.
        between: Correlation, over samples, of whether the two are right.
        within: Correlation, between two samples of one person, of the difference of the two on them.
        level, power: Of the two-sided test of one pair.
    """

    accuracy: float = 0.8
    between: float = 0.5
    within: float = 0.05
    level: float = 0.05
    power: float = 0.8

    def __str__(self) -> str:
        return (
            f"{100 * self.power:.0f} % power at {100 * self.level:.0f} %, one pair of methods, if both are right on "
            f"{100 * self.accuracy:.0f} %, together with a correlation of {self.between:g}, and the difference on two "
            f"samples of one person is correlated by {self.within:g}"
        )


def standard_error(subjects: int, samples: int, assumed: Assumed | None = None) -> float:
    """Standard error of the difference between two accuracies, a fraction."""
    a = assumed or Assumed()
    inflated = 1 + (samples / subjects - 1) * a.within
    return float((2 * a.accuracy * (1 - a.accuracy) * (1 - a.between) * inflated / samples) ** 0.5)


def resolved(degrees: float, error: float, assumed: Assumed | None = None) -> float:
    """The difference, in the unit of its standard error, that is resolved with `degrees` degrees of freedom."""
    from scipy.special import stdtrit

    a = assumed or Assumed()
    return float(stdtrit(degrees, [1 - a.level / 2, a.power]).sum() * error)


def smallest_difference(subjects: int, samples: int, assumed: Assumed | None = None) -> float | None:
    """The difference of accuracy, a fraction, that is resolved; None where nothing is: of a single subject, and where
    it would have to be more than 1.

    Raises:
        ValueError: there are fewer samples than subjects, or no subject.
    """
    if not 1 <= subjects <= samples:
        raise ValueError(f"{samples} samples of {subjects} subjects: each needs one")
    if subjects == 1:
        return None
    found = resolved(subjects - 1, standard_error(subjects, samples, assumed), assumed)
    return found if found < 1 else None


def describe_power(subjects: int, samples: int, unit: str, task: str, by_name: bool = True) -> str:
    """One sentence: the size of the test set and, where the task has an accuracy, the smallest resolved difference.

    Args:
        unit: What a sample is, several of them.
        by_name: Whether subjects are known; otherwise every sample counts as another subject.
    """
    who = f"{subjects:,} subject{'s' if subjects > 1 else ''}" if by_name else "people whom the data do not name"
    tested = f"tested on {samples:,} {unit} of {who}"
    if task != "classification":
        return tested
    found = smallest_difference(subjects, samples)
    if found is None:
        return f"{tested}, too few to resolve any difference"
    return f"{tested}; resolves a difference of accuracy of {100 * found:.1f} points"
