from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from fer_bench.errors import ProtocolError
from fer_bench.protocols.coma import PROTOCOLS
from fer_bench.records import make_index

Index = Callable[..., pd.DataFrame]
SLICED, WINDOWS, IDENTITY = PROTOCOLS


def runs(ids: tuple[str, ...]) -> Counter[int]:
    """Lengths of the runs of successive frames within a sequence."""
    lengths: list[int] = []
    previous = ("", -1)
    for i in ids:
        sequence, _, frame = i.rpartition("/")
        if (sequence, int(frame)) == (previous[0], previous[1] + 1):
            lengths[-1] += 1
        else:
            lengths.append(1)
        previous = (sequence, int(frame))
    return Counter(lengths)


def one_sequence(length: int) -> pd.DataFrame:
    return make_index([{"id": f"s/a/{n:06d}", "subject": "s", "label": "a"} for n in range(1, length + 1)])


def test_slices_are_ten_of_every_hundred_in_order_of_id(full: Index) -> None:
    index = full("coma")
    (fold,) = SLICED.folds(index)
    assert (len(fold.train), len(fold.val), len(fold.test)) == (16366, 2050, 2050)
    assert len(fold.train) + len(fold.val) == 18416
    ids = sorted(index["id"])
    assert [fold.test[0], fold.test[9], fold.test[10]] == [ids[0], ids[9], ids[100]]
    assert fold.val[0] == ids[10]
    assert fold.train[0] == ids[20]
    assert fold.test[-1] == ids[20409], "the last, unfinished hundred is sliced too"


def test_a_broken_mesh_does_not_shift_the_slices(full: Index) -> None:
    (whole,) = SLICED.folds(full("coma"))
    (without,) = SLICED.folds(full("coma"), broken=[whole.train[0]])
    assert without.test == whole.test
    assert without.train == whole.train[1:]


def test_windows_are_ten_successive_meshes_and_never_overlap(full: Index) -> None:
    (fold,) = WINDOWS.folds(full("coma"))
    assert (len(fold.train), len(fold.val), len(fold.test)) == (16386, 2040, 2040)
    for ids in (fold.test, fold.val):
        lengths = runs(ids)
        assert all(length % 10 == 0 for length in lengths), "windows may touch, but each is whole"
        assert sum(length // 10 * count for length, count in lengths.items()) == 204
    assert len({i.rpartition("/")[0] for i in fold.test}) > 90, "from most of the 144 sequences"


def test_windows_are_the_same_whatever_the_state_of_numpy(full: Index) -> None:
    np.random.seed(1)
    first = WINDOWS.folds(full("coma"))
    np.random.seed(2)
    assert WINDOWS.folds(full("coma").sample(frac=1, random_state=3)) == first


def test_windows_do_not_cross_from_one_sequence_to_the_next() -> None:
    rows = [
        {"id": f"s/{name}/{n:06d}", "subject": "s", "label": name}
        for name in ("a", "a-b", "ab", "b")
        for n in range(1, 26)
    ]
    (fold,) = WINDOWS.folds(make_index(rows))
    for ids in (fold.test, fold.val):
        assert runs(ids) == {10: 1}
        assert len({i.rpartition("/")[0] for i in ids}) == 1


def test_identities_are_kept_apart_in_four_folds_of_three(full: Index) -> None:
    folds = IDENTITY.folds(full("coma"))
    assert [len({i.partition("/")[0] for i in fold.test}) for fold in folds] == [3, 3, 3, 3]
    assert [len({i.partition("/")[0] for i in fold.train}) for fold in folds] == [6, 6, 6, 6]


def test_too_little_is_refused_in_a_sentence(small: Index) -> None:
    with pytest.raises(ProtocolError, match=r"^coma-identity@1: 4 .* at least 4 subjects, and the index has 3; "):
        IDENTITY.folds(small("coma", 3))
    with pytest.raises(ProtocolError, match=r"^coma-interpolation@1: the first twenty .* and the index has 20; "):
        SLICED.folds(one_sequence(20))
    assert len(SLICED.folds(one_sequence(21))[0].train) == 1
    with pytest.raises(ProtocolError, match=r"^coma-interpolation-windows@1: 2 windows .* and 1 fit into"):
        WINDOWS.folds(one_sequence(19))
    with pytest.raises(ProtocolError, match=r"and 2 fit into .* leave something to train on"):
        exactly = pd.concat([one_sequence(10), one_sequence(10).assign(id=lambda x: "t" + x["id"])], ignore_index=True)
        WINDOWS.folds(exactly)


def test_short_sequences_give_no_window() -> None:
    rows = [{"id": f"s{s}/a/{n:06d}", "subject": f"s{s}", "label": "a"} for s in range(40) for n in range(1, 10)]
    with pytest.raises(ProtocolError, match=r"6 windows of 10 successive meshes .* and 0 fit into"):
        WINDOWS.folds(make_index(rows))
