"""What is committed of results is what the packed ones give."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2]
THEIRS = "predictions of others"


def test_committed_pages_are_not_stale(papers: ModuleType, tmp_path: Path) -> None:
    drawn = FOLDER / "leaderboards" / "papers" / "figures"
    shutil.copytree(drawn, tmp_path / "papers" / "figures")  # a page shows what there is
    papers.pages(tmp_path)
    made = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.suffix in (".csv", ".md", ".tex")]
    assert len(made) > 20
    for path in made:
        committed = (FOLDER / "leaderboards" / path).read_text(encoding="utf-8")
        assert (tmp_path / path).read_text(encoding="utf-8") == committed, f"{path} is stale: make leaderboards"
