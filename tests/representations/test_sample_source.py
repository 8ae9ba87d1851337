import os
from pathlib import Path

import pytest

from fer_bench.representations.sample_source import Source


@pytest.mark.parametrize("name", ["a.obj", "A #1/images/0.jpg", "lists/training.csv", "Training.CSV"])
def test_a_file_that_was_written_again_makes_another_source(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"1")
    place = f"{name}#1234" if name.lower().endswith("csv") else name

    def digest() -> str:
        return Source("some", tmp_path, "as distributed", ("a",), ((place,),)).digest

    first = digest()
    assert digest() == first
    os.utime(path, ns=(0, 0))
    second = digest()
    path.unlink()
    assert len({first, second, digest()}) == 3
