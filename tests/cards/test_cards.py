"""Pages of methods, datasets and protocols, and the picture of a leaderboard."""

import inspect
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image

from fer_bench import registry
from fer_bench.cards import pages
from fer_bench.cards.dataset_card import read_card
from fer_bench.cards.describe import arguments
from fer_bench.cards.method_card import multiply_adds, read_docstring
from fer_bench.errors import FerBenchError, InvalidFile
from fer_bench.leaderboard.pages.interval_plot import draw
from fer_bench.markdown import anchor, table
from fer_bench.records import Target

HEAD = "protocol,protocol_digest,data,entry,n,subjects,unsound,accuracy,accuracy_low,accuracy_high\n"
ROW = "bu3dfe-s1-cv10@1,d,as distributed,{},12,3,{},{},0.1,0.9\n"


@pytest.mark.parametrize("name", registry.methods())
def test_a_method_tells_what_it_is_whose_and_what_each_argument_means(name: str) -> None:
    told = read_docstring(inspect.getdoc(registry.load_method(name)) or "")
    assert told.idea
    assert told.cite
    for argument in arguments(name):
        assert told.arguments.get(argument.name), argument.name


@pytest.mark.parametrize("name", registry.datasets())
def test_a_dataset_tells_what_a_card_needs(name: str) -> None:
    _, parts = read_card(inspect.getdoc(registry.load_dataset(name)) or "")
    assert parts.keys() >= {"What", "On disk", "Classes", "Splits", "Licence and how to obtain", "Cite", "Uncertain"}


def test_a_docstring_is_taken_apart() -> None:
    told = read_docstring(
        "An idea.\n\nA note\nof two lines.\n\nCite: Somebody, 2024.\n\nArgs:\n    target: It.\n    a, b: Of both,\n"
        "        and more: this.\n\nRaises:\n    InvalidSuite: never.\n"
    )
    assert (told.idea, told.notes, told.cite) == ("An idea.", ["A note of two lines."], "Somebody, 2024.")
    both = "Of both, and more: this."
    assert told.arguments == {"target": "It.", "a": both, "b": both}


def test_multiply_adds_are_those_of_the_matrices() -> None:
    method = registry.load_method("morphable_mlp")
    with torch.device("meta"):
        built = method(Target("valence_arousal", ("valence", "arousal")))
    widths = (334, 2048, 2048, 2048, 2048, 10)
    assert multiply_adds(built) == sum(a * b for a, b in pairwise(widths))
    with torch.device("meta"):
        searching = registry.load_method("pointnet2")(Target("classification", ("happy", "sad")), size="nano")
    assert multiply_adds(searching) is None


def test_tables_and_anchors_are_as_markdown_has_them() -> None:
    assert table(("A", "B"), [("x|y", 1), ("two\nlines", 22)], ("B",)) == (
        "| A | B |\n|---|---:|\n| x\\|y | 1 |\n| two lines | 22 |"
    )
    assert anchor("bu3dfe-s1-cv10@1") == "bu3dfe-s1-cv101"
    assert anchor("Table I: 3D, (a)") == "table-i-3d-a"


def test_what_is_gone_is_deleted_and_what_is_by_hand_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "methods").mkdir()
    gone, own = tmp_path / "methods" / "gone.md", tmp_path / "methods" / "own.md"
    gone.write_text(f"{pages.MADE}\n\n# gone\n")
    own.write_text("# mine\n")
    monkeypatch.setattr(pages, "made", lambda out: iter([("index.md", "# all\n")]))
    assert pages.write(tmp_path) == [tmp_path / "index.md"]
    assert not gone.exists()
    assert own.read_text() == "# mine\n"


def test_pages_of_others_may_be_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "made", lambda out: iter([("index.md", pages._index(out, []))]))
    (tmp_path / "methods" / "folder.md").mkdir(parents=True)
    (tmp_path / "methods" / "latin.md").write_bytes(b"caf\xe9\n")
    (tmp_path / "guide.md").write_bytes(b"# Caf\xe9\n")
    (tmp_path / "folder.md").mkdir()
    pages.write(tmp_path)
    assert (tmp_path / "methods" / "latin.md").read_bytes() == b"caf\xe9\n"
    assert "- [Caf\N{REPLACEMENT CHARACTER}](guide.md)" in (tmp_path / "index.md").read_text()


def test_a_leaderboard_is_drawn(tmp_path: Path) -> None:
    source, picture = tmp_path / "board.csv", tmp_path / "board.png"
    rows = [ROW.format("good", "", 0.8), ROW.format("bad", "it leaks", 0.95), ROW.format("missing", "", "")]
    source.write_text(HEAD + "".join(rows))
    draw(source, picture)
    with Image.open(picture) as image:
        pixels = {colour for _, colour in image.convert("RGB").getcolors(image.width * image.height)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= pixels, "sound rows are blue and unsound ones are orange"
    first = picture.read_bytes()
    draw(source, picture)
    assert picture.read_bytes() == first


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        ("", InvalidFile, "cannot be read"),
        ("a,b\n1,2\n", InvalidFile, "has no column protocol"),
        (HEAD + ROW.format("none", "", ""), FerBenchError, "nothing to draw"),
        (HEAD + ROW.format("x", "", 0.5).replace("bu3dfe", "bu4dfee"), FerBenchError, "unknown protocol"),
    ],
)
def test_what_is_no_leaderboard_is_told(tmp_path: Path, content: str, kind: type[Exception], says: str) -> None:
    (tmp_path / "board.csv").write_text(content)
    with pytest.raises(kind, match=says):
        draw(tmp_path / "board.csv", tmp_path / "board.png")
    assert not (tmp_path / "board.png").exists()
