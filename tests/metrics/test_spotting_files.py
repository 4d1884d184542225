"""The CSV formats."""

from __future__ import annotations

import pytest

from microexp.errors import UserError
from microexp.metrics.foreign.spotting_files import is_truths, read_predictions, read_truths, write_predictions
from microexp.metrics.spotting import Interval


def test_predictions_survive_a_round_trip(tmp_path):
    items = [Interval("", "s15_0101", 3, 12, "micro"), Interval("", "006_1", 100, 300, "macro")]
    write_predictions(tmp_path / "p.csv", items)
    text = (tmp_path / "p.csv").read_text()
    assert text == "vid,pred_onset,pred_offset,type\ns15_0101,3,12,me\n006_1,100,300,mae\n"
    assert read_predictions(tmp_path / "p.csv") == items


def test_all_spellings_of_the_kinds_are_known(tmp_path):
    kinds = ["me", "MaE", "micro", "macro-expression", "Micro_Expression"]
    lines = [f"v_{i},1,5,{kind}" for i, kind in enumerate(kinds)]
    (tmp_path / "t.csv").write_text("\n".join(["vid,onset,offset,type", *lines]) + "\n")
    assert [t.kind for t in read_truths(tmp_path / "t.csv")] == ["micro", "macro", "micro", "macro", "micro"]


def test_columns_may_stand_in_any_order_and_more_may_follow(tmp_path):
    (tmp_path / "p.csv").write_text("type,vid,emotion,pred_offset,pred_onset\nme,a_1,happiness,9.0,2.5\n")
    assert read_predictions(tmp_path / "p.csv") == [Interval("", "a_1", 2.5, 9.0, "micro", "happiness")]


@pytest.mark.parametrize(
    "text",
    [
        "vid, pred_onset, pred_offset, type\ns15_0101, 41, 60, mae\n",
        "\ufeffVid,Pred_Onset,Pred_Offset,Type\r\ns15_0101,41,60,MaE\r\n",
        "vid;pred_onset;pred_offset;type\ns15_0101;41;60;mae\n",
        "vid\tpred_onset\tpred_offset\ttype\ns15_0101\t41\t60\tmae\n",
        ",vid,pred_onset,pred_offset,type,,\n0,s15_0101,41.0,60.0,mae,,\n,,,,,,\n\n",
    ],
)
def test_files_of_other_programs_are_read(tmp_path, text):
    (tmp_path / "p.csv").write_text(text, newline="")
    assert read_predictions(tmp_path / "p.csv") == [Interval("", "s15_0101", 41, 60, "macro")]


def test_a_file_without_rows_is_no_prediction(tmp_path):
    write_predictions(tmp_path / "p.csv", [])
    assert read_predictions(tmp_path / "p.csv") == []


def test_halves_are_rounded_up_as_everywhere(tmp_path):
    write_predictions(tmp_path / "p.csv", [Interval("s", "s_1", 40.5, 60.5, "micro")])
    assert (tmp_path / "p.csv").read_text().splitlines()[1] == "s_1,41,61,me"


def test_ground_truths_are_told_by_their_columns(tmp_path):
    (tmp_path / "t.csv").write_text("Vid,Onset,Offset,Type\n")
    (tmp_path / "s.csv").write_text("1,disgust1_1,41,50,60,4,negative,macro-expression,disgust\n")
    assert is_truths(tmp_path / "t.csv") and not is_truths(tmp_path / "s.csv")


def test_expressions_of_the_project_are_ground_truths_too(tmp_path):
    (tmp_path / "e.csv").write_text(
        "dataset,subject,video,expression,onset,apex,offset,kind,emotion,aus\ncasme,s1,v1,1,4,6,9,macro,anger,4\n"
    )
    assert read_truths(tmp_path / "e.csv") == [Interval("casme/s1", "v1", 4, 9, "macro", "anger")]


@pytest.mark.parametrize(
    ("row", "where"),
    [
        ("v,1,5,other", "row 2: type"),
        ("v,x,5,me", "row 2: onset"),
        ("v,1,nan,me", "row 2: offset"),
        (",1,5,me", "row 2: vid"),
        ("v,1,5", "row 2"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, where):
    (tmp_path / "t.csv").write_text(f"vid,onset,offset,type\n{row}\n")
    with pytest.raises(UserError, match=where):
        read_truths(tmp_path / "t.csv")


def test_a_missing_column_is_named(tmp_path):
    (tmp_path / "p.csv").write_text("vid,onset,offset,type\n")
    with pytest.raises(UserError, match="pred_onset"):
        read_predictions(tmp_path / "p.csv")
