"""Every protocol by its properties, and what all of them share."""

import re
from collections import Counter
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.errors import ProtocolError
from fer_bench.metrics.disentanglement import MEASURES
from fer_bench.protocols import PROTOCOLS, Protocol
from fer_bench.protocols.base import join, names
from fer_bench.records import Fold, make_index
from tests.trap import mislabelled

Index = Callable[..., pd.DataFrame]
ALL = sorted(PROTOCOLS)
S1, S2 = PROTOCOLS["bu3dfe-s1-cv10@1"], PROTOCOLS["bu3dfe-s2-cv10@1"]
# Subjects, or per mille of the photographs: enough for every protocol, and few enough to divide many times.
FEW = {"bu3dfe": 14, "bosphorus": 21, "bu4dfe": 12, "bp4d": 11, "coma": 4, "facescape": 30, "fourdme": 20}
FEW |= {"affectnet": 3, "rafdb": 20}

VERSION_ONE = {
    "affectnet-va@1": "a87de6edaacd",
    "affectnet7@1": "b33ac7642284",
    "affectnet8@1": "82368d2087c8",
    "bosphorus-cv10@1": "1537f2ebcaf2",
    "bosphorus-drfer60-cv10@1": "a0b5938c56bf",
    "bp4d-8class-cv10@1": "f05345c04ef2",
    "bu3dfe-drfer60-cv10@1": "512731bb03d4",
    "bu3dfe-identity@1": "a866047e2154",
    "bu3dfe-s1-cv10@1": "e39bbdda6704",
    "bu3dfe-s2-cv10@1": "95dab18bd2d1",
    "bu4dfe-cv10@1": "641959855771",
    "bu4dfe-to-bp4d@1": "e6e96abf006d",
    "coma-identity@1": "07778296b331",
    "coma-interpolation-windows@1": "5a6a3123fd98",
    "coma-interpolation@1": "641a29a8db6f",
    "facescape-identity@1": "70579279e3d9",
    "fourdme-multilabel@1": "1b118f8fd0b2",
    "rafdb7@1": "943edd58d417",
}


def few(small: Index, protocol: Protocol) -> pd.DataFrame:
    indices = {name: small(name, FEW[name]) for name in protocol.datasets}
    return join(indices) if len(indices) > 1 else indices[protocol.datasets[0]]


def assert_sound(protocol: Protocol, index: pd.DataFrame, folds: list[Fold]) -> None:
    """What must hold of the folds of any protocol on any index that it accepts."""
    assert [fold.number for fold in folds] == list(range(protocol.num_folds))
    selected = protocol.select(index)["id"].tolist()  # sorted
    subject = dict(zip(index["id"].tolist(), index["subject"].tolist(), strict=True))
    for fold in folds:
        assert fold.train and fold.val and fold.test
        assert sorted(fold.train + fold.val + fold.test) == selected, "each sample is on one side"
        assert not set(fold.auxiliary) & set(selected)
        assert bool(fold.auxiliary) == (protocol.auxiliary is not None)
        if protocol.subject_independent:
            train, val, test = ({subject[i] for i in ids} for ids in (fold.train, fold.val, fold.test))
            assert not (train & val or train & test or val & test)
            assert {subject[i] for i in fold.auxiliary} <= train
    per_repeat = protocol.num_folds // protocol.repeats
    if per_repeat > 1:
        for start in range(0, protocol.num_folds, per_repeat):
            repeat = folds[start : start + per_repeat]
            assert sorted(i for fold in repeat for i in fold.test) == selected, "every sample is tested once"
            assert sorted(i for fold in repeat for i in fold.val) == selected, "and validates once"


@pytest.mark.parametrize("name", ALL)
def test_the_folds_of_a_complete_distribution(name: str, full: Index) -> None:
    protocol = PROTOCOLS[name]
    index = full(*protocol.datasets)
    folds = protocol.folds(index)
    assert len(protocol.select(index)) == protocol.expected
    assert_sound(protocol, index, folds)
    label = dict(zip(index["id"].tolist(), protocol.truth(index), strict=True))
    if protocol.task == "classification":
        for fold in folds:
            assert {label[i] for i in fold.test} == set(protocol.tested or protocol.classes)
            assert {label[i] for i in fold.train} == set(protocol.classes)
            assert {label[i] for i in fold.val} == set(protocol.classes)
    if protocol.task == "multilabel":
        for fold in folds:
            assert {name for i in fold.train for name in names(label[i])} == set(protocol.classes)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=8)
@given(data=st.data())
def test_any_part_of_an_index_is_divided_soundly_or_refused_in_a_sentence(
    name: str, data: st.DataObject, small: Index
) -> None:
    protocol = PROTOCOLS[name]
    index = few(small, protocol)
    kept = index.sample(
        frac=data.draw(st.sampled_from([1.0, 0.99, 0.9, 0.5, 0.1, 0.0])),
        random_state=data.draw(st.integers(0, 2**32 - 1)),
    )
    try:
        folds = protocol.folds(kept)
    except ProtocolError as error:
        sentence = str(error)
        assert sentence.startswith(f"{protocol.id}")
        assert sentence.endswith(".") and "\n" not in sentence
        return
    assert_sound(protocol, kept, folds)
    assert protocol.folds(kept.sort_values("id")) == folds, "the order of the index does not matter"
    assert protocol.folds(kept.set_axis([0] * len(kept))) == folds, "nor do the labels of its rows"
    gone = data.draw(st.sets(st.sampled_from(sorted(kept["id"])), max_size=5))
    if kept["subject"].notna().any() and data.draw(st.booleans()):  # somebody's samples are all broken
        gone |= set(kept.loc[kept["subject"] == data.draw(st.sampled_from(sorted(kept["subject"].dropna()))), "id"])
    try:
        left = protocol.folds(kept, broken=gone)
    except ProtocolError as error:
        assert re.search(r"fold \d+ (has no|would train without) ", str(error))
        return
    for whole, without in zip(folds, left, strict=True):
        assert without.train and without.val and without.test
        for part in ("train", "val", "test", "auxiliary"):
            assert tuple(i for i in getattr(whole, part) if i not in gone) == getattr(without, part)


@pytest.mark.parametrize("name", ALL)
def test_folds_do_not_depend_on_which_of_the_classes_a_test_sample_shows(name: str, small: Index) -> None:
    # Whether a sample takes part may depend on its label, and nothing else of a test sample's label may matter.
    protocol = PROTOCOLS[name]
    index = few(small, protocol)
    folds = protocol.folds(index)
    for number in {0, len(folds) - 1}:
        lying = mislabelled(index, folds[number].test, protocol)
        assert not lying.equals(index)
        assert protocol.folds(lying)[number] == folds[number]


@pytest.mark.parametrize("name", ALL)
def test_the_few_subjects_of_these_tests_are_enough(name: str, small: Index) -> None:
    protocol = PROTOCOLS[name]
    assert_sound(protocol, few(small, protocol), protocol.folds(few(small, protocol)))


@pytest.mark.parametrize("name", ALL)
def test_version_one_is_never_edited(name: str, full: Index, small: Index) -> None:
    # Such digests are part of published tables. If this fails, write version 2 of the protocol instead.
    protocol = PROTOCOLS[name]
    index = small("affectnet", 50) if protocol.datasets == ("affectnet",) else full(*protocol.datasets)
    shuffled = index.sample(frac=1, random_state=0)
    assert protocol.digest(shuffled, "as distributed") == VERSION_ONE[name]


@pytest.mark.parametrize("name", ALL)
def test_an_index_without_rows_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError, match=rf"^{name}"):
        PROTOCOLS[name].folds(make_index([]))


@pytest.mark.parametrize("name", ALL)
def test_a_protocol_says_what_it_is(name: str) -> None:
    protocol = PROTOCOLS[name]
    assert protocol.id == name
    assert protocol.num_folds % protocol.repeats == 0
    assert protocol.source.endswith(".")
    assert not protocol.uncertain or protocol.uncertain.endswith(".")
    assert set(protocol.tested) <= set(protocol.classes)
    own = {"valence_arousal": 2, "disentanglement": len(MEASURES)}.get(protocol.task, len(protocol.classes))
    assert len(protocol.outputs) == own
    assert protocol.target.outputs == (() if protocol.task == "disentanglement" else protocol.outputs)
    assert bool(protocol.classes) == (protocol.task in ("classification", "multilabel"))


def test_the_suite_has_these_protocols() -> None:
    datasets = {name.partition("@")[0]: PROTOCOLS[name].datasets for name in ALL}
    assert Counter(datasets.values()) == {
        ("bu3dfe",): 4,
        ("bosphorus",): 2,
        ("bu4dfe",): 1,
        ("bp4d",): 1,
        ("bu4dfe", "bp4d"): 1,
        ("coma",): 3,
        ("facescape",): 1,
        ("affectnet",): 3,
        ("rafdb",): 1,
        ("fourdme",): 1,
    }
    not_independent = {name for name in ALL if not PROTOCOLS[name].subject_independent}
    assert not_independent == {
        *("coma-interpolation@1", "coma-interpolation-windows@1", "rafdb7@1"),
        *("affectnet8@1", "affectnet7@1", "affectnet-va@1"),
    }


def test_the_digest_tells_questions_apart(full: Index) -> None:
    index = full("bu3dfe")
    relabelled = index.copy()
    relabelled.loc[relabelled["id"] == "F0002_AN04", "label"] = "fear"
    digests = {
        S1.digest(index, "as distributed"),
        S1.digest(index, "twin-r1"),
        S1.digest(index[index["subject"] != "F0001"], "as distributed"),
        S1.digest(relabelled, "as distributed"),
        S1.digest(index, "as distributed", broken=["F0003_AN04"]),
        S2.digest(index, "as distributed"),
    }
    assert len(digests) == 6


def test_the_digest_knows_the_auxiliary_samples(full: Index) -> None:
    protocol, index = PROTOCOLS["bosphorus-drfer60-cv10@1"], full("bosphorus")
    drawn = set(protocol.select(index)["subject"])
    gone = index[index["label"].isin(["neutral"]) & index["subject"].isin(drawn)]["id"].iloc[0]
    assert protocol.select(index[index["id"] != gone]).equals(protocol.select(index))
    assert protocol.digest(index[index["id"] != gone], "x") != protocol.digest(index, "x")


@pytest.mark.parametrize("name", [n for n in ALL if PROTOCOLS[n].task in ("classification", "multilabel")])
def test_an_absent_class_is_refused(name: str, small: Index) -> None:
    protocol = PROTOCOLS[name]
    index = few(small, protocol)
    absent = protocol.classes[-1]
    without = index[[absent not in names(label) for label in index["label"].fillna("")]]
    with pytest.raises(ProtocolError, match=rf"^{protocol.id}.* (needs samples of {absent},|six expressions)"):
        protocol.folds(without)
