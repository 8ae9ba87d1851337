import io
import pickle
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fer_bench.data.fourdme import FourDME
from fer_bench.data.fourdme_labels import ActionUnit, has_only_action_units, parse_action_units, same_subject
from fer_bench.data.layouts import Tree
from fer_bench.errors import BrokenScan, DatasetNotFound, InvalidFile
from fer_bench.geometry.scan import Scan
from fer_bench.io.photo import Photo

COLUMNS = ("sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs", "AU1", "AU4")
ROWS: list[Sequence[object]] = [
    ("S01", "S01_1st_001_01_1", "Negative", 10, 15, 20, "4+7(k)", 0, 1),
    ("S01", "S01_1st_001_01_2", "Surprise+Positive", 1, 2, 3, "1+2+12", 1, 0),
    ("S02", "S02_1st_001_01_1", "Repression", 1, 2, 3, "AU4 (k), AU17", 0, 0),
    ("S02", "S02_1st_001_01_2", "Others", 1, 2, 3, "L12", 0, 0),
]
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LABELS = "4DME_Labelling_Micro_release v1.xlsx"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))


def xlsx(rows: Iterable[Sequence[object]]) -> bytes:
    """A spreadsheet as Excel writes it: texts in a table of their own."""
    strings: list[str] = []
    lines = []
    for number, row in enumerate(rows, start=1):
        cells = []
        for place, value in enumerate(row):
            at = f"{chr(65 + place)}{number}"
            if isinstance(value, str):
                cells.append(f'<c r="{at}" t="s"><v>{len(strings)}</v></c>')
                strings.append(f"<si><t>{value}</t></si>")
            elif value is not None:
                cells.append(f'<c r="{at}"><v>{value}</v></c>')
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}.sharedStrings+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{relations}"><sheets>'
        '<sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="rId1" Type="{relations}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="rId2" Type="{relations}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{"".join(strings)}</sst>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>',
    }
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        return file.getvalue()


def write(root: Path, name: str, content: bytes = b"") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def clips(root: Path, place: str, names: Iterable[str], frames: Iterable[str] = ("img9.jpg", "img10.jpg")) -> Path:
    for name in names:
        for frame in frames:
            write(root, f"{place}{name}/{frame}")
    return root


NAMES = [f"{row[0]}/{row[1]}" for row in ROWS]


def meb(root: Path, rows: Sequence[Sequence[object]] = ROWS, names: Iterable[str] = NAMES, sheet: str = LABELS) -> Path:
    write(root, sheet, xlsx([COLUMNS, *rows]))
    return clips(root, "gray_micro/", names)


def told(root: Path, kind: str) -> dict[str, tuple[str, ...]]:
    return {finding.text: finding.names for finding in FourDME.survey(root).findings if finding.kind == kind}


def one(findings: dict[str, tuple[str, ...]], part: str) -> tuple[str, ...]:
    (names,) = [names for sentence, names in findings.items() if part in sentence]
    return names


def labels(root: Path) -> dict[str, str]:
    index = FourDME.index(root)
    return {row.id: row.label for row in index.itertuples()}


ALL = dict(zip(NAMES, ("negative", "positive+surprise", "repression", "others"), strict=True))


@pytest.mark.parametrize("sheet", [LABELS, f"labels/{LABELS}", "4DME/release.XLSX"])
def test_clips_get_the_labels_of_their_rows(tmp_path: Path, sheet: str) -> None:
    root = meb(tmp_path / "a", sheet=sheet)
    index = FourDME.index(root)
    assert labels(root) == ALL
    assert list(index["subject"]) == ["S01", "S01", "S02", "S02"]
    assert index["split"].isna().all()
    assert index["files"][0] == tuple(f"gray_micro/{NAMES[0]}/img{n}.jpg" for n in (9, 10)), "9 comes before 10"
    assert not told(root, "missing")
    found = " ".join(told(root, "found"))
    assert "4 clips of 2 subjects (the distribution: 267 of 41)" in found
    assert "frames from gray_micro" in found
    # A part of the distribution: the sums differ, and are told.
    assert {"negative 1 (142)", "surprise 1 (54)"} <= set(one(told(root, "warning"), "not the distribution's"))


def test_a_clip_gives_photographs(tmp_path: Path) -> None:
    root = meb(tmp_path / "a")
    for shade, name in enumerate(("img9", "img10")):
        with io.BytesIO() as file:
            Image.new("L", (6, 4), 100 + shade).save(file, "PNG")
            write(root, f"gray_micro/{NAMES[0]}/{name}.jpg", file.getvalue())
    clip = pickle.loads(pickle.dumps(FourDME.load(root, FourDME.index(root)["files"][0])))
    assert len(clip) == 2
    frames = list(clip)
    assert all(isinstance(frame, Photo) and not frame.aligned for frame in frames)
    assert [int(frame.pixels()[0, 0, 0]) for frame in frames] == [100, 101]
    assert frames[0].pixels().shape == (4, 6, 3)


@pytest.mark.parametrize("written", [1, "1", "01", 1.0, "S1", "s01"])
def test_subjects_typed_otherwise_are_found_and_told(tmp_path: Path, written: object) -> None:
    rows = [(written if row[0] == "S01" else row[0], *row[1:]) for row in ROWS]
    root = meb(tmp_path / "a", rows)
    assert labels(root) == ALL
    assert set(FourDME.index(root)["subject"]) == {"S01", "S02"}
    assert len(one(told(root, "assumed"), "as the table spells them")) == 1


def test_same_subject() -> None:
    assert same_subject("S01", "S1")
    assert same_subject("12", "S12")
    assert not same_subject("S01", "S10")
    assert not same_subject("A01", "S01")
    assert not same_subject("", "S01")


def test_rows_and_folders_are_compared(tmp_path: Path) -> None:
    again = (*ROWS[0][:2], "Positive", 1, 2, 3, "45")
    root = meb(tmp_path / "a", [*ROWS, again], [*NAMES[:-1], "S02/S02_extra", "S03/S02_1st_001_01_2"])
    write(root, "gray_micro/readme.jpg")
    assert labels(root) == {name: ALL[name] for name in NAMES[:-1]}
    assert one(told(root, "missing"), "clip folders") == ("S02/S02_1st_001_01_2",)
    warned = told(root, "warning")
    unnamed = ("gray_micro/S02/S02_extra", "gray_micro/S03/S02_1st_001_01_2")
    assert one(warned, "does not name") == unnamed
    assert one(warned, "earlier row") == (f"{LABELS}:6",)
    units = FourDME.action_units(root)
    assert set(units) == set(NAMES[:-1])
    assert [unit.number for unit in units[NAMES[0]]] == [4, 7], "of the row whose label is taken"


UNKNOWN = ["Happy", "Positive+", "Positive+Fear", "Sad", "Possibly negative", "PositiveSurprise", "Surprising", "and"]


@pytest.mark.parametrize("written", UNKNOWN)
def test_an_unknown_emotion_is_no_label(tmp_path: Path, written: str) -> None:
    root = meb(tmp_path / "a", [(*ROWS[0][:2], written, *ROWS[0][3:]), *ROWS[1:]])
    index = FourDME.index(root)
    assert index["label"].isna().sum() == 1
    assert one(told(root, "warning"), "emotion is not known") == (f"{LABELS}:2",)


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("surprise+negative+positive", "positive+negative+surprise"),
        ("Positive, Repression", "positive+repression"),
        ("OTHER", "others"),
        (" Neg ", "negative"),
        ("Surprise / Surprise", "surprise"),
        ("Positive and Surprise", "positive+surprise"),
        ("Positive Surprise", "positive+surprise"),
        ("Positive-Surprise", "positive+surprise"),
        ("Negative\nSurprise", "negative+surprise"),
        ("surprised, and pos; repr", "positive+surprise+repression"),
    ],
)
def test_several_emotions_have_one_order(tmp_path: Path, written: str, label: str) -> None:
    root = meb(tmp_path / "a", [(*ROWS[0][:2], written, *ROWS[0][3:]), *ROWS[1:]])
    assert labels(root)[NAMES[0]] == label


def test_an_empty_row_and_a_title_are_passed_over(tmp_path: Path) -> None:
    root = clips(tmp_path / "a", "gray_micro/", NAMES)
    write(root, LABELS, xlsx([["Labels of 4DME"], [], COLUMNS, *ROWS[:2], [], *ROWS[2:-1], (*ROWS[-1][:2], None)]))
    index = FourDME.index(root)
    assert list(index["label"])[:3] == list(ALL.values())[:3]
    assert index["label"].isna().sum() == 1
    warned = told(root, "warning")
    assert one(warned, "without an emotion") == (f"{LABELS}:8",)
    assert not any("not known" in sentence for sentence in warned)


def test_one_label_a_clip(tmp_path: Path) -> None:
    root = clips(
        tmp_path / "a", "4DME/micro_short_gray_video_cropped/", NAMES, ("Frame_000000100.jpg", "Frame_000000099.jpg")
    )
    head = ("SubID", "VideoNo", "longclipNo", "MENo", "fold_name", "Onset", "Apex", "Offset", "Emotion")
    rows = [(row[0], 1, 1, 1, row[1], 1, 2, 3, str(row[2]).partition("+")[0]) for row in ROWS]
    macro = ("S02", 1, 2, None, "S02_macro", 1, 2, 3, "Positive")
    write(root, "4DME/Micro_and_Macro-expression_labels_new_2D_oneLabel.xlsx", xlsx([head, *rows, macro]))
    assert labels(root) == {**ALL, NAMES[1]: "surprise"}
    files = FourDME.index(root)["files"][0]
    assert [name[-7:] for name in files] == ["099.jpg", "100.jpg"]
    assert one(told(root, "missing"), "clip folders") == ("S02/S02_macro",)
    assert any("keeps one a clip" in sentence for sentence in told(root, "assumed"))


def test_the_table_of_several_emotions_is_taken_before_that_of_one(tmp_path: Path) -> None:
    root = meb(tmp_path / "a")
    write(root, "4DME_A.xlsx", xlsx([COLUMNS, *((*row[:2], "Negative") for row in ROWS)]))
    assert labels(root) == ALL


def test_frames_go_by_their_last_number(tmp_path: Path) -> None:
    root = meb(tmp_path / "a", names=())
    clips(root, "gray_micro/", NAMES, ("v1_10.jpg", "v1_9.jpg", "v2_8.jpg", "still.jpg"))
    files = [name.rpartition("/")[2] for name in FourDME.index(root)["files"][0]]
    assert files == ["still.jpg", "v2_8.jpg", "v1_9.jpg", "v1_10.jpg"]


def test_the_challenge_has_a_table_of_ones(tmp_path: Path) -> None:
    root = clips(tmp_path / "a", "data/train/", ["S07_a", "S08_b", "S08_c"])
    clips(root, "data/test/", ["S09_d", "S09_e"])
    table = "Id,Negative,Positive,Repression,Surprise,Other\r\n"
    table += "S07_a,1,0,0,1,0\r\nS08_b,0,1.0,1,0,0\r\nS08_c,0,0,0,0,1\r\nS09_d,0,0,x,1,0\r\nS10_f,1,0,0,0,0\r\n"
    write(root, "data/train_labels.csv", table.encode())
    write(root, "a_submission.csv", table.replace("S08_c,0,0,0,0,1", "S08_c,1,0,0,0,0").encode())
    index = FourDME.index(root)
    assert list(index["id"]) == ["S07_a", "S08_b", "S08_c", "S09_d"]
    assert list(index["label"])[:3] == ["negative+surprise", "positive+repression", "others"]
    assert index["label"].isna()[3]
    assert list(index["subject"]) == ["S07", "S08", "S08", "S09"]
    assert list(index["split"]) == ["train", "train", "train", "test"]
    assert one(told(root, "missing"), "clip folders") == ("S10_f",)
    assert one(told(root, "warning"), "does not name") == ("data/test/S09_e",)
    assert one(told(root, "warning"), "not known") == ("data/train_labels.csv:5",)
    assert not any("not the distribution's" in sentence for sentence in told(root, "warning")), "it is a part of it"
    assumed = " ".join(told(root, "assumed"))
    assert "side by side" in assumed
    assert "first underscore" in assumed


def test_a_frame_in_two_formats_is_one_frame(tmp_path: Path) -> None:
    root = meb(tmp_path / "a", names=NAMES[1:])
    clips(root, "gray_micro/", NAMES[:1], ("001.jpg", "000.png", "000.jpg", "001.png", "002.png"))
    clips(root, "elsewhere/", ["x"], ("000.png", "000.jpg"))
    place = f"gray_micro/{NAMES[0]}"
    assert FourDME.index(root)["files"][0] == tuple(f"{place}/{name}" for name in ("000.jpg", "001.jpg", "002.png"))
    assert one(told(root, "warning"), "another file holds") == (f"{place}/000.png", f"{place}/001.png")


def test_a_row_that_fits_several_folders_is_left_out(tmp_path: Path) -> None:
    rows = [(1, "a", "Positive"), ("S01", "b", "Negative"), (2, "a", "Others"), (3, "a", "Surprise")]
    folders = ["M01/a", "S01/a", "S01/b", "M01/b", "2/a", "S02/a"]
    root = meb(tmp_path / "a", rows, folders)
    assert labels(root) == {"S01/b": "negative", "2/a": "others"}
    assert set(FourDME.action_units(root)) == {"S01/b", "2/a"}
    warned = told(root, "warning")
    assert one(warned, "several clip folders") == (f"{LABELS}:2 (gray_micro/M01/a or gray_micro/S01/a)",)
    assert one(warned, "does not name") == ("gray_micro/M01/b", "gray_micro/S02/a")
    assert one(told(root, "missing"), "clip folders") == ("3/a",)


def test_a_table_whose_rows_all_fit_several_folders_labels_nothing(tmp_path: Path) -> None:
    root = meb(tmp_path / "a", [(1, "a", "Positive")], ["M01/a", "S01/a"])
    assert FourDME.index(root)["label"].isna().tolist() == [True, True]
    assert len(one(told(root, "warning"), "several clip folders")) == 1
    assert any("none has a label" in sentence for sentence in told(root, "error"))


@pytest.mark.parametrize(("written", "folder"), [(1.0, "1"), (1, "001"), ("1", "01"), (1.0, "1.0"), (0.0, "000")])
def test_clips_that_are_named_by_a_number_are_found(tmp_path: Path, written: object, folder: str) -> None:
    root = meb(tmp_path / "a", [("S01", written, "Positive")], [f"S01/{folder}", "S01/10"])
    assert labels(root) == {f"S01/{folder}": "positive"}
    assert (str(written) == folder) != any("as the table spells them" in sentence for sentence in told(root, "assumed"))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_of_text_may_use_any_separator(tmp_path: Path, separator: str) -> None:
    rows = [["Labels, of; 4DME"], COLUMNS[:3], *([row[0], row[1], f'"{row[2]}"'] for row in ROWS[:-1])]
    rows.append([ROWS[-1][0], ROWS[-1][1], '"Negative\nSurprise"'])
    lines = (separator.join(map(str, row)) for row in rows)
    root = clips(tmp_path / "a", "gray_micro/", NAMES)
    write(root, "labels.csv", "\r\n".join(lines).encode("utf-8-sig"))
    assert labels(root) == {**ALL, NAMES[-1]: "negative+surprise"}


def test_grey_frames_are_taken_before_crops_and_fewer_clips(tmp_path: Path) -> None:
    root = meb(tmp_path / "a")
    clips(root, "gray_crop/", NAMES)
    clips(root, "depth_micro/", NAMES)
    assert all(name.startswith("gray_micro/") for files in FourDME.index(root)["files"] for name in files)
    (root / f"gray_micro/{NAMES[0]}").rename(root / "elsewhere")
    files = [name for files in FourDME.index(root)["files"] for name in files]
    assert all(name.startswith("gray_crop/") for name in files), "clips of two kinds are never mixed"


OBJ = b"mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n"


UNMAPPED = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


def photograph() -> bytes:
    with io.BytesIO() as file:
        Image.new("RGB", (4, 4), (9, 9, 9)).save(file, "PNG")
        return file.getvalue()


def meshes(root: Path, names: Iterable[str] = NAMES, textures: int = 2, mesh: bytes = OBJ, place: str = "m/") -> Path:
    """Clips of two frames, so many of them with a texture."""
    write(root, LABELS, xlsx([COLUMNS, *ROWS]))
    for name in names:
        for number, frame in enumerate((2, 10)):
            write(root, f"{place}{name}/{frame}.obj", mesh)
            if number < textures:
                write(root, f"{place}{name}/{frame}.jpg", photograph())
    return root


def test_meshes_are_read_where_there_are_no_videos(tmp_path: Path) -> None:
    root = meshes(tmp_path / "a")
    assert not any("name of no mesh" in sentence for sentence in told(root, "warning"))
    for name in NAMES:
        write(root, f"m/{name}/thumbnail.jpg")
    assert labels(root) == ALL
    files = FourDME.index(root)["files"][0]
    assert [name.rpartition("/")[2] for name in files] == ["2.obj", "2.jpg", "10.obj", "10.jpg"]
    assumed = " ".join(told(root, "assumed"))
    assert "each .obj is taken as one frame" in assumed
    assert "bears the name of a mesh is its texture" in assumed
    assert one(told(root, "warning"), "name of no mesh") == tuple(f"m/{name}/thumbnail.jpg" for name in NAMES)
    clip = FourDME.load(root, files)
    assert len(clip) == 2
    scan = clip[1]
    assert isinstance(scan, Scan)
    assert np.array_equal(scan.vertices, np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32))
    assert scan.texture is not None


def test_videos_go_before_meshes_and_that_is_told(tmp_path: Path) -> None:
    root = meshes(tmp_path / "a")
    assert FourDME.offers(root) == {"sequence", "texture"}
    clips(root, "gray_micro/", NAMES[:1])
    assert all(name.endswith(".jpg") for name in FourDME.index(root)["files"][0])
    assert FourDME.offers(root) == {"video"}
    assert one(told(root, "assumed"), "videos go first") == ("m",)
    assert not any("each .obj" in sentence for sentence in told(root, "assumed"))


@pytest.mark.parametrize("of_meshes", [1, 2, 3])
def test_clips_of_one_place_are_of_one_kind(tmp_path: Path, of_meshes: int) -> None:
    root = meshes(tmp_path / "a", NAMES[:of_meshes])
    clips(root, "m/", NAMES[of_meshes:])
    kept, left = (NAMES[of_meshes:], NAMES[:of_meshes]) if of_meshes == 1 else (NAMES[:of_meshes], NAMES[of_meshes:])
    assert list(FourDME.index(root)["id"]) == kept
    among = "meshes among clips of photographs" if of_meshes == 1 else "photographs among clips of meshes"
    assert one(told(root, "warning"), among) == tuple(left)
    assert FourDME.offers(root) == ({"video"} if of_meshes == 1 else {"sequence", "texture"})
    assert not any("videos go first" in sentence for sentence in told(root, "assumed"))
    clip = FourDME.load(root, FourDME.index(root)["files"][0])
    assert isinstance(clip[0], Photo) if of_meshes == 1 else isinstance(clip[0], Scan)


def test_a_root_of_videos_offers_a_video(tmp_path: Path) -> None:
    assert FourDME.offers(meb(tmp_path / "a")) == {"video"} == FourDME.modalities


@pytest.mark.parametrize(
    ("textures", "mesh", "offered"),
    [
        (2, OBJ, {"sequence", "texture"}),
        (1, OBJ, {"sequence", "texture"}),  # as many as a dynamic image asks for
        (0, OBJ, {"sequence"}),
        (2, UNMAPPED, {"sequence"}),  # a photograph and nothing more
        (2, b"no mesh", {"sequence", "texture"}),  # the doctor names what is broken
    ],
)
def test_meshes_offer_texture_if_they_can_be_drawn_with_it(
    tmp_path: Path, textures: int, mesh: bytes, offered: set[str]
) -> None:
    root = meshes(tmp_path / "a", textures=textures, mesh=mesh)
    assert FourDME.offers(root) == offered
    if mesh != b"no mesh":
        frames = [scan for files in FourDME.index(root)["files"] for scan in FourDME.load(root, files)]
        drawn = sum(scan.texture is not None for scan in frames)
        assert ("texture" in offered) == (drawn * 2 >= len(frames))


def test_most_clips_decide_on_texture(tmp_path: Path) -> None:
    root = meshes(tmp_path / "a", NAMES[:2])
    meshes(root, NAMES[2:], textures=0)
    assert FourDME.offers(root) == {"sequence"}, "half of them cannot be drawn"
    for frame in (2, 10):
        write(root, f"m/{NAMES[2]}/{frame}.jpg", photograph())
    assert FourDME.offers(root) == {"sequence", "texture"}
    bare = tuple(f"m/{NAMES[3]}/{frame}.obj" for frame in (10, 2))
    assert one(told(root, "missing"), "textures of meshes") == bare


def test_textures_of_other_names_are_told_and_not_guessed(tmp_path: Path) -> None:
    root = meshes(tmp_path / "a", textures=0)
    assert any(sentence.endswith("bears the name of one") for sentence in told(root, "assumed"))
    for name in NAMES:
        write(root, f"m/{name}/a.mtl", b"newmtl a\nmap_Kd skin.png\n")
        write(root, f"m/{name}/skin.png", photograph())
    assert FourDME.offers(root) == {"sequence"}
    assert any(".mtl" in sentence for sentence in told(root, "assumed"))
    assert len(one(told(root, "warning"), "name of no mesh")) == len(NAMES)
    assert not told(root, "missing")


def test_action_units(tmp_path: Path) -> None:
    assert FourDME.action_units(meb(tmp_path / "a")) == {
        NAMES[0]: (ActionUnit(4, "", False), ActionUnit(7, "", True)),
        NAMES[1]: (ActionUnit(1, "", False), ActionUnit(2, "", False), ActionUnit(12, "", False)),
        NAMES[2]: (ActionUnit(4, "", True), ActionUnit(17, "", False)),
        NAMES[3]: (ActionUnit(12, "L", False),),
    }


@pytest.mark.parametrize(
    ("written", "numbers"),
    [("4+7", [4, 7]), ("AU4,AU7", [4, 7]), ("4 7", [4, 7]), ("4;7(K)", [4, 7]), ("", []), ("-", []), ("12", [12])],
)
def test_whatever_separates_action_units(written: str, numbers: list[int]) -> None:
    assert [unit.number for unit in parse_action_units(written)] == numbers
    assert has_only_action_units(written)


@pytest.mark.parametrize(
    ("written", "units"),
    [
        ("4 L12", "4 L12"),
        ("R4 L12", "R4 L12"),
        ("4\nR12", "4 R12"),
        ("4l, 12R (k)", "L4 R12k"),
        ("AU4AU7", "4 7"),
        ("AU4LAU R7(k)AU 12", "L4 R7k 12"),
        ("au04_17", "4 17"),
        ("4.0", "4"),
    ],
)
def test_a_side_belongs_to_the_number_it_touches(written: str, units: str) -> None:
    found = parse_action_units(written)
    assert " ".join(f"{unit.side}{unit.number}{'k' * unit.static}" for unit in found) == units
    assert has_only_action_units(written)


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ("123", []),
        ("4+123", [4]),
        ("L12R", []),
        ("4L12", []),
        ("4 L 12", [4, 12]),
        ("4, 7(x)", [4, 7]),
        ("4B", []),
        ("4.7", []),
        ("none", []),
        ("4 AU", [4]),
    ],
)
def test_what_is_no_action_unit_is_noticed(written: str, numbers: list[int]) -> None:
    assert [unit.number for unit in parse_action_units(written)] == numbers
    assert not has_only_action_units(written)


@pytest.mark.parametrize("start", ["AU", "L", "4", "4(", "AU4LAU", "", "4 "])
@pytest.mark.parametrize("filler", [" ", "4", "AU", "AU ", "4(", "\n+"])
def test_a_long_cell_of_action_units_comes_to_an_end(start: str, filler: str) -> None:
    cell = start + filler * (200_000 // len(filler)) + "x"
    assert {unit.number for unit in parse_action_units(cell)} <= {4, 44}
    assert not has_only_action_units(cell)


def test_action_units_that_are_not_understood_are_told(tmp_path: Path) -> None:
    rows = [(*row[:6], units) for row, units in zip(ROWS, ("4+123", 4, 7.0, None), strict=True)]
    root = meb(tmp_path / "a", rows)
    assert one(told(root, "warning"), "action units are not all understood") == (f"{LABELS}:2",)
    units = {name: [unit.number for unit in found] for name, found in FourDME.action_units(root).items()}
    assert units == dict(zip(NAMES, ([4], [4], [7], []), strict=True))


def test_the_two_exchanged_rows_of_the_distribution_are_set_right(tmp_path: Path) -> None:
    names = [f"S{n % 41 + 1:02d}/c{n:03d}" for n in range(267)]
    rows = [(*name.split("/"), "Negative+Surprise", 1, 2, 3, str(n % 45 + 1)) for n, name in enumerate(names)]
    root = clips(tmp_path / "a", "gray_micro/", names, ["1.jpg"])
    write(root, LABELS, xlsx([COLUMNS[:7], *rows]))
    units = {name: found[0].number for name, found in FourDME.action_units(root).items()}
    expected = {name: n % 45 + 1 for n, name in enumerate(names)}
    expected[names[144]], expected[names[145]] = expected[names[145]], expected[names[144]]
    assert units == expected
    (sentence,) = [sentence for sentence in told(root, "assumed") if "exchanged" in sentence]
    assert f"{LABELS}:146, {LABELS}:147" in sentence
    write(root, "twin.json", b"{}")  # whose rows were never exchanged
    assert {name: found[0].number for name, found in FourDME.action_units(root).items()} == {
        name: n % 45 + 1 for n, name in enumerate(names)
    }
    assert not any("exchanged" in sentence for sentence in told(root, "assumed"))
    assert not told(root, "warning")


def test_a_damaged_spreadsheet_is_named(tmp_path: Path) -> None:
    root = meb(tmp_path / "a")
    whole = (root / LABELS).read_bytes()
    write(root, "another.xlsx", whole[:100])
    assert labels(root) == ALL
    assert one(told(root, "warning"), "cannot be read") == ("another.xlsx",)
    (root / LABELS).write_bytes(whole[:300])
    with pytest.raises(InvalidFile, match=r"\.xlsx"):
        FourDME.index(root)


def test_without_labels_clips_are_an_error(tmp_path: Path) -> None:
    root = clips(tmp_path / "a", "gray_micro/", NAMES)
    write(root, "~$lock.xlsx", b"x")
    index = FourDME.index(root)
    assert list(index["id"]) == NAMES
    assert index["label"].isna().all()
    assert any("no label table" in sentence for sentence in told(root, "error"))


@pytest.mark.parametrize("name", ["F001/Angry/000.jpg", "train/1/train_00001_aligned.jpg", "notes.txt"])
def test_other_folders_are_not_4dme(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a", name)
    with pytest.raises(DatasetNotFound):
        FourDME.index(tmp_path / "a")


def test_a_broken_frame_names_its_file(tmp_path: Path) -> None:
    root = meb(tmp_path / "a")
    with pytest.raises(BrokenScan, match=r"img9\.jpg"):
        FourDME.load(root, FourDME.index(root)["files"][0])[0].pixels()


@settings(max_examples=40)
@given(st.data())
def test_no_spreadsheet_makes_the_reader_crash(data: Any) -> None:
    whole = bytearray(xlsx([COLUMNS, *ROWS]))
    for position in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[position] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        root = clips(Path(folder), "gray_micro/", NAMES)
        write(root, LABELS, bytes(whole[: data.draw(st.integers(0, len(whole)))]))
        try:
            assert len(FourDME.examine(Tree(root))) <= len(NAMES)
        except InvalidFile as error:
            assert "\n" not in str(error)


@given(
    st.binary(max_size=120)
    | st.lists(st.sampled_from(["S01_a", "\n", ",", "1", "0", '"', "\0", "x"])).map(
        lambda parts: ("Id,Negative,Positive,Repression,Surprise,Others\n" + "".join(parts)).encode()
    )
)
def test_no_table_makes_the_reader_crash(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = clips(Path(folder), "train/", ["S01_a", "1"])
        write(root, "labels.csv", content)
        try:
            FourDME.examine(Tree(root))
        except InvalidFile as error:
            assert "\n" not in str(error)
