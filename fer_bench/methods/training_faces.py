"""What methods on registered meshes take from a training fold."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from fer_bench.geometry.neutral import neutral_faces
from fer_bench.records import TrainingSet


def chunks(training: TrainingSet, size: int = 256) -> Iterator[Tensor]:
    """All training meshes, so many at a time: together they may be larger than memory."""
    for start in range(0, len(training.train), size):
        yield training.read(training.train[start : start + size])


def neutral_of(training: TrainingSet) -> dict[str, Tensor]:
    """Training subject -> neutral face (V, 3) in millimetres, of those who have one among the samples of the fold."""
    ids = (*training.train, *training.auxiliary)
    found = neutral_faces(ids, training.subject, training.label, lambda asked: training.read(asked).numpy())
    return {subject: torch.from_numpy(face) for subject, face in found.items()}
