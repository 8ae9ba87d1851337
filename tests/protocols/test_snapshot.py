"""What is kept of a snapshot, and how the difference of two is told."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.errors import InvalidFile
from fer_bench.protocols import PROTOCOLS
from fer_bench.protocols.difference import differences
from fer_bench.protocols.snapshot import ProtocolSnapshot
from tests.protocols.test_protocols import ALL, few

Index = Callable[..., pd.DataFrame]
S1 = PROTOCOLS["bu3dfe-s1-cv10@1"]
REAL, TWIN = "as distributed", "twin-r1-procedural-0a1b2c3d4e5f-s0-n20"


@pytest.mark.parametrize("name", ALL)
def test_a_question_is_read_back_as_it_was_written(name: str, small: Index, tmp_path: Path) -> None:
    protocol = PROTOCOLS[name]
    index = few(small, protocol)
    snapshot = protocol.snapshot(index, REAL)
    folds = protocol.folds(index)
    for part, letter in (("train", "r"), ("val", "v"), ("test", "t"), ("auxiliary", "a")):
        for fold in (folds[0], folds[-1]):
            own = snapshot.samples[snapshot.samples["parts"].str[fold.number] == letter]
            assert tuple(own["id"]) == getattr(fold, part), "in order"
    path = tmp_path / "question.parquet"
    snapshot.write(path)
    again = ProtocolSnapshot.read(path, protocol.digest(index, REAL))
    pd.testing.assert_frame_equal(again.samples, snapshot.samples)
    assert (again.protocol, again.classes, again.provenance) == (snapshot.protocol, snapshot.classes, REAL)
    assert differences(again, snapshot) == []


def test_a_thousand_folds_take_little_room(full: Index, tmp_path: Path) -> None:
    PROTOCOLS["bu3dfe-drfer60-cv10@1"].snapshot(full("bu3dfe"), REAL).write(tmp_path / "question.parquet")
    assert (tmp_path / "question.parquet").stat().st_size < 50_000


def test_another_file_is_refused_in_a_sentence(small: Index, tmp_path: Path) -> None:
    snapshot = S1.snapshot(few(small, S1), REAL)
    path = tmp_path / "question.parquet"
    snapshot.write(path)
    with pytest.raises(InvalidFile, match=r"not the snapshot 0123456789ab \(its digest is [0-9a-f]{12}\)\. Delete"):
        ProtocolSnapshot.read(path, "0123456789ab")
    whole = path.read_bytes()
    for content in (b"", b"PAR1", whole[:-20], whole.replace(b"bu3dfe-s1", b"bu3dfe-s9")):
        path.write_bytes(content)
        with pytest.raises(InvalidFile, match="is not the snapshot"):
            ProtocolSnapshot.read(path, snapshot.digest)
    for column in ("id", "parts"):
        snapshot.samples.drop(columns=column).to_parquet(path)
        with pytest.raises(InvalidFile, match="is not the snapshot"):
            ProtocolSnapshot.read(path, snapshot.digest)


def test_each_kind_of_difference_is_told(small: Index) -> None:
    index = few(small, S1)
    a = S1.snapshot(index, REAL)
    assert differences(a, S1.snapshot(index.sample(frac=1, random_state=0), REAL)) == []
    assert differences(a, S1.snapshot(index, TWIN)) == [f"The data differ: A's are {REAL}, B's are {TWIN}."]
    (told,) = differences(a, replace(a, classes=a.classes[::-1]))
    assert told.startswith("The classes differ: A has them in the order anger, ")
    (told,) = differences(replace(a, classes=(*a.classes, "contempt")), replace(a, classes=(*a.classes, "pain")))
    assert told == "The classes differ: only A has contempt and only B has pain."


def test_lost_samples_and_people_are_named(small: Index) -> None:
    index = few(small, S1)
    a = S1.snapshot(index, REAL)
    lost = [i for i in S1.select(index)["id"] if i.startswith("F0003")][:2]
    (told,) = differences(a, S1.snapshot(index, REAL, broken=lost))
    assert told == f"Only A has 2 samples ({lost[0]}, {lost[1]}) of subjects whom both have."
    without = index[index["subject"] != "F0003"]
    sentences = differences(S1.snapshot(without, REAL), a)
    assert sentences[0] == "Only B has 1 subject (F0003), with 12 samples."
    folds = {s: n for n, f in enumerate(S1.folds(index)) for s in index.set_index("id").loc[list(f.test), "subject"]}
    others = {s: n for n, f in enumerate(S1.folds(without)) for s in index.set_index("id").loc[list(f.test), "subject"]}
    moved = [s for s in others if others[s] != folds[s]]
    (elsewhere,) = (text for text in sentences if "tested in another fold" in text)
    assert elsewhere.startswith(f"{len(moved)} subject")
    first = min(moved)
    assert f": {first}, tested in fold {others[first]} in A and tested in fold {folds[first]} in B." in elsewhere


def test_other_labels_and_other_training_are_told(small: Index) -> None:
    index = few(small, S1)
    a = S1.snapshot(index, REAL)
    ids = S1.folds(index)[0].test[:2]
    other = index.copy()
    other.loc[other["id"].isin(ids), "label"] = "surprise"
    changed = index["id"].isin(ids) & (index["label"] != "surprise")
    (told,) = differences(a, S1.snapshot(other, REAL))
    first = index[changed].iloc[0]
    assert told.startswith(f"{changed.sum()} sample")
    assert told.endswith(f'another truth: {first["id"]}, "{first["label"]}" in A and "surprise" in B.')
    samples = a.samples.copy()
    mine = samples["id"] == samples["id"][0]
    parts = samples.loc[mine, "parts"].iloc[0]
    place = parts.index("r")
    samples.loc[mine, "parts"] = parts[:place] + "-" + parts[place + 1 :]
    (told,) = differences(a, replace(a, samples=samples))
    assert told.startswith("1 subject is tested in the same fold, and in another part of some fold besides: ")
    assert told.endswith(f"which trains in fold {place} in A and which takes no part in fold {place} in B.")


@settings(max_examples=40)
@given(data=st.data())
def test_questions_of_different_digests_always_differ_in_something_that_is_told(
    data: st.DataObject, small: Index
) -> None:
    a = S1.snapshot(few(small, S1), REAL)
    samples = a.samples.copy()
    for _ in range(data.draw(st.integers(0, 3))):
        row = data.draw(st.integers(0, len(samples) - 1))
        what = data.draw(st.sampled_from(["truth", "parts", "drop"]))
        if what == "drop":
            samples = samples.drop(index=samples.index[row])
        elif what == "truth":
            samples.iloc[row, 2] = data.draw(st.sampled_from(['"happy"', '"sad"', "null"]))
        else:
            samples.iloc[row, 3] = data.draw(st.text("rvta-", min_size=10, max_size=10))
    b = replace(a, samples=samples)
    assert bool(differences(a, b)) == bool(differences(b, a)) == (a.digest != b.digest)
