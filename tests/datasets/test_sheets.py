from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from microexp.errors import UserError
from microexp.reading import sheets
from microexp.reading.sheets import read_sheets, table

from .releases import workbook

COLUMNS = {"a": ("First", "one"), "b": ("Second Column",), "c": ("Third",)}


def test_header_is_found_below_text_in_any_spelling(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "s.xlsx", S=[("First things first",), (), ("x", "FIRST", "second_column"), (), (1, "v", 2.5)]
    )
    (line,) = table(read_sheets(path)[0], COLUMNS, optional=["c"])
    assert (line.row, line.text("a"), line.value("b"), line.value("c"), line.text("c")) == (5, "v", 2.5, "", "")


def test_columns_by_position_where_there_is_no_header(tmp_path: Path) -> None:
    path = workbook(tmp_path / "s.xlsx", S=[("v", None, 3), ("w", None, 4)])
    lines = table(read_sheets(path)[0], COLUMNS, positions=("a", "", "b"))
    assert [(x.row, x.text("a"), x.text("b")) for x in lines] == [(1, "v", "3"), (2, "w", "4")]


def test_a_header_that_lacks_a_column_is_never_read_by_position(tmp_path: Path) -> None:
    path = workbook(tmp_path / "s.xlsx", S=[("text",), ("Third", "First", "other"), (3, 1, 2)])
    with pytest.raises(UserError, match=r"no such header.* a column 'Second Column'"):
        table(read_sheets(path)[0], COLUMNS, positions=("a", "b", "c"))


def test_missing_header_names_the_column(tmp_path: Path) -> None:
    path = workbook(tmp_path / "s.xlsx", Data=[("First", "x"), (1, 2)])
    with pytest.raises(UserError, match=r"s\.xlsx: sheet 'Data': no such header.* a column 'Second Column'"):
        table(read_sheets(path)[0], COLUMNS)


def test_csv_with_any_separator_and_quotes(tmp_path: Path) -> None:
    for separator in ",;\t":
        path = tmp_path / "s.csv"
        path.write_text(f'First{separator}Second Column{separator}Third\r\n"a{separator} b"{separator}2{separator}\r\n')
        (line,) = table(read_sheets(path)[0], COLUMNS)
        assert (line.text("a"), line.text("b"), line.text("c")) == (f"a{separator} b", "2", "")


def test_content_decides_not_the_suffix(tmp_path: Path) -> None:
    path = workbook(tmp_path / "s.xlsx", S=[("First",)])
    path.rename(tmp_path / "s.xls")
    assert read_sheets(tmp_path / "s.xls")[0].rows == (("First",),)


def test_old_workbooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import xlrd

    class Tab:
        name, nrows = "S", 2

        def row_values(self, number: int) -> list[object]:
            return [["First", ""], ["", 3.0]][number]

    class Book:
        nsheets = 1

        def sheet_by_index(self, number: int) -> Tab:
            return Tab()

    path = tmp_path / "s.xls"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))
    with pytest.raises(UserError, match=r"s\.xls: a damaged workbook"):
        read_sheets(path)
    monkeypatch.setattr(xlrd, "open_workbook", lambda **options: Book())
    assert read_sheets(path)[0].rows == (("First",), (None, 3.0))


def test_formulas_count_by_their_stored_value(tmp_path: Path) -> None:
    path = workbook(tmp_path / "s.xlsx", S=[("First", "=1+1")])
    with pytest.raises(UserError, match=r"s\.xlsx: sheet 'S', row 1, column 2: a formula without a value"):
        read_sheets(path)
    _replace(path, "xl/worksheets/sheet1.xml", b"<v />", b"<v>2</v>")
    assert read_sheets(path)[0].rows == (("First", 2),)


def _replace(path: Path, member: str, old: bytes, new: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert old in members[member], members[member]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data.replace(old, new) if name == member else data)


def _workbook_of(path: Path, rows: Iterable[str], **parts: str) -> Path:
    """A workbook with these rows as XML, and other parts replaced."""
    workbook(path, S=[("First",)])
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    sheet = members["xl/worksheets/sheet1.xml"]
    start, end = sheet.index(b"<sheetData>") + 11, sheet.index(b"</sheetData>")
    members["xl/worksheets/sheet1.xml"] = sheet[:start] + "".join(rows).encode() + sheet[end:]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, parts.get(name, data))
    assert path.stat().st_size < 1_000_000
    return path


def big(rows: str, words: str) -> Any:
    """A case that takes its time."""
    return pytest.param([rows], words, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        big('<row r="1"><c r="A1"><v>1</v></c></row>' * 167_000, "more than 500000 elements"),
        big('<row r="1"><c r="A1" t="inlineStr"><is><t>abc</t></is></c></row>' * 126_000, "more than 500000 elements"),
        (["<row/>" * 501_000], "more than 500000 elements"),
        (['<row r="1"><c r="A1" t="str"><v>', "a" * 60_000_000, "</v></c></row>"], "bytes once unpacked"),
        big(
            "".join(f'<row r="{r}"><c r="GR{r}"/><c r="GR{r}"><v>1</v></c></row>' for r in range(1, 50_000)),
            "2000000 cells",
        ),
        (['<row r="1048576"><c r="A1048576"><v>1</v></c></row>'], "more than 100000 rows"),
        (['<row r="1"><c r="XFD1"><v>1</v></c></row>'], None),
        (['<row r="1"><c r="A1"><v>1', "9" * 5000, "</v></c></row>"], "a damaged workbook"),
        (['<row r="1"><c r="A1" t="s"><v>99</v></c></row>'], "a damaged workbook"),
        (["<a>" * 400_000], "a damaged workbook|elements"),
    ],
)
def test_a_small_workbook_that_stands_for_much_is_refused(tmp_path: Path, rows: list[str], words: str | None) -> None:
    """By what it counts up to, before it has cost more than a moment; limits are far above the sheets of releases."""
    path = _workbook_of(tmp_path / "s.xlsx", rows)
    if words is None:
        assert read_sheets(path)[0].rows == ((),)
        return
    with pytest.raises(UserError, match=words) as error:
        read_sheets(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.long
def test_a_csv_that_stands_for_much_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text(("x," * 199 + "x\n") * 15_000)
    with pytest.raises(UserError, match="more than 2000000 cells"):
        read_sheets(tmp_path / "wide.csv")
    (tmp_path / "long.csv").write_bytes(b"a" * 20_000_000)
    with pytest.raises(UserError, match="20000000 bytes"):
        read_sheets(tmp_path / "long.csv")


def test_values_are_those_that_other_programs_read(tmp_path: Path) -> None:
    """Compared with openpyxl: numbers, texts, dates, times, truth, errors, gaps, several sheets."""
    book = openpyxl.Workbook()
    one = book.active
    one.title = "one"
    one.append(["text", "Zoë & <b>", " space ", 1, 2.5, -3, 1e-7, True, None, "last"])
    one.append([])
    one.append([datetime(2020, 5, 4, 3, 2, 1), date(2021, 1, 1), time(12, 30), timedelta(hours=30), "#N/A", "=1"])
    one["C3"].number_format = "hh:mm"
    one["G9"] = "alone"
    two = book.create_sheet("two")
    two["B2"] = 7
    two.sheet_state = "hidden"
    book.create_sheet("empty")
    path = tmp_path / "s.xlsx"
    book.save(path)
    _replace(path, "xl/worksheets/sheet1.xml", b"<f>1</f><v />", b"<f>1</f><v>1</v>")
    found = read_sheets(path)
    theirs = openpyxl.load_workbook(path, data_only=True)
    assert [s.name for s in found] == theirs.sheetnames
    for sheet in found:
        cells = [list(row) for row in theirs[sheet.name].iter_rows(values_only=True)]
        width = max(map(len, cells), default=0)
        ours = [[*row, *[None] * (width - len(row))] for row in sheet.rows]
        assert ours == cells[: len(ours)] and not [v for row in cells[len(ours) :] for v in row if v is not None]


PHONETIC = '<rPh sb="0" eb="1"><t>fu-ri-ga-na</t></rPh>'
CELLS = [
    ('<c r="A1" t="inlineStr"><is><r><t>mi</t></r><r><t>cro</t></r></is></c>', "micro"),
    (f'<c r="A1" t="inlineStr"><is><t>micro</t>{PHONETIC}</is></c>', "micro"),
    ('<c r="A1" t="b"><v>1</v></c>', True),
    ('<c r="A1" t="b"><v>0</v></c>', False),
    ('<c r="A1" t="e"><v>#N/A</v></c>', "#N/A"),
    ('<c r="A1" t="str"><f>A2</f><v>text</v></c>', "text"),
    ('<c r="A1" t="d"><v>2024-05-06T07:08:09</v></c>', datetime(2024, 5, 6, 7, 8, 9)),
    ('<c r="A1"><v>12</v></c>', 12),
    ('<c r="A1"><v>1.5E2</v></c>', 150.0),
    ('<c r="A1"><v>-3</v></c>', -3),
    ("<c><v>7</v></c>", 7),
]


@pytest.mark.parametrize(("cell", "value"), CELLS)
def test_a_cell_is_read_in_whatever_form_programs_write_it(tmp_path: Path, cell: str, value: object) -> None:
    (row,) = read_sheets(_workbook_of(tmp_path / "s.xlsx", [f'<row r="1">{cell}</row>']))[0].rows
    assert row == (value,) and type(row[0]) is type(value)


def test_how_a_shared_text_is_pronounced_is_no_part_of_it(tmp_path: Path) -> None:
    cells = "".join(f'<c t="s"><v>{number}</v></c>' for number in (1, 0, 1))
    path = _workbook_of(tmp_path / "s.xlsx", [f"<row>{cells}</row>"])
    relation = '<Relationship Id="texts" Type="x/sharedStrings" Target="sharedStrings.xml"/></Relationships>'
    _replace(path, "xl/_rels/workbook.xml.rels", b"</Relationships>", relation.encode())
    with zipfile.ZipFile(path, "a") as archive:
        two = "<si><r><t>tw</t></r><r><t>o</t></r></si>"
        archive.writestr("xl/sharedStrings.xml", f"<sst xmlns='x'><si><t>one</t>{PHONETIC}</si>{two}</sst>")
    assert read_sheets(path)[0].rows == (("two", "one", "two"),)


def test_rows_and_cells_without_a_place_follow_each_other(tmp_path: Path) -> None:
    rows = ["<row><c><v>1</v></c><c><v>2</v></c></row>", '<row r="4"><c r="B4"><v>3</v></c><c><v>4</v></c></row>']
    found = read_sheets(_workbook_of(tmp_path / "s.xlsx", [*rows, "<row><c><v>5</v></c></row>"]))[0].rows
    assert found == ((1, 2), (), (), (None, 3, 4), (5,))


def test_a_place_that_is_none_is_damage(tmp_path: Path) -> None:
    path = _workbook_of(tmp_path / "s.xlsx", ['<row r="1"><c r="1A"><v>1</v></c></row>'])
    with pytest.raises(UserError, match=r"s\.xlsx: a damaged workbook"):
        read_sheets(path)


def test_a_date_beyond_the_calendar_is_a_text_that_says_so(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append([date(2024, 1, 2)])
    book.save(tmp_path / "s.xlsx")
    assert read_sheets(tmp_path / "s.xlsx")[0].rows == ((datetime(2024, 1, 2),),)
    _replace(tmp_path / "s.xlsx", "xl/worksheets/sheet1.xml", b"<v>45293</v>", b"<v>99999999999</v>")
    assert read_sheets(tmp_path / "s.xlsx")[0].rows == (("#VALUE!",),)


def test_the_years_of_a_book_from_a_mac_count_from_1904(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    book.active.append([date(2024, 1, 2)])
    book.save(tmp_path / "s.xlsx")
    with zipfile.ZipFile(tmp_path / "s.xlsx") as archive:
        assert b'date1904="1"' in archive.read("xl/workbook.xml")
    assert read_sheets(tmp_path / "s.xlsx")[0].rows == ((datetime(2024, 1, 2),),)


def test_a_workbook_of_too_many_parts_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "s.xlsx", S=[("First",)])
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(10_001):
            archive.writestr(f"x/{number}", b"")
    with pytest.raises(UserError, match=r"s\.xlsx: \d+ parts"):
        read_sheets(path)


def test_a_workbook_without_relations_is_found_at_the_usual_place(tmp_path: Path) -> None:
    path = workbook(tmp_path / "s.xlsx", S=[("First", 2)])
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name != "_rels/.rels"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert read_sheets(path)[0].rows == (("First", 2),)


@pytest.mark.parametrize(
    ("member", "tag"), [("xl/workbook.xml", "workbook"), ("xl/worksheets/sheet1.xml", "worksheet")]
)
def test_entities_are_refused(tmp_path: Path, member: str, tag: str) -> None:
    path = workbook(tmp_path / "s.xlsx", S=[("First",)])
    _replace(path, member, f"<{tag}".encode(), f'<!DOCTYPE x [<!ENTITY e "eeee">]><{tag}'.encode())
    with pytest.raises(UserError, match=r"a damaged workbook \(EntitiesForbidden"):
        read_sheets(path)


def test_a_million_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s.csv").write_text("a\n" * 1_000_000)
    with pytest.raises(UserError, match=r"s\.csv: sheet '': more than 100000 rows"):
        read_sheets(tmp_path / "s.csv")
    monkeypatch.setattr(sheets, "MAX_ROWS", 3)
    path = workbook(tmp_path / "s.xlsx", S=[(1,)] * 4)
    with pytest.raises(UserError, match="more than 3 rows"):
        read_sheets(path)


def test_far_away_cell_does_not_fill_the_memory(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.cell(1, 1, "First")
    book.active.cell(1, 16_000, "far")
    buffer = io.BytesIO()
    book.save(buffer)
    (tmp_path / "s.xlsx").write_bytes(buffer.getvalue())
    assert read_sheets(tmp_path / "s.xlsx")[0].rows == (("First",),)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("s.xlsx", b"PK\x03\x04 no zip", "a damaged workbook"),
        ("s.xlsx", b"", "neither a workbook nor a CSV file"),
        ("s.pdf", b"%PDF", "neither a workbook nor a CSV file"),
        ("s.csv", b"\xff\xfea\x00", "expected text in UTF-8"),
        ("s.csv", b"a\x00b", "a zero byte"),
        ("s.csv", b'"a', "a well-formed CSV file"),
    ],
)
def test_files_that_are_no_sheets(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_sheets(tmp_path / name)


def test_missing_and_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"s\.csv: No such file"):
        read_sheets(tmp_path / "s.csv")
    (tmp_path / "s.csv").write_text("First\n1\n")
    monkeypatch.setattr(sheets, "MAX_BYTES", 5)
    with pytest.raises(UserError, match="8 bytes"):
        read_sheets(tmp_path / "s.csv")
