from __future__ import annotations

import pytest

from microexp.report.collect import ResultTable, read_table
from microexp.report.tableview import confusions, heading, headlines, spread_text, subject_counts, view
from tests.report.conftest import Tree


def test_spread_moves_into_its_figure(finished: Tree) -> None:
    table = read_table(finished.path("tables", "spotting_main.json"))
    shown = view(table)
    assert shown.headings == ("method", "kind", "F1", "F1 by chance")  # empty columns are excluded
    style, cells = shown.rows[0]
    assert style == "main first" and [c.text for c in cells] == ["aemnet", "micro", "0.512", "0.050"]
    assert cells[2].spread == "[0.10, 0.70]" and cells[2].share == pytest.approx(0.512)
    assert [c.number for c in cells] == [False, False, True, True] == list(shown.numeric)
    assert [r[0] for r in shown.rows] == ["main first", "main", "main", " first", "", "", "quoted first"]
    assert shown.rows[1][1][0].same and not shown.rows[3][1][0].same


def test_headlines_show_the_method_beside_chance_and_baselines(finished: Tree) -> None:
    found = headlines(read_table(finished.path("tables", "spotting_main.json")))
    assert [h.name for h in found] == ["F1 micro", "F1 macro", "F1 overall"]
    assert found[2].value == 0.512 and found[2].chance == 0.05
    assert found[2].baselines == (("random", 0.034),)
    (only,) = headlines(read_table(finished.path("tables", "recognition_rec.json")))
    assert (only.name, only.spread, only.baselines) == ("UF1 all", "± 0.010", (("majority", 0.25),))


def test_an_oracle_or_control_is_no_result_of_another_method() -> None:
    names = ["aemnet", "random", "aemnet_oracle", "aemnet_permuted", "my_oracle"]
    rows = tuple({"method": name, "kind": "micro", "f1": 0.1 * i} for i, name in enumerate(names))
    table = ResultTable("spotting", "e", "t", ("method", "kind", "f1"), rows, (), True, (), {})
    (only,) = headlines(table)
    assert [name for name, _ in only.baselines] == ["random", "my_oracle"]
    assert [style for style, _ in view(table).rows] == [
        "main first", " first", "derived first", "derived first", " first"
    ]  # fmt: skip


def test_confusion_is_by_rows(finished: Tree) -> None:
    (found,) = confusions(read_table(finished.path("tables", "recognition_rec.json")))
    assert found.method == "mdml" and found.classes == ("neg", "pos")
    assert found.rows[0] == ("neg", (("1.5", 0.75), ("0.5", 0.25)))
    shown = view(read_table(finished.path("tables", "recognition_rec.json")))
    assert shown.headings[-1] == "F1 pos" and [cells[-1].spread for _, cells in shown.rows] == ["2 clips", "2 clips"]
    assert not confusions(read_table(finished.path("tables", "spotting_main.json")))


def test_counts_of_a_subject(finished: Tree) -> None:
    spotting = read_table(finished.path("tables", "spotting_main.json"))
    assert subject_counts(spotting, "toy/ann") == ["1 / 2 / 3", "1 / 2 / 3"]
    assert subject_counts(spotting, "toy/nobody") == []


def test_words() -> None:
    assert heading("true_positives") == "TP" and heading("f1_disgust") == "F1 disgust"
    assert heading("some_thing") == "some thing"
    assert spread_text({"f1_sd": 0.1234}, "f1") == "± 0.123" and spread_text({"f1_low": 0.1}, "f1") == ""
