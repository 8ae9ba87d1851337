"""How many samples of a twin each class has."""

from collections.abc import Mapping
from typing import TypeVar

Name = TypeVar("Name")


def apportion(total: int, shares: Mapping[Name, int], least: int = 1) -> dict[Name, int]:
    """Divide a number in proportion, by largest remainders; each gets at least `least`, at the cost of the largest.

    Args:
        total: At least `least` for each of `shares`.
        shares: What each has in the distribution.
        least: Classes with fewer cannot be divided into training and validation.
    """
    assert total >= least * len(shares)
    exact = {name: total * share / sum(shares.values()) for name, share in shares.items()}
    quotas = {name: max(least, int(value)) for name, value in exact.items()}
    by_remainder = sorted(shares, key=lambda name: (quotas[name] - exact[name], -shares[name]))
    for name in by_remainder[: max(0, total - sum(quotas.values()))]:
        quotas[name] += 1
    while sum(quotas.values()) > total:
        quotas[max(quotas, key=lambda name: quotas[name])] -= 1
    return quotas
