"""Somebody's predictions in a suite, without the data that they were made of."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_bench.commands.options import RunOptions
from fer_bench.commands.run import run as run_suite
from fer_bench.errors import InvalidPredictions, InvalidSuite
from fer_bench.metrics.valence_arousal import ccc
from fer_bench.papers.evidence import gather
from fer_bench.papers.published import read_paper
from fer_bench.suites.reading import read_suite

SUITE = """
protocols: [affectnet-va@1]
predictions: {one: null, other: other.csv}
fusions:
  mean: {of: [one, other]}
"""


def write(path: Path, seed: int, rows: int = 40, **changes: object) -> pd.DataFrame:
    """A file as Ig3D's authors publish theirs, the truth the same in each."""
    truth = np.random.default_rng(0).uniform(-1, 1, (rows, 2))
    found = truth + np.random.default_rng(seed).normal(0, 0.3, (rows, 2))
    columns = {"val_pred": found[:, 0], "val_true": truth[:, 0], "aro_pred": found[:, 1], "aro_true": truth[:, 1]}
    table = pd.DataFrame(columns).assign(**changes)
    table.to_csv(path, index=False)
    return table


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FER_BENCH_DATA", str(tmp_path / "nothing here"))
    (tmp_path / "mine.yaml").write_text(SUITE)
    return tmp_path


def run(place: Path, *settings: str) -> bool:
    options = RunOptions(jobs=1)
    return run_suite(str(place / "mine.yaml"), [*settings], [], place / "runs", None, place / "out", options)


def test_they_are_scored_fused_and_tabulated(place: Path) -> None:
    both = [write(place / name, seed) for seed, name in enumerate(("one.csv", "other.csv"), start=1)]
    assert run(place, "predictions.one=one.csv")
    board = pd.read_csv(place / "out" / "mine.csv").set_index("entry")
    truth = both[0][["val_true", "aro_true"]].to_numpy().ravel()
    for entry, table in zip(("one", "other"), both, strict=True):
        assert board.loc[entry, "ccc"] == pytest.approx(ccc(table[["val_pred", "aro_pred"]].to_numpy().ravel(), truth))
    fused = sum(table[["val_pred", "aro_pred"]].to_numpy() for table in both) / 2
    assert board.loc["mean", "ccc"] == pytest.approx(ccc(fused.ravel(), truth), abs=1e-6)
    assert set(board["n"]) == {40}
    assert set(board["data"]) == {"predictions of others"}
    assert run(place, "predictions.one=one.csv"), "a second run does it again"


def test_another_file_is_another_result(place: Path) -> None:
    write(place / "one.csv", 1)
    write(place / "other.csv", 2)
    assert run(place, "predictions.one=one.csv")
    first = pd.read_csv(place / "out" / "mine.csv").set_index("entry")["ccc"]
    assert run(place, "predictions.one=other.csv")
    second = pd.read_csv(place / "out" / "mine.csv").set_index("entry")["ccc"]
    assert second["one"] == second["other"] == second["mean"] == first["other"] != first["one"]


def test_what_is_missing_is_said(place: Path) -> None:
    write(place / "other.csv", 2)
    with pytest.raises(InvalidSuite, match=r"mine: one needs a file of predictions: --set predictions\.one=FILE"):
        run(place)
    with pytest.raises(InvalidPredictions, match=r"none\.csv"):
        run(place, "predictions.one=none.csv")
    table = write(place / "one.csv", 1)
    table.drop(columns=["val_true", "aro_true"]).to_csv(place / "one.csv", index=False)
    with pytest.raises(InvalidPredictions, match="does not hold the truth"):
        run(place, "predictions.one=one.csv")


def test_files_of_other_samples_are_not_fused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(place / "other.csv", 2)
    write(place / "one.csv", 1, val_true=np.zeros(40))
    assert not run(place, "predictions.one=one.csv")
    assert "do not agree on the valence of every sample" in capsys.readouterr().out
    write(place / "one.csv", 1, rows=39)
    assert not run(place, "predictions.one=one.csv")
    assert "not of the same samples" in capsys.readouterr().out


def test_the_page_of_the_paper_has_them(place: Path) -> None:
    """Beside what is measured here, without taking its place."""
    for seed, name in enumerate(("cage.csv", "emoca.csv")):
        write(place / name, seed)
    settings = [f"predictions.authors-{name}={place / name}.csv" for name in ("cage", "emoca")]
    suite = "ig3d/table7_from_authors_predictions"
    options = RunOptions(jobs=1)
    assert run_suite(suite, settings, [], place / "runs", None, place / "out", options)
    section = read_paper("ig3d").find("7")
    found = gather(section, place / "runs")
    assert found["affectnet-va@1", "authors-mean"].complete
    assert not found["affectnet-va@1", "mean"].complete
    assert {suite, "ig3d/table7"} == set(section.suites)


def test_a_suite_needs_something_to_run(place: Path) -> None:
    (place / "mine.yaml").write_text("protocols: [affectnet-va@1]\n")
    with pytest.raises(InvalidSuite, match="needs `methods:`"):
        read_suite(place / "mine.yaml")
    (place / "mine.yaml").write_text(SUITE.replace("mean: {", "one: {"))
    with pytest.raises(InvalidSuite, match="one names two things"):
        read_suite(place / "mine.yaml")
