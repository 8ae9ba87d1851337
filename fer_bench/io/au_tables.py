"""Tables of facial action units (AUs) a frame, as BP4D distributes them: occurrence and intensity.

Two families of occurrence tables are met: 100 columns headed `0,1,...,99`, in which the heading is the unit, and about
35 columns headed by the units that are coded. The first column is the frame under any name, and some copies call
it `1`; the others are found by their number.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import InvalidFile

NOT_CODED = 9

_REMEDY = "Copy the table again from the dataset's distribution."
# Spaces and quotation marks mean nothing here, and some spreadsheets write them.
_IGNORED = str.maketrans("", "", " \t\"'")
_UNIT = re.compile(r"(?:AU_?)?0*(\d{1,3})(?:\.0*)?", re.IGNORECASE)
_OCCURRENCES = re.compile(r"\d{1,9}(?:,[019])+")
_INTENSITY = re.compile(r"\d{1,9},[0-59]")


@dataclass(frozen=True)
class ActionUnits:
    """Codes of some frames.

    Attributes:
        frames: (N,) int64, in the order of the file, each once.
        units: Numbers of the U action units, each once.
        codes: (N, U) int8: 0 absent, 1 present, or an intensity 0..5; 9 not coded.
    """

    frames: NDArray[np.int64]
    units: tuple[int, ...]
    codes: NDArray[np.int8]


def read_occurrence(text: str, path: Path | str) -> ActionUnits:
    """Read a table of 0, 1 and 9 with one row of headings.

    Args:
        text: The content of the file, lines ended by line feeds.
        path: For errors.

    Raises:
        InvalidFile: there are no headings, a heading is no number of an action unit or is there twice, or a row is not
            a frame number and one code a unit.
    """
    lines = _lines(text)
    if not lines:
        raise InvalidFile(path, "is empty", _REMEDY)
    names = lines[0][1].split(",")[1:]
    matches = [_UNIT.fullmatch(name) for name in names]
    units = tuple(int(match[1]) for match in matches if match)
    if not units or len(units) < len(names) or len(set(units)) < len(units):
        raise InvalidFile(path, f"begins with {lines[0][1][:40]!r} and not with the numbers of action units", _REMEDY)
    return _parse(lines[1:], units, _OCCURRENCES, path)


def read_intensity(text: str, path: Path | str, unit: int) -> ActionUnits:
    """Read a table of one action unit, `frame,intensity` from 0 to 5 or 9, with or without headings.

    Args:
        text: The content of the file, lines ended by line feeds.
        path: For errors.
        unit: Which unit it is about; the file does not say.

    Raises:
        InvalidFile: a row is not a frame number and an intensity.
    """
    lines = _lines(text)
    if lines and not lines[0][1][:1].isdigit():
        del lines[0]
    if not lines:
        raise InvalidFile(path, "is empty", _REMEDY)
    return _parse(lines, (unit,), _INTENSITY, path)


def _lines(text: str) -> list[tuple[int, str]]:
    """Lines that hold something, with their numbers; empty columns at a line's end are left out."""
    lines = text.translate(_IGNORED).split("\n")
    return [(number, line.rstrip(",")) for number, line in enumerate(lines, start=1) if line.strip(",")]


def _parse(
    lines: Sequence[tuple[int, str]], units: tuple[int, ...], pattern: re.Pattern[str], path: Path | str
) -> ActionUnits:
    frames, codes = [], []
    for number, line in lines:
        frame, _, row = line.partition(",")
        # Codes are single digits, so a row's length says how many there are.
        if len(row) != 2 * len(units) - 1 or not (line.isascii() and pattern.fullmatch(line)):
            wanted = f"a frame number and {len(units)} codes"
            raise InvalidFile(path, f"line {number} is not {wanted} ({line[:40]!r})", _REMEDY)
        frames.append(int(frame))
        codes.append(row[::2])
    numbers = np.array(frames, dtype=np.int64)
    if len(set(frames)) < len(frames):
        raise InvalidFile(path, f"codes frame {Counter(frames).most_common(1)[0][0]} twice", _REMEDY)
    digits = np.frombuffer("".join(codes).encode(), dtype=np.uint8) - ord("0")
    return ActionUnits(numbers, units, digits.astype(np.int8).reshape(len(frames), len(units)))
