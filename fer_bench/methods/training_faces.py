"""Statistics of a training fold of registered meshes."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from fer_bench.geometry.neutral import neutral_faces
from fer_bench.records import TrainingSet


def chunks(training: TrainingSet, size: int = 256) -> Iterator[Tensor]:
    """All training meshes, `size` at a time: together they may exceed memory."""
    for start in range(0, len(training.train), size):
        yield training.read(training.train[start : start + size])


def mean_and_radius(training: TrainingSet) -> tuple[Tensor, float]:
    """Mean of all training meshes, (V, 3) float64, and the largest distance of a vertex from the origin."""
    total: Tensor | float = 0.0
    radius = 0.0
    for faces in chunks(training):
        total = total + faces.sum(0, dtype=torch.float64)
        radius = max(radius, float(faces.norm(dim=-1).max()))
    return torch.as_tensor(total) / len(training.train), radius


def neutral_of(training: TrainingSet) -> dict[str, Tensor]:
    """Training subject -> neutral face (V, 3) in millimetres, of those who have one among the samples of the fold."""
    ids = (*training.train, *training.auxiliary)
    found = neutral_faces(ids, training.subject, training.label, lambda requested: training.read(requested).numpy())
    return {subject: torch.from_numpy(face) for subject, face in found.items()}


def draw_partners(
    training: TrainingSet, by_subject: Mapping[str, Sequence[str]], ids: Sequence[str], same: Sequence[bool]
) -> list[str]:
    """A random training sample for each of `ids`: of the same subject, possibly itself, or of another subject.

    Args:
        by_subject: Subject -> its training samples.
        same: For each id, whether the partner is of the same subject.
    """
    subjects = list(by_subject)
    partners = []
    for i, alike in zip(ids, same, strict=True):
        subject = training.subject[i]
        if not alike:
            place = subjects.index(subject) + 1 + int(torch.randint(len(subjects) - 1, ()))
            subject = subjects[place % len(subjects)]
        samples = by_subject[subject]
        partners.append(samples[int(torch.randint(len(samples), ()))])
    return partners


def faces_of_subjects(
    training: TrainingSet, faces: Mapping[str, Tensor], ids: Sequence[str], like: Tensor
) -> tuple[list[int], Tensor]:
    """Positions in `ids` whose subject is in `faces`, and their faces (n, V, 3), of the type of `like` (V, 3)."""
    subjects = [training.subject[i] for i in ids]
    positions = [position for position, subject in enumerate(subjects) if subject in faces]
    found = [faces[subjects[position]] for position in positions]
    return positions, torch.stack(found).to(like) if found else like[None, :0]
