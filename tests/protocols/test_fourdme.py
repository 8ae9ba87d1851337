from collections.abc import Callable

import pandas as pd
import pytest

from fer_bench.errors import ProtocolError
from fer_bench.protocols.fourdme import PROTOCOLS
from fer_bench.records import make_index

Index = Callable[..., pd.DataFrame]
(MULTILABEL,) = PROTOCOLS


def test_4dme_has_ten_folds_of_clips_with_several_labels(full: Index, small: Index) -> None:
    index = full("fourdme")
    selected = MULTILABEL.select(index)
    assert len(selected) == 267
    assert selected["label"].str.contains("+", regex=False).sum() > 50
    assert MULTILABEL.truth(selected)[:2] == list(selected["label"][:2])
    assert {len({i[:3] for i in fold.test}) for fold in MULTILABEL.folds(index)} == {4, 5}
    assert {len({i[:3] for i in fold.test}) for fold in MULTILABEL.folds(small("fourdme", 20))} == {2}


def test_4dme_leaves_out_clips_whose_label_is_unknown(small: Index) -> None:
    odd = [("unlabelled", None), ("other word", "happy"), ("half known", "positive+happy"), ("empty", "")]
    rows = [{"id": f"S00/{i}", "subject": "S00", "label": label} for i, label in odd]
    index = pd.concat([small("fourdme", 20), make_index(rows)], ignore_index=True)
    assert len(MULTILABEL.select(index)) == len(small("fourdme", 20))


def test_too_few_subjects_are_refused_in_a_sentence(small: Index) -> None:
    with pytest.raises(
        ProtocolError, match=rf"^{MULTILABEL.id}: 10 .* at least 10 subjects, and the index has 9; .*--subjects"
    ):
        MULTILABEL.folds(small("fourdme", 9))
