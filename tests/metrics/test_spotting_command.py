"""`microexp evaluate spotting`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from microexp.commands.main import main

TRUTHS = "vid,onset,offset,type\na_1,0,9,me\na_1,10,19,me\nb_1,50,99,mae\n"
PREDICTIONS = "vid,pred_onset,pred_offset,type\na_1,0,19,me\nb_1,50,99,mae\nb_1,200,300,mae\n"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "p.csv").write_text(PREDICTIONS)
    (tmp_path / "t.csv").write_text(TRUTHS)
    return [str(tmp_path / "p.csv"), str(tmp_path / "t.csv")]


def run(capsys, *args):
    status = main(["evaluate", "spotting", *args])
    return status, capsys.readouterr()


@pytest.mark.parametrize(("matching", "micro"), [("megc", 2), ("one_to_one", 1)])
def test_json_holds_counts_intervals_and_subjects(capsys, files, matching, micro):
    status, out = run(capsys, *files, "--matching", matching, "--json")
    result = json.loads(out.out)
    assert status == 0
    assert result["micro"]["true_positives"] == micro
    assert result["macro"] == {
        "true_positives": 1, "predictions": 2, "ground_truths": 1, "precision": 0.5, "recall": 1.0, "f1": 2 / 3,
        "f1_95": result["macro"]["f1_95"],
    }  # fmt: skip
    assert result["subjects"]["b"]["overall"]["predictions"] == 2
    low, high = result["overall"]["f1_95"]
    assert low <= result["overall"]["f1"] <= high


def test_text_shows_counts_beside_f1(capsys, files):
    status, out = run(capsys, *files, "--matching", "megc", "--bootstrap", "0", "--subjects")
    assert status == 0
    lines = [line.split() for line in out.out.splitlines()]
    assert ["overall", "3", "3", "3", "1.0000", "1.0000", "1.0000"] in lines
    assert ["b", "macro", "1", "2", "1", "0.5000", "1.0000", "0.6667"] in lines


def test_emotions_bring_the_strs(capsys, files, tmp_path):
    rows = "b_1,50,99,mae,joy\nb_1,200,299,mae,fear\n"
    (tmp_path / "p.csv").write_text("vid,pred_onset,pred_offset,type,emotion\n" + rows)
    (tmp_path / "t.csv").write_text("vid,onset,offset,type,emotion\n" + rows)
    _, out = run(capsys, *files, "--bootstrap", "0")
    assert "STRS 1.0000" in out.out


def test_a_log_needs_the_data_set(capsys, files, tmp_path):
    (tmp_path / "p.csv").write_text("2\n15_0101   0   9   0   9   TP\n")
    status, out = run(capsys, *files)
    assert status == 2 and "--dataset" in out.err
    (tmp_path / "t.csv").write_text("vid,onset,offset,type\n15_0101,0,9,me\n")
    status, out = run(capsys, *files, "--dataset", "cas_me2", "--json")
    assert json.loads(out.out)["micro"]["true_positives"] == 1


@pytest.mark.parametrize("task", ["spotting", "recognition"])
@pytest.mark.parametrize("option", ["--bootstrap", "--seed"])
def test_a_bootstrap_that_cannot_be_made_is_one_line(capsys, files, task, option):
    assert main(["evaluate", task, *files, option, "-1"]) == 2
    error = capsys.readouterr().err
    assert error == f"microexp: error: command line: {option}: got -1, expected a whole number of 0 or more\n"


def test_a_missing_file_is_one_line(capsys, files):
    status, out = run(capsys, "nowhere.csv", files[1])
    assert status == 2 and len(out.err.splitlines()) == 1


@pytest.mark.parametrize("name", ["p.csv", "t.csv", "more.csv", "videos.csv", "x/../p.csv", "soft.csv", "hard.csv"])
def test_an_input_is_never_written(capsys, files, tmp_path, name):
    """Neither by its own name, nor through a link or another spelling of its path."""
    (tmp_path / "x").mkdir()
    (tmp_path / "soft.csv").symlink_to(tmp_path / "t.csv")
    (tmp_path / "hard.csv").hardlink_to(tmp_path / "t.csv")
    more = []
    for option, other in (("--more-truth", "more.csv"), ("--videos", "videos.csv")):
        (tmp_path / other).write_text("vid,onset,offset,type\nc_1,0,9,me\n")
        more += [option, str(tmp_path / other)]
    before = {path: path.read_bytes() for path in tmp_path.glob("*.csv")}
    status, out = run(capsys, *files, *more, "--write-megc", f"{tmp_path}/{name}")
    assert status == 2 and f"{name}: is read as {tmp_path}" in out.err and len(out.err.splitlines()) == 1
    assert {path: path.read_bytes() for path in tmp_path.glob("*.csv")} == before


def test_the_videos_beside_an_index_are_an_input(capsys, tmp_path):
    folds, truths = write_folds(tmp_path)
    index = (tmp_path / "i" / "expressions.csv", tmp_path / "i" / "videos.csv")
    index[0].parent.mkdir()
    index[0].write_text(Path(truths).read_text())
    index[1].write_text("anything\n")
    status, out = run(capsys, *folds, str(index[0]), "--write-megc", str(index[1]))
    assert status == 2 and "is read as" in out.err and index[1].read_text() == "anything\n"


@pytest.mark.parametrize(("name", "problem"), [("no.csv", "No such file"), ("t.csv", "expected a column 'dataset'")])
@pytest.mark.parametrize("more", [[], ["--first-frame", "1"]])
def test_videos_that_are_none_are_an_error(capsys, files, tmp_path, name, problem, more):
    status, out = run(capsys, *files, *more, "--videos", str(tmp_path / name))
    assert status == 2 and f"{name}: " in out.err and problem in out.err and len(out.err.splitlines()) == 1


def test_detections_of_several_folds_are_scored_and_written_for_the_challenge(capsys, tmp_path):
    header = "method,seed,dataset,subject,video,onset,offset,kind,score\n"
    paths = []
    first = "aemnet,0,d,s1,s1_1,0,9,micro,0.5\nrandom,0,d,s1,s1_1,50,59,micro,0.5\n"
    second = "aemnet,0,d,s2,s2_1,0,9,macro,0.5\naemnet,1,d,s2,s2_1,70,79,micro,0.5\n"
    for subject, rows in (("s1", first), ("s2", second)):
        paths.append(tmp_path / f"{subject}.csv")
        paths[-1].write_text(header + rows)
    truths = tmp_path / "expressions.csv"
    truths.write_text("dataset,subject,video,onset,offset,kind\nd,s1,s1_1,0,9,micro\nd,s2,s2_1,0,9,macro\n")
    status, out = run(capsys, *map(str, paths), str(truths), "--json", "--write-megc", str(tmp_path / "megc.csv"))
    result = json.loads(out.out)
    assert status == 0 and result["overall"]["f1"] == 1 and set(result["subjects"]) == {"d/s1", "d/s2"}
    assert (tmp_path / "megc.csv").read_text().splitlines()[1:] == ["s1_1,0,9,me", "s2_1,0,9,mae"]
    _, out = run(capsys, str(paths[0]), str(truths), "--json", "--method", "random")
    assert json.loads(out.out)["micro"]["true_positives"] == 0


LOG = "2\n15_0101  0  9  0  9  TP\n"
NAMES = ("15_0101", "s15_0101", "S15_0101", "15_0101disgustingteeth")


@pytest.mark.parametrize("predicted", NAMES)
@pytest.mark.parametrize("annotated", NAMES)
@pytest.mark.parametrize("form", ["log", "csv"])
def test_names_of_videos_meet_whatever_their_form(capsys, files, tmp_path, predicted, annotated, form):
    log, table = LOG.replace("15_0101", predicted), f"vid,pred_onset,pred_offset,type\n{predicted},0,9,me\n"
    (tmp_path / "p.csv").write_text(log if form == "log" else table)
    (tmp_path / "t.csv").write_text(f"vid,onset,offset,type\n{annotated},0,9,me\n")
    status, out = run(capsys, *files, "--dataset", "cas_me2", "--json")
    assert status == 0 and out.err == ""
    assert json.loads(out.out)["micro"]["true_positives"] == 1


def test_names_that_do_not_meet_are_an_error(capsys, files, tmp_path):
    (tmp_path / "p.csv").write_text("vid,pred_onset,pred_offset,type\n15_0101,0,9,me\n")
    (tmp_path / "t.csv").write_text("vid,onset,offset,type\ns15_0101,0,9,me\n")
    status, out = run(capsys, *files)
    assert status == 2 and "15_0101" in out.err and "s15_0101" in out.err and "--dataset" in out.err


def test_a_sheet_saved_as_csv_is_known_by_its_columns(capsys, files, tmp_path):
    (tmp_path / "p.csv").write_text(LOG)
    (tmp_path / "t.csv").write_text("1,disgust1_1,0,5,9,4,negative,micro-expression,disgust\n")
    status, out = run(capsys, *files, "--dataset", "cas_me2", "--json")
    assert status == 0 and json.loads(out.out)["micro"]["true_positives"] == 1
    (tmp_path / "p.csv").write_text("1\n006_1  100  199  100  199  TP\n")
    header = "Subject,Filename,Inducement Code,Onset,Apex,Offset,Duration,Type,Action Units,Notes\n"
    (tmp_path / "t.csv").write_text(header + "006,006_1_1,1,100,150,199,100,Micro - 1/2,4,\n")
    status, out = run(capsys, *files, "--dataset", "samm_lv", "--json")
    assert status == 0 and json.loads(out.out)["micro"]["true_positives"] == 1
    status, out = run(capsys, *files)
    assert status == 2 and "--dataset" in out.err


def test_seconds_in_a_sheet_are_no_frames(capsys, files, tmp_path):
    (tmp_path / "p.csv").write_text(LOG)
    (tmp_path / "t.csv").write_text("1,disgust1_1,0.6,1,1.4,4,negative,micro-expression,disgust\n")
    status, out = run(capsys, *files, "--dataset", "cas_me2")
    assert status == 2 and "t.csv: row 1: onset: got 0.6, expected a frame number, whole or a half" in out.err


def test_a_log_that_disagrees_with_the_truths_is_told(capsys, files, tmp_path):
    (tmp_path / "p.csv").write_text("2\n15_0101  -  -  0  9  FP\n")
    (tmp_path / "t.csv").write_text("vid,onset,offset,type\n15_0101,0,9,me\n")
    status, out = run(capsys, *files, "--dataset", "cas_me2")
    assert status == 1
    assert "line 2, FP in s15_0101: it hits 0 to 9 (2 differences in all)" in out.err
    assert "1 of its own verdicts are contradicted" in out.err


def write_folds(folder, dataset="d"):
    """Two folds with `aemnet` (seeds 0 and 1) and `random`, and the truths."""
    header = "method,seed,dataset,subject,video,onset,offset,kind,score\n"
    for subject in ("s1", "s2"):
        rows = [f"{m},{dataset},{subject},{subject}_1,0,9,micro,0.5" for m in ("aemnet,0", "aemnet,1", "random,0")]
        (folder / f"{dataset}{subject}.csv").write_text(header + "\n".join(rows) + "\n")
    truths = "".join(f"{dataset},{s},{s}_1,0,9,micro\n" for s in ("s1", "s2"))
    (folder / f"{dataset}.csv").write_text("dataset,subject,video,onset,offset,kind\n" + truths)
    return [str(folder / f"{dataset}s{n}.csv") for n in (1, 2)], str(folder / f"{dataset}.csv")


def test_what_was_written_for_the_challenge_scores_the_same(capsys, tmp_path):
    folds, truths = write_folds(tmp_path)
    megc = str(tmp_path / "megc.csv")
    _, first = run(capsys, *folds, truths, "--json", "--write-megc", megc)
    _, second = run(capsys, megc, truths, "--json")
    assert json.loads(first.out) == json.loads(second.out)
    assert json.loads(first.out)["subjects"]["d/s1"]["micro"]["true_positives"] == 1
    (tmp_path / "t.csv").write_text("vid,onset,offset,type\ns1_1,0,9,me\ns2_1,0,9,me\n")
    _, third = run(capsys, *folds, str(tmp_path / "t.csv"), "--json")
    assert json.loads(third.out) == json.loads(first.out)


def test_two_data_sets_are_scored_together(capsys, tmp_path):
    (folds, truths), (more_folds, more_truths) = write_folds(tmp_path, "d"), write_folds(tmp_path, "e")
    status, out = run(capsys, *folds, *more_folds, truths, "--more-truth", more_truths, "--json")
    result = json.loads(out.out)
    assert status == 0 and set(result["subjects"]) == {"d/s1", "d/s2", "e/s1", "e/s2"}
    assert (result["micro"]["true_positives"], result["micro"]["ground_truths"]) == (4, 4)
    megc = tmp_path / "megc.csv"
    megc.write_text("vid,pred_onset,pred_offset,type\ns1_1,0,9,me\n")
    status, out = run(capsys, str(megc), truths, "--more-truth", more_truths)
    assert status == 2 and "s1_1" in out.err and "d/s1, e/s1" in out.err


@pytest.mark.parametrize(
    ("option", "value", "known"), [("--method", "aemnett", "aemnet, random"), ("--run-seed", "7", "0, 1")]
)
def test_unknown_methods_and_seeds_are_named(capsys, tmp_path, option, value, known):
    folds, truths = write_folds(tmp_path)
    status, out = run(capsys, *folds, truths, option, value)
    assert status == 2 and value in out.err and known in out.err


def test_a_method_that_found_nothing_in_any_fold_has_no_prediction(capsys, tmp_path):
    """A fold's file is of one method: one that found nothing has the header alone."""
    folds, truths = write_folds(tmp_path)
    for path in folds:
        Path(path).write_text(Path(path).read_text().splitlines()[0] + "\n")
    status, out = run(capsys, *folds, truths, "--json")
    assert status == 0 and json.loads(out.out)["overall"]["predictions"] == 0


def test_a_method_that_no_file_speaks_of_is_an_error_and_not_zero_hits(capsys, tmp_path):
    folds, truths = write_folds(tmp_path)
    for path in folds:
        rows = Path(path).read_text().splitlines()
        Path(path).write_text("\n".join(r for r in rows if not r.startswith("aemnet")) + "\n")
    status, out = run(capsys, *folds, truths, "--json")
    assert status == 2 and "--method: got 'aemnet', expected one of random" in out.err
