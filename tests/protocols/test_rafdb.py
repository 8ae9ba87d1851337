from collections.abc import Callable

import pandas as pd
import pytest

from fer_bench.errors import ProtocolError
from fer_bench.protocols.rafdb import PROTOCOLS

Index = Callable[..., pd.DataFrame]
(SEVEN,) = PROTOCOLS


def test_rafdbs_sizes(full: Index) -> None:
    (fold,) = SEVEN.folds(full("rafdb"))
    assert (len(fold.train) + len(fold.val), len(fold.test)) == (12271, 3068)
    assert len(fold.val) == 613
    assert all(i.startswith("train_") for i in fold.train + fold.val)


def test_a_split_that_is_missing_is_named(small: Index) -> None:
    index = small("rafdb", 20)
    for split in ("train", "test"):
        with pytest.raises(ProtocolError, match=rf"@1: the official {split} split is empty; `fer-bench data check`"):
            SEVEN.folds(index[index["split"] != split])
