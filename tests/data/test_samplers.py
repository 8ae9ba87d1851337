"""Which training samples an epoch has."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.data.samplers import BalancedSampler, OrderedSampler, PartSampler, ShuffledSampler, rarest
from fer_bench.errors import ProtocolError

CLASSES = torch.tensor([0] * 900 + [1] * 90 + [3] * 9 + [-1] * 100)


def drawn(replicas: int = 1, rank: int = 0, epoch: int = 0, seed: int = 0) -> list[int]:
    sampler = BalancedSampler(CLASSES, 7, replicas, rank, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_every_class_is_equally_likely_and_what_has_none_is_left_out() -> None:
    counts = torch.bincount(CLASSES[torch.tensor([i for epoch in range(20) for i in drawn(epoch=epoch)])])
    assert counts.sum() == 20 * len(CLASSES)
    share = counts[[0, 1, 3]] / counts.sum()
    torch.testing.assert_close(share, torch.full((3,), 1 / 3), atol=0.02, rtol=0)
    assert counts[2] == 0
    assert len(set(drawn())) > 300, "of a large class, not the same few"


def test_an_epoch_depends_on_seed_and_number_alone() -> None:
    assert drawn(epoch=3) == drawn(epoch=3)
    assert drawn(epoch=3) != drawn(epoch=4)
    assert drawn(seed=1) != drawn(seed=0)


def in_batches(count: int, size: int, replicas: int, epoch: int = 0, classes: torch.Tensor | None = None) -> list[list]:
    """Of each process, what its batches hold."""
    found = []
    for rank in range(replicas):
        each = (size, replicas, rank)
        sampler = ShuffledSampler(count, *each, seed=1) if classes is None else BalancedSampler(classes, *each, seed=1)
        sampler.set_epoch(epoch)
        numbers = list(sampler)
        assert len(numbers) == len(sampler)
        found.append([numbers[start : start + size] for start in range(0, len(numbers), size)])
    return found


@settings(max_examples=150)
@given(
    count=st.integers(1, 60),
    size=st.integers(1, 7),
    replicas=st.integers(1, 4),
    epoch=st.integers(0, 3),
    balanced=st.booleans(),
)
def test_processes_have_together_the_batches_of_one(
    count: int, size: int, replicas: int, epoch: int, balanced: bool
) -> None:
    classes = torch.arange(count) % 3 if balanced else None
    (alone,) = in_batches(count, size * replicas, 1, epoch, classes)
    ranks = in_batches(count, size, replicas, epoch, classes)
    assert {len(batches) for batches in ranks} == {len(alone)}
    for number, batch in enumerate(alone):
        parts = [batches[number] for batches in ranks]
        if len(batch) >= replicas:
            assert parts == [batch[rank::replicas] for rank in range(replicas)]
        else:  # filled up with its own
            assert all(len(part) == 1 for part in parts)
            assert {part[0] for part in parts} == set(batch)
    if not balanced:
        left_out = count - len({sample for batch in alone for sample in batch})
        assert left_out == (count % (size * replicas) == 1 and count > 1)


@settings(max_examples=100)
@given(count=st.integers(1, 40), replicas=st.integers(1, 5))
def test_processes_predict_each_sample_once(count: int, replicas: int) -> None:
    parts = [list(PartSampler(count, replicas, rank)) for rank in range(replicas)]
    assert all(len(PartSampler(count, replicas, rank)) == len(part) > 0 for rank, part in enumerate(parts))
    if count >= replicas:
        assert sorted(sample for part in parts for sample in part) == list(range(count))
    else:
        assert parts == [list(range(count))] * replicas


def test_an_order_depends_on_seed_and_epoch() -> None:
    orders = [in_batches(30, 30, 1, epoch)[0][0] for epoch in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[2]) == list(range(30))


@settings(max_examples=50)
@given(
    classes=st.lists(st.integers(-1, 4), min_size=1, max_size=60).filter(lambda c: max(c) >= 0), seed=st.integers(0, 9)
)
def test_of_each_class_as_many_as_the_rarest_has(classes: list[int], seed: int) -> None:
    array = np.array(classes)
    places = rarest(array, seed)
    assert len(set(places.tolist())) == len(places)
    least = min(classes.count(name) for name in set(classes) - {-1})
    kept = array[places].tolist()
    assert {name: kept.count(name) for name in set(kept)} == dict.fromkeys(set(classes) - {-1}, least)
    assert np.array_equal(places, rarest(array, seed))


def test_another_seed_draws_others() -> None:
    array = CLASSES.numpy()
    assert not np.array_equal(rarest(array, 0), rarest(array, 1))


def test_without_classes_there_is_nothing_to_balance() -> None:
    with pytest.raises(ProtocolError, match="no training sample has an expression"):
        BalancedSampler(torch.tensor([-1, -1]), 2, seed=0)
    with pytest.raises(ProtocolError, match="no training sample has an expression"):
        rarest(np.array([-1]), 0)


def test_class_after_class_every_epoch() -> None:
    sampler = OrderedSampler(torch.tensor([2, 0, 1, 0, 2]), batch_size=2)
    assert list(sampler) == [1, 3, 2, 0]  # the one that is left over is dropped
    sampler.set_epoch(3)
    assert list(sampler) == [1, 3, 2, 0]
