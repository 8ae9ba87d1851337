"""The header of a PLY file: its format, and the elements with their properties."""

import re
from dataclasses import dataclass

_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
FORMATS = ("ascii", "binary_little_endian", "binary_big_endian")
_LONGEST_HEADER = 65_536
_END = re.compile(rb"(?:\A|[\r\n])end_header[ \t]*(\r\n|\n|\r)")


@dataclass(frozen=True)
class Property:
    """A column of an element: one number of a numpy type, or a list of them led by its length."""

    name: str
    dtype: str
    length_dtype: str | None = None


@dataclass(frozen=True)
class Element:
    name: str
    count: int
    properties: list[Property]


class Malformed(Exception):
    """A problem of a file whose name is not known yet."""


def read_header(data: bytes) -> tuple[str, list[Element], int]:
    """The format, the elements in order, and the byte at which their values begin."""
    if not data.startswith(b"ply"):
        raise Malformed("the file is empty" if not data.strip() else "does not begin with 'ply', so it is no PLY file")
    end = _END.search(data, 0, _LONGEST_HEADER)
    if end is None:
        raise Malformed("has no end_header, so it is cut off inside the header")
    layout, elements = "", list[Element]()
    for line in data[: end.start()].decode("latin-1").splitlines()[1:]:
        words = line.split()
        match words:
            case [] | ["comment" | "obj_info", *_]:
                pass
            case ["format", kind, _] if kind in FORMATS and not layout:
                layout = kind
            case ["element", name, count] if re.fullmatch(r"[0-9]{1,10}", count):
                elements.append(Element(name, int(count), []))
            case ["property", "list", length, kind, name] if elements and {length, kind} <= _TYPES.keys():
                elements[-1].properties.append(Property(name, _TYPES[kind], _TYPES[length]))
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1].properties.append(Property(name, _TYPES[kind]))
            case _:
                raise Malformed(f"the header line {line.strip()[:40]!r} is not of the PLY format")
    if not layout:
        raise Malformed("the header names no format")
    return layout, elements, end.end()
