"""Which training samples an epoch has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.data.sampling import BalancedSampler, rarest
from fer_bench.errors import ProtocolError

CLASSES = torch.tensor([0] * 900 + [1] * 90 + [3] * 9 + [-1] * 100)


def drawn(replicas: int = 1, rank: int = 0, epoch: int = 0, seed: int = 0) -> list[int]:
    sampler = BalancedSampler(CLASSES, replicas, rank, seed=seed)
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


@pytest.mark.parametrize("replicas", [2, 3])
def test_processes_draw_together_what_one_would(replicas: int) -> None:
    parts = [drawn(replicas, rank) for rank in range(replicas)]
    assert len({len(part) for part in parts}) == 1
    together = [part[place] for place in range(len(parts[0])) for part in parts]
    assert together[: len(CLASSES)] == drawn()[: len(together)]


@settings(max_examples=50, deadline=None)
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
        BalancedSampler(torch.tensor([-1, -1]), 1, 0, seed=0)
    with pytest.raises(ProtocolError, match="no training sample has an expression"):
        rarest(np.array([-1]), 0)
