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
        ("v,1,1e300,me", "row 2: offset"),
        (",1,5,me", "row 2: vid"),
        ("v,-5,20,me", "row 2: onset: got -5, expected a frame number of 0 or more"),
        ("v,1,5", "row 2"),
        ("v,9,5,me", "row 2: offset: got 9 to 5, expected an offset that is not before the onset"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, where):
    (tmp_path / "t.csv").write_text(f"vid,onset,offset,type\n{row}\n")
    with pytest.raises(UserError, match=where):
        read_truths(tmp_path / "t.csv")


SECONDS = [("0.6", "1.4"), (".33", "2"), ("1.234", "1.250"), ("1", "2.7")]


@pytest.mark.parametrize("read", [read_truths, read_predictions])
@pytest.mark.parametrize(("onset", "offset"), SECONDS)
def test_seconds_are_no_frames(tmp_path, read, onset, offset):
    (tmp_path / "t.csv").write_text(f"vid,onset,offset,type\nw,1,5,me\nv,{onset},{offset},me\n")
    with pytest.raises(UserError, match=r"t\.csv: row 3: .*expected a frame number, whole or a half \(seconds"):
        read(tmp_path / "t.csv")


@pytest.mark.parametrize("head", ["", "vid,onset,offset,score\n"])
@pytest.mark.parametrize(("onset", "offset"), SECONDS)
def test_scores_do_not_make_frames_of_seconds(tmp_path, head, onset, offset):
    """A network's frames have any fractions, and last longer."""
    path = tmp_path / "p.csv"
    path.write_text(f"{head}v,{onset},{offset},0.9\n")
    with pytest.raises(UserError, match=r"p\.csv: row \d: .*expected a frame number"):
        read_predictions(path)
    path.write_text(f"{head}v,381.097,431.482,0.9\nv,8.2,9.7,0.1\nv,787.935,827.352,0.4\n")
    assert [p.onset for p in read_predictions(path)] == [381.097, 8.2, 787.935]


def test_an_apex_in_seconds_is_no_offset(tmp_path):
    (tmp_path / "t.csv").write_text("vid,onset,apex,offset,type\nv,1,2.1,0,me\n")
    with pytest.raises(UserError, match=r"row 2: apex: got 2\.1"):
        read_truths(tmp_path / "t.csv")


def test_frames_that_were_calculated_stay(tmp_path):
    (tmp_path / "p.csv").write_text(f"vid,pred_onset,pred_offset,type\nv,46.5,{0.57 * 100!r},me\nv,-2.0,6e1,me\n")
    assert [(p.onset, p.offset) for p in read_predictions(tmp_path / "p.csv")] == [(46.5, 57), (-2, 60)]


def test_all_missing_columns_are_named_in_one_line(tmp_path):
    (tmp_path / "p.csv").write_text("vid,from,to,type\n")
    with pytest.raises(UserError, match=r"a column 'pred_onset' or .* and a column 'pred_offset' or ") as error:
        read_predictions(tmp_path / "p.csv")
    assert "\n" not in str(error.value)


FIELD = {
    "LGSNet": "subject,video,type,type_idx,startFrame,endFrame,frame_num,length\n6,./long/006_1,Macro,1,41,60,900,19\n",
    "four columns": "start_frame,apex_frame,end_frame,video_name,type\n41,50,60,006_1,Macro\n",
    "semicolons, decimal commas": "vid;onset;offset;type\n006_1;40,5;60,0;Macro\n",
    "expressions.csv": "dataset,subject,video,expression,onset,apex,offset,onset_s,apex_s,offset_s,kind,emotion,aus\n"
    ",6,006_1,1,41,50,60,1.4,1.7,2.0,macro,,\n",
    "offset 0 is the apex": "vid,onset,apex,offset,type\n006_1,41,60,0,mae\n",
    "a title before": "Annotations of 2021,,,\nvid,onset,offset,type\n006_1,41,60,MaE\n",
    "a row again": "vid,onset,offset,type\n006_1,41,60,mae\n006_1,41,60,mae\n006_1,41,60,mae\n",
}


@pytest.mark.parametrize("name", FIELD)
def test_annotation_csvs_of_the_field(tmp_path, name):
    (tmp_path / "t.csv").write_text(FIELD[name])
    (found,) = read_truths(tmp_path / "t.csv")
    assert (found.video.rpartition("/")[2], found.onset, found.offset, found.kind) == ("006_1", 41, 60, "macro")


def test_predictions_under_the_header_of_ground_truths(tmp_path):
    (tmp_path / "p.csv").write_text("vid,onset,offset,type\nv,1,5,me\nv,1,5,me\n")
    assert len(read_predictions(tmp_path / "p.csv")) == 2  # a prediction made twice counts twice
    (tmp_path / "p.csv").write_text("vid,onset,pred_onset,offset,pred_offset,type\nv,1,11,5,15,me\n")
    assert read_predictions(tmp_path / "p.csv") == [Interval("", "v", 11, 15, "micro")]


def test_a_file_of_one_kind_needs_no_column_for_it(tmp_path):
    (tmp_path / "p.csv").write_text("vid,onset,offset\nv,1,5\n")
    assert [read_predictions(tmp_path / "p.csv", k)[0].kind for k in ("", "micro")] == ["", "micro"]


def test_a_file_of_one_kind_holds_no_other(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("vid,onset,offset,type\nv,1,5,me\nv,11,15,MaE\n")
    with pytest.raises(UserError, match=r"p\.csv: row 3: type: got 'MaE', expected micro \(--kind is for"):
        read_predictions(path, "micro")
    path.write_text("vid,onset,offset,type\nv,1,5,me\nv,11,15,\nv,21,25,happiness\n")
    assert {p.kind for p in read_predictions(path, "micro")} == {"micro"}


@pytest.mark.parametrize("read", [read_truths, read_predictions])
@pytest.mark.parametrize(
    ("head", "name"), [("vid,onset,offset,type,onset", "onset"), ("vid,onset,offset,type,Type", "type")]
)
def test_a_column_that_is_given_twice_is_refused(tmp_path, read, head, name):
    (tmp_path / "t.csv").write_text(f"{head},note,note\nv1,10,20,me,99,,\n")
    with pytest.raises(UserError, match=f"t.csv: row 1: a column '{name}' twice; expected each column once"):
        read(tmp_path / "t.csv")


def test_what_may_be_thousands_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text('vid,onset,offset,type\nv,"1,234","2,345",me\n')
    with pytest.raises(UserError, match=r"row 2: onset: got '1,234'"):
        read_truths(tmp_path / "t.csv")


def test_lines_of_a_log_are_never_read_as_a_table_without_header(tmp_path):
    """Their first interval is the ground truth: it would hit itself."""
    path = tmp_path / "p.csv"
    path.write_text("v,1,9,40,60,TP,0.4\nv,11,19,70,90,TP,0.3\n")
    with pytest.raises(UserError, match="no such header"):
        read_predictions(path, "micro")


@pytest.mark.parametrize(("cell", "subject", "kind"), [("006", "006", ""), ("sub06", "sub06", ""), ("me", "", "micro")])
def test_the_fourth_cell_without_a_header_may_be_the_subject(tmp_path, cell, subject, kind):
    path = tmp_path / "p.csv"
    path.write_text(f"006_1,337,435,{cell}\n006_1,617,722,{cell}\n")
    assert read_predictions(path) == [
        Interval(subject, "006_1", 337, 435, kind), Interval(subject, "006_1", 617, 722, kind)
    ]  # fmt: skip


def test_numbers_without_a_header_may_be_written_with_an_exponent(tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("v\t3.81e+02\t4.31E2\t1e-3\nv\t781.\t831\t.4\n")
    assert [(p.onset, p.offset) for p in read_predictions(path)] == [(381, 431), (781, 831)]
    assert [(p.onset, p.offset) for p in read_predictions(path, min_score=0.2)] == [(781, 831)]
