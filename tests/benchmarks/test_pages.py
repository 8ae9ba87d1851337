"""What is committed of results is what the packed ones give."""

import csv
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2]
MADE = (".csv", ".md", ".tex", ".png")


def ours(text: str) -> list[dict[str, str]]:
    """The rows of a CSV file that are not of somebody else's predictions."""
    rows = csv.DictReader(io.StringIO(text))
    return [row for row in rows if not row.get("entry", "").startswith("authors-")]


def pages_there(theirs: bool) -> Iterator[Path]:
    """Pages and pictures in `leaderboards` that are made of results; with what is `theirs`, or without."""
    root = FOLDER / "leaderboards"
    for path in (found.relative_to(root) for found in root.rglob("*") if found.suffix in MADE):
        measured_elsewhere = path.parts[0] in ("published", "results") or path.name.startswith(("perf", "coverage"))
        if not measured_elsewhere and (theirs or not path.name.startswith("table7_from_authors")):
            yield path


def test_committed_pages_are_not_stale(
    papers: ModuleType, same_picture: Callable[[Path, Path], bool], tmp_path: Path
) -> None:
    """Rows of the files that Ig3D's authors publish are held against these where a folder of them is named."""
    theirs = os.environ.get("FER_BENCH_IG3D_PREDICTIONS")
    drawn = FOLDER / "leaderboards" / "papers" / "figures"
    # A page shows what there is. Of faces and features nothing is packed: these are drawn where they were run.
    shutil.copytree(drawn, tmp_path / "papers" / "figures")
    papers.pages(tmp_path, Path(theirs) if theirs else None)
    made = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.suffix in MADE]
    assert len(made) > 20
    anew = [
        path
        for path in drawn.iterdir()
        if (tmp_path / "papers" / "figures" / path.name).stat().st_mtime_ns != path.stat().st_mtime_ns
    ]
    assert len(anew) >= 4
    left = sorted(set(pages_there(bool(theirs))) - {*made})
    assert not left, f"{left[0]} is committed, and nothing packed gives it: delete it, or pack what it is of"
    for path in made:
        if path.suffix == ".png":
            assert same_picture(tmp_path / path, FOLDER / "leaderboards" / path), f"{path} is stale: make leaderboards"
            continue
        whole = theirs or not str(path).startswith(("claims", "papers/ig3d"))
        texts = [(folder / path).read_text(encoding="utf-8") for folder in (tmp_path, FOLDER / "leaderboards")]
        if whole:
            assert texts[0] == texts[1], f"{path} is stale: make leaderboards"
        elif path.suffix == ".csv":
            found, committed = map(ours, texts)
            assert len(found) > 20 and found == committed, f"{path} is stale: make leaderboards"
