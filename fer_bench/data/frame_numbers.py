"""The numbers of a sequence's frames, in words."""

from collections.abc import Iterable
from itertools import pairwise


def spans(numbers: Iterable[int], digits: int = 0) -> str:
    """Numbers, with runs joined: `3, 7-9`; padded to `digits` digits."""
    runs: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return _told(runs, digits)


def gaps(numbers: Iterable[int], digits: int = 0, start: int | None = None) -> str:
    """Numbers that are not there, from `start`, or else the lowest, to the highest; empty if there are none."""
    ordered = sorted(set(numbers))
    if start is not None:
        ordered.insert(0, start - 1)
    return _told(((before + 1, after - 1) for before, after in pairwise(ordered) if after > before + 1), digits)


def _told(runs: Iterable[tuple[int, int]], digits: int) -> str:
    return ", ".join("-".join(f"{end:0{digits}d}" for end in sorted(set(run))) for run in runs)
