import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from fer_bench.geometry.contact_sheet import sheet
from fer_bench.io.images import read_image
from fer_bench.twins.bu3dfe import preview
from fer_bench.twins.face import procedural_face
from fer_bench.twins.preview import contact_sheet


def test_a_sheet_keeps_proportions_and_order() -> None:
    red, grey = np.full((10, 20, 3), [255, 0, 0], dtype=np.uint8), np.full((30, 30), 99, dtype=np.uint8)
    drawn = sheet([("a", red), ("b", grey), ("c", red)], columns=2, pixels=40)
    assert drawn.shape == (58 + 38, 2 * 40, 3), "a row is as high as its highest image"
    assert drawn[18 + 10, 20].tolist() == [255, 0, 0]
    assert drawn[18 + 30, 20].tolist() == [255, 255, 255], "twice as wide as high"
    assert drawn[18 + 20, 60].tolist() == [99, 99, 99]
    assert (drawn[:18, :40] < 100).any(), "a title"
    assert drawn[58:, 40:].min() == 255


def test_bu3dfes_sheet_shows_people_and_expressions() -> None:
    cells = preview(procedural_face(), 0, count=1)
    assert len(cells) == 5 * 7
    titles = [title for title, _ in cells]
    assert titles[:2] == ["mean face: neutral", "mean face: anger"]
    assert titles[7:9] == ["F0001 neutral", "F0001 anger"]
    images = {image.tobytes() for _, image in cells}
    assert len(images) == 5 * 7 - 7, "rest and full intensity are shown twice, and four cells are blank"


def test_a_twin_without_a_preview_has_no_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("fer_bench.twins.plain")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert not contact_sheet(None, tmp_path / "sheet.png", dataset="plain")
    assert not list(tmp_path.iterdir())
    module.preview = lambda model, seed: [(model.name, np.zeros((4, 4), dtype=np.uint8))] * seed  # type: ignore[attr-defined]
    assert contact_sheet(None, tmp_path / "sheet.png", 9, "plain")
    assert read_image(tmp_path / "sheet.png").shape == (2 * 218, 7 * 200, 3)
