"""What is measured of the meshes that a method of disentanglement predicts, one row a test mesh."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fer_bench import registry
from fer_bench.data.base import FaceDataModule
from fer_bench.data.fold_batches import FoldDataModule
from fer_bench.errors import InvalidFile
from fer_bench.geometry.neutral import neutral_faces
from fer_bench.metrics.disentanglement import MEASURES, measure_meshes, rank1, vertex_distance
from fer_bench.records import atomic_write, twin_folder
from fer_bench.representations.cache_entry import CacheEntry
from fer_bench.twins.base import read_marker
from fer_bench.twins.face import procedural_face

_PROBE_FOLDS = 5


def save_meshes(folder: Path, ids: Sequence[str], predicted: dict[str, NDArray[np.float32]]) -> None:
    """Write each array that was predicted as `<name>.npy`, rows in the order of the ids, as `predictions.parquet`."""
    order = np.argsort(np.array(ids, dtype=object), kind="stable")
    for name, array in predicted.items():
        with atomic_write(folder / f"{name}.npy") as file:
            np.save(file, array[order], allow_pickle=False)


def measure_faces(
    data: FoldDataModule, ids: Sequence[str], predicted: dict[str, NDArray[np.float32]]
) -> NDArray[np.float64]:
    """`fer_bench.metrics.disentanglement.MEASURES` of each test mesh, (N, len(MEASURES)).

    Args:
        ids: Of the test meshes, in the order of the rows of `predicted`.
        predicted: See `fer_bench.methods.base.Method.predict`.
    """
    entry, samples = data.entry, data.samples
    assert isinstance(entry, CacheEntry), "protocols of meshes take one dataset each"
    subject = samples.dropna(subset="subject").set_index("id")["subject"].to_dict()
    label = samples.dropna(subset="label").set_index("id")["label"].to_dict()
    tested = [subject[i] for i in ids]
    people = dict.fromkeys(tested)
    neutral = neutral_of(data, tested)
    truth = data.read(ids)
    identity, reconstruction = predicted.get("identity"), predicted.get("reconstruction")
    found = measure_meshes(truth, tested, neutral, reconstruction=reconstruction, identity=identity)
    if identity is not None:
        _recognise(found, truth, tested, [label.get(i, "") for i in ids], neutral, identity, predicted)
    codes = predicted.get("identity_code"), predicted.get("expression_code")
    shown = np.array([label.get(i, "") for i in ids], dtype=object)
    if codes[0] is not None and codes[1] is not None:
        # A subject whom the probe has seen with this expression, or an expression that it has seen of this subject, is
        # one that it may know by heart.
        found["leak_identity"] = probe(codes[1], np.array(tested, dtype=object), groups=shown)
        found["leak_expression"] = probe(codes[0], shown, groups=np.array(tested, dtype=object))
    if identity is not None and (true := _true_identities(data, entry, people)):
        known = np.array([person in true for person in tested])
        real = np.stack([true[person] for person in tested if person in true])
        found["identity"][known] = vertex_distance(identity[known], real)
        if reconstruction is not None:
            moved = reconstruction[known] - identity[known]
            found["expression"][known] = vertex_distance(moved, truth[known] - real)
    return np.stack([found[name] for name in MEASURES], axis=1)


def neutral_of(data: FoldDataModule, subjects: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Subject -> neutral face (V, 3) in millimetres, of those who have one: made from all meshes of theirs, also where
    some of them train, as the public code does; for test subjects these are the only ones.
    """
    samples = data.samples
    own = samples[samples["subject"].isin(set(subjects)) & samples["id"].isin(data.entry.rows)]
    label = own.dropna(subset="label").set_index("id")["label"].to_dict()
    return neutral_faces(own["id"].tolist(), own.set_index("id")["subject"].to_dict(), label, data.read)


def _recognise(
    found: dict[str, NDArray[np.float64]],
    truth: NDArray[np.float32],
    tested: list[str],
    shown: list[str],
    neutral: dict[str, NDArray[np.float32]],
    identity: NDArray[np.float32],
    predicted: dict[str, NDArray[np.float32]],
) -> None:
    """Rank-1 recognition in a gallery of one test mesh a subject: their neutral scan, or what is nearest to their
    neutral face. The other test meshes are probes, and none of them is in the gallery."""
    who = np.array(tested, dtype=object)
    gallery = []
    for person, face in neutral.items():
        rows = np.flatnonzero(who == person)
        plain = [row for row in rows if shown[row] == "neutral"]
        if len(rows):
            gallery.append(plain[0] if plain else rows[int(vertex_distance(truth[rows], face).argmin())])
    probes = np.setdiff1d(np.arange(len(who)), gallery)
    if len(gallery) < 2 or not len(probes):
        return
    names, asked = who[gallery].tolist(), who[probes].tolist()
    # One probe at a time: all distances of vertices would not fit into memory.
    far = [np.linalg.norm(identity[gallery] - identity[probe], axis=-1).sum(-1) for probe in probes]
    found["rank1_mesh"][probes] = rank1(np.stack(far), names, asked)
    if (code := predicted.get("identity_code")) is not None:
        unit = code / np.maximum(np.linalg.norm(code, axis=1, keepdims=True), 1e-12)
        found["rank1_code"][probes] = rank1(-unit[probes] @ unit[gallery].T, names, asked)


def probe(
    codes: NDArray[np.floating], answers: NDArray[np.object_], groups: NDArray[np.object_]
) -> NDArray[np.float64]:
    """Whether a logistic regression finds the answer in a code that it was not fitted on, 1 or 0, (N,): five folds,
    none with a group of another. NaN where it is undefined: an answer that is in no other fold.

    Args:
        codes: (N, L).
        answers, groups: (N,).
    """
    right = np.full(len(codes), np.nan)
    count = min(_PROBE_FOLDS, len(set(groups.tolist())))
    if count < 2:
        return right
    for train, test in GroupKFold(count).split(codes, answers, groups):
        known = set(answers[train].tolist())
        asked = np.array([row for row in test if answers[row] in known], dtype=np.int64)
        if len(known) < 2 or not len(asked):
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(codes[train], answers[train].astype(str))
        right[asked] = model.predict(codes[asked]) == answers[asked].astype(str)
    return right


def _true_identities(
    data: FoldDataModule, entry: CacheEntry, people: dict[str, None]
) -> dict[str, NDArray[np.float32]]:
    """Subject -> face without expression (V, 3), of a twin whose meshes have the face model's topology; empty where it
    is unknown."""
    (dataset,) = data.protocol.datasets
    twin = registry.load_twin(dataset) if dataset in registry.twins() else None
    root = twin_folder(data.root) if isinstance(data, FaceDataModule) else None
    if twin is None or twin.identity is None or root is None:
        return {}
    model = procedural_face()
    try:
        seed = int(read_marker(root, model)["seed"])
    except (InvalidFile, KeyError, TypeError, ValueError):
        return {}  # made with a face model of the user's, or by another version
    kept = entry.shared("kept")
    return {person: face[kept].astype(np.float32) for person, face in twin.identity(model, seed, list(people)).items()}
