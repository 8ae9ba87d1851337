"""What batches tell of samples."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fer_bench.data.fold_batches import FoldDataModule
from fer_bench.expressions import EXPRESSIONS
from fer_bench.protocols import PROTOCOLS
from fer_bench.records import Batch, make_index

EACH = {name: 12 * (place + 1) for place, name in enumerate(EXPRESSIONS)}  # neutral is the rarest


class Entry:
    """A cache entry that holds each sample's number."""

    def __init__(self, ids: list[str]) -> None:
        self.broken: dict[str, str] = {}
        self.rows = {i: (number, 1) for number, i in enumerate(ids)}

    def open(self) -> np.ndarray:
        return np.arange(len(self.rows), dtype=np.float32)[:, None]


def module(protocol: str, batch_size: int = 16) -> FoldDataModule:
    """As of AffectNet: each photograph has an expression, a valence and an arousal, some of them no ratings."""
    rows: list[dict[str, Any]] = [
        {
            "id": f"{split}/{name}{number:03d}",
            "label": name,
            "split": split,
            "valence": number / 200,
            "arousal": -number / 200,
            "files": ("a.jpg",),
        }
        for name, count in EACH.items()
        for split, size in (("train", count), ("val", 4))
        for number in range(size)
    ]
    index = make_index(rows)
    return FoldDataModule(index, PROTOCOLS[protocol], 0, Entry(index["id"].tolist()), batch_size)  # type: ignore[arg-type]


def samples(loader: Any) -> list[tuple[str, dict[str, torch.Tensor]]]:
    found = []
    for batch in loader:
        known = {key: value for key, value in batch.items() if key != "id"}
        found += [(i, {key: value[place] for key, value in known.items()}) for place, i in enumerate(batch["id"])]
    return found


@pytest.mark.parametrize("protocol", ["affectnet8@1", "affectnet7@1", "affectnet-va@1"])
def test_training_samples_come_with_all_that_is_known(protocol: str) -> None:
    data = module(protocol)
    asked = data.protocol
    for loader in (data.train_dataloader(), data.val_dataloader()):
        for i, known in samples(loader):
            name, number = i.partition("/")[2][:-3], int(i[-3:])
            assert EXPRESSIONS[int(known["expression"])] == name
            torch.testing.assert_close(known["affect"], torch.tensor([number / 200, -number / 200]))
            if asked.task == "classification":
                assert asked.classes[int(known["label"])] == name
            else:
                assert torch.equal(known["label"], known["affect"])


def test_tested_samples_come_with_nothing() -> None:
    for protocol in ("affectnet8@1", "affectnet-va@1"):
        for _, known in samples(module(protocol).predict_dataloader()):
            assert set(known) == {"input", "label"}
            assert (known["label"] == -1) if protocol == "affectnet8@1" else known["label"].isnan().all()


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("size", [4, 7])
def test_processes_predict_every_sample_once_and_train_the_batches_of_one(processes: int, size: int) -> None:
    def loaded(rank: int, of: int, batch_size: int) -> tuple[list[list[str]], ...]:
        data = module("affectnet8@1", batch_size)
        # Neither is a multiple of anything.
        data.fold = replace(data.fold, val=data.fold.val[:19], test=data.fold.test[:29], train=data.fold.train[:101])
        data.trainer = SimpleNamespace(world_size=of, global_rank=rank)  # type: ignore[assignment]
        loaders = data.train_dataloader(), data.val_dataloader(), data.predict_dataloader()
        return tuple([batch["id"] for batch in loader] for loader in loaders)

    ranks = [loaded(rank, processes, size) for rank in range(processes)]
    train, val, test = loaded(0, 1, processes * size)
    for number, asked in ((1, val), (2, test)):
        together = [i for rank in ranks for batch in rank[number] for i in batch]
        assert sorted(together) == sorted(i for batch in asked for i in batch)
        assert len(set(together)) == len(together) == (19, 29)[number - 1]
    assert {len(rank[0]) for rank in ranks} == {len(train)}
    for number, batch in enumerate(train):
        assert [rank[0][number] for rank in ranks] == [batch[rank::processes] for rank in range(processes)]


def test_what_nobody_rated_is_told_so() -> None:
    data = module("affectnet8@1")
    data._beside.loc[data.fold.train[0], ["label", "valence"]] = None
    known = dict(samples(data.train_dataloader()))[data.fold.train[0]]
    assert known["expression"] == -1
    assert known["affect"].isnan().tolist() == [True, False]


def test_every_expression_is_seen_equally_often_where_asked() -> None:
    data = module("affectnet-va@1")
    count = len(data.fold.train)
    data.sampling = "balanced"
    drawn = [int(known["expression"]) for _, known in samples(data.train_dataloader())]
    assert len(drawn) == count
    shares = np.bincount(drawn, minlength=8) / count
    np.testing.assert_allclose(shares, 1 / 8, atol=0.05)
    data.sampling = "rarest"
    ids = [i for i, _ in samples(data.train_dataloader())]
    each = [sum(i.startswith(f"train/{name}") for i in ids) for name in EXPRESSIONS]
    assert len(set(ids)) == len(ids)
    assert set(each) == {sum(i.startswith("train/neutral") for i in data.fold.train)}
    assert [i for i, _ in samples(data.train_dataloader())] == ids, "the same ones for the whole training"


def test_by_default_each_comes_once() -> None:
    data = module("affectnet8@1")
    batches: list[Batch] = list(data.train_dataloader())
    ids = [i for batch in batches for i in batch["id"]]
    assert sorted(ids) == sorted(data.fold.train)
    assert ids != sorted(ids)
