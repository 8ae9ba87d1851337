from collections.abc import Callable

import pandas as pd
import pytest

from fer_bench.errors import ProtocolError
from fer_bench.expressions import EXPRESSIONS
from fer_bench.protocols.affectnet import PROTOCOLS
from fer_bench.protocols.base import Protocol

Index = Callable[..., pd.DataFrame]
EIGHT, SEVEN, VA = PROTOCOLS


def test_affectnets_sizes(full: Index) -> None:
    index = full("affectnet")
    (fold,) = EIGHT.folds(index)
    EIGHT.digest(index, "as distributed")
    assert (len(fold.train) + len(fold.val), len(fold.test)) == (287651, 3999)
    label = dict(zip(index["id"].tolist(), index["label"].tolist(), strict=True))
    held = pd.Series([label[i] for i in fold.val]).value_counts()
    assert held["happy"] == round(0.05 * 134415)
    assert held["contempt"] == round(0.05 * 3750)


def test_seven_classes_leave_out_contempt_and_hold_out_the_same_photographs(full: Index) -> None:
    index = full("affectnet")
    ((seven,), (eight,)) = SEVEN.folds(index), EIGHT.folds(index)
    assert (len(seven.train) + len(seven.val), len(seven.test)) == (283901, 3500)
    assert SEVEN.classes == EXPRESSIONS[:7]
    assert set(seven.val) < set(eight.val)
    assert set(seven.train) < set(eight.train)


def test_valence_and_arousal_take_the_eight_classes_that_have_both(small: Index) -> None:
    index = small("affectnet", 20).copy()
    lacking = index.loc[index["label"] == "fear", "id"].iloc[:3].tolist()
    index.loc[index["id"].isin(lacking[:2]), "valence"] = pd.NA
    index.loc[index["id"] == lacking[2], "arousal"] = pd.NA
    index.loc[index["label"] == "uncertain", ["valence", "arousal"]] = 0.5
    selected = VA.select(index)
    assert set(EIGHT.select(index)["id"]) ^ set(selected["id"]) == set(lacking)
    assert VA.outputs == ("valence", "arousal")
    truth = VA.truth(index)
    assert len(truth) == len(index)
    assert all(-1 <= v <= 1 and -1 <= a <= 1 for v, a in VA.truth(selected))
    assert VA.digest(index, "x") != VA.digest(index.assign(valence=index["valence"] / 2), "x")


def test_uncertain_photographs_take_no_part(small: Index) -> None:
    index = small("affectnet", 20)
    assert (index["label"] == "uncertain").sum() == 2
    for protocol in PROTOCOLS:
        assert "uncertain" not in set(protocol.select(index)["label"])


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.id)
def test_a_split_that_is_missing_is_named(protocol: Protocol, small: Index) -> None:
    index = small("affectnet", 20)
    for split in ("train", "val"):
        with pytest.raises(ProtocolError, match=rf"@1: the official {split} split is empty; `fer-bench data check`"):
            protocol.folds(index[index["split"] != split])
