import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.data.layouts import Tree, below_root, walk
from fer_bench.errors import InvalidFile


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def told(tree: Tree) -> dict[str, tuple[str, ...]]:
    return {finding.text.partition(";")[0]: finding.names for finding in tree.findings.all}


def test_names_come_sorted_and_without_noise(tmp_path: Path) -> None:
    make(tmp_path, "b/2", "b/10", "a/x/1", "z", "__MACOSX/a", "b/.hidden", "Thumbs.db", ".git/config", "ä/ü")
    assert Tree(tmp_path).files == ["z", "a/x/1", "b/10", "b/2", "ä/ü"]
    assert list(walk(tmp_path)) == Tree(tmp_path).files
    assert Tree(tmp_path / "b").files == ["10", "2"]


def test_folders_that_are_links_are_followed_once(tmp_path: Path) -> None:
    elsewhere, root = tmp_path / "disk2", tmp_path / "root"
    make(elsewhere, "F0002/scan")
    make(root, "F0001/scan")
    (root / "F0002").symlink_to(elsewhere / "F0002")
    (root / "F0001" / "up").symlink_to(root)
    (root / "circle").symlink_to(root / "circle")
    tree = Tree(root)
    assert tree.files == ["F0001/scan", "F0002/scan"]
    assert told(tree) == {
        "links to folders that are walked elsewhere, left out": ("F0001/up",),
        "links to nothing, left out": ("circle",),
    }


def test_a_folder_goes_before_a_link_to_it(tmp_path: Path) -> None:
    make(tmp_path, "F001/Angry/000.wrl", "F002/a")
    (tmp_path / "Example").symlink_to(tmp_path / "F001")
    (tmp_path / "F002" / "b").symlink_to(tmp_path / "F001" / "Angry")
    tree = Tree(tmp_path)
    assert tree.files == ["F001/Angry/000.wrl", "F002/a"]
    assert set(told(tree)["links to folders that are walked elsewhere, left out"]) == {"Example", "F002/b"}


def test_what_could_not_be_read_makes_the_tree_unsettled(tmp_path: Path) -> None:
    make(tmp_path, "a/1")
    assert Tree(tmp_path).settled
    (tmp_path / "b").symlink_to(tmp_path / "disk that is not there")
    assert not Tree(tmp_path).settled


def test_a_name_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    make(tmp_path, "good")
    try:
        (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    tree = Tree(tmp_path)
    assert tree.files == ["good"]
    assert told(tree) == {"names that are not UTF-8, left out": (r"caf\udce9",)}


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "open/a", "locked/b")
    real = os.scandir

    def scandir(path: Path) -> object:  # the superuser may read everything, so the refusal is made here
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    tree = Tree(tmp_path)
    assert tree.files == ["open/a"]
    assert told(tree) == {"folders that cannot be read": ("locked",)}
    assert tree.findings.all[0].kind == "error"


def test_a_folder_beside_the_root_can_be_walked_too(tmp_path: Path) -> None:
    make(tmp_path, "root/a", "marks/F001/b")
    tree = Tree(tmp_path / "root")
    assert tree.add_beside("marks") == ["../marks/F001/b"]
    assert tree.files == ["a", "../marks/F001/b"]
    assert (tree.root / tree.files[1]).is_file()
    assert set(tree.folders) == {"", "../marks", "../marks/F001"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a\r\nb\r\n", "a\nb\n"),
        (b"\xef\xbb\xbfa,b", "a,b"),
        ("ö\n".encode(), "ö\n"),
        (b"\xf6\n", "ö\n"),
        (b"a\rb", "a\nb"),
    ],
)
def test_label_files_of_any_machine_are_read(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    tree = Tree(tmp_path)
    assert tree.read_text("labels.txt") == text
    assert tree.labels["labels.txt"][0] == len(content)


def test_a_label_file_that_is_gone_or_absurd_is_refused(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    with pytest.raises(InvalidFile, match=r"gone\.txt: cannot be read"):
        tree.read("gone.txt")
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(InvalidFile, match="too large for a label file"):
        tree.read("huge.txt")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("1/a.jpg", "1/a.jpg"),
        (" ./1//a.jpg\n", "1/a.jpg"),
        ("1\\a.jpg", "1/a.jpg"),
        ("../a.jpg", None),
        ("1/../../a.jpg", None),
        ("..\\a.jpg", None),
        ("/etc/passwd", None),
        ("\\\\server\\share", None),
        ("C:\\a.jpg", None),
        ("a\0.jpg", None),
        ("", None),
        (".", None),
    ],
)
def test_a_path_in_a_label_file_stays_below_the_root(name: str, plain: str | None) -> None:
    assert below_root(name) == plain


@given(st.text(alphabet=st.sampled_from("ab./\\:~ \n"), max_size=20))
def test_no_path_leaves_the_root(name: str) -> None:
    plain = below_root(name)
    if plain is not None:
        assert os.path.normpath(f"/root/data/{plain}").startswith("/root/data/")
