from collections.abc import Callable

import pandas as pd
import pytest

from fer_bench.errors import ProtocolError
from fer_bench.protocols.bu4dfe import PROTOCOLS

Index = Callable[..., pd.DataFrame]
(CV10,) = PROTOCOLS


def test_bu4dfe_has_ten_folds_of_ten_or_eleven_subjects(full: Index) -> None:
    assert {len(fold.test) for fold in CV10.folds(full("bu4dfe"))} == {60, 66}


def test_too_few_subjects_are_refused_in_a_sentence(small: Index) -> None:
    with pytest.raises(
        ProtocolError, match=rf"^{CV10.id}: 10 .* at least 10 subjects, and the index has 9; .*--subjects"
    ):
        CV10.folds(small("bu4dfe", 9))
