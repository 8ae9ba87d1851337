"""Spreadsheets as Excel and openpyxl write them, and files made to do harm."""

import datetime
import time
import zipfile
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.errors import InvalidFile
from fer_bench.io import spreadsheet
from fer_bench.io.spreadsheet import MAX_COLUMNS, MAX_ROWS, read_sheet, write_sheet

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
# As Excel writes a book of two sheets: texts are shared, and the dimension is what it claims.
PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{TYPE}.worksheet+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet2.xml" ContentType="{TYPE}.worksheet+xml"/>'
    f'<Override PartName="/xl/sharedStrings.xml" ContentType="{TYPE}.sharedStrings+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets><sheet name="ME" sheetId="7" r:id="rId1"/>'
    '<sheet name="other" sheetId="1" r:id="rId2"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{OFFICE}/worksheet" Target="worksheets/sheet2.xml"/>'
    f'<Relationship Id="rId3" Type="{OFFICE}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
    "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}"><si><t>sub_ID</t></si><si><t>Positive+Surprise</t></si></sst>',
    "xl/worksheets/sheet2.xml": f'<worksheet xmlns="{MAIN}"><sheetData/></worksheet>',
}
ROWS = (
    '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>Onset</t></is></c></row>'
    '<row r="2"><c r="A2"><v>13</v></c><c r="B2"><v>2.5</v></c><c r="D2" t="s"><v>1</v></c></row>'
    '<row r="4"><c r="B4"><f>B2-1</f><v>1.5</v></c><c r="C4" t="str"><v>S13</v></c><c r="E4" s="0"/></row>'
    '<row r="9"><c r="A9" s="0"/></row>'
)


def sheet(rows: str = ROWS, dimension: str = "A1:XFD1048576", before: str = "") -> str:
    return f'{before}<worksheet xmlns="{MAIN}"><dimension ref="{dimension}"/><sheetData>{rows}</sheetData></worksheet>'


def book(path: Path, compression: int = zipfile.ZIP_DEFLATED, **changes: str) -> Path:
    """`sheet1` replaces xl/worksheets/sheet1.xml, `strings` the shared texts."""
    parts = PARTS | {"xl/worksheets/sheet1.xml": changes.get("sheet1", sheet())}
    if "strings" in changes:
        parts["xl/sharedStrings.xml"] = changes["strings"]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return path


def test_read(tmp_path: Path) -> None:
    rows = read_sheet(book(tmp_path / "a.xlsx"))
    assert rows == [
        ["sub_ID", "Onset", None, None],
        [13, 2.5, None, "Positive+Surprise"],
        [None, None, None, None],
        [None, 1.5, "S13", None],
    ]
    assert isinstance(rows[1][0], int) and isinstance(rows[1][1], float)


def test_read_what_openpyxl_wrote(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    workbook.active.append(["Onset", "day", "done"])
    workbook.active.append([3, datetime.datetime(2021, 4, 5), True])
    workbook.create_sheet("second").append(["never"])
    workbook.save(tmp_path / "a.xlsx")
    assert read_sheet(tmp_path / "a.xlsx") == [["Onset", "day", "done"], [3, "2021-04-05 00:00:00", True]]


def test_empty_sheet(tmp_path: Path) -> None:
    assert read_sheet(book(tmp_path / "a.xlsx", sheet1=sheet(""))) == []


def test_bounds(tmp_path: Path) -> None:
    def row(number: int, column: str = "A") -> str:
        return f'<row r="{number}"><c r="{column}{number}"><v>1</v></c></row>'

    assert len(read_sheet(book(tmp_path / "a.xlsx", sheet1=sheet(row(MAX_ROWS))))) == MAX_ROWS
    assert openpyxl.utils.get_column_letter(MAX_COLUMNS) == "SF"
    assert len(read_sheet(book(tmp_path / "a.xlsx", sheet1=sheet(row(1, "SF"))))[0]) == MAX_COLUMNS
    for beyond in (row(MAX_ROWS + 1), row(2**20), row(1, "SG"), row(1, "XFD")):
        with pytest.raises(InvalidFile, match="more than the 20000 rows and 500 columns"):
            read_sheet(book(tmp_path / "a.xlsx", sheet1=sheet(beyond)))


@pytest.mark.parametrize("before", ["", ROWS])
def test_a_row_at_infinity_is_refused(tmp_path: Path, before: str) -> None:
    rows = before + f'<row r="{10**15}"><c r="A{10**15}"><v>1</v></c></row>'
    with pytest.raises(InvalidFile, match="more than the 20000 rows"):
        read_sheet(book(tmp_path / "a.xlsx", sheet1=sheet(rows)))


@pytest.mark.parametrize("column", ["XFE", "ZZZ", "AAAA", "A" * 50])
def test_a_column_at_infinity_is_refused(tmp_path: Path, column: str) -> None:
    rows = f'<row r="1"><c r="{column}1"><v>1</v></c></row>'
    with pytest.raises(InvalidFile):
        read_sheet(book(tmp_path / "a.xlsx", sheet1=sheet(rows)))


def test_columns_without_a_name_are_counted(tmp_path: Path) -> None:
    assert len(read_sheet(book(tmp_path / "a.xlsx", sheet1=sheet(f"<row>{'<c><v>1</v></c>' * 500}</row>")))[0]) == 500
    with pytest.raises(InvalidFile, match="500 columns"):
        read_sheet(book(tmp_path / "a.xlsx", sheet1=sheet(f"<row>{'<c><v>1</v></c>' * 501}</row>")))


def test_empty_cells_are_not_read_without_end(tmp_path: Path) -> None:
    # A row formatted to its last column is no harm; a million of them would be 16 thousand million cells.
    rows = [f'<row r="{n}"><c r="A{n}"><v>{n}</v></c><c r="XFD{n}" s="0"/></row>' for n in range(1, 301)]
    assert read_sheet(book(tmp_path / "a.xlsx", sheet1=sheet("".join(rows)))) == [[n] for n in range(1, 301)]
    with pytest.raises(InvalidFile, match="more than the 20000 rows and 500 columns"):
        read_sheet(book(tmp_path / "a.xlsx", sheet1=sheet('<row><c r="XFD1"/></row>' * 10**5)))


def test_entities_are_refused(tmp_path: Path) -> None:
    assert openpyxl.DEFUSEDXML is True
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    before = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]>'
    rows = '<row r="1"><c r="A1" t="inlineStr"><is><t>&l9;</t></is></c></row>'
    with pytest.raises(InvalidFile, match="Entities"):
        read_sheet(book(tmp_path / "a.xlsx", sheet1=sheet(rows, before=before)))
    strings = f'{before}<sst xmlns="{MAIN}"><si><t>&l9;</t></si></sst>'
    with pytest.raises(InvalidFile, match="Entities"):
        read_sheet(book(tmp_path / "a.xlsx", strings=strings))


def test_what_unpacks_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(book(tmp_path / "a.xlsx"), "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/bomb.bin", bytes(spreadsheet.MAX_UNPACKED))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("unpacked"))
    with pytest.raises(InvalidFile, match="unpacks to more than the 32 MB allowed"):
        read_sheet(tmp_path / "a.xlsx")


def test_a_member_longer_than_it_says_is_cut(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", sheet1=sheet(ROWS + " " * 10**6))
    data = path.read_bytes()
    size = len(sheet(ROWS + " " * 10**6)).to_bytes(4, "little")
    assert data.count(size) == 2  # in the member's own header, and in the directory
    path.write_bytes(data.replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(InvalidFile):
        read_sheet(path)


def test_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet, "MAX_FILE", 2**10)
    with pytest.raises(InvalidFile, match="has more than the 0 MB allowed"):
        read_sheet(book(tmp_path / "a.xlsx"))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is not an .xlsx file"),
        (b"sub_ID,Onset\n1,2\n", "is not an .xlsx file"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "is not an .xlsx file"),  # .xls, or with a password
        (b"PK\5\6" + bytes(18), "is not a valid .xlsx file"),  # a zip of nothing
    ],
)
def test_other_files(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "a.xlsx").write_bytes(data)
    with pytest.raises(InvalidFile, match=problem):
        read_sheet(tmp_path / "a.xlsx")


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="No such file"):
        read_sheet(tmp_path / "none.xlsx")


TABLE = [
    ["sub_ID", "AUs", *(f"AU{i}" for i in range(40))],
    [13, "4(k)+7", None, 2.5, -1],
    [],
    ["S13", ' <&> "quoted" \n second line ', None, 1e-7, 2**40],
]


def test_write(tmp_path: Path) -> None:
    write_sheet(tmp_path / "new" / "a.xlsx", TABLE)
    rows = read_sheet(tmp_path / "new" / "a.xlsx")
    assert rows == [[*row, *[None] * (42 - len(row))] for row in TABLE]
    assert openpyxl.load_workbook(tmp_path / "new" / "a.xlsx").active["AP1"].value == "AU39"  # the 42nd column


def test_equal_rows_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sheet(tmp_path / "a.xlsx", TABLE)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr("sys.platform", "win32")
    write_sheet(tmp_path / "b.xlsx", TABLE)
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


@settings(max_examples=60)
@given(st.data())
def test_no_bytes_do_harm(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.xlsx"
    where = data.draw(st.sampled_from(["sheet1", "strings", "file"]))
    valid = {"sheet1": sheet(), "strings": PARTS["xl/sharedStrings.xml"]}.get(where)
    source = valid.encode() if valid else book(path, zipfile.ZIP_STORED).read_bytes()
    mutated = bytearray(source[: data.draw(st.integers(0, len(source)))] if data.draw(st.booleans()) else source)
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(source) - 1), st.integers(0, 255)), max_size=4)
    ):
        if place < len(mutated):
            mutated[place] = value
    if where == "file":
        path.write_bytes(mutated)
    else:
        book(path, **{where: bytes(mutated).decode("latin-1")})
    try:
        rows = read_sheet(path)
    except InvalidFile as error:
        assert "\n" not in str(error)
    else:
        assert all(value is None or isinstance(value, str | int | float) for row in rows for value in row)


@settings(max_examples=50)
@given(content=st.binary(max_size=200))
def test_arbitrary_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "arbitrary.xlsx"
    path.write_bytes(content)
    with pytest.raises(InvalidFile):
        read_sheet(path)
