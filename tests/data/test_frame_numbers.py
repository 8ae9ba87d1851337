import pytest

from fer_bench.data.frame_numbers import gaps, spans


@pytest.mark.parametrize(
    ("numbers", "digits", "told"),
    [([], 0, ""), ([3], 0, "3"), ([9, 3, 7, 8, 3], 0, "3, 7-9"), ([1, 2], 3, "001-002"), ([0, 1000], 3, "000, 1000")],
)
def test_spans(numbers: list[int], digits: int, told: str) -> None:
    assert spans(numbers, digits) == told


@pytest.mark.parametrize(
    ("numbers", "start", "told"),
    [
        ([], None, ""),
        ([], 0, ""),
        ([5], None, ""),
        ([2, 1], 0, "0"),
        ([0, 1, 5, 7], 0, "2-4, 6"),
        ([7, 9], None, "8"),
        ([0, 10**9 - 1], 0, "1-999999998"),
    ],
)
def test_gaps(numbers: list[int], start: int | None, told: str) -> None:
    assert gaps(numbers, start=start) == told
