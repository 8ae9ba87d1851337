"""Late fusion: the saved scores of two or more models, joined by sample (Ig3D section 4.4). It needs no training.

Raw scores are joined element by element, without softmax and without clipping, as in Ig3D's public code. Where a weight
is requested and none is given, it is the one that is best on the samples that chose the checkpoints, never on the
tested ones; a fusion with a given weight is marked unsound, as those of Ig3D, which does not say how it chose them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pydantic
from numpy.typing import NDArray

from fer_bench.errors import FerBenchError, UnknownName

Scores = NDArray[np.floating]

RULES = ("mean", "max", "min", "weighted")
WEIGHTS = np.linspace(0, 1, 101)
"""Weights of the first model, from which one is chosen."""


class Fusion(pydantic.BaseModel):
    """Method entries whose scores are fused, see the functions below.

    Attributes:
        of: Their names.
        rule: `mean`, `max`, `min`; of two, `weighted:W`, W of the first, or `weighted`, W chosen on validation samples.
        broadcast: The fault of Ig3D's public scripts, which is unsound: in batches of this many test samples, listed
            class by class, each gets what the last entry says of the first.
        shuffled: With `broadcast`, the samples are shuffled, and not listed class by class.
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)

    of: list[str] = pydantic.Field(min_length=2)
    rule: str = "mean"
    broadcast: pydantic.PositiveInt | None = None
    shuffled: bool = False


def parse_rule(text: str, files: int, option: str) -> tuple[str, float | None]:
    """(rule, weight of the first) of `mean`, `max`, `min`, `weighted` and `weighted:0.8`.

    Args:
        files: How many models are fused.
        option: What the text was given for, which errors begin with.

    Raises:
        UnknownName: there is no such rule.
        FerBenchError: the weight is none, or not of two models; or there is nothing to fuse.
    """
    if files < 2:
        raise FerBenchError(f"{option} {text} needs the predictions of two models or more; one was given.")
    rule, colon, number = text.partition(":")
    if rule not in RULES or (colon and rule != "weighted"):
        raise UnknownName("fusion", text, [*RULES[:3], "weighted", "weighted:W"])
    if rule == "weighted" and files != 2:
        raise FerBenchError(f"{option} {text} takes the predictions of exactly two models; {files} were given.")
    if not colon:
        return rule, None
    try:
        weight = float(number)
    except ValueError:
        weight = float("nan")
    if not 0 <= weight <= 1:
        raise FerBenchError(f"{option} {text}: the weight must be a number from 0 to 1, as in weighted:0.6.")
    return rule, weight


def fuse(scores: Sequence[Scores], rule: str, weight: float | None = None) -> Scores:
    """Fused scores (N, C) of each model's (N, C).

    Args:
        rule: One of `RULES`.
        weight: Of the first of two, with `weighted`; the other's is 1 - weight.
    """
    stack = np.stack(scores)
    if rule == "weighted":
        assert weight is not None, "choose a weight first"
        fused: Scores = weight * stack[0] + (1 - weight) * stack[1]
        return fused
    by: dict[str, Callable[..., Scores]] = {"mean": np.mean, "max": np.max, "min": np.min}
    return by[rule](stack, axis=0)


def choose_weight(scores: Sequence[Scores], measure: Callable[[Scores], float]) -> float:
    """The weight of the first of two models whose fusion scores best; of equally good ones the middle one.

    Args:
        scores: Of the samples to choose by, (N, C) each.
        measure: Of fused scores, the larger the better; NaN never wins.
    """
    found = np.array([measure(fuse(scores, "weighted", float(weight))) for weight in WEIGHTS])
    if np.isnan(found).all():
        raise FerBenchError("no weight can be chosen: the validation samples have no score; give one, weighted:0.5.")
    best = np.flatnonzero(found == np.nanmax(found))
    return float(WEIGHTS[best[len(best) // 2]])


def first_of_each_batch(scores: Scores, batch_size: int) -> Scores:
    """Every row replaced by the first of its batch: what Ig3D's public scripts fuse on RAF-DB with EMOCA, where `[0]`
    takes the first sample's scores out of a batch and numpy spreads them over all of it.

    Args:
        scores: (N, C), in the order in which the samples were read. In a listing by folders of classes, a batch mostly
            holds one class, which its first sample reveals.
    """
    first = np.arange(len(scores)) // batch_size * batch_size
    spread: Scores = scores[first]
    return spread


def listing_order(classes: Sequence[Any], labels: Sequence[Any], ids: Sequence[Any]) -> NDArray[np.intp]:
    """Positions in the order of a listing by folders: class by class, and within a class by id."""
    place = {name: number for number, name in enumerate(classes)}
    order = sorted(range(len(ids)), key=lambda row: (place[labels[row]], str(ids[row])))
    return np.array(order, dtype=np.intp)
