"""Predictions of many cells, and files that hold something else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_bench.errors import InvalidFile
from fer_bench.predictions.pooling import read_tables
from fer_bench.protocols import PROTOCOLS
from fer_bench.records import OUTPUT, Result, json_bytes

ASKED = PROTOCOLS["bu3dfe-s1-cv10@1"]
FIRST = f"{OUTPUT}{ASKED.classes[0]}"


def table(protocol_id: str = ASKED.id, prefix: str = "a") -> pd.DataFrame:
    protocol = PROTOCOLS[protocol_id]
    outputs = np.random.default_rng(0).normal(size=(12, len(protocol.outputs)))
    found = pd.DataFrame(outputs, columns=[f"{OUTPUT}{name}" for name in protocol.outputs])
    found.insert(0, "id", [f"{prefix}{number}" for number in range(12)])
    found.insert(1, "subject", [f"{prefix}{number % 3}" for number in range(12)])
    if protocol.task == "valence_arousal":
        found["valence"] = found["arousal"] = 0.5
    else:
        found.insert(2, "label", [protocol.classes[number % 6] for number in range(12)])
    return found


def changed(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(found: pd.DataFrame) -> pd.DataFrame:
        values = found[column].astype(object) if isinstance(value, str) else found[column]
        return found.assign(**{column: values.where(np.arange(len(found)) != 3, value)})

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda found: found.drop(columns=FIRST), f"has no column '{FIRST}'"),
        (lambda found: found.drop(columns="subject"), "has no column 'subject'"),
        (lambda found: found.drop(columns="label"), "has no column 'label'"),
        (lambda found: found.assign(**{FIRST: "much"}), "holds other things than numbers"),
        (changed(FIRST, np.nan), "is not finite"),
        (changed(FIRST, np.inf), "is not finite"),
        (changed("subject", None), "does not say of each row which sample of whom it is"),
        (changed("label", "boredom"), "has the label 'boredom', which bu3dfe-s1-cv10@1 does not have"),
        (changed("id", "a4"), "holds a sample twice"),
        (lambda found: found[:11], "holds 11 predictions, not 12"),
    ],
)
def test_the_file_that_cannot_be_scored_is_named(
    change: Callable[[pd.DataFrame], pd.DataFrame], says: str, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    table().to_parquet(good)
    change(table()).to_parquet(bad)
    assert len(read_tables(ASKED, [good, good], [12, 12])) == 24, "two seeds are of the same samples"
    with pytest.raises(InvalidFile) as refused:
        read_tables(ASKED, [good, bad], [12, 12])
    assert str(refused.value).startswith(f"{bad}: ") and says in str(refused.value)


def test_truth_that_is_no_number_is_refused(tmp_path: Path) -> None:
    protocol = PROTOCOLS["affectnet-va@1"]
    path = tmp_path / "a.parquet"
    table(protocol.id).to_parquet(path)
    assert len(read_tables(protocol, [path], [12])) == 12
    table(protocol.id).assign(arousal=np.nan).to_parquet(path)
    with pytest.raises(InvalidFile, match="'arousal' that is not finite"):
        read_tables(protocol, [path], [12])


def test_what_is_not_known_of_meshes_may_be_missing(tmp_path: Path) -> None:
    protocol, path = PROTOCOLS["coma-interpolation@1"], tmp_path / "a.parquet"
    columns = {f"{OUTPUT}{name}": np.full(2, np.nan) for name in protocol.outputs}
    pd.DataFrame({"id": ["a", "b"], "subject": ["s", "s"], **columns}).to_parquet(path)
    assert len(read_tables(protocol, [path], [2])) == 2


@pytest.mark.parametrize("metrics", [{"accuracy": "high"}, {"accuracy": None}, [1], "much"])
def test_a_result_of_other_things_than_numbers_is_refused(metrics: object, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    Result({"accuracy": 0.5}, 12, 0, "d", "r", "twin-r1", 10, 3, 2, 60.0).write(path)
    content = {**vars(Result.read(path)), "metrics": metrics}
    path.write_bytes(json_bytes(content))
    with pytest.raises(InvalidFile, match="is not a result of this version"):
        Result.read(path)
