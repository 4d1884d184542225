"""Workbooks of Excel (.xlsx): the cells that they store, read in one pass and within limits.

A few kilobytes of a workbook can stand for hundreds of megabytes of XML, or for millions of empty cells. Everything is
counted while it is read, and reading stops at the limit: the largest sheet of a release has about 60,000 cells.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from xml.parsers import expat

MAX_XML_BYTES = 48_000_000
"""Of the parts that are read, unpacked, all together."""
MAX_TAGS = 500_000
"""Elements in them, all together; a cell with a value is two or three."""
MAX_MEMBERS = 10_000

Value = str | int | float | bool | datetime | date | time | timedelta | None
_REFERENCE = re.compile(r"([A-Za-z]{1,3})(\d{1,7})")
Dates = tuple[frozenset[int], frozenset[int]]


class TooLarge(Exception):
    """The workbook costs more than a sheet of annotations ever would."""


class EntitiesForbidden(Exception):
    """The XML declares entities or a document type, as no spreadsheet program does."""


@dataclass
class Tab:
    """One sheet as it is stored.

    Attributes:
        name: its title.
        rows: row number (from 1) -> column (from 0) -> value; empty cells are not there.
        unevaluated: (row, column) of formulas without a stored value.
        last: number of the last row that the sheet names, empty or not.
        hidden: whether a spreadsheet program does not show it.
    """

    name: str
    rows: dict[int, dict[int, Value]] = field(default_factory=dict)
    unevaluated: list[tuple[int, int]] = field(default_factory=list)
    last: int = 0
    hidden: bool = False


class Workbook:
    """An archive with its budget."""

    def __init__(self, data: bytes) -> None:
        self._archive = zipfile.ZipFile(io.BytesIO(data))
        members = self._archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise TooLarge(f"{len(members)} parts")
        self._sizes = {m.filename: m.file_size for m in members}
        self._bytes_left, self._tags_left = MAX_XML_BYTES, MAX_TAGS

    def read(self) -> list[Tab]:
        """All sheets, in the workbook's order.

        Raises:
            TooLarge: at the limit.
            EntitiesForbidden: when it declares entities or a document type.
            Exception: of many kinds, on damaged files.
        """
        book = self._office_document()
        targets = self._relations(book)
        dates = _dates(self._styles(targets))
        texts = self._texts(targets)
        sheets, epoch_1904 = self._sheets(book)
        tabs = []
        for title, relation, hidden in sheets:
            kind, target = targets[relation]
            if kind == "worksheet":
                tabs.append(self._tab(title, target, texts, dates, epoch_1904))
                tabs[-1].hidden = hidden
        return tabs

    def parse(
        self,
        part: str,
        start: Callable[[str, Mapping[str, str]], None],
        end: Callable[[str], None] | None = None,
        *,
        text: Callable[[str], None] | None = None,
    ) -> None:
        """Run through a part; names come without their namespace."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True

        def started(name: str, attributes: dict[str, str]) -> None:
            """Count the element, then look at it."""
            self._tags_left -= 1
            if self._tags_left < 0:
                raise TooLarge(f"more than {MAX_TAGS} elements")
            start(name.rpartition(" ")[2], attributes)

        parser.StartElementHandler = started
        if end is not None:
            parser.EndElementHandler = lambda name: end(name.rpartition(" ")[2])
        if text is not None:
            parser.CharacterDataHandler = text
        parser.StartDoctypeDeclHandler = _refuse
        parser.EntityDeclHandler = _refuse
        with self._archive.open(part) as file:
            while data := file.read(1 << 16):
                self._bytes_left -= len(data)
                if self._bytes_left < 0:
                    raise TooLarge(f"more than {MAX_XML_BYTES} bytes once unpacked")
                parser.Parse(data, False)
        parser.Parse(b"", True)

    def _office_document(self) -> str:
        found = [target for kind, target in self._relations("").values() if kind == "officeDocument"]
        return found[0] if found else "xl/workbook.xml"

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Id -> (kind, part) of what a part refers to."""
        folder, name = posixpath.split(part)
        listed = posixpath.join(folder, "_rels", f"{name}.rels")
        found: dict[str, tuple[str, str]] = {}
        if listed not in self._sizes:
            return found

        def start(tag: str, attributes: Mapping[str, str]) -> None:
            """Take a relation of the part."""
            if tag == "Relationship":
                target = attributes.get("Target", "")
                whole = target.lstrip("/") if target.startswith("/") else posixpath.normpath(f"{folder}/{target}")
                found[attributes.get("Id", "")] = attributes.get("Type", "").rpartition("/")[2], whole.lstrip("/")

        self.parse(listed, start)
        return found

    def _sheets(self, book: str) -> tuple[list[tuple[str, str, bool]], bool]:
        """(title, relation, whether hidden) of every sheet, and whether dates count from 1904."""
        sheets: list[tuple[str, str, bool]] = []
        epoch_1904 = False

        def start(tag: str, attributes: Mapping[str, str]) -> None:
            """Take a sheet, or which calendar the book counts in."""
            nonlocal epoch_1904
            if tag == "sheet":
                relation = next((v for k, v in attributes.items() if k.rpartition(" ")[2] == "id"), "")
                hidden = attributes.get("state", "visible") != "visible"
                sheets.append((attributes.get("name", ""), relation, hidden))
            elif tag == "workbookPr":
                epoch_1904 = attributes.get("date1904", "0").lower() in ("1", "true")

        self.parse(book, start)
        return sheets, epoch_1904

    def _texts(self, targets: Mapping[str, tuple[str, str]]) -> list[str]:
        part = next((p for kind, p in targets.values() if kind == "sharedStrings"), None)
        reader = _Texts()
        if part in self._sizes:
            self.parse(part, reader.start, reader.end, text=reader.text)
        return reader.done

    def _styles(self, targets: Mapping[str, tuple[str, str]]) -> tuple[dict[int, str], list[int]]:
        """Codes of the workbook's own number formats, and the format's number of every cell style."""
        part = next((p for kind, p in targets.values() if kind == "styles"), None)
        codes: dict[int, str] = {}
        styles: list[int] = []
        inside = False

        def start(tag: str, attributes: Mapping[str, str]) -> None:
            """Take a format of numbers, or the style of a cell."""
            nonlocal inside
            if tag == "numFmt":
                codes[int(attributes["numFmtId"])] = attributes.get("formatCode", "")
            elif tag == "cellXfs":
                inside = True
            elif tag == "xf" and inside:
                styles.append(int(attributes.get("numFmtId", "0")))

        def end(tag: str) -> None:
            """The list of styles is over."""
            nonlocal inside
            inside = inside and tag != "cellXfs"

        if part in self._sizes:
            self.parse(part, start, end)
        return codes, styles

    def _tab(self, title: str, part: str, texts: list[str], dates: Dates, epoch_1904: bool) -> Tab:
        reader = _Cells(Tab(title), texts, dates, epoch_1904)
        self.parse(part, reader.start, reader.end, text=reader.text)
        return reader.tab


def _refuse(*_: object) -> None:
    raise EntitiesForbidden("a document type or entities of its own")


class _Texts:
    """The shared texts: of each the parts `t`, not those that say how it is pronounced."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._parts: list[str] = []
        self._inside = self._phonetic = False

    def start(self, tag: str, _: Mapping[str, str]) -> None:
        """A text begins, or a part of one."""
        if tag == "si":
            self._parts = []
        elif tag == "rPh":
            self._phonetic = True
        elif tag == "t":
            self._inside = not self._phonetic

    def text(self, data: str) -> None:
        """Characters inside an element."""
        if self._inside:
            self._parts.append(data)

    def end(self, tag: str) -> None:
        """A text is over, or a part of one."""
        if tag == "si":
            self.done.append("".join(self._parts))
        elif tag == "rPh":
            self._phonetic = False
        elif tag == "t":
            self._inside = False


class _Cells:
    """The cells of one sheet."""

    def __init__(self, tab: Tab, texts: list[str], dates: Dates, epoch_1904: bool) -> None:
        self.tab = tab
        self._texts, self._dates, self._epoch_1904 = texts, dates, epoch_1904
        self._row, self._column = 0, -1
        self._kind, self._style = "n", 0
        self._formula = self._phonetic = False
        self._parts: list[str] = []
        self._stored = False
        self._inside = ""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """A cell begins, or a part of one."""
        if tag == "c":
            self._cell(attributes)
        elif tag == "row":
            self._row = int(float(attributes["r"])) if "r" in attributes else self._row + 1
            self._column = -1
            self.tab.last = max(self.tab.last, self._row)
        elif tag == "f":
            self._formula = True
        elif tag == "rPh":
            self._phonetic = True
        elif tag == "v" or (tag == "t" and not self._phonetic):
            self._inside = tag

    def _cell(self, attributes: Mapping[str, str]) -> None:
        self._column += 1
        if "r" in attributes:
            match = _REFERENCE.fullmatch(attributes["r"])
            if match is None:
                raise ValueError(f"{attributes['r']!r} is no cell")
            self._column = column_number(match[1])
            self._row = int(match[2])
            self.tab.last = max(self.tab.last, self._row)
        self._kind, self._style = attributes.get("t", "n"), int(attributes.get("s", "0"))
        self._formula = self._stored = False
        self._parts = []

    def text(self, data: str) -> None:
        """Characters inside an element."""
        if self._inside:
            self._parts.append(data)
            self._stored = True

    def end(self, tag: str) -> None:
        """A cell is over, or a part of one."""
        if tag in ("v", "t"):
            self._inside = ""
        elif tag == "rPh":
            self._phonetic = False
        elif tag == "c":
            if self._stored:
                self.tab.rows.setdefault(self._row, {})[self._column] = self._value("".join(self._parts))
            elif self._formula:
                self.tab.unevaluated.append((self._row, self._column))

    def _value(self, text: str) -> Value:
        match self._kind:
            case "s":
                return self._texts[int(text)]
            case "n":
                number = float(text) if any(c in text for c in ".eE") else int(text)
                return self._date(number) if self._style in self._dates[0] else number
            case "b":
                return bool(int(text))
            case "d":
                return datetime.fromisoformat(text)
        return text  # of a formula (str), an error (e), or written in the cell itself (inlineStr)

    def _date(self, number: float) -> Value:
        from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH, from_excel

        try:
            found: Value = from_excel(
                number, MAC_EPOCH if self._epoch_1904 else WINDOWS_EPOCH, timedelta=self._style in self._dates[1]
            )
        except (OverflowError, ValueError):
            return "#VALUE!"
        return found


def _dates(styles: tuple[dict[int, str], list[int]]) -> tuple[frozenset[int], frozenset[int]]:
    """Numbers of the cell styles that show dates or times, and of those that show lengths of time."""
    from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_timedelta_format

    codes, formats = styles
    shown = [codes.get(number, BUILTIN_FORMATS.get(number)) for number in formats]
    return (
        frozenset(style for style, code in enumerate(shown) if is_date_format(code)),
        frozenset(style for style, code in enumerate(shown) if is_timedelta_format(code)),
    )


def column_number(letters: str) -> int:
    """0 for A, 26 for AA."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number - 1


def rows_of(tab: Tab, max_columns: int) -> Iterator[tuple[Value, ...]]:
    """The rows from the first to the last one with a cell, without empty cells at their ends."""
    for number in range(1, max(tab.rows, default=0) + 1):
        cells = {c: v for c, v in tab.rows.get(number, {}).items() if c < max_columns}
        yield tuple(cells.get(c) for c in range(max(cells, default=-1) + 1))


def read_workbook(data: bytes) -> list[Tab]:
    """All sheets of a workbook.

    Raises:
        TooLarge: when it costs more than sheets of annotations do.
        Exception: of many kinds, on damaged files.
    """
    return Workbook(data).read()
