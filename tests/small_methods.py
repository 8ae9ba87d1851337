"""Every method, small enough for a test, and batches and training folds made for it."""

from functools import cache
from typing import get_type_hints

import numpy as np
import torch

from fer_bench import registry
from fer_bench.expressions import BASIC_SIX, EXPRESSIONS, FOURDME_EMOTIONS
from fer_bench.geometry.mean_face import mean_face
from fer_bench.geometry.simplification import simplify
from fer_bench.methods.base import Method
from fer_bench.records import Batch, Target, TrainingSet
from fer_bench.representations.photo_morphable import PhotoMorphable

TARGETS = {
    "classification": Target("classification", BASIC_SIX[:5]),
    "multilabel": Target("multilabel", FOURDME_EMOTIONS),
    "valence_arousal": Target("valence_arousal", ("valence", "arousal")),
    "disentanglement": Target("disentanglement", ()),
}
VERTICES = 60
MADE_FOR = [(name, task) for name in registry.methods() for task in registry.load_method(name).tasks]
OFFERS = (frozenset({"mesh", "texture", "landmarks"}), frozenset({"sequence", "texture"}), frozenset({"photo"}))
"""What datasets have of their samples."""


def small(name: str) -> dict[str, object]:
    """Arguments that make a method small enough for a test: its smallest size, where it has sizes, without weights
    from elsewhere."""
    constructor = registry.load_method(name).__init__
    hints = get_type_hints(constructor)
    chosen: dict[str, object] = {"size": "nano"} if "nano" in getattr(hints.get("size"), "__args__", ()) else {}
    smaller = {"points": 128, "image_size": 32}
    chosen |= {key: value for key, value in smaller.items() if chosen and key in hints}
    chosen |= {"count": VERTICES} if "count" in hints else {}
    return chosen | ({"pretrained": False} if "pretrained" in hints else {})


@cache
def build(name: str, task: str) -> Method:
    torch.manual_seed(0)
    return attached(registry.load_method(name)(TARGETS[task], **small(name)))


def attached(method: Method) -> Method:
    """The method, knowing the meshes that `batch_for` makes."""
    if method.shaped_by_data:
        face = mean_face()
        kept = simplify(face.vertices, face.triangles, VERTICES)
        shared = {"triangles": kept.triangles, "template": face.vertices[kept.kept]}
        method.configure_for_input(batch_for(method, 1)["input"].shape[1:], shared.__getitem__)
    return method


def batch_for(method: Method, size: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    first = method.representations[0]
    offered = next(offer for offer in OFFERS if offer.intersection(first.takes))
    shape = (size, *first.resolve(offered).shape)
    if isinstance(first, PhotoMorphable):
        photos = torch.randint(0, 256, (size, *first.photo.shape), generator=generator, dtype=torch.uint8)
        inputs = first.pack(photos, torch.randn(size, *first.parameters.shape, generator=generator))
    elif first.dtype == np.uint8:
        inputs = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    else:
        inputs = 2 * torch.rand(shape, generator=generator) - 1
    classes = len(method.target.outputs)
    affect = 2 * torch.rand(size, 2, generator=generator) - 1
    if method.target.task == "valence_arousal":
        labels = affect
    elif method.target.task == "multilabel":
        labels = torch.randint(0, 2, (size, classes), generator=generator).float()
    elif classes:
        labels = torch.randint(0, classes, (size,), generator=generator)
    else:
        labels = torch.full((size,), -1)
    expression = torch.randint(0, len(EXPRESSIONS), (size,), generator=generator)
    known: Batch = {"id": [f"s{i}" for i in range(size)], "input": inputs, "label": labels}
    return {**known, "expression": expression, "affect": affect}


def training_for(method: Method) -> TrainingSet:
    """Two people who show every class, whose scans have the ids of a batch's, and a further scan of each."""
    batch, classes = batch_for(method, 16), method.target.outputs or ("neutral", *BASIC_SIX)
    scans = dict(zip(batch["id"], batch["input"], strict=True))
    ids, more = batch["id"][:14], tuple(batch["id"][14:])
    label = {i: classes[number % len(classes)] for number, i in enumerate(ids)}
    subject = {i: f"p{number % 2}" for number, i in enumerate(batch["id"])}
    return TrainingSet(tuple(ids), more, subject, label, lambda asked: torch.stack([scans[i] for i in asked]))
