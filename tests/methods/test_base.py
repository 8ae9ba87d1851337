"""What all methods share."""

import pytest
import torch
from torch import Tensor

from fer_bench.expressions import BASIC_SIX
from fer_bench.methods.base import Method
from fer_bench.methods.stages import Stage
from fer_bench.records import Batch, Target, TrainingSet
from fer_bench.representations.points import Points


def test_hooks_of_version_0_1_are_still_called_and_warn() -> None:
    """A hook that was silently no longer called would change a training."""
    with pytest.warns(DeprecationWarning, match="now named") as warned:

        class Old(Method):
            def __init__(self, target: Target) -> None:
                super().__init__(target, (Points(count=8),), Stage("first", 1, 2), Stage("second", 1, 2))
                self.calls: list[str] = []

            def forward(self, x: Tensor) -> Tensor:
                return x

            def loss(self, batch: Batch) -> Tensor:
                return batch["input"]

            def observe(self, training: TrainingSet) -> None:
                self.calls.append("observe")

            def enter(self, stage: Stage) -> None:
                super().enter(stage)
                self.calls.append(stage.name)

    assert len(warned) == 2
    method = Old(Target("classification", BASIC_SIX))
    method.setup_from_training_set(TrainingSet((), (), {}, {}, lambda ids: torch.empty(0)))
    method.on_stage_start(method.stages[0])
    assert method.calls == ["observe", "first"]
    assert method.stage is method.stages[0]
