import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.errors import InvalidFile
from fer_bench.io.au_tables import ActionUnits, read_intensity, read_occurrence


def table(units: list[str], *rows: str) -> str:
    return "\n".join([",".join(units), *rows]) + "\n"


def test_a_hundred_columns_headed_by_their_numbers() -> None:
    codes = ["0"] * 6 + ["1"] + ["9"] * 92
    read = read_occurrence(table([str(n) for n in range(100)], "2440," + ",".join(codes)), "F001_T1.csv")
    assert read.frames.tolist() == [2440]
    assert read.units == tuple(range(1, 100))
    assert read.codes.shape == (1, 99)
    assert read.codes[0, read.units.index(7)] == 1
    assert read.codes[0, read.units.index(6)] == 0
    assert read.codes[0, read.units.index(99)] == 9


@pytest.mark.parametrize("first", ["0", "1", "frame", "Frame number", ""])
def test_the_first_column_is_the_frame_whatever_it_is_called(first: str) -> None:
    read = read_occurrence(table([first, "1", "2", "4", "12"], "7,1,0,9,1", "8,0,0,0,0"), "t.csv")
    assert read.frames.tolist() == [7, 8]
    assert read.units == (1, 2, 4, 12)
    assert read.codes.tolist() == [[1, 0, 9, 1], [0, 0, 0, 0]]


def test_names_with_letters_spaces_quotes_and_empty_columns() -> None:
    read = read_occurrence('"frame", "AU01", "au_4", "12"\n"10", 1, 0, 9\n\n11,0,0,0,,\n', "t.csv")
    assert read.units == (1, 4, 12)
    assert read.frames.tolist() == [10, 11]
    assert read.codes.tolist() == [[1, 0, 9], [0, 0, 0]]


def test_headings_without_rows_code_no_frame() -> None:
    assert read_occurrence("0,1,2\n", "t.csv").codes.shape == (0, 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("2440,0,1,0,9\n2441,0,1,0,9\n", "not with the numbers of action units"),
        ("frame\n1\n", "not with the numbers of action units"),
        ("0,1,smile\n1,0,0\n", "not with the numbers of action units"),
        ("0,1,1\n1,0,0\n", "not with the numbers of action units"),
        ("0,1,2\n5,0\n", "line 2 is not a frame number and 2 codes"),
        ("0,1,2\n5,0,0\n6,0,2\n", "line 3 is not a frame number and 2 codes"),
        ("0,1,2\n5,0,0,1\n", "line 2"),
        ("0,1,2\n5,00,\n", "line 2"),
        ("0,1,2\n-5,0,0\n", "line 2"),
        ("0,1,2\nnan,0,0\n", "line 2"),
        ("0,1,2\n5,0,0\n5,0,1\n", "codes frame 5 twice"),
        ("0,1,2\n٥,0,0\n", "line 2"),
        ("0,1,2\n" + "9" * 5000 + ",0,0\n", "line 2"),
    ],
)
def test_a_damaged_table_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidFile, match=says) as caught:
        read_occurrence(text, "AU_OCC/F001_T1.csv")
    assert str(caught.value).startswith("AU_OCC/F001_T1.csv: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("heading", ["", "frame,AU06\n"])
def test_intensities(heading: str) -> None:
    read = read_intensity(f"{heading}2440,0\n2441,5\n2442,9\n", "F001_T1_AU06.csv", 6)
    assert read.frames.tolist() == [2440, 2441, 2442]
    assert read.units == (6,)
    assert read.codes.tolist() == [[0], [5], [9]]


@pytest.mark.parametrize("text", ["", "frame,AU06\n", "1,6\n", "1\n", "1,0,0\n", "1,0\n1,0\n", "1,0.5\n", "x,1\ny,1\n"])
def test_damaged_intensities_are_refused(text: str) -> None:
    with pytest.raises(InvalidFile):
        read_intensity(text, "t.csv", 6)


@given(st.text(alphabet='0123459,\n "AUx\u0665\x00-.', max_size=80) | st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (lambda: read_occurrence(text, "t.csv"), lambda: read_intensity(text, "t.csv", 6)):
        try:
            units = read()
        except InvalidFile:
            continue
        assert isinstance(units, ActionUnits)
        assert units.codes.shape == (len(units.frames), len(units.units))
        assert np.isin(units.codes, [0, 1, 2, 3, 4, 5, 9]).all()


@given(st.data())
def test_what_is_written_is_read(data: st.DataObject) -> None:
    units = data.draw(st.lists(st.integers(1, 99), min_size=1, max_size=40, unique=True))
    frames = data.draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True))
    codes = [[data.draw(st.sampled_from([0, 1, 9])) for _ in units] for _ in frames]
    rows = [",".join(map(str, [frame, *row])) for frame, row in zip(frames, codes, strict=True)]
    read = read_occurrence(table(["0", *map(str, units)], *rows), "t.csv")
    assert (read.frames.tolist(), read.units, read.codes.tolist()) == (frames, tuple(units), codes)
