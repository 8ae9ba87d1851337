"""Suites: a YAML file of differences, validated whole before anything starts."""

from collections.abc import Iterator
from typing import Any, Literal

import pydantic

from fer_bench import registry
from fer_bench.predictions.fusion import Fusion
from fer_bench.protocols import Protocol
from fer_bench.suites.selection import Selection, default_selection

_STRICT = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


class TrainerOptions(pydantic.BaseModel):
    """Options of Lightning's trainer that a suite may set; names and meanings are Lightning's.

    `max_epochs` replaces the method's own length of training, of every stage where there are several; results of
    shortened runs say so.
    """

    model_config = _STRICT

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: pydantic.PositiveInt = 1
    num_nodes: pydantic.PositiveInt = 1
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    max_epochs: pydantic.PositiveInt | None = None
    accumulate_grad_batches: pydantic.PositiveInt = 1
    gradient_clip_val: pydantic.PositiveFloat | None = None


class Suite(pydantic.BaseModel):
    """What to run: every protocol x entry x fold x seed, an entry being a method with its arguments, or a fusion.

    Attributes:
        title: One line for the table's head.
        paper, table: What the suite reproduces, if anything.
        protocols: Protocol ids.
        methods: Entry name -> {method: id, any argument of its constructor, and `trainer` and `selection`, in which it
            differs from the others}.
        predictions: Entry name -> a file of somebody's predictions, in place of a method; a suite may leave the file to
            `--set predictions.NAME=FILE`.
        fusions: Entry name -> which of these it fuses, and how.
        reference: The entry that tables compare the others with.
        folds: Numbers of the folds to run; by default all of them, of as many divisions as `repeats` says.
        repeats: Of protocols that divide their samples several times, how many of the divisions to run.
        seeds: Training seeds.
        trainer: Differences from the trainer's defaults.
        loggers: Trackers that receive every training besides its TensorBoard and CSV logs.
        selection: Which epoch is scored, see `fer_bench.suites.selection`; by default that of the task.
    """

    model_config = _STRICT

    title: str = ""
    paper: str | None = None
    table: str | None = None
    protocols: list[str] = pydantic.Field(min_length=1)
    methods: dict[str, dict[str, Any]] = {}
    predictions: dict[str, str | None] = {}
    fusions: dict[str, Fusion] = {}
    reference: str | None = None
    folds: list[pydantic.NonNegativeInt] | None = pydantic.Field(default=None, min_length=1)
    repeats: pydantic.PositiveInt = 1
    seeds: list[pydantic.NonNegativeInt] = pydantic.Field(default=[0], min_length=1)
    trainer: TrainerOptions = TrainerOptions()
    loggers: list[Literal["mlflow", "wandb"]] = []
    selection: Selection | None = None

    @property
    def entries(self) -> list[str]:
        """Names of all entries, in order."""
        return [*self.methods, *self.predictions, *self.fusions]

    def trainer_of(self, entry: str) -> TrainerOptions:
        """The trainer's options of one method entry."""
        own = self.methods.get(entry, {}).get("trainer", {})
        return TrainerOptions.model_validate({**self.trainer.model_dump(), **own})

    def selection_of(self, entry: str, protocol: Protocol) -> Selection:
        """Which epoch of one method entry is scored."""
        chosen: Selection | None = self.methods.get(entry, {}).get("selection", self.selection)
        return chosen or default_selection(protocol.task)

    def folds_of(self, protocol: Protocol) -> list[int]:
        """Numbers of the folds of a protocol that the suite runs."""
        if self.folds:
            return self.folds
        return list(range(protocol.num_folds // protocol.repeats * min(self.repeats, protocol.repeats)))

    def shortened(self, protocol: Protocol) -> str:
        """Which of a protocol's folds the suite runs, in words; empty where it runs all."""
        if self.folds:
            every = len(self.folds) == protocol.num_folds
            return "" if every else f"only folds {', '.join(map(str, self.folds))} of {protocol.num_folds}"
        return "" if self.repeats >= protocol.repeats else f"{self.repeats} of {protocol.repeats} divisions"

    def identities(self) -> Iterator[tuple[str, str, int, int]]:
        """(protocol, entry, fold, seed) of every cell, in the order they are tabulated."""
        for protocol in self.protocols:
            folds = self.folds_of(registry.find_protocol(protocol))
            for entry in self.entries:
                for fold in folds:
                    for seed in self.seeds:
                        yield protocol, entry, fold, seed
