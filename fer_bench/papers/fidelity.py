"""How faithful the suite's copy of a system is to its paper and public code, element by element.

The elements of a system are in `leaderboards/published/<paper>_fidelity.yaml`, from which its page is generated.
"""

from collections import Counter
from pathlib import Path
from typing import Literal, get_args

import pydantic

from fer_bench.papers.claims_page import markdown_table
from fer_bench.papers.notes import Strict, read_strict
from fer_bench.papers.published import papers, published_folder, read_paper

Group = Literal[
    "architecture",
    "equation",
    "hyper-parameter",
    "preprocessing",
    "augmentation",
    "sampling",
    "schedule",
    "initialisation",
    "selection",
    "protocol",
    "metric",
    "table",
    "figure",
]
State = Literal["equal", "option", "departs", "unknown"]

READING = (
    "*equal*: as in the source that is followed, which is named where paper and code disagree; the tests show it. "
    "*option*: an argument gives what the default does not. *departs*: as in neither, for the reason given. *unknown*: "
    "paper and code are silent, and a value was chosen."
)
HEADER = ("Element", "Paper", "Public code", "Here", "State")


class Element(Strict):
    """One element of a system.

    Attributes:
        group: What it is a part of.
        element: Its name, a noun phrase.
        paper, code, here: What the paper says, what the public code says, and what is done here; `-` for nothing.
        state: See `READING`.
        because: Why; required of `departs` and `unknown`.
        test: `tests/folder/file.py::name`, one or several; required of `equal`.
    """

    group: Group
    element: str = pydantic.Field(min_length=1)
    paper: str = pydantic.Field(min_length=1)
    code: str = pydantic.Field(min_length=1)
    here: str = pydantic.Field(min_length=1)
    state: State
    because: str = ""
    test: str | list[str] = ""

    @property
    def tests(self) -> list[str]:
        return [self.test] if isinstance(self.test, str) and self.test else list(self.test)

    @pydantic.model_validator(mode="after")
    def _is_supported(self) -> "Element":
        if self.state == "equal" and not self.tests:
            raise ValueError(f"{self.element} is equal, and no test is named")
        if self.state in ("departs", "unknown") and not self.because:
            raise ValueError(f"{self.element}: {self.state} needs a reason, because")
        return self


class Fidelity(Strict):
    """The elements of a system, and the sources they were compared with."""

    sources: list[str] = pydantic.Field(min_length=1)
    elements: list[Element] = pydantic.Field(min_length=1)

    @property
    def totals(self) -> dict[str, int]:
        """State -> number of elements."""
        counts = Counter(element.state for element in self.elements)
        return {state: counts[state] for state in get_args(State)}


def read_fidelity(folder: Path | None = None) -> dict[str, Fidelity]:
    """Paper -> its elements, for the papers that have a file; raises `InvalidFile`."""
    place = folder or published_folder()
    files = {name: place / f"{name}_fidelity.yaml" for name in papers(folder)}
    return {name: read_strict(path, Fidelity) for name, path in files.items() if path.exists()}


def page(paper: str, fidelity: Fidelity) -> str:
    """The page of a system, in Markdown: sources, totals, and one table per group."""
    totals = ", ".join(f"{count} {state}" for state, count in fidelity.totals.items() if count)
    parts = [
        f"# Fidelity: {read_paper(paper).notes.title}\n",
        f"{len(fidelity.elements)} elements: {totals}. {READING}\n",
        "Sources:\n",
        "\n".join(f"- {source}" for source in fidelity.sources) + "\n",
    ]
    for group in get_args(Group):
        rows = [_row(element) for element in fidelity.elements if element.group == group]
        if rows:
            parts.append(f"## {group.capitalize()}\n\n{markdown_table(rows, ())}")
    return "\n".join(parts)


def _row(element: Element) -> dict[str, str]:
    named = ", ".join(f"`{test}`" for test in element.tests)
    state = "; ".join(filter(None, (element.state, element.because, named)))
    return dict(zip(HEADER, (element.element, element.paper, element.code, element.here, state), strict=True))
