import csv
import json

from microexp.records.tables import Table, as_json, latex, markdown, write

TABLE = Table(
    "Spotting, demo_1 (100 %)",
    ["method", "F1", "TP"],
    [{"method": "aem_net | ±", "F1": 1 / 3, "TP": 5}, {"method": "random", "F1": float("nan"), "TP": None}],
    ["INCOMPLETE: one video excluded"],
)


def test_markdown_aligns_numbers_and_escapes_bars():
    lines = markdown(TABLE).splitlines()
    assert lines[2] == "| method | F1 | TP |"
    assert lines[3] == "| --- | ---: | ---: |"
    assert lines[4] == r"| aem_net \| ± | 0.333 | 5 |"
    assert lines[5] == "| random |  |  |"
    assert lines[-1] == "- INCOMPLETE: one video excluded"


def test_latex_escapes_and_keeps_the_notes():
    text = latex(TABLE)
    assert r"aem\_net \textbar{} $\pm$ & 0.333 & 5 \\" in text
    assert r"\begin{tabular}{lrr}" in text
    assert "% INCOMPLETE: one video excluded" in text


def test_csv_keeps_every_digit_and_json_has_no_nan(tmp_path):
    write(TABLE, csv_path=tmp_path / "t.csv", markdown_path=tmp_path / "t.md", latex_path=tmp_path / "t.tex")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["F1"]) == 1 / 3
    assert (tmp_path / "t.md").read_text() == markdown(TABLE)
    assert json.loads(json.dumps(as_json(TABLE), allow_nan=False))["rows"][1]["F1"] is None
