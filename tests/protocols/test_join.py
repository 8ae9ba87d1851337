from fer_bench.protocols.base import join
from fer_bench.records import INDEX_COLUMNS, make_index

ONE = make_index(
    [{"id": f"F001_{n}", "subject": "F001", "label": "happy", "level": 3, "files": (f"{n}",)} for n in "ba"]
)
TWO = make_index(
    [
        {"id": "F001_a", "subject": "F001", "label": "sad", "valence": 0.5, "arousal": -0.5, "files": ("z",)},
        {"id": "new", "subject": None, "label": None, "split": "train", "files": ()},
    ]
)


def test_ids_and_subjects_name_their_dataset() -> None:
    index = join({"two": TWO, "one": ONE})
    assert list(index["id"]) == ["one/F001_a", "one/F001_b", "two/F001_a", "two/new"]
    assert list(index["subject"].dropna()) == ["one/F001", "one/F001", "two/F001"], "the same name is another person"
    assert index["subject"].isna().tolist() == [False, False, False, True]


def test_everything_else_stays() -> None:
    index = join({"one": ONE, "two": TWO})
    assert tuple(index.columns) == INDEX_COLUMNS
    assert index.dtypes.equals(ONE.dtypes)
    assert index["files"].tolist() == [("a",), ("b",), ("z",), ()]
    assert index["label"].fillna("").tolist() == ["happy", "happy", "sad", ""]
    assert index.loc[2, "valence"] == 0.5
    assert list(index.index) == [0, 1, 2, 3]


def test_the_order_of_datasets_does_not_matter_and_the_parts_are_left_alone() -> None:
    before = ONE.copy()
    assert join({"one": ONE, "two": TWO}).equals(join({"two": TWO, "one": ONE}))
    assert ONE.equals(before)
    assert join({"one": ONE})["id"].tolist() == ["one/F001_a", "one/F001_b"]
