"""Text from outside in CSV, Markdown, LaTeX and HTML: shown, never run; and read back as it was."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microexp.records.index import Issue, read_issues, write_issues
from microexp.records.tables import Table, latex, markdown, write
from microexp.report.page import environment
from microexp.run import storage
from microexp.run.storage import csv_cell, from_csv, latex_text, markdown_text

FORMULAS = [
    "=cmd|' /C calc'!A0", "=HYPERLINK(\"http://x\")", "+1+cmd()", "-2+3", "@SUM(A1)", "\t=1+1", "\r=1+1", "＝1+1",
    "'=1",
]  # fmt: skip
PLAIN = ["happiness", "4+7+L10", "-3", "+2.5e3", "-.5", "-", "", "a=b", "O'Neill", "'quoted'", "x@y"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_begins_like_a_formula(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    write_issues(path, [Issue("sheet.csv", 3, text, text, "kept")])
    with path.open(newline="", encoding="utf-8") as file:
        cells = list(csv.reader(file))[1]
    assert not [cell for cell in cells if cell[:1] in "=+-@\t\r＝" and cell]
    assert read_issues(path)[0].problem == text


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_plain_stays_as_it_is(text: str) -> None:
    assert csv_cell(text) == text and from_csv(text) == text


@given(st.text(alphabet="'=+-@\t\r\na1. ") | st.text())
def test_every_text_comes_back(text: str) -> None:
    assert from_csv(csv_cell(text)) == text


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    storage.write_csv(tmp_path / "a.csv", ["x"], [[-1.5], [-3], [None]])
    assert (tmp_path / "a.csv").read_text() == 'x\n-1.5\n-3\n""\n'


HOSTILE = "<script>alert(1)</script> | [x](javascript:alert(1)) \n# head\n\\input{/etc/passwd} %x & ^^M $x$"


def test_tables_show_hostile_text_and_do_nothing_else(tmp_path: Path) -> None:
    table = Table(f"t {HOSTILE}", ["method", HOSTILE], [{"method": HOSTILE, HOSTILE: "=1+1"}], [HOSTILE])
    text = markdown(table)
    assert "<" not in text and "](" not in text
    assert len(text.splitlines()) == 7, "no line break of the text's own"
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}
    tex = latex(table).splitlines()
    assert [line for line in tex if "passwd" in line and not line.startswith("%")] == [
        line for line in tex if r"\textbackslash{}input\{" in line
    ]
    assert not [line for line in tex if line.startswith("# head")]
    write(table, csv_path=tmp_path / "t.csv", markdown_path=tmp_path / "t.md", latex_path=tmp_path / "t.tex")
    assert "'=1+1" in (tmp_path / "t.csv").read_text()


def test_markdown_and_latex_leave_ordinary_text_alone() -> None:
    assert markdown_text("aemnet, .3 [.1, .5] (22 folds)") == "aemnet, .3 [.1, .5] (22 folds)"
    assert latex_text("F1 of 22 folds") == "F1 of 22 folds"


def test_pages_escape_everything() -> None:
    page = environment().from_string("<p title='{{ x }}'>{{ x }}</p>").render(x=HOSTILE + "'\"")
    assert "<script" not in page and page.count("'") == 2
