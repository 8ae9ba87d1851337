"""The first worksheet of an `.xlsx` file, in which 4DME keeps its labels."""

import html
import io
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fer_bench.errors import InvalidFile
from fer_bench.io.file_bytes import open_regular
from fer_bench.records import atomic_write

Value = str | int | float | None

# 4DME's sheet has 267 rows; a file beyond these bounds is damaged, or made to exhaust the memory.
MAX_ROWS, MAX_COLUMNS = 20_000, 500
_MAX_CELLS = MAX_ROWS * MAX_COLUMNS  # with the empty ones, which are read only to be dropped
MAX_FILE, MAX_UNPACKED = 16 * 2**20, 32 * 2**20  # bytes
_LAST_ROW = 2**20  # of the format
_REMEDY = "Copy the file again from the dataset's distribution, or save it again as .xlsx."


def read_sheet(path: Path | str) -> list[list[Value]]:
    """Read the first worksheet: its rows from the first on, all of the same length, without what is empty at the ends.

    An empty cell is None, a formula the value that was last computed for it, and a date its text.

    Raises:
        InvalidFile: the file is missing, not such a file, or beyond the bounds above.
    """
    try:
        with open_regular(path) as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise InvalidFile(path, f"cannot be read ({error.strerror or error})", _REMEDY) from None
    if len(data) > MAX_FILE:
        raise InvalidFile(path, f"has more than the {MAX_FILE >> 20} MB allowed", _REMEDY)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        # The sizes may be believed, because zipfile never unpacks more of a member than its size.
        if unpacked > MAX_UNPACKED:
            raise InvalidFile(path, f"unpacks to more than the {MAX_UNPACKED >> 20} MB allowed", _REMEDY)
        rows = _rows(data)
        if rows is None:
            raise InvalidFile(path, f"has more than the {MAX_ROWS} rows and {MAX_COLUMNS} columns allowed", _REMEDY)
    except InvalidFile:
        raise
    except zipfile.BadZipFile:
        raise InvalidFile(path, "is not an .xlsx file, or is damaged", _REMEDY) from None
    # openpyxl meets a damaged file with almost any exception, from KeyError to those of the XML parser.
    except Exception as error:
        cause = error.__cause__ or error  # openpyxl words its own to say only that reading failed
        reason = " ".join(str(cause).split())[:120] or type(cause).__name__
        raise InvalidFile(path, f"is not a valid .xlsx file ({reason})", _REMEDY) from None
    width = max(map(len, rows), default=0)
    return [row + [None] * (width - len(row)) for row in rows]


def _rows(data: bytes) -> list[list[Value]] | None:
    """The rows without what is empty at their ends; None if they are beyond a bound."""
    import openpyxl

    rows: list[list[Value]] = []
    read = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of extensions that have no bearing on the values
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # the file's own claim would pad every row
        for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
            read += len(cells)
            if number > _LAST_ROW or read > _MAX_CELLS:
                return None
            filled = [place for place, value in enumerate(cells, start=1) if value is not None]
            if filled:
                if number > MAX_ROWS or filled[-1] > MAX_COLUMNS:
                    return None
                rows += [[] for _ in range(number - 1 - len(rows))]
                rows.append([_value(value) for value in cells[: filled[-1]]])
    return rows


def _value(value: Any) -> Value:
    return value if value is None or isinstance(value, str | int | float) else str(value)


_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_SPREADSHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_RELATIONS = f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" Type="{_OFFICE}/%s" Target="%s"/></Relationships>'  # noqa: E501
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_SPREADSHEET}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_SPREADSHEET}.worksheet+xml"/></Types>',
    "_rels/.rels": _RELATIONS % ("officeDocument", "xl/workbook.xml"),
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
    '<sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": _RELATIONS % ("worksheet", "worksheets/sheet1.xml"),
}


def write_sheet(path: Path | str, rows: Iterable[Sequence[Value]]) -> None:
    """Write rows as the only worksheet, atomically; equal rows give equal bytes on every machine."""
    lines = [
        f'<row r="{number}">{"".join(_cell(place, number, value) for place, value in enumerate(row))}</row>'
        for number, row in enumerate(rows, start=1)
    ]
    sheet = f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>'
    with atomic_write(Path(path)) as file, zipfile.ZipFile(file, "w") as archive:
        for name, text in {**_PARTS, "xl/worksheets/sheet1.xml": sheet}.items():
            member = zipfile.ZipInfo(name)  # dated 1980, and not compressed, because zlib's releases pack differently
            member.create_system = 3  # would depend on the system that wrote it
            archive.writestr(member, _XML + text)


def _cell(place: int, row: int, value: Value) -> str:
    if value is None:
        return ""
    column, letters = place + 1, ""
    while column:
        column, digit = divmod(column - 1, 26)
        letters = chr(ord("A") + digit) + letters
    if isinstance(value, str):
        text = f'<t xml:space="preserve">{html.escape(value, quote=False)}</t>'
        return f'<c r="{letters}{row}" t="inlineStr"><is>{text}</is></c>'
    return f'<c r="{letters}{row}"><v>{value + 0}</v></c>'  # adding 0 makes a number of True
