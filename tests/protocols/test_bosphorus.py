from collections.abc import Callable

import pandas as pd
import pytest

from fer_bench.errors import ProtocolError
from fer_bench.expressions import BASIC_SIX
from fer_bench.protocols.bosphorus import PROTOCOLS
from fer_bench.records import make_index

Index = Callable[..., pd.DataFrame]
CV10, DRFER = PROTOCOLS


def scans(*ids: str) -> pd.DataFrame:
    """Rows of the index by their ids; the label is in the id."""
    names = {"ANGER", "DISGUST", "FEAR", "HAPPY", "SADNESS", "SURPRISE"}
    rows = []
    for i in ids:
        subject, kind, code = i.split("_")[:3]
        label = (
            code.lower().removesuffix("ness") if kind == "E" and code in names else "neutral" if kind == "N" else None
        )
        rows.append({"id": i, "subject": subject, "label": label, "files": (f"{i}.bnt",)})
    return make_index(rows)


def six(subject: str, take: int = 0, without: str = "") -> list[str]:
    codes = ("ANGER", "DISGUST", "FEAR", "HAPPY", "SADNESS", "SURPRISE")
    return [f"{subject}_E_{code}_{take}" for code in codes if code != without]


def test_sixty_five_subjects_one_scan_an_expression(full: Index) -> None:
    selected = CV10.select(full("bosphorus"))
    assert (len(selected), selected["subject"].nunique()) == (390, 65)
    assert set(selected.groupby("subject").size()) == {6}
    assert not selected[["subject", "label"]].duplicated().any()
    assert {len(fold.test) for fold in CV10.folds(full("bosphorus"))} == {36, 42}


def test_a_subject_without_fear_takes_no_part() -> None:
    everyone = [scan for n in range(11) for scan in six(f"bs{n:03d}", without="FEAR" if n == 4 else "")]
    selected = CV10.select(scans(*everyone))
    assert set(selected["subject"]) == {f"bs{n:03d}" for n in range(11)} - {"bs004"}
    with pytest.raises(ProtocolError, match=r"^bosphorus-cv10@1: no subject of the index has all six expressions; "):
        CV10.folds(scans(*(scan for n in range(11) for scan in six(f"bs{n:03d}", without="FEAR"))))


def test_the_lowest_take_present_is_taken() -> None:
    takes = [i for i in six("bs000") if "HAPPY" not in i]
    index = scans(*takes, "bs000_E_ANGER_1", "bs000_E_HAPPY_10", "bs000_E_HAPPY_9", "bs000_E_HAPPY_2")
    assert set(CV10.select(index)["id"]) == {*takes, "bs000_E_HAPPY_2"}, "takes are numbers"


def test_neither_units_nor_poses_count_as_expressions() -> None:
    index = scans(*six("bs000"), "bs000_N_N_0", "bs000_LFAU_12_0", "bs000_YR_R20_0", "bs001_O_EYE_0")
    assert set(CV10.select(index)["label"]) == set(BASIC_SIX)
    assert len(CV10.select(index)) == 6


def test_drfer_has_sixty_subjects_and_all_their_neutrals(full: Index) -> None:
    index = full("bosphorus")
    selected = DRFER.select(index)
    assert (len(selected), selected["subject"].nunique()) == (360, 60)
    assert set(selected["id"]) <= set(CV10.select(index)["id"])
    neutral = index[index["label"] == "neutral"]
    for fold in DRFER.folds(index)[::37]:
        assert (len(fold.train), len(fold.val), len(fold.test)) == (288, 36, 36)
        training = {i[:5] for i in fold.train}
        assert set(fold.auxiliary) == set(neutral.loc[neutral["subject"].isin(training), "id"])
        assert any(i.endswith("_2") for i in fold.auxiliary), "every take"


def test_too_few_subjects_are_refused_in_a_sentence() -> None:
    index = scans(*(scan for n in range(9) for scan in six(f"bs{n:03d}")))
    for protocol in PROTOCOLS:
        with pytest.raises(ProtocolError, match=rf"^{protocol.id}: 10 .* at least 10 subjects, and the index has 9"):
            protocol.folds(index)
