"""`microexp evaluate spotting`."""

from __future__ import annotations

import json

import pytest

from microexp.cli import main

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
    (tmp_path / "p.csv").write_text("vid,pred_onset,pred_offset,type,emotion\nb_1,50,99,mae,joy\n")
    (tmp_path / "t.csv").write_text("vid,onset,offset,type,emotion\nb_1,50,99,mae,joy\n")
    _, out = run(capsys, *files, "--bootstrap", "0")
    assert "STRS 1.0000" in out.out


def test_a_log_needs_the_data_set(capsys, files, tmp_path):
    (tmp_path / "p.csv").write_text("2\na_1   0   9   0   9   TP\n")
    status, out = run(capsys, *files)
    assert status == 2 and "--dataset" in out.err
    (tmp_path / "t.csv").write_text("vid,onset,offset,type\nsa_1,0,9,me\n")
    status, out = run(capsys, *files, "--dataset", "cas_me2", "--json")
    assert json.loads(out.out)["micro"]["true_positives"] == 1


def test_a_missing_file_is_one_line(capsys, files):
    status, out = run(capsys, "nowhere.csv", files[1])
    assert status == 2 and len(out.err.splitlines()) == 1


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
