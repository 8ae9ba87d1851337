"""Decimal numbers in the text of mesh files, compiled.

Tokens are separated by white space and commas. A float is `[+-]?(\\d+\\.?\\d*|\\.\\d+)([eE][+-]?\\d+)?`, correctly
rounded; an integer is `[+-]?\\d+`. `nan`, `inf`, hexadecimal numbers and underscores are no numbers.

numba caches a compiled function by its own file: after a change here, `obj.py` must be saved again as well.
"""

import re

import numpy as np
from numba import njit
from numpy.typing import NDArray

# A whole number below 2**53 times or divided by one of these is rounded once, hence correctly (Clinger, PLDI 1990).
_POWERS = 10.0 ** np.arange(23)
_EXACT = 1 << 53
_ROOM, _TOO_LARGE = 10**17, 10**18  # a number below the first has room for one more digit
_NUMBER = re.compile(rb"[-+.0-9eE]++")


def parse_floats(text: bytes | bytearray, start: int = 0, end: int | None = None) -> tuple[NDArray[np.float64], int]:
    """Read the numbers in `text[start:end]`.

    Returns:
        (N,) float64, infinite where a number is too large; and the offset in `text` of the first token that is no
        number, behind which nothing is read, or -1.
    """
    end = len(text) if end is None else end
    values, inexact, bad = _floats(as_bytes(text), start, end)
    settle(values, inexact, text)
    return values, bad


def parse_integers(text: bytes | bytearray, start: int = 0, end: int | None = None) -> tuple[NDArray[np.int64], int]:
    """Read the whole numbers in `text[start:end]`, as `parse_floats`.

    Numbers of more than 18 digits become 10**18 or -10**18, which no file has room for as an index.
    """
    values, bad = _integers(as_bytes(text), start, len(text) if end is None else end)
    return values, bad


def as_bytes(text: bytes | bytearray) -> NDArray[np.uint8]:
    """(N,) a view that is not writable, so that the compiled functions see one type only."""
    view = np.frombuffer(text, dtype=np.uint8)
    view.flags.writeable = False
    return view


def settle(values: NDArray[np.float64], inexact: NDArray[np.int64], text: bytes | bytearray) -> None:
    """Fill the NaNs of `values`, in their order, with the numbers that begin at the offsets `inexact` of `text`.

    They are what `read_float` leaves: numbers of very many digits or with large exponents.
    """
    if len(inexact):
        rows = np.flatnonzero(np.isnan(values))
        tokens = (_NUMBER.match(text, start) for start in inexact.tolist())
        values[rows] = [float(token[0]) for token in tokens if token]


@njit(cache=True, nogil=True)
def is_separator(character):  # type: ignore[no-untyped-def]
    """White space or a comma."""
    return character == 32 or 9 <= character <= 13 or character == 44


@njit(cache=True, nogil=True)
def read_float(text, position, end):  # type: ignore[no-untyped-def] # noqa: PLR0912 - one pass over one token
    """The number at `position`: its value, NaN if Python must settle it; and where it ends, -1 if there is none."""
    negative = text[position] == 45
    if negative or text[position] == 43:
        position += 1
    mantissa, exponent, digits, fraction = 0, 0, 0, False
    while position < end:
        digit = np.int64(text[position]) - 48
        if 0 <= digit <= 9:
            # Once there is no room the value says only that there are too many digits.
            mantissa = 10 * mantissa + digit if mantissa < _ROOM else _TOO_LARGE
            digits += 1
            exponent -= fraction
        elif digit == -2 and not fraction:
            fraction = True
        else:
            break
        position += 1
    if digits == 0:
        return 0.0, -1
    if position < end and (text[position] == 101 or text[position] == 69):
        position += 1
        down = position < end and text[position] == 45
        if position < end and (down or text[position] == 43):
            position += 1
        first, power = position, 0
        while position < end and 48 <= text[position] <= 57:
            power = min(10 * power + np.int64(text[position]) - 48, 100_000)
            position += 1
        if position == first:
            return 0.0, -1
        exponent += -power if down else power
    value = np.nan
    if mantissa == 0:
        value = 0.0
    elif mantissa <= _EXACT and 0 <= exponent < 23:
        value = mantissa * _POWERS[exponent]
    elif mantissa <= _EXACT and -23 < exponent < 0:
        value = mantissa / _POWERS[-exponent]
    elif mantissa < _TOO_LARGE and -23 < exponent < 0:
        value = _quotient(mantissa, _POWERS[-exponent])
    return -value if negative else value, position


@njit(cache=True, nogil=True)
def _quotient(mantissa, divisor):  # type: ignore[no-untyped-def]
    """`mantissa / divisor` where the mantissa is no double: rounded correctly, or NaN where that is in doubt."""
    high = float(mantissa)
    first = high / divisor
    # Of both factors the upper 26 bits, so that all products of parts are exact (Dekker, Numer. Math. 1971).
    a = first * 134217729.0 - (first * 134217729.0 - first)
    b = divisor * 134217729.0 - (divisor * 134217729.0 - divisor)
    product = first * divisor
    error = ((a * b - product) + a * (divisor - b) + (first - a) * b) + (first - a) * (divisor - b)
    rest = (high - product - error + (mantissa - np.int64(high))) / divisor
    value = first + 0.9999999 * rest
    return value if value == first + 1.0000001 * rest else np.nan


@njit(cache=True, nogil=True)
def read_integer(text, position, end):  # type: ignore[no-untyped-def]
    """The whole number at `position`, held within 10**18; and where it ends, -1 if there is none."""
    negative = text[position] == 45
    if negative or text[position] == 43:
        position += 1
    value, first = 0, position
    while position < end:
        digit = np.int64(text[position]) - 48
        if digit < 0 or digit > 9:
            break
        value = 10 * value + digit if value < _ROOM else _TOO_LARGE
        position += 1
    return -value if negative else value, position if position > first else -1


@njit(cache=True, nogil=True)
def _floats(text, position, end):  # type: ignore[no-untyped-def]
    values = np.empty((end - position + 1) // 2)  # a number and the separator behind it are two bytes
    inexact = np.empty(len(values), dtype=np.int64)  # memory that is not written to is not taken
    count = slow = 0
    while position < end:
        if is_separator(text[position]):
            position += 1
            continue
        value, after = read_float(text, position, end)
        if after < 0 or (after < end and not is_separator(text[after])):
            return values[:count], inexact[:slow], position
        if np.isnan(value):
            inexact[slow] = position
            slow += 1
        values[count] = value
        count += 1
        position = after
    return values[:count], inexact[:slow], -1


@njit(cache=True, nogil=True)
def _integers(text, position, end):  # type: ignore[no-untyped-def]
    values = np.empty((end - position + 1) // 2, dtype=np.int64)
    count = 0
    while position < end:
        if is_separator(text[position]):
            position += 1
            continue
        value, after = read_integer(text, position, end)
        if after < 0 or (after < end and not is_separator(text[after])):
            return values[:count], position
        values[count] = value
        count += 1
        position = after
    return values[:count], -1
