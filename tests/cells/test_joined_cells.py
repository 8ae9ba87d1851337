"""A cell that trains on one dataset and is tested on another."""

from collections.abc import Iterator

import pandas as pd
import pytest

from fer_bench.cells.fit import fit, open_fold
from fer_bench.cells.score import score
from fer_bench.data.layouts import find_root
from fer_bench.launch.planning import Plan, _open, make_plan
from fer_bench.representations.cache import prepare
from fer_bench.representations.cache_entry import default_cache
from fer_bench.representations.joined_entries import JoinedEntry
from fer_bench.suites.reading import read_suite
from fer_bench.twins import bp4d, bu4dfe

SUITE = """
protocols: [bu4dfe-to-bp4d@1]
methods:
  mit: {method: mit, size: nano, pretrained: false, yaws: [0, 20], image_size: 16, patch_size: 8, frames: 3, window: 2,
        epochs: 1, batch_size: 8}
  points: {method: pointnet2}
trainer: {accelerator: cpu}
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plan]:
    """The planned and prepared suite, on twins of a few people."""
    folder = tmp_path_factory.mktemp("joined")
    bu4dfe.write_twin(folder / "bu4dfe", subjects=4)
    bp4d.write_twin(folder / "bp4d", subjects=2)
    (folder / "joined.yaml").write_text(SUITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FER_BENCH_DATA", str(folder))
        patch.setenv("FER_BENCH_CACHE", str(folder / "cache"))
        _open.cache_clear()
        assert find_root("bp4d") == folder / "bp4d"
        planned = make_plan("joined", read_suite(folder / "joined.yaml"), folder / "runs")
        for need in planned.needs:
            prepare(default_cache(), need.source, need.representations, need.dataset.load, skip_broken=True)
        # What could not be read is known only now.
        yield make_plan("joined", read_suite(folder / "joined.yaml"), folder / "runs")
        _open.cache_clear()


def test_both_datasets_are_planned_and_what_does_not_fit_is_told(plan: Plan) -> None:
    (cell,) = plan.cells
    assert [part.dataset for part in cell.parts] == ["bu4dfe", "bp4d"]
    assert {need.source.dataset for need in plan.needs} == {"bu4dfe", "bp4d"}
    assert cell.provenance.startswith("twin-") and " and " in cell.provenance
    why = plan.skipped["bu4dfe-to-bp4d@1", "points"]
    assert why.startswith("pointnet2 takes a mesh, and the data offer ") and "sequence" in why


def test_it_is_trained_on_one_and_tested_on_the_other(plan: Plan) -> None:
    (cell,) = plan.cells
    data = open_fold(cell, 8)
    assert isinstance(data.entry, JoinedEntry)
    of = {part: {i.partition("/")[0] for i in getattr(data.fold, part)} for part in ("train", "val", "test")}
    assert of == {"train": {"bu4dfe"}, "val": {"bu4dfe"}, "test": {"bp4d"}}
    cell.folder.mkdir(parents=True)
    cell.write()
    fit(cell)
    result = score(cell)
    predictions = pd.read_parquet(cell.folder / "predictions.parquet")
    assert set(predictions["id"]) == set(data.fold.test)
    assert set(predictions["label"]) == {"happy", "disgust"}
    assert predictions["subject"].str.startswith("bp4d/").all()
    assert result.n == len(predictions)
    assert {"accuracy", "accuracy_among_tested", "item_accuracy"} <= set(result.metrics)
    items = pd.read_parquet(cell.folder / "items.parquet")
    assert (items.groupby("id").size() == 2).all(), "three frames in windows of two, the last of which is shorter"
    means = items.drop(columns=["subject", "label"]).groupby("id").mean()
    pd.testing.assert_frame_equal(
        means.astype("float32"), predictions.set_index("id").drop(columns=["subject", "label"]), rtol=1e-5
    )
