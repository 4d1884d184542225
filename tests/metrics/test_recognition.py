import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score, recall_score

from microexp.commands.main import main
from microexp.datasets import protocols
from microexp.errors import UserError
from microexp.metrics import completeness
from microexp.metrics import recognition as r
from microexp.metrics.foreign import recognition_log as log

CLASSES = list(protocols.CLASSES)
# Counts of the published STSTNet log (rows: truth), from which a log of the same form is made up, with other names.
STSTNET = {
    "casme2": ([[77, 11, 0], [10, 21, 1], [1, 0, 24]], 24),
    "smic": ([[47, 15, 8], [15, 33, 3], [7, 4, 32]], 16),
    "samm": ([[71, 13, 8], [11, 14, 1], [4, 3, 8]], 28),
}


SPELLING = {"casme2": "sub{:02}", "smic": "s{}", "samm": "{:03}"}


def ststnet_log(path):
    """Lines as in a MEGC2019 log: `casme2 sub01`, then `file truth prediction`, clips dealt to subjects in turn."""
    lines = []
    for dataset, (matrix, subjects) in STSTNET.items():
        clips = [(t, p) for t, p in itertools.product(range(3), repeat=2) for _ in range(matrix[t][p])]
        for s in range(subjects):
            lines.append(f"{dataset} {SPELLING[dataset].format(s + 1)}")
            lines += [f"EP{s:02}_{i:02}f {t} {p}" for i, (t, p) in enumerate(clips[s::subjects])]
    path.write_text("\n".join(lines) + "\n")
    return path


def prediction(clip="v", label="a", answer="a", subject="s", dataset="d", method="m", seed=0):
    return r.Prediction(method, seed, dataset, subject, clip, "1", label, answer)


def test_the_published_log_scores_as_published(tmp_path):
    found = log.read_log(ststnet_log(tmp_path / "STSTNet.txt"))
    assert len(found) == 442 and len({(p.dataset, p.subject) for p in found}) == 68
    s = r.scores(r.confusion(found, CLASSES))
    assert (round(s.uf1, 4), round(s.uar, 4)) == (0.7209, 0.7250)
    rows, notes = r.summary(found, CLASSES, samples=0)
    assert [row["part"] for row in rows] == ["all", "casme2", "samm", "smic"] and not notes
    assert [row["clips"] for row in rows] == [442, 145, 133, 164]
    assert rows[2]["n_surprise"] == 15 and rows[0]["method"] == "STSTNet"


@given(arrays(np.int64, 60, elements=st.integers(0, 2)), arrays(np.int64, 60, elements=st.integers(0, 2)))
def test_scores_are_macro_f1_and_recall(truth, answer):
    truth[:3] = [0, 1, 2]  # every class is there
    matrix = np.zeros((3, 3), np.int64)
    np.add.at(matrix, (truth, answer), 1)
    s = r.scores(matrix)
    assert s.uf1 == pytest.approx(f1_score(truth, answer, average="macro"))
    assert s.uar == pytest.approx(recall_score(truth, answer, average="macro"))
    assert s.accuracy == pytest.approx((truth == answer).mean()) and s.absent == ()


def test_an_absent_class_leaves_the_means_with_a_note():
    s = r.scores(np.array([[4, 1, 0], [0, 5, 1], [0, 0, 0]]))
    assert s.absent == (2,) and np.isnan(s.f1[2]) and np.isnan(s.recall[2])
    assert s.uf1 == pytest.approx((8 / 9 + 10 / 12) / 2) and s.uar == pytest.approx((4 / 5 + 5 / 6) / 2)
    rows = [
        prediction("1", "a", "a", dataset="x"),
        prediction("2", "b", "a", dataset="x"),
        prediction("3", dataset="y"),
    ]
    summary, notes = r.summary(rows, ["a", "b"], 0)
    assert notes == ["y: no clip of b; excluded from UF1 and UAR there"]
    assert [row["uf1"] for row in summary] == [pytest.approx((4 / 5) / 2), pytest.approx((2 / 3) / 2), 1.0]
    assert np.isnan(r.scores(np.zeros((2, 2), int)).uf1)


def test_folds_are_pooled_and_not_averaged():
    """One subject all right, one all wrong: the mean over folds would be .5."""
    rows = [prediction(str(i), "a", "a", "s1") for i in range(9)] + [prediction("x", "b", "a", "s2")]
    assert r.summary(rows, ["a", "b"], 0)[0][0]["uf1"] == pytest.approx((18 / 19) / 2)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([prediction("1")], "clip d/s/1/1 twice"),
        ([prediction("1", seed=1), prediction("2", seed=1), prediction("3", seed=1)], "no clip d/s/3/1"),
        ([prediction("1", seed=1)], r"m, seed 1: no clip d/s/2/1"),
        ([prediction("1", method="n"), prediction("2", "b", method="n")], "n, seed 0, clip d/s/2/1: got 'b'"),
    ],
)
def test_each_clip_is_predicted_exactly_once(extra, message):
    rows = [prediction("1"), prediction("2")]
    r.check_once(rows)
    with pytest.raises(UserError, match=message):
        r.summary(rows + extra, None, 0)


def test_a_class_that_is_not_known_is_named():
    with pytest.raises(UserError, match="'c', expected one of a, b"):
        r.confusion([prediction(answer="c")], ["a", "b"])


def test_mean_and_sd_are_over_seeds():
    rows = [
        prediction(c, c, a, seed=s)
        for s, answers in enumerate(("aab", "abb", "aab"))
        for c, a in zip("aab", answers, strict=True)
    ]
    rows = [
        r.Prediction(p.method, p.seed, "d", "s", f"{i % 3}", "1", p.label, p.prediction) for i, p in enumerate(rows)
    ]
    (row,), _ = r.summary(rows, ["a", "b"], 0)
    assert row["seeds"] == 3 and row["accuracy"] == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert row["accuracy_sd"] == pytest.approx(np.std([1, 2 / 3, 1], ddof=1))
    one, _ = r.summary([p for p in rows if p.seed == 0], ["a", "b"], 0)
    assert one[0]["uf1_sd"] is None


def test_the_interval_draws_subjects_and_not_clips():
    """A hundred clips of one subject are one draw: with two subjects the interval reaches from one to the other."""
    rows = [prediction(f"a{i}", "ab"[i % 2], "ab"[i % 2], "good") for i in range(100)]
    rows += [prediction(f"b{i}", "ab"[i % 2], "ba"[i % 2], "bad") for i in range(100)]
    found = r.bootstrap([rows], ["a", "b"], 200, seed=0)
    assert found["uar"] == (0.0, 1.0)
    same = [prediction(f"{s}{i}", "ab"[i % 2], "aab"[i % 3], f"s{s}") for s in range(9) for i in range(6)]
    low, high = r.bootstrap([same], ["a", "b"], 50, seed=0)["uf1"]
    assert low == pytest.approx(high) == pytest.approx(r.scores(r.confusion(same, ["a", "b"])).uf1)
    assert r.bootstrap([rows], ["a", "b"], 50, seed=3) == r.bootstrap([rows], ["a", "b"], 50, seed=3)
    assert np.isnan(r.bootstrap([rows], ["a", "b"], 0, seed=3)["uf1"][0])


def write_log(path, predictions, classes=log.CLASSES):
    """Write the predictions of one method and seed as a log, subjects in the order in which they come."""
    number = {c: i for i, c in enumerate(classes)}
    subjects: dict[tuple[str, str], list[str]] = {}
    for p in predictions:
        clip = p.video if p.expression in ("", "1") else f"{p.video}_{p.expression}"
        subjects.setdefault((p.dataset, p.subject), []).append(f"{clip} {number[p.label]} {number[p.prediction]}")
    lines = [line for (d, s), clips in subjects.items() for line in (f"{d} {s}", *clips)]
    path.write_text("\n".join(lines) + "\n")


def test_logs_survive_writing_and_bad_lines_are_named(tmp_path):
    rows = log.read_log(ststnet_log(tmp_path / "a.txt"), method="m")
    write_log(tmp_path / "b.txt", rows)
    assert log.read_log(tmp_path / "b.txt", method="m") == rows
    for text, message in (
        ("f 0 0\n", "line 1"),
        ("casme2 sub01\nf 0 3\n", "line 2: got '3', expected a class from 0 to 2"),
        ("casme2 sub01\nf 0 x\n", "got 'x'"),
        ("casme2 sub01\nf 0 3\n", "classes count from 0"),
        ("casme2 sub01\nf 0 1 2\n", "line 2"),
        ("casme2 sub01\nf 0 0\n0 1\ng 1 1\n", r"line 3: got '0 1'"),  # a lost name is no data set
        ("mine a\nf 0 0\n", "line 1: got 'mine a'.*name others with --datasets"),
        ("casme2 sub01\nEP02 01f 0 0\n", "line 2"),
        ("casme2 sub01\n", "no prediction"),
    ):
        (tmp_path / "bad.txt").write_text(text)
        with pytest.raises(UserError, match=message):
            log.read_log(tmp_path / "bad.txt")


LOG = "casme2 sub01\nEP02 0 0\nEP19 1 1\nsmic s1\nne_01 0 2\nsamm 006\n006_1 2 2\n"


@pytest.mark.parametrize(
    "text",
    [
        LOG.replace("\n", "\r\n\r\n"),
        LOG.replace(" ", "\t"),
        LOG.replace(" ", ", "),
        LOG.replace(" 0 ", " 0.0 ").replace(" 1 1", " 1. 1.0"),
        LOG.replace(" 0 0", " negative Negative"),
        LOG.replace("sub01", "sub01:").replace("s1", "s1 (1)").replace("samm 006", "samm - 006 1 clips"),
        LOG.replace("casme2", "CASME II").replace("smic", "SMIC-HS").replace("samm", "SAMM"),
        LOG.replace("casme2 sub01", "sub01").replace("smic s1", "Subject: s1").replace("samm 006", "subject 006"),
        "# mine\nfile gt pred\n" + LOG.replace("smic", "-----\nsmic") + "====\nUF1 = 0.72\nsamm UF1: .6\n",
        LOG + "Final Evaluation:\nUF1: 0.7209 | UAR: nan\nUAR 0.7250\nOverall accuracy: 71.2 %\n",
    ],
)
def test_logs_may_be_written_in_many_ways(tmp_path, text):
    (tmp_path / "plain.txt").write_text(LOG)
    (tmp_path / "other.log").write_text(text, newline="")
    read = log.read_log(tmp_path / "other.log", method="m")
    assert read == log.read_log(tmp_path / "plain.txt", method="m") and len(read) == 4


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_logs_may_have_any_encoding_and_headers_other_data_sets(tmp_path, encoding):
    (tmp_path / "x").write_text("mine a\nÉP02 0 1\n", encoding=encoding)
    (row,) = log.read_log(tmp_path / "x", datasets=["mine"])
    assert row.clip == ("mine", "a", "ÉP02", "1") and row.prediction == "positive"


PYTHON_LOG = """Subject: 006
Predicted   : [0, 2, 1]
Ground Truth: [0, 0, 1]
Evaluation until this subject:
UF1: 0.5 | UAR: nan
Subject: s01
Predicted   : [2]
Ground Truth: [2]
UF1: 0.5 | UAR: nan
Subject: somebody
Predicted   : [0]
Ground Truth: [1]
Final Evaluation:
UF1: 0.5 | UAR: 0.6
"""


def test_logs_by_subject_are_read_too(tmp_path):
    (tmp_path / "p.txt").write_text(PYTHON_LOG)
    rows = log.read_log(tmp_path / "p.txt")
    assert [(p.dataset, p.subject, p.label, p.prediction) for p in rows] == [
        ("samm", "006", "negative", "negative"),
        ("samm", "006", "negative", "surprise"),
        ("samm", "006", "positive", "positive"),
        ("smic", "s01", "surprise", "surprise"),
        ("log", "somebody", "positive", "negative"),
    ]
    r.check_once(rows)
    for old, new, message in (
        ("[2]\nUF1", "[2, 1]\nUF1", "line 8: 2 truths; expected 1"),
        ("Ground Truth: [2]\n", "", "line 9: no ground truth; expected that of subject s01"),
        ("Ground Truth: [1]\n", "", "subject somebody"),
    ):
        (tmp_path / "p.txt").write_text(PYTHON_LOG.replace(old, new))
        with pytest.raises(UserError, match=message):
            log.read_log(tmp_path / "p.txt")


def test_data_sets_are_known_by_any_name():
    for name in ("CASME_II", "casme-ii", "CASME 2", "CASME2"):
        assert protocols.dataset_name(name) == "casme2"
    assert protocols.dataset_name("SMIC_HS") == "smic" and protocols.dataset_name("SAMM_LV") == "SAMM_LV"


def test_what_is_missing_of_a_protocol_is_told(tmp_path):
    clips = [(p.dataset, p.subject, p.label) for p in log.read_log(ststnet_log(tmp_path / "a.txt"))]
    assert completeness.differences("megc2019", clips) == []
    lost = [c for c in clips if c[1] != "sub24"] + [("mine", "a", "negative")]
    told = completeness.differences("megc2019", lost)
    assert "casme2: 23 subjects instead of 24" in told and "mine: 1 clips of another data set" in told
    assert completeness.differences("smic_3", [c for c in clips if c[0] == "smic"]) == []
    with pytest.raises(UserError, match="one of megc2019"):
        completeness.differences("megc", clips)


def test_the_command_prints_and_writes_the_table(tmp_path, capsys):
    path = ststnet_log(tmp_path / "STSTNet.txt")
    out = tmp_path / "table"
    assert main(["evaluate", "recognition", str(path), "--bootstrap", "20", "--confusion", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "| STSTNet | all | 442 | 1 | 0.7209 |" in shown and "| 0.7250 |" in shown
    assert "STSTNet, smic (rows: truth)" in shown
    assert "442 clips of 68 subjects\n" in shown and "not the whole" not in shown
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert rows[0]["uar"] == pytest.approx(0.7250, abs=5e-5) and rows[0]["uf1_low"] < 0.7209 < rows[0]["uf1_high"]
    assert all(row["uf1_low"] <= row["uf1"] <= row["uf1_high"] for row in rows)  # of each data set too
    assert all((tmp_path / f"table.{s}").is_file() for s in ("csv", "md", "tex"))


@pytest.mark.parametrize("option", [[], ["--expected"]])
def test_the_command_never_writes_what_it_reads(tmp_path, capsys, option):
    (tmp_path / "1.txt").write_text("samm 006\na 0 0\n")
    (tmp_path / "2.csv").write_text(",".join(r.COLUMNS) + "\nm,0,d,s1,v,1,a,a\n")
    (tmp_path / "table.csv").symlink_to("2.csv")
    files = [str(tmp_path / "1.txt"), *option, str(tmp_path / "2.csv")]
    assert main(["evaluate", "recognition", *files, "--out", str(tmp_path / "table")]) == 2
    assert f"table.csv: is read as {tmp_path / '2.csv'}" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.txt", "2.csv", "table.csv"]


def test_the_command_notices_what_is_missing_everywhere(tmp_path, capsys):
    """A fold that no method has is not seen by comparing methods with each other."""
    path = ststnet_log(tmp_path / "STSTNet.txt")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[: lines.index("samm 028")]) + "\n")
    command = ["evaluate", "recognition", str(path), "--bootstrap", "0"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "438 clips of 67 subjects\nnot the whole of megc2019: samm: 89 negative" in shown
    assert main([*command, "--protocol", "megc2019"]) == 1
    rows = log.read_log(path)
    (tmp_path / "labels.csv").write_text(
        "dataset,subject,sample,label\n"
        + "".join(f"{p.dataset.upper()},{p.subject},{p.video},{p.label}\n" for p in rows)
        + "samm,007,unlabelled,\n"
    )
    assert main([*command, "--expected", str(tmp_path / "labels.csv")]) == 0
    (tmp_path / "labels.csv").write_text("dataset,subject,video\nsamm,001,x\n")
    assert main([*command, "--expected", str(tmp_path / "labels.csv")]) == 2
    capsys.readouterr()
    (tmp_path / "labels.csv").write_text("dataset,subject,video,subject\nsamm,001,x,002\n")
    assert main([*command, "--expected", str(tmp_path / "labels.csv")]) == 2
    assert "labels.csv: row 1: a column 'subject' twice" in capsys.readouterr().err


def test_the_index_tells_what_is_missing_when_a_protocol_says_what_counts(tmp_path):
    (tmp_path / "x.log").write_text("samm 006\na 0 0\nb 1 1\n")
    clips = [p.clip for p in log.read_log(tmp_path / "x.log")]
    head = "dataset,subject,video,expression,kind,emotion\nsamm,006,a,1,micro,fear\nsamm,006,b,1,micro,happiness\n"
    for kind, emotion, missing in (("micro", "fear", True), ("macro", "fear", False), ("micro", "others", False)):
        (tmp_path / "expressions.csv").write_text(f"{head}samm,028,lost,1,{kind},{emotion}\n")
        if not missing:
            completeness.check_expected(clips, tmp_path / "expressions.csv", "megc2019")
            continue
        with pytest.raises(UserError, match="1 of 3 clips missing, first samm/028/lost/1"):
            completeness.check_expected(clips, tmp_path / "expressions.csv", "megc2019")


NAMED = (("casme2", "sub01", "EP02_01f"), ("smic", "s01", "s01_ne_01"), ("samm", "006", "006_1_2"))


@pytest.mark.parametrize(
    "text",
    [
        "dataset,subject,video\ncasme2,sub01,EP02_01f\nsmic,s1,s1_ne_01\nsamm,6,006_1_2\n",
        "Dataset;Subject;Sample;Label\nCASME_II;sub1;EP02_01f;0\nSMIC-HS;s01;s1_ne_01;0\nSAMM;006;6_1_2;1\n",
        "casme2,sub01,EP02_01f,0\nsmic,s01,s01_ne_01,0\nsamm,6,006_1_2,1\n",  # as the challenge's list: no header
        "casme2,1,ep02_01F,0\nsmic,1,s01-ne-01,0\nsamm,6.0,006_1_2,1\n",
    ],
)
def test_the_list_of_all_clips_may_spell_them_in_any_usual_way(tmp_path, text):
    (tmp_path / "list.csv").write_text(text)
    completeness.check_expected([(*clip, "1") for clip in NAMED], tmp_path / "list.csv")
    with pytest.raises(UserError, match="1 of 3 clips missing"):
        completeness.check_expected([(*clip, "1") for clip in NAMED[:2]], tmp_path / "list.csv")
    more = [*NAMED, ("samm", "007", "007_1_1"), ("samm", "009", "009_1_1")]
    with pytest.raises(UserError, match="2 of 5 clips not expected, first samm/007/007_1_1/1"):
        completeness.check_expected([(*clip, "1") for clip in more], tmp_path / "list.csv")


def test_a_log_may_be_called_csv_and_predictions_may_be_called_txt(tmp_path, capsys):
    path = ststnet_log(tmp_path / "STSTNet.csv")
    assert main(["evaluate", "recognition", str(path), "--bootstrap", "0"]) == 0
    assert "| STSTNet | all | 442 | 1 | 0.7209 |" in capsys.readouterr().out
    (tmp_path / "1.txt").write_text(",".join(r.COLUMNS) + "\nm,0,d,s1,v,1,a,a\n")
    assert main(["evaluate", "recognition", str(tmp_path / "1.txt"), "--bootstrap", "0"]) == 0
    assert "| m | all | 1 |" in capsys.readouterr().out


def test_the_command_reads_folds_and_refuses_what_is_no_prediction(tmp_path, capsys):
    head = ",".join(r.COLUMNS) + ",p_a,p_b\n"
    (tmp_path / "1.csv").write_text(head + "m,0,d,s1,v,1,a,a,.9,.1\n")
    (tmp_path / "2.csv").write_text(head + "m,0,d,s2,v,1,b,a,.9,.1\n")
    files = [str(tmp_path / f"{i}.csv") for i in (1, 2)]
    assert main(["evaluate", "recognition", *files, "--bootstrap", "0"]) == 0
    assert "| m | all | 2 | 1 | 0.3333 |" in capsys.readouterr().out
    assert main(["evaluate", "recognition", *files, files[0]]) == 2
    assert "twice" in capsys.readouterr().err
    for name, text, message in (
        ("x.csv", head + "m,zero,d,s,v,1,a,a,1,0\n", "row 2, seed: got 'zero'"),
        ("x.csv", head, "no prediction"),
        ("x.csv", f"{','.join(r.COLUMNS)},label\nm,0,d,s,v,1,a,a,b\n", "header: a column 'label' twice"),
        ("x.csv", "a,b\n1,2\n", "a column 'method'"),
        ("x.json", "{1}", "line 1: got '{1}'"),
        ("x.txt", "", "no prediction"),
    ):
        (tmp_path / name).write_text(text)
        assert main(["evaluate", "recognition", str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err
