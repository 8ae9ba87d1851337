"""What the README shows to write is written, and run."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_bench import registry
from fer_bench.cli.main import app
from fer_bench.protocols import PROTOCOLS
from tests.suite_runner import Bench
from tests.test_docs import COMMANDS, README, blocks


def test_the_method_of_the_readme_runs(bench: Bench, see_methods: Callable[[Path], None]) -> None:
    (source,), (suite,) = blocks(README, "python"), blocks(README, "yaml")
    assert sum(bool(line.strip()) for line in source.partition("def __init__")[2].splitlines()) <= 10
    (bench.file.parent / "my_methods").mkdir()
    (bench.file.parent / "my_methods" / "linear_points.py").write_text(source)
    see_methods(Path("my_methods"))
    bench.file.write_text(suite)
    chosen = ("trainer.max_epochs=1", "trainer.accelerator=cpu")
    (cell,) = bench.ready(*chosen, only=("entry=linear", "fold=0"))
    bench.fit_and_score(cell)
    result = cell.result()
    assert result is not None
    assert result.parameters == 3 * 256 * 6 + 6
    assert result.n == len(pd.read_parquet(cell.folder / "predictions.parquet")) > 0
    assert "linear_points" in registry.methods()
    assert not registry.ships("linear_points")


def test_predictions_of_anybody_are_scored_as_the_readme_says(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    shown = [line for page, line in COMMANDS if page == "README.md" and line.startswith("fer-bench evaluate")]
    assert len(shown) == 2
    protocol = PROTOCOLS["bu3dfe-s1-cv10@1"]
    index = registry.load_dataset("bu3dfe").index(bench.data / "bu3dfe")
    label = dict(zip(index["id"], index["label"], strict=True))
    for line in shown:
        tested = protocol.folds(index)[:1] if "--fold" in line else protocol.folds(index)
        ids = sorted({i for fold in tested for i in fold.test})
        # Right on all but the first sample.
        scores = np.array([[label[i] == name for name in protocol.classes] for i in ids], dtype=float)
        scores[0] = 1 - scores[0]
        table = pd.DataFrame(scores, columns=[f"output_{name}" for name in protocol.classes])
        table.insert(0, "id", ids)
        table.to_csv("mine.csv", index=False)
        app(shlex.split(line, comments=True)[1:], standalone_mode=False)
        accuracy = re.search(r"^accuracy\s+([\d.]+)$", capsys.readouterr().out, re.MULTILINE)
        assert accuracy is not None
        assert float(accuracy[1]) == pytest.approx(1 - 1 / len(ids), abs=1e-4)
