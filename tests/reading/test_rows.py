"""What adapters share when they turn the columns of a sheet into rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from microexp.errors import UserError
from microexp.reading.intervals import ROW_EXCLUDED
from microexp.reading.params import IndexParams
from microexp.reading.release import Release
from microexp.reading.rows import (
    COMMON,
    aus,
    common_row,
    emotion,
    exclude_row,
    find_sheet,
    kind_of,
    open_sheet,
    the_sheet,
)
from microexp.reading.sheets import Line
from tests.datasets.releases import workbook

USUAL = (r"coding.*\.xlsx", r".*\.csv")


def release(root: Path, **options: Any) -> Release:
    return Release("set", root, IndexParams(**options))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Micro", "micro"), (" macro-expression", "macro"), ("Micro - 1/2", "micro"), ("MACRO", "macro"),
        ("a micro", ""), ("", ""), ("m", ""), ("mikro", ""),
    ],
)  # fmt: skip
def test_kinds(text: str, kind: str) -> None:
    assert kind_of(text) == kind


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("Happy", "happiness"), ("  SAD ", "sadness"), ("suprise", "surprise"), ("Other", "others"), ("Fear", "fear"),
        ("Deep  Thought", "deep thought"), (None, ""), ("/", ""), ("-", ""), ("NaN", ""), (3, "3"),
    ],
)  # fmt: skip
def test_emotions_have_one_spelling(cell: object, name: str) -> None:
    assert emotion(cell) == name


def test_parts_that_are_no_action_units_are_noted(tmp_path: Path) -> None:
    there = release(tmp_path)
    assert aus(there, "s.xlsx", 7, cell="4+7") == "4+7" and there.issues == []
    assert aus(there, "s.xlsx", 8, cell="4+smile") == "4"
    (issue,) = there.issues
    assert (issue.file, issue.row, issue.field, issue.action) == ("s.xlsx", 8, "action units", "excluded")
    assert "smile" in issue.problem


def test_a_row_has_the_common_columns(tmp_path: Path) -> None:
    cells = {"onset": 10.0, "apex": "/", "offset": "30", "emotion": "Happy", "aus": "12"}
    row = common_row(release(tmp_path), "s.xlsx", Line(5, cells), subject="ann", video="v1", kind="micro")
    assert (row.file, row.row, row.subject, row.video, row.kind) == ("s.xlsx", 5, "ann", "v1", "micro")
    assert (row.onset, row.apex, row.offset, row.emotion) == (10.0, "/", "30", "happiness") and row.aus == "12"


def test_columns_that_are_missing_are_empty(tmp_path: Path) -> None:
    row = common_row(release(tmp_path), "s.csv", Line(2, {"onset": 1}), subject="ann", video="v", kind="")
    assert (row.onset, row.apex, row.offset, row.emotion, row.aus) == (1, "", "", "", "")


@pytest.mark.parametrize(("onset", "lost"), [(12, 1), ("7", 1), ("", 0), ("unknown", 0)])
def test_a_row_of_another_form_is_lost_if_it_was_an_expression(tmp_path: Path, onset: object, lost: int) -> None:
    there = release(tmp_path)
    line = Line(9, {"onset": onset, "filename": "odd name"})
    exclude_row(there, "s.xlsx", line, field="filename", expected="a clip such as EP01")
    assert [(i.row, i.field, i.problem, i.action) for i in there.issues] == [
        (9, "filename", "'odd name' is not a clip such as EP01", ROW_EXCLUDED)
    ]
    assert len(there.exclusions) == lost
    assert all("s.xlsx, row 9: filename: 'odd name'" in x.reason for x in there.exclusions)


def test_the_usual_name_goes_before_others(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Onset\n1\n")
    workbook(tmp_path / "CODING final.xlsx", S=[("Onset",)])
    there = release(tmp_path)
    assert the_sheet(there, USUAL, "the coding") == tmp_path / "CODING final.xlsx"
    (issue,) = there.issues
    assert issue.file == "CODING final.xlsx" and "a.csv is there too and differs" in issue.problem


def test_a_copy_with_the_same_bytes_is_not_noted(tmp_path: Path) -> None:
    for name in ("a.csv", "deep/a.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("Onset\n1\n")
    there = release(tmp_path)
    assert find_sheet(there, USUAL) == tmp_path / "a.csv" and there.issues == []


def test_the_option_names_the_sheet(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"{name}\n")
    there = release(tmp_path, sheet="b.csv")
    assert find_sheet(there, USUAL) == tmp_path / "b.csv" and there.issues == []
    with pytest.raises(UserError, match=r"c\.csv: option sheet: no such file"):
        find_sheet(release(tmp_path, sheet="c.csv"), USUAL)


def test_no_sheet_is_none_or_an_error_with_a_hint(tmp_path: Path) -> None:
    assert find_sheet(release(tmp_path), USUAL) is None
    with pytest.raises(UserError, match=r"annotation sheet: none; expected the coding \(name it with the option sheet"):
        the_sheet(release(tmp_path), USUAL, "the coding")


def test_of_several_sheets_the_named_one_or_the_one_with_the_columns(tmp_path: Path) -> None:
    header = [names[0] for names in COMMON.values()]
    path = workbook(tmp_path / "s.xlsx", About=[("text",)], Labels=[header, [1] * len(header)], More=[header])
    assert open_sheet(release(tmp_path), path).name == "Labels"
    assert open_sheet(release(tmp_path), path, ["more"]).name == "More"
    assert open_sheet(release(tmp_path, sheet="s.xlsx#about"), path, ["More"]).name == "About"
    with pytest.raises(UserError, match="got 'none', expected one of 'About', 'Labels', 'More'"):
        open_sheet(release(tmp_path, sheet="s.xlsx#none"), path)
