from __future__ import annotations

import io
import zipfile
from pathlib import Path

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


def test_xlsx_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MAX_BYTES", 5_000_000)
    path = workbook(tmp_path / "s.xlsx", S=[("First",)])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/bomb.xml", bytes(6_000_000))
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(sheets, "_load", lambda *a: pytest.fail("it was unpacked"))
    with pytest.raises(UserError, match=r"s\.xlsx: 6\d{6} bytes once unpacked"):
        read_sheets(path)


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
