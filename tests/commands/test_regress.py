"""Parameters of the 3D face, regressed from photographs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fer_bench import registry
from fer_bench.commands.regress import regress
from fer_bench.errors import FerBenchError, InvalidFile, UnknownName
from fer_bench.io.morphable_parameters import read_table
from fer_bench.nn.face_regressors import Smirk
from fer_bench.representations.cache import prepare
from fer_bench.representations.crops import crop
from fer_bench.representations.morphable import Morphable


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "affectnet"
    registry.load_twin("affectnet")(folder, subjects=2)
    return folder


def test_what_a_regressor_says_is_what_the_representation_reads(root: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, weights = Smirk(), tmp_path / "smirk.pt"
    torch.save({f"smirk_encoder.{key}": value for key, value in network.state_dict().items()}, weights)
    here = next(root.glob("smirk*.*"))
    if here.name != "smirk.parquet":
        here = here.rename(root / "smirk.parquet")
    with pytest.raises(FerBenchError, match=r"smirk\.parquet: is there already; delete it"):
        regress("affectnet", root, "smirk", weights, 5, 1, True)
    here.unlink()
    regress("affectnet", root, "smirk", weights, 5, 1, True)
    table = read_table(root / "smirk.parquet", "smirk-358")
    dataset = registry.load_dataset("affectnet")
    source = dataset.source(root)
    for place in (0, len(source.ids) // 2, len(source.ids) - 1):
        photo = torch.from_numpy(crop(dataset.load(root, source.files[place]), 224, "smirk"))[None]
        with torch.inference_mode():
            expected = network.eval()(photo.float() / 255)[0].numpy()
        np.testing.assert_allclose(table[source.ids[place]], expected, atol=1e-4)
    part = source.part([i for i in source.ids if i in table])
    (entry,) = prepare(tmp_path / "cache", part, [Morphable(vector="smirk-358")], dataset.load)
    assert len(entry.open()) == len(table)
    assert not list(root.glob(".*.parquet*")), "nothing half-written is left"


def test_what_is_missing_is_told_with_where_to_get_it(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown regressor 'deca'"):
        regress("affectnet", root, "deca", None, 5, 1, False)
    with pytest.raises(FerBenchError, match=r"no --checkpoint was given; .*registration at emoca\.is\.tue\.mpg\.de"):
        regress("affectnet", root, "emoca", None, 5, 1, False)
    with pytest.raises(FerBenchError, match=r"none\.pt: there is no such file; .*github\.com/georgeretsi/smirk"):
        regress("affectnet", root, "smirk", tmp_path / "none.pt", 5, 1, False)
    (tmp_path / "bad.pt").write_bytes(b"no weights")
    for path in root.glob("smirk*.*"):
        path.unlink()
    with pytest.raises(InvalidFile, match="cannot be read as weights"):
        regress("affectnet", root, "smirk", tmp_path / "bad.pt", 5, 1, False)


def test_meshes_are_no_photographs(bu3dfe_root: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.pt").touch()
    with pytest.raises(FerBenchError, match="image: needs a dataset with a photo"):
        regress("bu3dfe", bu3dfe_root, "smirk", tmp_path / "weights.pt", 5, 1, False)
