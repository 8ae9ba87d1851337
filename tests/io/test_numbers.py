import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.io.numbers import parse_floats, parse_integers
from fer_bench.io.polygons import fan

FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda x: f"{x:g}"),
    st.from_regex(r"[+-]?([0-9]{1,25}\.?[0-9]{0,25}|\.[0-9]{1,25})([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
SEPARATORS = st.text(alphabet=" \t\r\n\v\f,", min_size=1, max_size=3)


@settings(max_examples=400)
@given(st.lists(st.tuples(FLOATS, SEPARATORS), max_size=12))
def test_floats_are_what_python_makes_of_them(tokens: list[tuple[str, str]]) -> None:
    text = "".join(token + separator for token, separator in tokens).encode()
    values, bad = parse_floats(text)
    assert bad == -1
    assert values.tolist() == [float(token) for token, _ in tokens]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(-(10**17), 10**17), SEPARATORS), max_size=12))
def test_integers_are_what_python_makes_of_them(tokens: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{separator}" for number, separator in tokens).encode()
    values, bad = parse_integers(text)
    assert bad == -1
    assert values.tolist() == [number for number, _ in tokens]


def test_an_integer_that_is_too_long_is_out_of_every_range() -> None:
    assert parse_integers(b"99999999999999999999999 -99999999999999999999999")[0].tolist() == [10**18, -(10**18)]


def test_floats_beyond_the_range_are_infinite_or_zero() -> None:
    assert parse_floats(b"1e400 -1e400 1e-400 0e999")[0].tolist() == [np.inf, -np.inf, 0.0, 0.0]


@pytest.mark.parametrize(
    "token", [b"nan", b"inf", b"0x1", b"1_0", b"1-2", b"1e", b"--1", b".", b"+", b"1.2.3", b"1f", b"\xff"]
)
def test_what_is_no_number_is_located(token: bytes) -> None:
    text = b" 1, 2 \n" + token + b" 3"
    for parse in (parse_floats, parse_integers):
        values, bad = parse(text)
        assert bad == 7
        assert values.tolist() == [1, 2]


@pytest.mark.parametrize("token", [b"1.0", b"1e3", b"1."])
def test_a_float_is_no_integer(token: bytes) -> None:
    assert parse_integers(b"5 " + token)[1] == 2
    assert parse_floats(b"5 " + token)[1] == -1


def test_only_the_part_asked_for_is_read() -> None:
    assert parse_floats(b"x 1 2 3 y", 2, 5)[0].tolist() == [1, 2]
    assert parse_integers(b"x 12 3 y", 2, 3)[0].tolist() == [1]
    assert parse_floats(b"")[0].tolist() == []
    assert parse_floats(bytearray(b"7"))[0].tolist() == [7]


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_no_bytes_do_harm(text: bytes) -> None:
    for parse in (parse_floats, parse_integers):
        values, bad = parse(text)
        assert -1 <= bad < len(text)
        assert len(values) <= (len(text) + 1) // 2


def test_polygons_are_fanned_from_their_first_corner() -> None:
    triangles = fan(np.array([5, 6, 7, 0, 1, 2, 3, 4]), np.array([3, 5]))
    assert triangles.tolist() == [[5, 6, 7], [0, 1, 2], [0, 2, 3], [0, 3, 4]]
    assert triangles.dtype == np.int32
    assert fan(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)).shape == (0, 3)
