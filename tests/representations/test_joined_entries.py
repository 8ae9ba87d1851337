from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.representations.cache_entry import CacheEntry
from fer_bench.representations.joined_entries import JoinedEntry, StackedRows


@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(any), data=st.data())
def test_rows_are_those_of_one_long_array(sizes: list[int], data: st.DataObject) -> None:
    arrays = [np.random.default_rng(k).normal(size=(size, 2)) for k, size in enumerate(sizes)]
    whole, stacked = np.concatenate(arrays), StackedRows(cast(Any, arrays))
    rows = np.array(data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=9)), dtype=np.int64)
    assert len(stacked) == len(whole)
    assert np.array_equal(stacked[rows], whole[rows])


def fake(rows: dict[str, tuple[int, int]], broken: dict[str, str], size: int, start: float) -> CacheEntry:
    array = start + np.arange(size, dtype=np.float32)[:, None]
    return cast(CacheEntry, SimpleNamespace(rows=rows, broken=broken, open=lambda: array))


def test_samples_are_named_by_their_dataset() -> None:
    first = fake({"a": (0, 1), "b": (1, 2)}, {"x": "cut short"}, 3, 0.0)
    second = fake({"a": (0, 2)}, {}, 2, 100.0)
    entry = JoinedEntry({"bu4dfe": first, "bp4d": second})
    assert entry.rows == {"bu4dfe/a": (0, 1), "bu4dfe/b": (1, 2), "bp4d/a": (3, 2)}
    assert entry.broken == {"bu4dfe/x": "cut short"}
    assert entry.open()[np.array([4, 1, 3])].ravel().tolist() == [101.0, 1.0, 100.0]
    with pytest.raises(IndexError):
        entry.open()[np.array([5])]
