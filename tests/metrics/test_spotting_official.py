"""Logs and sheets of the grand challenges, made up in the published layouts with their quirks."""

from __future__ import annotations

import json

import pytest
from openpyxl import Workbook

from microexp.commands.main import main
from microexp.errors import UserError
from microexp.metrics.foreign.spotting_inputs import read_sheet
from microexp.metrics.foreign.spotting_log import is_log, log_predictions, read_log
from microexp.metrics.spotting import Counts, count

LOG = """1
006_1   -         -       1       90      FP
006_1   100       199     105     210     TP
006_1   104       205     105     210     TP
006_1   400       500     -       -       FN
007_2   -         -       1       300     FP
2
15_0101   -         -       1       16      FP
15_0101   41        60      40      57      TP
15_0101   200       209     200     209     TP
16_0401   30        40      -       -       FN
"""


def predictions(path, dataset, micro_max_frames=None):
    return log_predictions(read_log(path, dataset), dataset, micro_max_frames)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text(LOG)
    return path


@pytest.fixture
def cas_me2(tmp_path):
    """Three sheets without headers; an offset of 0 means the apex; clips are numbered beyond 9."""
    book = Workbook()
    sheet = book.active
    sheet.title = "CASFEcode_final"
    for row in (
        (1, "disgust1_1", 41, 50, 60, 4, "negative", "macro-expression", "disgust"),
        (1, "disgust1_12", 200, 205, 209, "4+7", "negative", "micro-expression", "disgust"),
        (2, "anger1_1", 30, 40, 0, 4, "negative", "macro-expression", "anger"),
    ):
        sheet.append(row)
    rule1 = book.create_sheet("naming rule1")
    rule1.append((15, "s15", 1))
    rule1.append((16, "s16", 2))
    rule2 = book.create_sheet("naming rule2")
    rule2.append(("0101", "disgust1"))
    rule2.append(("0401", "anger1"))
    path = tmp_path / "CAS(ME)^2code_final.xlsx"
    book.save(path)
    return path


@pytest.fixture
def samm_lv(tmp_path):
    """A header on row 10, fractional frames, text subjects."""
    book = Workbook()
    sheet = book.active
    sheet.title = "FACS_Movement_Only"
    for line in range(9):
        sheet.append((f"about the data set {line}",))
    sheet.append(
        (
            "Subject",
            "Filename",
            "Inducement Code",
            "Onset",
            "Apex",
            "Offset",
            "Duration",
            "Type",
            "Action Units",
            "Notes",
        )
    )
    sheet.append(("006", "006_1_1", 1, 100, 150, 199, 100, "Micro - 1/2", "4", ""))
    sheet.append(("006", "006_1_2", 1, 103.5, 150, 204.5, 100, "Macro", "4", ""))
    sheet.append(("006", "006_1_3", 1, 400, -1, 500, 100, "Macro", "4", ""))
    path = tmp_path / "SAMM_LongVideos_V1_Release.xlsx"
    book.save(path)
    return path


def test_a_log_gives_each_prediction_once_and_its_kind_by_length(log):
    found = predictions(log, "samm_lv")
    assert [(p.video, p.onset, p.offset, p.kind) for p in found] == [
        ("006_1", 1, 90, "micro"),
        ("006_1", 105, 210, "macro"),
        ("007_2", 1, 300, "macro"),
    ]
    found = predictions(log, "cas_me2")
    assert [(p.subject, p.video, p.kind) for p in found] == [
        ("s15", "s15_0101", "micro"),
        ("s15", "s15_0101", "macro"),
        ("s15", "s15_0101", "micro"),
    ]
    assert {p.kind for p in predictions(log, "cas_me2", micro_max_frames=15)} == {"macro", "micro"}
    assert [p.kind for p in predictions(log, "cas_me2", micro_max_frames=9)] == ["macro"] * 3


def test_log_and_sheet_together_give_the_counts_of_the_log(log, cas_me2, samm_lv):
    result = count(predictions(log, "cas_me2"), read_sheet(cas_me2, "cas_me2"), "megc")
    assert result["micro"] == Counts(1, 2, 1)
    assert result["macro"] == Counts(1, 1, 2)
    result = count(predictions(log, "samm_lv"), read_sheet(samm_lv, "samm_lv"), "megc")
    assert result["macro"] == Counts(1, 2, 2)
    assert result["micro"] == Counts(0, 1, 1)  # the prediction of length 106 is macro


def test_sheets_are_read_in_their_own_numbering_and_nothing_is_clipped(cas_me2, samm_lv):
    assert [(t.video, t.onset, t.offset, t.kind) for t in read_sheet(cas_me2, "cas_me2")] == [
        ("s15_0101", 41, 60, "macro"),
        ("s15_0101", 200, 209, "micro"),
        ("s16_0401", 30, 40, "macro"),
    ]
    assert [(t.onset, t.offset) for t in read_sheet(samm_lv, "samm_lv")] == [(100, 199), (104, 205), (400, 500)]


def test_a_log_is_told_from_a_csv(tmp_path, log):
    (tmp_path / "p.csv").write_text("vid,pred_onset,pred_offset,type\n")
    (tmp_path / "b.bin").write_bytes(b"\xff\xfe\x00")
    assert is_log(log)
    assert not is_log(tmp_path / "p.csv")
    assert not is_log(tmp_path / "b.bin")
    assert not is_log(tmp_path / "none")


def test_bad_logs_and_sheets_are_named(tmp_path, log, cas_me2):
    log.write_text("1\n006_1 1 2\n")
    with pytest.raises(UserError, match="line 2"):
        read_log(log, "samm_lv")
    log.write_text("1\n006_1 - - 1 x FP\n")
    with pytest.raises(UserError, match="line 2: got 'x'"):
        read_log(log, "samm_lv")
    log.write_text("1\n006_1 - - 1 5 FP\n")
    with pytest.raises(UserError, match="no prediction for cas_me2"):
        read_log(log, "cas_me2")
    book = Workbook()
    book.active.title = "CASFEcode_final"
    book.active.append((1, "disgust1_1", "?", 50, 60, 4, "negative", "macro-expression", "disgust"))
    book.save(cas_me2)
    with pytest.raises(UserError, match="row 1"):
        read_sheet(cas_me2, "cas_me2")


def test_a_spotted_and_recognised_file_by_participant_and_film_meets_the_sheet(tmp_path, cas_me2, capsys):
    """As entries of the challenge of 2024 name videos."""
    path = tmp_path / "cas_pred.csv"
    path.write_text("subject,video,onset,offset,emotion\n1,disgust1,200,209,negative\n2,anger1,1,9,others\n")
    options = ["--dataset", "cas_me2", "--kind", "micro", "--json", "--bootstrap", "0"]
    assert main(["evaluate", "spotting", str(path), str(cas_me2), *options]) == 0
    micro = json.loads(capsys.readouterr().out)["micro"]
    assert (micro["true_positives"], micro["predictions"], micro["ground_truths"]) == (1, 2, 1)
