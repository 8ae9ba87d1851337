"""The neutral face of each person of a set of registered meshes."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

STILL = 0.01
"""Frames that moved no more than this share of their sequence's greatest movement are taken for neutral."""


def neutral_faces(
    ids: Sequence[str],
    subject: Mapping[str, str],
    label: Mapping[str, str],
    read: Callable[[Sequence[str]], NDArray[np.floating]],
) -> dict[str, NDArray[np.float32]]:
    """Subject -> neutral face (V, 3) in the meshes' unit, of those who have one.

    It is the mean of the meshes that are labelled neutral. Where a subject has none, as on CoMA, it is the mean of the
    frames of their sequences that have hardly moved: whose vertices are on average no farther from those of the
    sequence's first frame than `STILL` of the farthest frame (the public code of the face disentanglement paper).

    Args:
        ids: Of the meshes. Frames of one sequence share the part before the last slash, in their order.
        subject, label: By id, where they are known.
        read: Ids -> their vertices (n, V, 3).
    """
    own: dict[str, list[str]] = {}
    for i in ids:
        if i in subject:
            own.setdefault(subject[i], []).append(i)
    found = {}
    for person, theirs in own.items():
        neutral = [i for i in theirs if label.get(i) == "neutral"] or _still(theirs, read)
        if neutral:
            found[person] = read(neutral).mean(axis=0, dtype=np.float64).astype(np.float32)
    return found


def _still(ids: Sequence[str], read: Callable[[Sequence[str]], NDArray[np.floating]]) -> list[str]:
    sequences: dict[str, list[str]] = {}
    for i in sorted(ids):
        folder, slash, _ = i.rpartition("/")
        if slash:
            sequences.setdefault(folder, []).append(i)
    found = []
    for frames in sequences.values():
        meshes = read(frames)
        moved = np.linalg.norm(meshes - meshes[0], axis=-1).mean(-1)
        found += [i for i, far in zip(frames, moved, strict=True) if far <= STILL * moved.max()]
    return found
