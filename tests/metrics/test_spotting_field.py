"""Files as the field has them: numbers, names, kinds, logs and doubles, through the command."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microexp.commands.main import main
from microexp.metrics.spotting import Interval, count
from microexp.records.detections import Detection, write_detections
from microexp.records.index import (
    Expression,
    Video,
    place_expression,
    write_expressions,
    write_videos,
)
from microexp.records.numbering import Numbering
from tests.metrics.test_spotting_scale import OFFICIAL, official  # noqa: F401  the fixture of official size

HEADER = "vid,pred_onset,pred_offset,type\n"


def run(capsys, *args):
    status = main(["evaluate", "spotting", *map(str, args)])
    return status, capsys.readouterr()


def score(capsys, *args):
    """Result of a run that succeeds."""
    status, out = run(capsys, *args, "--json", "--bootstrap", "0")
    assert status == 0, out.err
    return json.loads(out.out)


def hits_of(result):
    return {
        k: (r["true_positives"], r["predictions"], r["ground_truths"])
        for k in ("micro", "macro", "overall")
        if (r := result.get(k))
    }


def write(path, text):
    path.write_text(text)
    return path


# --- frame numbers ----------------------------------------------------------------------------------------------------

NUMBERINGS = {"from 7": "7-206", "with gaps": "1-40,45-80,90-160,170-300", "every second": "1-399/2", "from 0": "0-199"}
TRUTHS = [(3, 20, "micro"), (30, 49, "macro"), (43, 60, "micro"), (85, 120, "macro"), (150, 180, "micro"),
          (195, 230, "macro"), (900, 950, "macro")]  # fmt: skip
"""In the release's numbers: over the first frame and the last one, into gaps, outside."""


def made_index(folder, text):
    """An index of one video with these numbers, and the sheet that it was read from."""
    numbering = Numbering.parse(text)
    video = Video("d", "s1", "s1_1", "-", len(numbering), 30.0, 9, 9, text)
    blank = Expression("d", "s1", "s1_1", 0, 0, 0, 0, "", "", "")
    items = [
        replace(place_expression(blank, video, (a, (a + b) // 2, b)), expression=n, kind=kind)
        for n, (a, b, kind) in enumerate(TRUTHS, 1)
    ]
    write_videos(folder / "videos.csv", [video])
    write_expressions(folder / "expressions.csv", items, [video])
    sheet = "".join(f"s1_1,{a},{b},{kind}\n" for a, b, kind in TRUTHS)
    return video, write(folder / "sheet.csv", "vid,onset,offset,type\n" + sheet)


@pytest.mark.long
@pytest.mark.parametrize("case", NUMBERINGS)
def test_detections_score_alike_against_sheet_and_index(capsys, tmp_path, case):
    video, sheet = made_index(tmp_path, NUMBERINGS[case])
    generator = np.random.default_rng(4)
    found = []
    for _ in range(300):
        onset = int(generator.integers(0, video.n_frames - 1))
        offset = min(video.n_frames - 1, onset + int(generator.integers(5, 40)))
        kind = str(generator.choice(["micro", "macro"]))
        found.append(Detection("aemnet", 0, "d", "s1", "s1_1", onset, offset, kind, 0.5))
    write_detections(tmp_path / "detections.csv", found, [video])
    for matching in ("megc", "one_to_one"):
        more = ("--matching", matching)
        inside = hits_of(score(capsys, tmp_path / "detections.csv", tmp_path / "expressions.csv", *more))
        assert inside["overall"][0] > 2
        assert inside == hits_of(score(capsys, tmp_path / "detections.csv", sheet, *more))
        megc = tmp_path / "megc.csv"
        assert inside == hits_of(score(capsys, tmp_path / "detections.csv", sheet, *more, "--write-megc", megc))
        assert inside == hits_of(score(capsys, megc, sheet, *more))
        assert inside == hits_of(score(capsys, megc, tmp_path / "expressions.csv", *more))


def test_perfect_predictions_in_frame_numbers_hit_everything(capsys, tmp_path):
    _, sheet = made_index(tmp_path, "7-206")
    rows = "".join(f"s1_1,{a},{b},{kind}\n" for a, b, kind in TRUTHS)
    predictions = write(tmp_path / "p.csv", HEADER + rows)
    for truth in (sheet, tmp_path / "expressions.csv"):
        assert hits_of(score(capsys, predictions, truth))["overall"] == (7, 7, 7)


@pytest.mark.parametrize("first", [0, 1, 5])
def test_predictions_that_count_otherwise_are_moved_when_told(capsys, tmp_path, first):
    made_index(tmp_path, "7-206")
    rows = "".join(f"s1_1,{a - 7 + first},{b - 7 + first},{k}\n" for a, b, k in TRUTHS)
    predictions = write(tmp_path / "p.csv", HEADER + rows)
    told = ("--first-frame", first)
    assert hits_of(score(capsys, predictions, tmp_path / "expressions.csv", *told))["overall"] == (7, 7, 7)
    if first == 0:  # by 7 frames of 17 the shortest one is missed
        assert hits_of(score(capsys, predictions, tmp_path / "expressions.csv"))["overall"][0] < 7
    _, out = run(capsys, predictions, tmp_path / "expressions.csv", *told)
    assert f"predictions count from {first}, moved to the ground truths' numbers" in out.out
    result = score(capsys, predictions, tmp_path / "expressions.csv", *told)
    assert result["frame_numbers"] == f"predictions count from {first}, moved to the ground truths' numbers"


def test_detections_without_seconds_are_indices(capsys, tmp_path):
    """As the first version of the project wrote them."""
    made_index(tmp_path, "7-206")
    rows = "".join(f"aemnet,0,d,s1,s1_1,{a - 7},{b - 7},{k},0.5\n" for a, b, k in TRUTHS)
    old = write(tmp_path / "old.csv", "method,seed,dataset,subject,video,onset,offset,kind,score\n" + rows)
    assert hits_of(score(capsys, old, tmp_path / "expressions.csv"))["overall"] == (7, 7, 7)


@pytest.mark.long
@pytest.mark.parametrize("dataset", OFFICIAL)
@pytest.mark.parametrize("first", [0, 1, 7])
def test_the_official_counts_stay_when_written_and_against_an_index(capsys, tmp_path, official, dataset, first):  # noqa: F811
    log, made, sheets = official
    options = ("--dataset", dataset, "--matching", "megc")
    megc = tmp_path / "megc.csv"
    wanted = {k: (c.true_positives, c.predictions, c.truths) for k, c in OFFICIAL[dataset].items()}
    assert hits_of(score(capsys, log, sheets[dataset], *options, "--write-megc", megc)).items() >= wanted.items()
    assert hits_of(score(capsys, megc, sheets[dataset], *options)).items() >= wanted.items()
    names = sorted({video for video, *_ in made[dataset].truths})
    last = max(offset for *_, offset in made[dataset].truths)
    videos = {
        v: Video(dataset, v.partition("_")[0], v, "-", last - first, 30.0, 9, 9, f"{first}-{last - 1}") for v in names
    }
    items = []
    for n, (name, kind, onset, offset) in enumerate(made[dataset].truths, 1):
        blank = Expression(dataset, videos[name].subject, name, n, 0, 0, 0, kind, "", "")
        items.append(place_expression(blank, videos[name], (onset, onset, offset)))
    write_videos(tmp_path / "videos.csv", videos.values())
    write_expressions(tmp_path / "expressions.csv", items, videos.values())
    for predictions in (log, megc):
        assert hits_of(score(capsys, predictions, tmp_path / "expressions.csv", *options)).items() >= wanted.items()


# --- logs of challenge entries ----------------------------------------------------------------------------------------

MICRO = "\ns15/15_0101* 41 48 __ __ FN\ns15/15_0101* 200 209 198 222 TP\ns15/15_0101* __ __ 400 424 FP\n"
MACRO = "s15/15_0101disgustingteeth,100,150,90,140,TP\ns16/16_0401*,,,-8,30,FP\ns16/16_0401*,30,70,n/a,n/a,FN\n"
SHEET = (
    "15_0101,41,48,micro-expression\n15_0101,205,222,Micro\n15_0101,100,150,macro\ns16_0401,30,70,macro-expression\n"
)


@pytest.fixture
def entry(tmp_path):
    """A log of each kind, and the ground truths."""
    return [
        write(tmp_path / "micro.txt", MICRO.replace("200 209", "205 222")),
        write(tmp_path / "macro.txt", MACRO),
        write(tmp_path / "truth.csv", "vid,onset,offset,type\n" + SHEET),
    ]


def test_logs_of_one_kind_each_are_scored_together(capsys, entry):
    result = score(capsys, *entry, "--dataset", "cas_me2", "--kind", "micro", "--kind", "macro")
    assert hits_of(result) == {"micro": (1, 2, 2), "macro": (1, 2, 2), "overall": (2, 4, 4)}


def test_a_log_of_one_kind_counts_the_ground_truths_of_that_kind(capsys, entry):
    micro, _, truth = entry
    result = score(capsys, micro, truth, "--dataset", "cas_me2", "--kind", "micro")
    assert hits_of(result) == {"micro": (1, 2, 2), "macro": (0, 0, 0), "overall": (1, 2, 2)}


def test_kinds_guessed_from_the_lengths_are_contradicted_by_the_log_itself(capsys, entry):
    micro, _, truth = entry
    status, out = run(capsys, micro, truth, "--dataset", "cas_me2")
    assert status == 1
    assert "1 of its own verdicts are contradicted" in out.err and "--kind" in out.err


def test_kinds_may_be_ignored(capsys, entry):
    result = score(capsys, *entry, "--dataset", "cas_me2", "--ignore-kinds")
    assert hits_of(result) == {"overall": (2, 4, 4)} and result["kinds"] == "ignored"
    status, out = run(capsys, *entry, "--dataset", "cas_me2", "--ignore-kinds", "--subjects")
    assert status == 0 and "kinds: not told apart" in out.out and "\nmicro" not in out.out


def test_as_many_kinds_as_files(capsys, entry):
    status, out = run(capsys, *entry, "--dataset", "cas_me2", *("--kind", "micro") * 3)
    assert status == 2 and "--kind: 3 kinds; expected one for all files, or one for each of the 2 files" in out.err


@pytest.mark.parametrize("mark", ["-", "__", "–", "—", "--", "nan", "None", "n/a", "N/A", "/", "*", "null", "-1", "[]"])
def test_missing_marks_of_any_usual_form(capsys, tmp_path, mark):
    log = f"1\n006_1\t10\t99\t{mark}\t{mark}\tFN\n006_1\t{mark}\t{mark}\t200\t399\tFP\n"
    truth = write(tmp_path / "t.csv", "vid,onset,offset,type\n006_1,10,99,micro\n")
    result = score(capsys, write(tmp_path / "log.txt", log), truth, "--dataset", "samm_lv")
    assert hits_of(result)["overall"] == (0, 1, 1)


@pytest.mark.parametrize("gap", ["\t\t", "\t \t \t"[:-1], None], ids=["tabs", "tabs and blanks", "left out"])
def test_cells_that_are_empty_or_left_out(capsys, tmp_path, gap):
    lines = ["006_1\t10\t99" + gap + "\tFN", "006_1" + gap + "\t200\t399\tFP"] if gap else []
    lines = lines or ["006_1 10 99 FN", "006_1  200 399  FP"]
    truth = write(tmp_path / "t.csv", "vid,onset,offset,type\n006_1,10,99,micro\n")
    result = score(capsys, write(tmp_path / "log.txt", "\n".join(["1", *lines])), truth, "--dataset", "samm_lv")
    assert hits_of(result)["overall"] == (0, 1, 1)


def test_logs_may_round_halves_otherwise_and_have_a_heading(capsys, tmp_path):
    log = "vid gt_onset gt_offset pred_onset pred_offset result\n006_1 566 743 560 743 TP\n"
    truth = write(tmp_path / "t.csv", "vid,onset,offset,type\n006_1,566.5,743.5,macro\n")
    assert hits_of(score(capsys, write(tmp_path / "log.txt", log), truth, "--dataset", "samm_lv"))["macro"] == (1, 1, 1)


def test_a_log_that_counts_one_to_one_is_not_contradicted(capsys, tmp_path):
    log = "2\n15_0101 100 149 100 149 TP\n15_0101 - - 101 150 FP\n"
    truth = write(tmp_path / "t.csv", "vid,onset,offset,type\n15_0101,100,149,macro\n")
    assert hits_of(score(capsys, write(tmp_path / "log.txt", log), truth, "--dataset", "cas_me2"))["macro"] == (1, 2, 1)


# --- tables -----------------------------------------------------------------------------------------------------------


def test_annotations_with_paths_and_numbers_of_participants(capsys, tmp_path):
    lines = ["subject,video,type,type_idx,startFrame,endFrame,frame_num,length"]
    lines += [f"1,./long/s15/15_010{n}film,{kind},1,{a},{b},900,19" for n, kind, a, b in
              ((1, "macro-expression", 41, 60), (2, "micro-expression", 5, 14))]  # fmt: skip
    truth = write(tmp_path / "t.csv", "\n".join(lines) + "\n")
    predictions = write(tmp_path / "p.csv", "vid,onset,offset,type\ns15_0101,41,60,mae\n15_0102,5,14,me\n")
    assert hits_of(score(capsys, predictions, truth, "--dataset", "cas_me2"))["overall"] == (2, 2, 2)


def test_videos_of_one_name_are_told_apart_by_their_folders(capsys, tmp_path):
    truth = "subject,video,type,startFrame,endFrame\n001,/d/001/a,Macro,31,59\n002,/d/002/a,Macro,131,159\n"
    predictions = "vid,onset,offset,type\n1/a,31,59,mae\n2/A,131,159,mae\n"
    files = write(tmp_path / "p.csv", predictions), write(tmp_path / "t.csv", truth)
    result = score(capsys, *files)
    assert hits_of(result)["macro"] == (2, 2, 2) and set(result["subjects"]) == {"001", "002"}


def test_a_subject_that_only_the_predictions_name_is_kept(capsys, tmp_path):
    found = write(tmp_path / "p.csv", "subject,video,onset,offset,type\nanna,clip1,1,9,me\nben,clip2,1,9,me\n")
    truth = write(tmp_path / "t.csv", "vid,onset,offset,type\nclip_1,1,9,me\nclip_2,1,9,me\n")
    assert set(score(capsys, found, truth)["subjects"]) == {"anna", "ben"}


def test_videos_of_one_name_come_back_from_the_challenges_format(capsys, tmp_path):
    head, rows = "dataset,subject,video,onset,offset,kind\n", "d,spNO.1,a,31,59,macro\nd,spNO.2,a,131,159,macro\n"
    truth = write(tmp_path / "t.csv", head + rows + "d,spNO.2,b,5,9,micro\n")
    found, megc = write(tmp_path / "p.csv", head + rows + "d,spNO.2,b,5,9,micro\n"), tmp_path / "megc.csv"
    assert hits_of(score(capsys, found, truth, "--write-megc", megc))["overall"] == (3, 3, 3)
    assert megc.read_text().splitlines()[1:] == ["spNO.1/a,31,59,mae", "spNO.2/a,131,159,mae", "b,5,9,me"]
    assert hits_of(score(capsys, megc, truth))["overall"] == (3, 3, 3)


def test_two_videos_that_would_become_one_are_refused(capsys, tmp_path):
    predictions = write(tmp_path / "p.csv", HEADER + "V_1,1,9,me\nv_01,1,9,me\n")
    truth = write(tmp_path / "t.csv", "vid,onset,offset,type\nv_1,1,9,me\n")
    status, out = run(capsys, predictions, truth)
    assert status == 2 and "'V_1' and 'v_01', and the ground truths have one such video, 'v_1'" in out.err
    write(truth, "vid,onset,offset,type\nv_01,1,9,me\nV_1,1,9,me\n")
    assert hits_of(score(capsys, predictions, truth))["micro"] == (2, 2, 2)


@pytest.mark.parametrize("rows", ["v_01,1,9,me\nv_1,11,19,me\n", "v_1,11,19,me\nv_01,1,9,me\n"])
def test_a_video_that_may_be_two_of_the_ground_truths_is_refused(capsys, tmp_path, rows):
    truth = write(tmp_path / "t.csv", "vid,onset,offset,type\n" + rows)
    predictions = write(tmp_path / "p.csv", HEADER + "v1,1,9,me\n")
    status, out = run(capsys, predictions, truth)
    assert status == 2 and "predictions: video v1: may be 'v_01' or 'v_1' of the ground truths" in out.err
    more = write(tmp_path / "more.csv", "vid,onset,offset,type\nv1,1,9,me\n")
    status, out = run(capsys, write(predictions, HEADER + "v_1,1,9,me\n"), truth, "--more-truth", more)
    assert status == 2 and "more.csv: video v1: may be 'v_01' or 'v_1'" in out.err
    assert hits_of(score(capsys, predictions, truth))["micro"] == (0, 1, 2)


def test_a_subject_tells_which_of_two_names_is_meant(capsys, tmp_path):
    head = "subject,video,onset,offset,type\n"
    truth = write(tmp_path / "t.csv", head + "s1,v_01,1,9,me\ns2,v_1,11,19,me\n")
    found = write(tmp_path / "p.csv", head + "s2,v1,11,19,me\n")
    assert hits_of(score(capsys, found, truth))["micro"] == (1, 1, 2)
    status, out = run(capsys, write(found, HEADER + "v1,11,19,me\n"), truth)
    assert status == 2 and "may be 'v_01' or 'v_1'" in out.err


def test_the_references_own_form_needs_no_kinds(capsys, tmp_path):
    head = "subject,video,onset,offset,emotion\n"
    truth = write(tmp_path / "gt.csv", head + "1,EP01,10,29,joy\n1,EP02,10,29,fear\n2,EP01,5,24,joy\n2,EP03,1,9,awe\n")
    found = write(tmp_path / "pred.csv", head + "1,EP01,-3,29,joy\n1,EP02,12,29,joy\n2,EP01,5,24,fear\n")
    result = score(capsys, found, truth)
    assert hits_of(result) == {"overall": (3, 3, 4)} and result["kinds"] == "ignored"
    assert result["f1_spotting"] == pytest.approx(6 / 7)
    assert result["f1_analysis"] == pytest.approx((0.5 + 0 + 0) / 3)
    assert result["strs"] == pytest.approx(6 / 7 / 6)


def test_kinds_on_one_side_only_are_asked_for(capsys, tmp_path):
    truth = write(tmp_path / "t.csv", "vid,onset,offset,type\nv,1,9,me\n")
    predictions = write(tmp_path / "p.csv", "vid,onset,offset\nv,1,9\n")
    status, out = run(capsys, predictions, truth)
    assert status == 2 and "no kind" in out.err and "--kind" in out.err and "--ignore-kinds" in out.err
    assert hits_of(score(capsys, predictions, truth, "--kind", "micro"))["micro"] == (1, 1, 1)
    assert hits_of(score(capsys, predictions, truth, "--ignore-kinds"))["overall"] == (1, 1, 1)


def test_detections_of_a_repository_without_header_and_with_scores(capsys, tmp_path):
    truth = write(
        tmp_path / "t.csv", "vid,onset,offset,type\n15_0102eatingworms,396,430,macro\n15_0102,699,707,micro\n"
    )
    rows = ("381.097\t431.482\t0.3700", "787.935\t827.352\t0.4850", "692.000\t707.400\t0.1000")
    found = write(tmp_path / "test_23.txt", "".join(f"15_0102eatingworms\t{row}\n" for row in rows))
    options = ("--dataset", "cas_me2", "--ignore-kinds")
    assert hits_of(score(capsys, found, truth, *options)) == {"overall": (2, 3, 2)}
    assert hits_of(score(capsys, found, truth, *options, "--min-score", 0.2)) == {"overall": (1, 2, 2)}
    assert hits_of(score(capsys, found, truth, *options, "--min-score", 0.485)) == {"overall": (0, 1, 2)}
    bare = write(tmp_path / "bare.csv", "s15_0102,396,430,mae\ns15_0102,1,9,me\n")
    assert hits_of(score(capsys, bare, truth, "--dataset", "cas_me2"))["overall"] == (1, 2, 2)
    status, out = run(capsys, bare, truth, "--dataset", "cas_me2", "--min-score", 0.2)
    assert status == 2 and "row 1: score: got ''" in out.err


def test_a_sheet_of_a_workbook_is_named(capsys, tmp_path):
    from tests.datasets.releases import workbook

    head = ("vid", "onset", "offset", "type")
    book = workbook(
        tmp_path / "t.xlsx", notes=[("nothing",)], first=[head, ("v", 1, 9, "me")], b=[head, ("v", 5, 9, "me")]
    )
    predictions = write(tmp_path / "p.csv", HEADER + "v,5,9,me\n")
    assert hits_of(score(capsys, predictions, f"{book}#b"))["micro"] == (1, 1, 1)
    truth = write(tmp_path / "t.csv", "vid,onset,offset,type\nv,5,9,me\n")
    assert hits_of(score(capsys, f"{book}#b", truth))["micro"] == (1, 1, 1)
    assert hits_of(score(capsys, predictions, f"{book}#First"))["micro"] == (1, 1, 1)
    status, out = run(capsys, predictions, f"{book}#c")
    assert status == 2 and "expected one of 'notes', 'first', 'b'" in out.err


def test_a_hidden_sheet_is_read_only_by_its_name(capsys, tmp_path):
    import openpyxl

    from tests.datasets.releases import workbook

    head = ("vid", "onset", "offset", "type")
    path = workbook(tmp_path / "t.xlsx", old=[head, ("v", 31, 39, "me")], new=[head, ("v", 5, 9, "me")])
    book = openpyxl.load_workbook(path)
    book["old"].sheet_state = "hidden"
    book.save(path)
    predictions = write(tmp_path / "p.csv", HEADER + "v,5,9,me\n")
    assert hits_of(score(capsys, predictions, path))["micro"] == (1, 1, 1)
    assert hits_of(score(capsys, predictions, f"{path}#old"))["micro"] == (0, 1, 1)


@pytest.mark.parametrize("dataset", [(), ("--dataset", "cas_me2")])
def test_a_workbook_that_costs_too_much_says_so(capsys, tmp_path, monkeypatch, dataset):
    from microexp.reading import xlsx
    from tests.datasets.releases import workbook

    monkeypatch.setattr(xlsx, "MAX_TAGS", 10)
    book = workbook(tmp_path / "t.xlsx", first=[("vid", "onset", "offset", "type"), ("v", 1, 9, "me")])
    predictions = write(tmp_path / "p.csv", HEADER + "v,5,9,me\n")
    status, out = run(capsys, predictions, book, *dataset)
    assert status == 2 and "t.xlsx: more than 10 elements" in out.err and len(out.err.splitlines()) == 1


# --- doubles and nonsense ---------------------------------------------------------------------------------------------


def test_a_file_is_given_once(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    predictions = write(tmp_path / "p.csv", HEADER + "v,1,9,me")
    truth = write(tmp_path / "t.csv", "vid,onset,offset,type\nv,1,9,me\nv,31,39,me\n")
    for again in (predictions, "p.csv", write(tmp_path / "copy.csv", predictions.read_text())):
        status, out = run(capsys, predictions, again, truth)
        assert status == 2 and "p.csv" in out.err and len(out.err.splitlines()) == 1, out.err
    status, out = run(capsys, predictions, truth, "--more-truth", "t.csv")
    assert status == 2 and "each file of ground truths once" in out.err
    more = write(tmp_path / "more.csv", "vid,onset,offset,type\nw,1,9,me\nv,31,39,me\n")
    status, out = run(capsys, predictions, truth, "--more-truth", more)
    assert status == 2 and "v, 31 to 39: is in two files" in out.err


@pytest.mark.parametrize("form", ["other order", "semicolons", "names", "halves", "a log"])
def test_a_copy_in_another_form_is_a_copy(capsys, tmp_path, form):
    """Of predictions and of ground truths."""
    rows = ["s15_0101,41,60,mae", "s15_0101,5,14,me", "s16_0401,100,149,mae"]
    forms = {
        "other order": ",".join(HEADER.strip().split(",")) + "\n" + "\n".join(reversed(rows)),
        "semicolons": (HEADER + "\n".join(rows)).replace(",", ";"),
        "names": HEADER + "\n".join(rows).replace("s15_0101", "S15/15_0101.mp4"),
        "halves": "start_frame,end_frame,video,kind\n41.0,60.0,s15_0101,mae\n5,14,15_0101,me\n100,149,16_0401,mae\n",
        "a log": "2\n15_0101 41 60 41 60 TP\n15_0101 5 14 5 14 TP\n16_0401 100 149 100 149 TP\n",
    }
    first, copy = write(tmp_path / "p.csv", HEADER + "\n".join(rows)), write(tmp_path / "copy.txt", forms[form])
    truth = write(tmp_path / "t.csv", "vid,onset,offset,type\n" + "\n".join(rows))
    status, out = run(capsys, first, copy, truth, "--dataset", "cas_me2")
    assert status == 2 and f"the same predictions as {first}; expected each once" in out.err
    if form != "a log":
        copy.write_text(forms[form].replace("pred_", ""))
        status, out = run(capsys, first, truth, "--more-truth", copy, "--dataset", "cas_me2")
        assert status == 2 and "is in two files; expected each once" in out.err


def test_files_of_two_videos_are_no_copies(capsys, tmp_path):
    files = [write(tmp_path / f"{n}.csv", HEADER + f"v{n},1,9,me\n") for n in (1, 2)]
    truth = write(tmp_path / "t.csv", "vid,onset,offset,type\nv1,1,9,me\nv2,1,9,me\n")
    assert hits_of(score(capsys, *files, truth))["micro"] == (2, 2, 2)
    more = write(tmp_path / "more.csv", "subject,vid,onset,offset,type\nben,v1,1,9,me\n")
    truth.write_text("subject,vid,onset,offset,type\nanna,v1,1,9,me\nanna,v2,1,9,me\n")
    assert hits_of(score(capsys, files[1], truth, "--more-truth", more))["micro"] == (1, 1, 3)


@pytest.mark.parametrize("again", ["v,1.0,9,ME", "v;1,0;9,0;Micro", "v,1,9.,micro-expression"])
def test_a_ground_truth_in_other_words_is_the_same(capsys, tmp_path, again):
    mark = ";" if ";" in again else ","
    rows = ["vid,onset,offset,type", "v,1,9,me"]
    truth = write(tmp_path / "t.csv", "\n".join([r.replace(",", mark) for r in rows] + [again]) + "\n")
    predictions = write(tmp_path / "p.csv", HEADER + "v,1,9,me\n")
    assert hits_of(score(capsys, predictions, truth, "--matching", "megc"))["micro"] == (1, 1, 1)


def test_rows_of_a_sheet_count_once_unless_they_say_something_else(capsys, tmp_path):
    row = "006,006_1_{},1,100,150,199,100,Macro,{},\n"
    header = "Subject,Filename,Inducement Code,Onset,Apex,Offset,Duration,Type,Action Units,Notes\n"
    sheet = write(tmp_path / "s.csv", header + row.format(1, "4") * 3 + row.format(2, "4+7"))
    found = write(tmp_path / "p.csv", HEADER + "006_1,100,199,mae\n")
    result = score(capsys, found, sheet, "--dataset", "samm_lv", "--matching", "megc")
    assert hits_of(result)["macro"] == (2, 1, 2)


def test_folds_without_a_detection_are_alike_and_a_video_is_held_out_once(capsys, tmp_path):
    head = "method,seed,dataset,subject,video,onset,offset,onset_s,offset_s,kind,score\n"
    empty = [write(tmp_path / f"{n}.csv", head) for n in (1, 2)]
    truth = write(tmp_path / "t.csv", "dataset,subject,video,onset,offset,kind\nd,s,v,1,9,micro\n")
    assert hits_of(score(capsys, *empty, truth))["micro"] == (0, 0, 1)
    folds = [write(tmp_path / f"{n}.csv", head + f"aemnet,0,d,s,v,{n},9,0,0,micro,.5\n") for n in (1, 2)]
    status, out = run(capsys, *folds, truth)
    assert status == 2 and "d/s/v: is in" in out.err and "one fold" in out.err


def test_an_interval_that_ends_before_it_begins_is_refused(capsys, tmp_path):
    predictions = write(tmp_path / "p.csv", HEADER + "v,9,1,me\n")
    truth = write(tmp_path / "t.csv", "vid,onset,offset,type\nv,1,9,me\n")
    status, out = run(capsys, predictions, truth)
    assert status == 2 and "row 2: pred_offset: got 9 to 1" in out.err


def test_the_printed_page_says_numbering_and_both_matchings(capsys, tmp_path):
    predictions = write(tmp_path / "p.csv", HEADER + "v,0,19,me\n")
    truth = write(tmp_path / "t.csv", "vid,onset,offset,type\nv,0,9,me\nv,10,19,me\n")
    status, out = run(capsys, predictions, truth)
    assert status == 0
    assert "frame numbers: as the ground truths count them (the release's own numbers)" in out.out
    assert "matching: one_to_one (true positives overall: 2 by megc, 1 by one_to_one)" in out.out


# --- any form of the same intervals -----------------------------------------------------------------------------------

SPANS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(0, 25), st.sampled_from(["micro", "macro"])),
    min_size=1,
    max_size=8,
)
NAMES = ("s01_1", "s01_12", "s22_3")
SPELT = (str, str.upper, lambda n: n.replace("_", "-"), lambda n: n.replace("s0", "s000"), lambda n: f"x/{n}.mp4")
KINDS = {"micro": ("me", "ME", "Micro", "micro-expression"), "macro": ("mae", "MaE", "Macro", "macro_expression")}
HEADERS = (
    {"video": "vid", "onset": "onset", "offset": "offset", "kind": "type"},
    {"video": "video_name", "onset": "start_frame", "offset": "end_frame", "kind": "Expression Type"},
    {"video": "Video", "onset": "startFrame", "offset": "endFrame", "kind": "KIND"},
)


def in_some_form(path, spans, random, shift):
    """A CSV of these intervals in a form drawn at random."""
    header, mark, spell = random.choice(HEADERS), random.choice(",;\t|"), random.choice(SPELT)
    names = list(header)
    random.shuffle(names)
    rows = []
    for video, onset, length, kind in random.sample(spans, len(spans)):
        frames = {"onset": onset + shift, "offset": onset + length + shift}
        point = "," if mark != "," and random.random() < 0.3 else "."
        text = {n: f"{v}{point}0" if random.random() < 0.3 else str(v) for n, v in frames.items()}
        cells = {"video": spell(NAMES[video]), "kind": random.choice(KINDS[kind]), **text}
        rows.append(mark.join(cells[n] for n in names))
    path.write_text("\n".join([mark.join(header[n] for n in names), *rows]) + "\n")
    return path


@pytest.mark.long
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(found=SPANS, real=SPANS, random=st.randoms(use_true_random=False), first=st.integers(0, 9))
def test_any_form_of_the_same_intervals_scores_the_same(capsys, tmp_path, found, real, random, first):
    real = list(dict.fromkeys(real))  # a ground truth given twice counts once
    sides = [[Interval("", NAMES[v], a, a + n, kind) for v, a, n, kind in spans] for spans in (found, real)]
    expected = {k: (c.true_positives, c.predictions, c.truths) for k, c in count(*sides, "one_to_one").items()}
    predictions = in_some_form(tmp_path / "p.csv", found, random, first)
    truth = in_some_form(tmp_path / "t.csv", real, random, 1)
    if not {i.video for i in sides[0]} & {i.video for i in sides[1]}:
        status, out = run(capsys, predictions, truth, "--first-frame", first)
        assert status == 2 and "predictions: videos: got " in out.err and "Traceback" not in out.err
        return
    assert hits_of(score(capsys, predictions, truth, "--first-frame", first)) == expected


PLACES = ("15_0101", "16_0402", "s15/15_0102eatingworms*", "S16_0401")
NONE = ("-", "__", "nan", "n/a", "–", "")


def as_log(path, found, real, random):
    """A log of these predictions as the official script writes it, in a form drawn at random."""
    lines, hit_by = [], {}
    for item in found:
        hit = next((t for t in real if t[0] == item[0] and iou(item, t) >= 0.5), None)
        lines.append((item[0], hit, item, "TP" if hit else "FP"))
    for item in real:
        hit_by[item] = next((f for f in found if f[0] == item[0] and iou(item, f) >= 0.5), None)
        line = (item[0], item, hit_by[item], "TP" if hit_by[item] else "FN")
        lines += [] if line in lines else [line]
    mark, none, quote = random.choice("\t,;| "), random.choice(NONE), random.choice(["", '"'])
    none = none or ("" if mark in ",;|" else "-")
    rows = []
    for place, truth, prediction, verdict in random.sample(lines, len(lines)):
        spans = [str(n) for span in (truth, prediction) for n in (span[1:] if span else (none, none))]
        rows.append(mark.join(f"{quote}{cell}{quote}" for cell in (PLACES[place], *spans, verdict)))
    path.write_text("\n".join([*random.choice([[], ["2"], ["CAS(ME)^2"]]), *rows]) + "\n", encoding="utf-8")
    return path


def iou(one, other):
    overlap = min(one[2], other[2]) - max(one[1], other[1]) + 1
    return max(overlap, 0) / (one[2] - one[1] + other[2] - other[1] + 2 - max(overlap, 0))


LOGGED = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60), st.integers(1, 25)), min_size=1, max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(found=LOGGED, real=LOGGED, random=st.randoms(use_true_random=False))
def test_any_form_of_a_log_scores_as_its_intervals(capsys, tmp_path, found, real, random):
    found, real = ([(v, a, a + n) for v, a, n in spans] for spans in (found, real))
    real = list(dict.fromkeys(real))
    sides = [[Interval("", str(v), a, b, "micro") for v, a, b in spans] for spans in (found, real)]
    truth = write(
        tmp_path / "t.csv",
        "vid,onset,offset,type\n" + "".join(f"{PLACES[v].rstrip('*')},{a},{b},me\n" for v, a, b in real),
    )
    log = as_log(tmp_path / "log.txt", found, real, random)
    for matching in ("megc", "one_to_one"):
        status, out = run(
            capsys, log, truth, "--dataset", "cas_me2", "--kind", "micro", "--matching", matching, "--json",
            "--bootstrap", "0",
        )  # fmt: skip
        if not {v for v, *_ in found} & {v for v, *_ in real}:
            assert status == 2 and "predictions: videos: got " in out.err
            continue
        assert status == 0, out.err
        counts = count(*sides, matching)["micro"]
        assert hits_of(json.loads(out.out))["micro"] == (counts.true_positives, counts.predictions, counts.truths)
