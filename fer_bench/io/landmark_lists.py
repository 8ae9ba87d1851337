"""Bosphorus landmark lists, by label: `.lm3` on the scan, `.lm2` on its photograph.

A landmark that a turned head or a hand hides is left out of the list, so that only the labels identify the others.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import BrokenScan
from fer_bench.io.file_bytes import REMEDY, read_bytes
from fer_bench.records import atomic_write

# In the order of the files. "left" is the image's left, where x is negative: the subject's right.
LABELS = (
    "Outer left eyebrow",
    "Middle left eyebrow",
    "Inner left eyebrow",
    "Inner right eyebrow",
    "Middle right eyebrow",
    "Outer right eyebrow",
    "Outer left eye corner",
    "Inner left eye corner",
    "Inner right eye corner",
    "Outer right eye corner",
    "Nose saddle left",
    "Nose saddle right",
    "Left nose peak",
    "Nose tip",
    "Right nose peak",
    "Left mouth corner",
    "Upper lip outer middle",
    "Right mouth corner",
    "Upper lip inner middle",
    "Lower lip inner middle",
    "Lower lip outer middle",
    "Chin middle",
)
_NAMES = {
    "outer left eye corner": "right_eye_outer",
    "inner left eye corner": "right_eye_inner",
    "inner right eye corner": "left_eye_inner",
    "outer right eye corner": "left_eye_outer",
    "left nose peak": "right_alare",
    "right nose peak": "left_alare",
    "left mouth corner": "right_mouth_corner",
    "right mouth corner": "left_mouth_corner",
    "nose tip": "nose_tip",
    "upper lip outer middle": "upper_lip",
    "lower lip outer middle": "lower_lip",
    "chin middle": "chin",
}
_TITLE_3D, _TITLE_2D = "# 3D Landmark File", "# 2D Landmark File"
_LABELS_HEADING, _POINTS_HEADING = "Labels:", "2D Image coordinates:"
_COUNT = re.compile(r"(\d{1,4}) landmarks?:?", re.IGNORECASE)
# Possessive quantifiers: without them a long run of digits is tried at every length.
_NUMBER = re.compile(r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?")


def read_lm3(path: Path | str) -> dict[str, NDArray[np.float32]]:
    """Read landmarks on a scan: label -> (3,) float32, millimetres, in the file's order.

    Labels keep their capitals; runs of blanks become one.

    Raises:
        BrokenScan: the file is missing, holds another number of landmarks than it says, gives a label twice, or a point
            is not three finite numbers.
    """
    count, lines = _lines(path)
    _check_length(path, lines, 2 * count, f"{count} labels, each with its point")
    return _landmarks(path, lines[::2], lines[1::2], 3)


def read_lm2(path: Path | str) -> dict[str, NDArray[np.float32]]:
    """Read landmarks on a photograph: label -> (2,) float32 pixels from its top left, in the file's order.

    Raises:
        BrokenScan: as `read_lm3`, with two numbers a point.
    """
    count, lines = _lines(path)
    _check_length(path, lines, 2 * count + 2, f"{count} labels and {count} points, each after its heading")
    for place, heading in ((0, _LABELS_HEADING), (count + 1, _POINTS_HEADING)):
        if lines[place].rstrip(":").casefold() != heading.rstrip(":").casefold():
            raise BrokenScan(path, f"{lines[place][:40]!r} is where {heading!r} belongs", REMEDY)
    return _landmarks(path, lines[1 : count + 1], lines[count + 2 :], 2)


def _lines(path: Path | str) -> tuple[int, list[str]]:
    """How many landmarks the file says it holds, and its lines after that, without blank lines and comments."""
    text = read_bytes(path).removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    lines = [" ".join(line.split()) for line in text.split("\n")]
    lines = [line for line in lines if line and not line.startswith("#")]
    count = _COUNT.fullmatch(lines[0]) if lines else None
    if count is None:
        found = repr(lines[0][:40]) if lines else "nothing"
        raise BrokenScan(path, f"begins with {found} instead of a number of landmarks", REMEDY)
    return int(count[1]), lines[1:]


def _check_length(path: Path | str, lines: list[str], wanted: int, what: str) -> None:
    if len(lines) != wanted:
        raise BrokenScan(path, f"has {len(lines)} lines instead of the {wanted} that hold {what}", REMEDY)


def _landmarks(path: Path | str, labels: list[str], rows: list[str], width: int) -> dict[str, NDArray[np.float32]]:
    landmarks, seen = {}, set()
    for label, row in zip(labels, rows, strict=True):
        if label.casefold() in seen:
            raise BrokenScan(path, f"the landmark {label[:40]!r} is given twice", REMEDY)
        seen.add(label.casefold())
        numbers = row.split()
        if len(numbers) != width or not all(map(_NUMBER.fullmatch, numbers)) or _NUMBER.match(label):
            raise BrokenScan(path, f"{label[:40]!r} is followed by {row[:40]!r} instead of {width} numbers", REMEDY)
        with np.errstate(over="ignore"):  # what overflows is reported below
            point = np.array(numbers, dtype=np.float64).astype(np.float32)
        if not np.isfinite(point).all():
            raise BrokenScan(path, f"the landmark {label[:40]!r} is not finite", REMEDY)
        landmarks[label] = point
    return landmarks


def named_landmarks(points: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The landmarks that `alignment.CANONICAL` names, and `nose_tip`; those that are not in the list are left out.

    The labels speak of the image's left, which is the subject's right: `Outer left eye corner` is `right_eye_outer`. A
    nose peak is the wing of the nose, the alare. No label is the subnasale.

    Args:
        points: As `read_lm3` or `read_lm2` gives them.
    """
    return {_NAMES[label.casefold()]: point for label, point in points.items() if label.casefold() in _NAMES}


def write_lm3(path: Path | str, points: Mapping[str, NDArray[np.floating]]) -> None:
    """Write label -> (3,) in the mapping's order, atomically."""
    lines = [_TITLE_3D, "", f"{len(points)} landmarks:"]
    for label, point in points.items():
        lines += [label, _row(point)]
    _write(path, lines)


def write_lm2(path: Path | str, points: Mapping[str, NDArray[np.floating]]) -> None:
    """Write label -> (2,) pixels in the mapping's order, atomically."""
    lines = [_TITLE_2D, "", f"{len(points)} landmarks", "", _LABELS_HEADING, *points, "", _POINTS_HEADING]
    _write(path, lines + [_row(point) for point in points.values()])


def _row(point: NDArray[np.floating]) -> str:
    return " ".join(f"{value:.6f}" for value in point.tolist())


def _write(path: Path | str, lines: list[str]) -> None:
    with atomic_write(Path(path)) as file:
        file.write("".join(line + "\n" for line in lines).encode())
