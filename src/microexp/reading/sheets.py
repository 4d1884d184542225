"""Reading annotation sheets that others made: .xlsx, .xls and .csv, with limits against hostile or broken files."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from microexp.errors import UserError
from microexp.reading.xlsx import TooLarge, read_workbook, rows_of

MAX_ROWS = 100_000
MAX_COLUMNS = 200
MAX_BYTES = 50_000_000
"""Of a workbook, which may hold pictures; of CSV, where every byte costs, a third of it."""
MAX_CELLS = 2_000_000
"""The largest sheets of the releases have about 60,000."""
HEADER_WITHIN_ROWS = 40
NAMES_SHOWN = 4
"""Of the names that a missing column may have, so many are told."""
HEADER_FROM_COLUMNS = 2
"""A row that names so many columns is a header, though perhaps not a whole one."""

Cell = object
"""None, str, int, float, bool or a date, as the file has it."""


@dataclass(frozen=True)
class Sheet:
    """One sheet of a file.

    Attributes:
        path: the file.
        name: name of the sheet; empty for a CSV file.
        rows: cells row by row; `rows[0]` is row 1 of the file.
        hidden: whether a spreadsheet program does not show it.
    """

    path: Path
    name: str
    rows: tuple[tuple[Cell, ...], ...]
    hidden: bool = False


@dataclass(frozen=True)
class Line:
    """One row of a table: its number in the file and its cells by column."""

    row: int
    cells: Mapping[str, Cell]

    def text(self, column: str) -> str:
        """The cell as text without surrounding space; whole floats lose their `.0`, an empty cell is ''."""
        return as_text(self.cells.get(column))

    def code(self, column: str) -> str:
        """The cell as text; a number that a copy has turned to 6.0 is 6 again."""
        return re.sub(r"^(\d+)\.0+$", r"\1", self.text(column))

    def value(self, column: str) -> Cell:
        """The cell as it stands; '' when it is empty or the column is missing."""
        cell = self.cells.get(column)
        return "" if cell is None else cell


def as_text(cell: Cell) -> str:
    """A cell as text: 6.0 -> '6', None -> ''."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def read_sheets(path: str | Path) -> list[Sheet]:
    """All sheets of a workbook, or the one table of a CSV file; what it is shows in its content, not its suffix.

    Raises:
        UserError: naming the file when it is missing, damaged, too large, or holds a formula without a value.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _too_large(path, path.stat().st_size, MAX_BYTES)
        data = path.read_bytes()
    except OSError as error:
        raise UserError(file=path, problem=error.strerror, expected="an annotation sheet") from error
    if data.startswith(b"PK"):
        return _read_xlsx(path, data)
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        return _read_xls(path, data)
    if path.suffix.lower() in (".csv", ".txt", ".tsv"):
        return [_read_csv(path, data)]
    raise UserError(file=path, problem="neither a workbook nor a CSV file", expected="an .xlsx, .xls or .csv file")


def split_name(name: str) -> tuple[str, str]:
    """`file.xlsx#sheet` as file and sheet; '' where no sheet is named."""
    file, mark, sheet = name.rpartition("#")
    is_named = mark and re.search(r"\.xls[xm]?$", file, re.IGNORECASE)
    return (file, sheet) if is_named else (name, "")


def open_named(path: Path, sheet: str) -> Sheet:
    """The sheet of that name (any case), hidden or not.

    Raises:
        UserError: naming the sheets that there are.
    """
    sheets = read_sheets(path)
    for found in sheets:
        if found.name.strip().casefold() == sheet.strip().casefold():
            return found
    names = ", ".join(repr(s.name) for s in sheets)
    raise UserError(file=path, where="sheet", got=repr(sheet), expected=f"one of {names}")


def choose_sheet(
    sheets: Sequence[Sheet], names: Iterable[str], columns: Mapping[str, Sequence[str]] | None = None
) -> Sheet:
    """The sheet with one of `names` (any case), else the first visible one with a header, else the first visible one.

    Args:
        sheets: of a workbook; hidden ones are read only by their name, or where all are hidden.
        names: usual names of the sheet.
        columns: columns of its header with their names, as in `table`.
    """
    wanted = {n.casefold() for n in names}
    named = [s for s in sheets if s.name.strip().casefold() in wanted]
    if named:
        return named[0]
    shown = [s for s in sheets if not s.hidden] or list(sheets)
    return next((s for s in shown if columns and _has_header(s, columns)), shown[0])


def _has_header(sheet: Sheet, columns: Mapping[str, Sequence[str]]) -> bool:
    return any(len(_header(row, columns)) >= HEADER_FROM_COLUMNS for row in sheet.rows[:HEADER_WITHIN_ROWS])


def table(
    sheet: Sheet,
    columns: Mapping[str, Sequence[str]],
    optional: Iterable[str] = (),
    *,
    positions: Sequence[str] = (),
    may_be_empty: bool = False,
    once: bool = False,
) -> list[Line]:
    """Rows under the header, or by position where a copy lacks its header.

    The header is the first of the first 40 rows that holds all needed columns; lines of text before it are skipped. A
    sheet with a header that lacks a needed column is never read by position: its columns may be elsewhere.

    Args:
        sheet: what to read.
        columns: column -> names that it has in the copies; case, spaces and signs do not matter.
        optional: columns that may be missing.
        positions: columns in the order of a copy without header ('' for a column to skip); none means that a header
            is needed.
        may_be_empty: whether a header without any row under it is a table too.
        once: whether a column that the header gives twice is an error; else its first place counts.

    Raises:
        UserError: when a needed column is not in the header, there is no header and no `positions`, or no row at all.
    """
    needed = set(columns) - set(optional)
    best: set[str] = set()
    has_header = False
    for index, row in enumerate(sheet.rows[:HEADER_WITHIN_ROWS]):
        places = _header(row, columns)
        if needed <= set(places):
            if once:
                _check_once(sheet, index, places)
            return _lines(sheet, index + 1, places, may_be_empty)
        best = max(best, set(places) & needed, key=len)
        has_header |= len(places) >= HEADER_FROM_COLUMNS
    if positions and not has_header:
        return _lines(sheet, 0, {name: i for i, name in enumerate(positions) if name})
    missing = sorted(needed - best, key=list(columns).index)
    where = f"sheet {sheet.name!r}" if sheet.name else None
    raise UserError(
        file=sheet.path, where=where, problem="no such header in the first 40 rows", expected=_missing(columns, missing)
    )


def _missing(columns: Mapping[str, Sequence[str]], missing: Sequence[str]) -> str:
    """All columns that a header lacks, each with the names that it may have."""
    if not missing:
        return "a column of a header"
    return " and ".join("a column " + " or ".join(map(repr, columns[column][:NAMES_SHOWN])) for column in missing)


def _header(row: Sequence[Cell], columns: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Column -> its place; of several cells that may be it, the one named first among the names of the column."""
    cells = [_plain(as_text(cell)) for cell in row]
    places: dict[str, int] = {}
    for column, names in columns.items():
        for name in map(_plain, names):
            free = [i for i, cell in enumerate(cells) if cell == name and i not in places.values()]
            if free:
                places[column] = free[0]
                break
    return places


def _check_once(sheet: Sheet, index: int, places: Mapping[str, int]) -> None:
    """Raise when the header in a row gives a column again: which one is meant cannot be told."""
    cells = [as_text(cell) for cell in sheet.rows[index]]
    counts = Counter(map(_plain, cells))
    for name in (cells[place] for place in places.values()):
        if counts[_plain(name)] > 1:
            raise UserError(
                file=sheet.path,
                where=f"row {index + 1}",
                problem=f"a column {name!r} twice",
                expected="each column once",
            )


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _lines(sheet: Sheet, start: int, places: Mapping[str, int], may_be_empty: bool = False) -> list[Line]:
    lines = []
    for number, row in enumerate(sheet.rows[start:], start + 1):
        if any(as_text(cell) for cell in row):
            lines.append(Line(number, {c: row[i] if i < len(row) else None for c, i in places.items()}))
    if not lines and not may_be_empty:
        raise UserError(
            file=sheet.path,
            where=f"sheet {sheet.name!r}" if sheet.name else None,
            problem="no row",
            expected="annotations",
        )
    return lines


# --- formats ----------------------------------------------------------------------------------------------------------


def _limited(path: Path, name: str, rows: Iterable[Sequence[Cell]]) -> Sheet:
    kept: list[tuple[Cell, ...]] = []
    count = 0
    for number, row in enumerate(rows, 1):
        if number > MAX_ROWS:
            raise _too_many_rows(path, name)
        cells = list(row[:MAX_COLUMNS])
        while cells and cells[-1] is None:
            cells.pop()
        count += len(cells)
        if count > MAX_CELLS:
            raise UserError(
                file=path,
                where=f"sheet {name!r}",
                problem=f"more than {MAX_CELLS} cells",
                expected="an annotation sheet",
            )
        kept.append(tuple(cells))
    return Sheet(path, name, tuple(kept))


def _too_large(path: Path, size: int, limit: int) -> UserError:
    return UserError(file=path, problem=f"{size} bytes", expected=f"a sheet of at most {limit} bytes")


def _too_many_rows(path: Path, name: str) -> UserError:
    return UserError(
        file=path, where=f"sheet {name!r}", problem=f"more than {MAX_ROWS} rows", expected="an annotation sheet"
    )


def _read_xlsx(path: Path, data: bytes) -> list[Sheet]:
    """Formulas count by the value that was stored with them."""
    try:
        tabs = read_workbook(data)
    except TooLarge as error:
        raise UserError(file=path, problem=str(error), expected="an annotation sheet") from error
    except Exception as error:  # zipfile and expat raise a dozen kinds on damaged files
        reason = f"{type(error).__name__}: {error}"
        raise UserError(
            file=path, problem=f"a damaged workbook ({reason})", expected="an .xlsx file", hint="open and save it again"
        ) from error
    for tab in tabs:
        if tab.last > MAX_ROWS:
            raise _too_many_rows(path, tab.name)
        for row, column in sorted(tab.unevaluated)[:1]:
            raise UserError(
                file=path,
                where=f"sheet {tab.name!r}, row {row}, column {column + 1}",
                problem="a formula without a value",
                expected="plain values",
                hint="open and save it in a spreadsheet program",
            )
    return [replace(_limited(path, tab.name, rows_of(tab, MAX_COLUMNS)), hidden=tab.hidden) for tab in tabs]


def _read_xls(path: Path, data: bytes) -> list[Sheet]:
    import xlrd

    if len(data) > MAX_BYTES // 3:
        raise _too_large(path, len(data), MAX_BYTES // 3)
    try:
        book = xlrd.open_workbook(file_contents=data, on_demand=True, ragged_rows=True, logfile=io.StringIO())
        tabs = [book.sheet_by_index(i) for i in range(book.nsheets)]
        rows = [([None if c == "" else c for c in t.row_values(r)] for r in range(t.nrows)) for t in tabs]
        return [
            replace(_limited(path, t.name, r), hidden=getattr(t, "visibility", 0) != 0)
            for t, r in zip(tabs, rows, strict=True)
        ]
    except UserError:
        raise
    except Exception as error:  # xlrd raises anything on damaged files
        raise UserError(
            file=path, problem=f"a damaged workbook ({error})", expected="an .xls file", hint="save it as .xlsx"
        ) from error


def _delimiter(text: str) -> str:
    """The character that parts the first lines most evenly: a comma may be in decimals, too (`3562,0;3632,0`)."""
    lines = [re.sub(r'"[^"]*"', "", line) for line in text[:20_000].splitlines()[:HEADER_WITHIN_ROWS]]
    lines = [line for line in lines if line.strip()]

    def evenness(mark: str) -> tuple[int, int]:
        """How many lines have the most common number of `mark`, and that number."""
        counts = Counter(line.count(mark) for line in lines if mark in line)
        number, times = max(counts.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
        return times, number

    return max(";\t,|", key=evenness)


def _read_csv(path: Path, data: bytes) -> Sheet:
    if len(data) > MAX_BYTES // 3:
        raise _too_large(path, len(data), MAX_BYTES // 3)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(file=path, problem=error, expected="text in UTF-8", hint="save it as CSV UTF-8") from error
    if "\0" in text:
        raise UserError(file=path, problem="a zero byte", expected="text in UTF-8")
    delimiter = _delimiter(text)
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        return _limited(path, "", ([cell or None for cell in row] for row in rows))
    except csv.Error as error:
        raise UserError(file=path, problem=error, expected="a well-formed CSV file") from error
