"""Claims that papers make in words: their place in the paper, and the results that test them.

A paper's claims are in `leaderboards/published/<paper>_claims.yaml`. A claim is a list of comparisons and holds if
all of them hold; or it says why it cannot be measured here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pydantic

from fer_bench import registry
from fer_bench.errors import InvalidFile, UnknownName
from fer_bench.geometry.perturbations import DECK
from fer_bench.papers.notes import REMEDY, Strict, read_strict
from fer_bench.papers.published import published_folder

SUFFIX = "_claims.yaml"


class Stressed(Strict):
    """Severities of a member of the stress deck, without the unperturbed scan.

    Attributes:
        member: `rotation`, ...
        severities: From 1 on; all by default.
        axis: Only rotations about this axis.
        over_axis: Compare the entry's scores about `axis` with its own about this axis, angle by angle.
        each: Every condition is a comparison of its own; by default all conditions are pooled.
    """

    member: str
    severities: list[int] = pydantic.Field(default_factory=list)
    axis: Literal["", "yaw", "pitch"] = ""
    over_axis: Literal["", "yaw", "pitch"] = ""
    each: bool = False

    @pydantic.model_validator(mode="after")
    def _exists(self) -> Stressed:
        if self.member not in DECK:
            raise ValueError(f"unknown member {self.member!r} of the stress deck; known: {', '.join(DECK)}")
        if wrong := [s for s in self.severities if not 1 <= s <= len(DECK[self.member].severities)]:
            raise ValueError(f"{self.member} has no severity {wrong[0]}")
        if (self.axis or self.over_axis) and self.member != "rotation":
            raise ValueError("axis and over_axis are of rotation alone")
        if self.over_axis and (not self.axis or self.axis == self.over_axis or self.each):
            raise ValueError("over_axis needs another axis to be compared with, and no `each`")
        return self


class Comparison(Strict):
    """The claim that a metric of an entry is above that of others on the same samples.

    Attributes:
        suite, protocol, entry: What is measured.
        metric: A metric of `fer_bench.metrics.score`.
        over: Entries that it is compared with, one comparison each.
        mean: Compare with the mean of these entries instead; for accuracies only.
        value: A number that it is compared with, in the unit in which the metric is written.
        lower: The claim is that the metric is below.
        size: The printed difference, without sign, in the unit of the metric's differences; for a single comparison.
        stress: Compare on perturbed scans.
    """

    suite: str
    protocol: str
    entry: str
    metric: str
    over: list[str] = pydantic.Field(default_factory=list)
    mean: bool = False
    value: float | None = None
    lower: bool = False
    size: float | None = pydantic.Field(default=None, ge=0)
    stress: Stressed | None = None

    @pydantic.model_validator(mode="after")
    def _is_one(self) -> Comparison:
        turned = self.stress is not None and bool(self.stress.over_axis)
        if bool(self.over) + (self.value is not None) + turned != 1:
            raise ValueError("a comparison has one of over, value and stress.over_axis")
        if self.entry in self.over or len(set(self.over)) < len(self.over):
            raise ValueError("over names each entry once, and not the one that is compared")
        if self.mean and (self.metric != "accuracy" or len(self.over) < 2):
            raise ValueError("mean is of the accuracies of several entries")
        if self.size is not None and ((len(self.over) > 1 and not self.mean) or (self.stress and self.stress.each)):
            raise ValueError("size is of one comparison, and here there are several")
        return self


class Claim(Strict):
    """One claim of a paper.

    Attributes:
        id: A name for it, unique in the paper.
        claim: The claim, paraphrased.
        where: Section, table or figure.
        comparisons: Comparisons that test it; all must hold.
        unmeasurable: Why it cannot be measured here; empty if it can.
        note: How the claim is interpreted here.
    """

    id: str = pydantic.Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    claim: str = pydantic.Field(min_length=1)
    where: str = pydantic.Field(min_length=1)
    comparisons: list[Comparison] = pydantic.Field(default_factory=list)
    unmeasurable: str = ""
    note: str = ""

    @pydantic.model_validator(mode="after")
    def _is_answered_or_not(self) -> Claim:
        if bool(self.comparisons) == bool(self.unmeasurable):
            raise ValueError("a claim has either comparisons or unmeasurable")
        return self


class _File(Strict):
    claims: list[Claim]


def read_claims(paper: str, folder: Path | None = None) -> tuple[Claim, ...]:
    """The claims of a paper, in the order of its text; none if it has no file of claims.

    Raises:
        InvalidFile: the file is damaged, or two claims have one name.
        UnknownName: a comparison names a suite or a protocol that does not exist.
    """
    path = (folder or published_folder()) / f"{paper}{SUFFIX}"
    if not path.exists():
        return ()
    claims = read_strict(path, _File).claims
    suites = registry.suites()
    for number, claim in enumerate(claims):
        if claim.id in {other.id for other in claims[:number]}:
            raise InvalidFile(path, f"two claims are named {claim.id}", REMEDY)
        for comparison in claim.comparisons:
            if comparison.suite not in suites:
                raise UnknownName("suite", comparison.suite, suites, f"{path}: {claim.id}")
            registry.find_protocol(comparison.protocol, f"{path}: {claim.id}")
    return tuple(claims)
