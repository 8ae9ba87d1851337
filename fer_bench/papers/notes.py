"""Notes on a paper's tables, and its known faults (`<paper>_notes.yaml`)."""

from pathlib import Path
from typing import TypeVar

import pydantic
import yaml

from fer_bench.errors import InvalidFile
from fer_bench.yaml_text import read_yaml

REMEDY = "Restore the file from the repository."

_Model = TypeVar("_Model", bound=pydantic.BaseModel)


class Strict(pydantic.BaseModel):
    """A part of a hand-written file: an unknown key or a value of another type is an error."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


class TableNotes(Strict):
    """Title, notes and figures of one table. If its figures are drawn from the suites of other tables, also these
    suites and their entries and protocols (all if none is named)."""

    title: str = ""
    notes: list[str] = []
    figures: list[str] = []
    suites: list[str] = []
    entries: list[str] = []
    protocols: list[str] = []


class Concerned(Strict):
    """Rows of one table, selected by methods, datasets, evaluations and metrics as printed; empty lists select all."""

    table: str
    methods: list[str] = []
    datasets: list[str] = []
    evaluations: list[str] = []
    metrics: list[str] = []


class Fault(Strict):
    """An error or omission in a paper.

    Attributes:
        id: A name for it, unique in the paper.
        fault: What is wrong, in a sentence.
        evidence: The evidence for it, in a sentence.
        instead: What the suites do, in a sentence.
        rows: The printed values that it concerns; none for an equation or a claim.
        incomparable: Why no result is comparable with these values, in a few words; empty if results are.
    """

    id: str = pydantic.Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    fault: str = pydantic.Field(min_length=1)
    evidence: str = pydantic.Field(min_length=1)
    instead: str = pydantic.Field(min_length=1)
    rows: list[Concerned] = []
    incomparable: str = ""


class Notes(Strict):
    """Notes on a paper; `notes` apply to all its tables."""

    title: str
    notes: list[str] = []
    faults: list[Fault] = []
    tables: dict[str, TableNotes] = {}

    @pydantic.field_validator("faults")
    @classmethod
    def _each_once(cls, faults: list[Fault]) -> list[Fault]:
        twice = [fault.id for number, fault in enumerate(faults) if fault.id in {f.id for f in faults[:number]}]
        if twice:
            raise ValueError(f"two faults are named {twice[0]}")
        return faults


def read_notes(path: Path) -> Notes:
    """Read the notes on a paper; raises `InvalidFile`."""
    return read_strict(path, Notes)


def read_strict(path: Path, model: type[_Model]) -> _Model:
    """Read and validate a hand-written YAML file; raises `InvalidFile`, which names the first problem and its place."""
    try:
        return model.model_validate(read_yaml(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidFile(path, f"is not readable YAML ({' '.join(str(error).split())})", REMEDY) from None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidFile(path, f"{place}: {message[0].lower()}{message[1:]}", REMEDY) from None
