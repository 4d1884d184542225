import csv
import json

import numpy as np
import pytest

from microexp.commands import main as cli
from microexp.methods.spotting.detect import COLUMNS as DETECTION_COLUMNS
from microexp.methods.spotting.detect import Detection
from microexp.metrics.recognition import Prediction
from microexp.metrics.spotting import Interval
from microexp.records.exclusions import Exclusion, write_exclusions
from microexp.records.index import Expression, Video, write_expressions, write_videos
from microexp.report.spotting_table import COLUMNS, as_intervals, chance, displaced, published_rows
from microexp.report.table_params import TablesStageParams
from microexp.report.tables import permuted_scores
from microexp.run import storage
from tests.shards import recorded

SUBJECTS = ("s01", "s02", "s03")


@pytest.fixture
def index(tmp_path):
    videos = [Video("demo", s, f"{s}_1", "v.mp4", 600, 30.0, 32, 32) for s in SUBJECTS]
    expressions = [
        Expression(
            "demo", s, f"{s}_1", n, 60 * n, 60 * n + 5, 60 * n + 11, "micro" if n % 2 else "macro", "happiness", "12"
        )
        for s in SUBJECTS
        for n in range(1, 7)
    ]
    write_videos(tmp_path / "videos.csv", videos)
    write_expressions(tmp_path / "expressions.csv", expressions, videos)
    return tmp_path, expressions


def shard(path, reason=""):
    with storage.create_shard(path) as file:
        storage.set_attributes(file.create_group(f"{path.stem}_1"), {"excluded": reason})
    recorded(path, "i3d")


def make_detections(folder, expressions, subject):
    own = [e for e in expressions if e.subject == subject]
    rows = []
    for method, seed, keep in (("aemnet", 0, 6), ("aemnet", 1, 3), ("random", 0, 1)):
        rows += [(method, seed, "demo", subject, e.video, e.onset + 1, e.offset, e.kind, 0.9) for e in own[:keep]]
    path = folder / f"demo-{subject}" / "detections.csv"
    path.parent.mkdir(exist_ok=True)
    storage.write_csv(path, DETECTION_COLUMNS, rows)
    return path


def run_tables(folder, kind, folds, shards, *more):
    for path in shards:
        path.parent.mkdir(exist_ok=True)
    command = ["tables", "--kind", kind, "--experiment", "demo", "--folds", *folds]
    command += ["--expressions", folder / "expressions.csv", "--videos", folder / "videos.csv", "--shards", *shards]
    for form in ("csv", "md", "tex", "json"):
        command += [f"--out-{form}", folder / f"t.{form}"]
    return cli.main([str(c) for c in (*command, "--set", "bootstrap=20", "--set", "permutations=10", *more)])


def test_spotting_table_counts_pooled_and_averages_seeds(index):
    folder, expressions = index
    folds = [make_detections(folder, expressions, s) for s in SUBJECTS]
    shards = [folder / "demo" / f"{s}.h5" for s in SUBJECTS]
    (folder / "demo").mkdir()
    for path in shards:
        shard(path)
    assert run_tables(folder, "spotting", folds, shards) == 0
    with (folder / "t.csv").open(newline="") as file:
        rows = {(r["method"], r["kind"]): r for r in csv.DictReader(file)}
    overall = rows["aemnet", "overall"]
    assert float(overall["f1"]) == pytest.approx((1.0 + 2 * 9 / (9 + 18)) / 2)
    assert (overall["true_positives"], overall["ground_truths"], overall["seeds"]) == ("13.5", "18", "2")
    assert float(overall["chance_f1"]) < float(overall["f1"])
    assert 0 < float(overall["chance_p"]) <= 1 / 5
    record = json.loads((folder / "t.json").read_text())
    assert record["complete"] is True and record["exclusions"] == []
    assert record["per_subject"]["aemnet"]["demo/s02"]["micro"] == {"true_positives": 3, "predictions": 3, "truths": 3}
    assert "INCOMPLETE" not in (folder / "t.md").read_text()


def test_a_left_out_video_makes_the_table_incomplete_unless_allowed(index):
    folder, expressions = index
    folds = [make_detections(folder, expressions if s != "s03" else [], s) for s in SUBJECTS]
    path = folder / "demo" / "s03.h5"
    path.parent.mkdir()
    shard(path, "no face found")
    assert run_tables(folder, "spotting", folds, [path]) == 0
    assert "INCOMPLETE: Spotting, demo" in (folder / "t.md").read_text()
    assert "demo/s03/s03_1: no face found" in (folder / "t.tex").read_text()
    assert json.loads((folder / "t.json").read_text())["complete"] is False
    with (folder / "t.csv").open(newline="") as file:
        assert {r["ground_truths"] for r in csv.DictReader(file) if r["kind"] == "overall"} == {"18"}, (
            "what was left out still counts as missed"
        )
    assert run_tables(folder, "spotting", folds, [path], "--set", "allow_exclusions=true") == 0
    assert "INCOMPLETE" not in (folder / "t.md").read_text()


def test_what_the_index_lost_makes_the_table_incomplete_and_many_are_counted(index):
    folder, expressions = index
    folds = [make_detections(folder, expressions, s) for s in SUBJECTS]
    lost = folder / "left_out.csv"
    write_exclusions(lost, [Exclusion("demo", "s01", f"v{n:02d}", "is not on disk") for n in range(25)])
    assert run_tables(folder, "spotting", folds, [], "--left_out", lost) == 0
    text = (folder / "t.md").read_text()
    assert "INCOMPLETE: Spotting, demo" in text
    assert "demo/s01/v19: is not on disk; and 5 more" in text and "v20" not in text
    record = json.loads((folder / "t.json").read_text())
    assert record["complete"] is False and len(record["exclusions"]) == 25


def make_predictions(folder, expressions, label=lambda e: "ab"[e.expression % 2], answer=None):
    """A fold of every subject; `answer` and `label` give the class of an expression."""
    columns = ("method", "seed", "dataset", "subject", "video", "expression", "label", "prediction")
    for subject in SUBJECTS:
        rows = [
            ("mdml", 0, "demo", subject, e.video, e.expression, label(e), (answer or label)(e))
            for e in expressions
            if e.subject == subject
        ]
        storage.write_csv(folder / f"{subject}.csv", columns, rows)
    return [folder / f"{subject}.csv" for subject in SUBJECTS]


def test_recognition_table_has_chance_and_confusion(index):
    folder, expressions = index
    answer = lambda e: "ab"[(e.expression % 2) * (e.expression != 5)]  # noqa: E731
    paths = make_predictions(folder, expressions, answer=answer)
    assert run_tables(folder, "recognition", paths, []) == 0
    record = json.loads((folder / "t.json").read_text())
    assert record["confusion"]["mdml"] == {"classes": ["a", "b"], "matrix": [[9.0, 0.0], [3.0, 6.0]]}
    row = record["table"]["rows"][0]
    assert row["uar"] == pytest.approx((1 + 2 / 3) / 2)
    assert row["chance_uar"] == pytest.approx(0.5, abs=0.15)


TASK = json.dumps({"datasets": ["demo"], "classes": {"good": ["happiness"], "bad": ["disgust"]}})


def micro(expressions):
    return [e for e in expressions if e.kind == "micro"]


def test_a_class_without_a_clip_leaves_with_a_note(index):
    folder, expressions = index
    paths = make_predictions(folder, micro(expressions), label=lambda e: "good")
    assert run_tables(folder, "recognition", paths, [], "--set", f"task={TASK}") == 0
    record = json.loads((folder / "t.json").read_text())
    assert record["table"]["rows"][0]["uf1"] == 1
    assert record["confusion"]["mdml"] == {"classes": ["good", "bad"], "matrix": [[9.0, 0.0], [0.0, 0.0]]}
    assert "all: no clip of bad; left out of UF1 and UAR there" in record["table"]["notes"]


def test_every_labelled_clip_must_be_predicted_unless_it_was_left_out(index, capsys):
    folder, expressions = index
    chosen = [e for e in micro(expressions) if (e.subject, e.expression) != ("s02", 3)]
    paths = make_predictions(folder, chosen, label=lambda e: "good")
    assert run_tables(folder, "recognition", paths, [], "--set", f"task={TASK}") == 2
    assert "demo/s02/s02_1/3: no prediction; expected 'good', as the index says" in capsys.readouterr().err
    (folder / "demo").mkdir()
    with storage.create_shard(folder / "demo" / "s02.h5") as file:
        storage.set_attributes(file, {"excluded": json.dumps([["s02_1", "expression 3: no face"]])})
    shards = [recorded(folder / "demo" / "s02.h5", "apexdiff")]
    assert run_tables(folder, "recognition", paths, shards, "--set", f"task={TASK}") == 0


@pytest.mark.parametrize(
    ("kinds", "label", "words"),
    [
        (("micro", "macro"), "good", "demo/s01/s01_1/2: got 'good', expected none, as the index says"),
        (("micro",), "bad", "demo/s01/s01_1/1: got 'bad', expected 'good', as the index says"),
    ],
)
def test_predictions_of_an_older_index_are_refused(index, capsys, kinds, label, words):
    folder, expressions = index
    paths = make_predictions(folder, [e for e in expressions if e.kind in kinds], label=lambda e: label)
    assert run_tables(folder, "recognition", paths, [], "--set", f"task={TASK}") == 2
    assert words in capsys.readouterr().err


def test_a_subject_of_the_index_without_a_fold_is_named(index, capsys):
    folder, expressions = index
    folds = [make_detections(folder, expressions, s) for s in SUBJECTS[:2]]
    assert run_tables(folder, "spotting", folds, []) == 2
    error = capsys.readouterr().err
    assert "demo/s03 in the index, but no fold" in error and "demo-s03/detections.csv" in error
    assert not (folder / "t.csv").exists()


@pytest.mark.parametrize(
    ("kind", "folds", "words"),
    [("spoting", ["x"], "spotting or recognition"), ("spotting", [], "every fold")],
)
def test_wrong_use_is_one_line(index, capsys, kind, folds, words):
    folder, expressions = index
    paths = [make_detections(folder, expressions, "s01") for _ in folds]
    assert run_tables(folder, kind, paths, []) == 2
    assert words in capsys.readouterr().err


def test_a_detection_in_an_unknown_video_is_named(index, capsys):
    folder, _ = index
    folds = [make_detections(folder, [], s) for s in SUBJECTS]
    storage.write_csv(folds[0], DETECTION_COLUMNS, [("aemnet", 0, "demo", "s01", "s09_1", 1, 2, "micro", 0.5)])
    assert run_tables(folder, "spotting", folds, []) == 2
    assert "demo/s01/s09_1" in capsys.readouterr().err


def test_displaced_detections_keep_length_and_stay_inside():
    rng = np.random.default_rng(0)
    items = [Interval("d/s", "v", 90, 99, "micro"), Interval("d/s", "v", 5, 9, "micro")]
    for _ in range(50):
        moved = displaced(items, {("d/s", "v"): 100}, rng)
        assert [m.offset - m.onset for m in moved] == [9, 4]
        assert all(m.onset >= 0 and m.offset < 100 for m in moved)


def test_a_seed_or_method_that_found_nothing_counts_as_a_run():
    found = as_intervals(
        [
            Detection("aemnet", 0, "d", "s", "v", 1, 2, "micro", 0.5),
            Detection("random", 1, "d", "s", "v", 1, 2, "micro", 1.0),
        ],
        {"aemnet_permuted": [0, 1], "flow_magnitude": [0], "aemnet": [2]},
    )
    assert {m: {s: len(i) for s, i in runs.items()} for m, runs in found.items()} == {
        "aemnet": {0: 1, 1: 0, 2: 0}, "random": {0: 0, 1: 1, 2: 0}, "aemnet_permuted": {0: 0, 1: 0, 2: 0},
        "flow_magnitude": {0: 0},
    }  # fmt: skip
    assert as_intervals([]) == {"aemnet": {0: []}}


def test_a_model_that_found_nothing_keeps_its_row(index):
    folder, _ = index
    folds = [folder / f"demo-{s}" / "detections.csv" for s in SUBJECTS]
    for path, s in zip(folds, SUBJECTS, strict=True):
        storage.write_csv(path, DETECTION_COLUMNS, [("random", 0, "demo", s, f"{s}_1", 1, 2, "micro", 0.5)])
    storage.write_json(folder / "s.json", {"methods": {"aemnet": {"0": {}, "1": {}}, "flow_magnitude": {"0": {}}}})
    assert run_tables(folder, "spotting", folds, [], "--selections", str(folder / "s.json")) == 0
    with (folder / "t.csv").open(newline="") as file:
        rows = {r["method"]: r for r in csv.DictReader(file) if r["kind"] == "overall"}
    assert {m: (r["f1"], r["predictions"], r["seeds"]) for m, r in rows.items() if m != "random"} == {
        "aemnet": ("0.0", "0", "2"), "flow_magnitude": ("0.0", "0", "1"),
    }  # fmt: skip
    assert json.loads((folder / "t.json").read_text())["per_subject"]["aemnet"]["demo/s02"]["micro"]["predictions"] == 0


def test_a_damaged_selection_is_named(index, capsys):
    folder, expressions = index
    (folder / "s.json").write_text("{")
    folds = [make_detections(folder, expressions, s) for s in SUBJECTS]
    assert run_tables(folder, "spotting", folds, [], "--selections", str(folder / "s.json")) == 2
    assert "s.json" in capsys.readouterr().err


def test_chance_of_a_perfect_detector_is_far_below_it():
    truths = [Interval("d/s", "v", 50 * i, 50 * i + 10, "micro") for i in range(1, 20)]
    options = TablesStageParams(permutations=100, matching="one_to_one")
    found = chance({0: truths}, truths, {("d/s", "v"): 1000}, options)
    assert found["micro"][0] < 0.6
    assert found["micro"][1] < 0.4


def test_published_rows_only_for_known_releases():
    assert published_rows(["demo", "folder"]) == []
    rows = published_rows(["cas_me2"])
    assert {"MDMD (published)", "LGSNet (published, chosen on test)"} <= {r["method"] for r in rows}
    assert all(set(r) <= set(COLUMNS) for r in rows)


def test_shuffled_labels_score_near_chance():
    rows = [Prediction("m", 0, "d", "s", "v", str(i), "ab"[i % 2], "ab"[i % 2]) for i in range(200)]
    uf1, uar = permuted_scores(rows, ["a", "b"], 100, 0)
    assert abs(uf1 - 0.5) < 0.05 and abs(uar - 0.5) < 0.05
    assert np.isnan(permuted_scores(rows, ["a", "b"], 0, 0)[0])
