"""The stage `tables`: folds of every method to one table, and what it refuses to count."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microexp.commands import main as cli
from microexp.datasets.classes import NAMES
from microexp.errors import UserError
from microexp.metrics.recognition import Prediction
from microexp.metrics.spotting import Interval
from microexp.records.detections import COLUMNS as DETECTION_COLUMNS
from microexp.records.detections import FOLD_RECORD, Detection, write_detections
from microexp.records.exclusions import Exclusion, write_exclusions
from microexp.records.index import Expression, Video, write_expressions, write_videos
from microexp.records.predictions import write_predictions
from microexp.report.params import TablesStageParams
from microexp.report.spotting_table import (
    COLUMNS,
    as_intervals,
    chance,
    check_alike,
    displaced,
    published_rows,
    read_ran,
)
from microexp.report.tables import permuted_scores
from microexp.run import provenance, shard_files, storage
from tests.shards import recorded

SUBJECTS = ("s01", "s02", "s03")
VIDEOS = [
    Video("demo", s, f"{s}_1", "v.mp4", 600, 30.0, 32, 32, numbers)
    for s, numbers in zip(SUBJECTS, ("1-600", "201-800", "1-100,105-604"), strict=True)
]
"""The second starts at 201, the third lacks four numbers."""
RUNS = (("aemnet", 0, 6), ("aemnet", 1, 3), ("random", 0, 1))
"""(method, seed, how many expressions of a subject it finds)."""


class Run:
    """The results of an experiment under `root`, with made-up folds."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.expressions = [
            Expression(
                "demo",
                s,
                f"{s}_1",
                n,
                60 * n,
                60 * n + 5,
                60 * n + 11,
                "micro" if n % 2 else "macro",
                "happiness",
                "12",
            )
            for s in SUBJECTS
            for n in range(1, 7)
        ]
        write_videos(root / "videos.csv", VIDEOS)
        write_expressions(root / "expressions.csv", self.expressions, VIDEOS)

    def path(self, kind: str, method: str, subject: str, name: str) -> Path:
        return self.root / "results" / kind / "demo" / method / f"demo-{subject}" / name

    def detected(self, subjects: Iterable[str] = SUBJECTS, silent: Iterable[str] = ()) -> list[Path]:
        """Detections of every method in the fold of every subject; `silent` ones hold none."""
        found = []
        for method in ("aemnet", "random"):
            for subject in subjects:
                own = [e for e in self.expressions if e.subject == subject and subject not in silent]
                rows = [
                    Detection(method, seed, "demo", subject, e.video, e.onset + 1, e.offset, e.kind, 0.9)
                    for name, seed, keep in RUNS
                    if name == method
                    for e in own[:keep]
                ]
                found.append(self.path("spotting", method, subject, "detections.csv"))
                write_detections(found[-1], rows, VIDEOS)
        return found

    def selected(self, ran: Mapping[str, Iterable[int]]) -> list[Path]:
        """`selection.json` of every method in every fold, with the seeds that ran."""
        found = []
        for method, seeds in ran.items():
            for subject in SUBJECTS:
                record = {"method": method, "methods": {method: {str(s): {} for s in seeds}}}
                found.append(self.path("spotting", method, subject, "selection.json"))
                storage.write_json(found[-1], {**record, "oracle": f"{method}_oracle"})
        return found

    def predicted(
        self,
        expressions: Sequence[Expression],
        label: Callable[[Expression], str] = lambda e: "ab"[e.expression % 2],
        answer: Callable[[Expression], str] | None = None,
    ) -> list[Path]:
        """A fold of every subject; `answer` and `label` give the class of an expression."""
        found = []
        for subject in SUBJECTS:
            rows = [
                ("mdml", 0, "demo", subject, e.video, e.expression, label(e), (answer or label)(e))
                for e in expressions
                if e.subject == subject
            ]
            found.append(self.path("recognition", "mdml", subject, "predictions.csv"))
            write_predictions(found[-1], rows, ())
        return found

    def shard(self, subject: str, reason: str = "") -> Path:
        """A last shard of a subject; its video is excluded when there is a reason."""
        path = self.root / "results" / "features" / "i3d_rgb" / "demo" / f"{subject}.h5"
        with shard_files.create_shard(path) as file:
            shard_files.set_attributes(file.create_group(f"{subject}_1"), {"excluded": reason})
        return recorded(path, "i3d-rgb")

    def tables(self, kind: str, folds: Sequence[Path], *more: object, **inputs: Sequence[Path]) -> int:
        """Exit status of the stage."""
        given = {
            "folds": folds,
            "expressions": [self.root / "expressions.csv"],
            "videos": [self.root / "videos.csv"],
            **inputs,
        }
        command: list[object] = ["tables", "--kind", kind, "--experiment", "demo"]
        for name, paths in given.items():
            command += [f"--{name}", *paths]
        for form in ("csv", "md", "tex", "json"):
            command += [f"--out-{form}", self.root / f"t.{form}"]
        return cli.main([str(c) for c in (*command, "--set", "bootstrap=20", "--set", "permutations=10", *more)])

    def text(self, form: str = "md") -> str:
        return (self.root / f"t.{form}").read_text(encoding="utf-8")

    @property
    def record(self) -> Any:
        return json.loads(self.text("json"))

    def rows(self) -> dict[tuple[str, str], dict[str, str]]:
        with (self.root / "t.csv").open(newline="") as file:
            return {(r["method"], r["kind"]): r for r in csv.DictReader(file)}


@pytest.fixture
def demo(tmp_path: Path) -> Run:
    return Run(tmp_path)


Capture = pytest.CaptureFixture[str]


def one_line(capsys: Capture) -> str:
    """What was said, which must be one line."""
    error = capsys.readouterr().err
    assert error.startswith("microexp: error: ") and error.count("\n") == 1
    return error


def test_spotting_table_counts_pooled_and_averages_seeds(demo: Run) -> None:
    assert demo.tables("spotting", demo.detected(), shards=[demo.shard(s) for s in SUBJECTS]) == 0
    overall = demo.rows()["aemnet", "overall"]
    assert float(overall["f1"]) == pytest.approx((1.0 + 2 * 9 / (9 + 18)) / 2)
    assert (overall["true_positives"], overall["ground_truths"], overall["seeds"]) == ("13.5", "18", "2")
    assert float(overall["chance_f1"]) < float(overall["f1"])
    assert 0 < float(overall["chance_p"]) <= 1 / 5
    record = demo.record
    assert record["complete"] is True and record["exclusions"] == []
    assert record["per_subject"]["aemnet"]["demo/s02"]["micro"] == {"true_positives": 3, "predictions": 3, "truths": 3}
    assert "INCOMPLETE" not in demo.text()


def test_an_excluded_video_makes_the_table_incomplete_unless_allowed(demo: Run) -> None:
    folds, shards = demo.detected(silent=["s03"]), [demo.shard("s03", "no face found")]
    assert demo.tables("spotting", folds, shards=shards) == 0
    assert "INCOMPLETE: Spotting, demo" in demo.text()
    assert "demo/s03/s03_1: no face found" in demo.text("tex")
    assert demo.record["complete"] is False
    assert {r["ground_truths"] for (_, kind), r in demo.rows().items() if kind == "overall"} == {"18"}, (
        "what was excluded still counts as missed"
    )
    assert demo.tables("spotting", folds, "--set", "allow_exclusions=true", shards=shards) == 0
    assert "INCOMPLETE" not in demo.text()
    assert demo.record["complete"] is True and len(demo.record["exclusions"]) == 1


def test_what_the_index_excluded_makes_the_table_incomplete_and_many_are_counted(demo: Run) -> None:
    excluded = demo.root / "excluded.csv"
    write_exclusions(excluded, [Exclusion("demo", "s01", f"v{n:02d}", "is not on disk") for n in range(25)])
    assert demo.tables("spotting", demo.detected(), excluded=[excluded]) == 0
    text = demo.text()
    assert "INCOMPLETE: Spotting, demo" in text
    assert "demo/s01/v19: is not on disk; and 5 more" in text and "v20" not in text
    assert demo.record["complete"] is False and len(demo.record["exclusions"]) == 25


def test_recognition_table_has_chance_and_confusion(demo: Run) -> None:
    paths = demo.predicted(demo.expressions, answer=lambda e: "ab"[(e.expression % 2) * (e.expression != 5)])
    assert demo.tables("recognition", paths) == 0
    record = demo.record
    assert record["confusion"]["mdml"] == {"classes": ["a", "b"], "matrix": [[9.0, 0.0], [3.0, 6.0]]}
    row = record["table"]["rows"][0]
    assert row["uar"] == pytest.approx((1 + 2 / 3) / 2)
    assert row["chance_uar"] == pytest.approx(0.5, abs=0.15)


TASK = ("--set", "task=" + json.dumps({"datasets": ["demo"], "classes": {"good": ["happiness"], "bad": ["disgust"]}}))


UNITS = ("--set", "task=" + json.dumps({"datasets": ["demo"], "target": "action_units"}))


def coded(demo: Run, expressions: Sequence[Expression], p: float = 0.9) -> list[Path]:
    """Folds that say `p` of unit 12, whatever the clip."""
    found = []
    for subject in SUBJECTS:
        own = [e for e in expressions if e.subject == subject]
        rows = [
            (
                "mine",
                0,
                "demo",
                subject,
                e.video,
                e.expression,
                e.aus,
                "12",
                *(p if n == "AU12" else 0.1 for n in NAMES),
            )
            for e in own
        ]
        found.append(demo.path("recognition", "mine", subject, "predictions.csv"))
        write_predictions(found[-1], rows, NAMES)
    return found


def test_action_units_have_a_table_of_their_own(demo: Run, capsys: Capture) -> None:
    chosen = [replace(e, aus="L12" if e.expression % 4 == 1 else "4") for e in demo.expressions]
    write_expressions(demo.root / "expressions.csv", chosen, VIDEOS)
    assert demo.tables("recognition", coded(demo, micro(chosen)), *UNITS) == 0
    rows = {row["unit"]: row for row in demo.record["table"]["rows"]}
    assert set(rows) == {"mean", "AU4", "AU12"}
    assert rows["AU12"]["auc"] == 0.5 and (rows["AU12"]["shown"], rows["AU4"]["shown"]) == (6, 3)
    assert rows["AU12"]["unit_f1"] == pytest.approx(2 * 6 / (6 + 9))
    assert "confusion" not in demo.record
    assert demo.tables("recognition", coded(demo, micro(chosen)[1:]), *UNITS) == 2
    assert "demo/s01/s01_1/1: no prediction; expected 'L12', as the index says" in one_line(capsys)


def micro(expressions: Iterable[Expression]) -> list[Expression]:
    return [e for e in expressions if e.kind == "micro"]


def test_a_class_without_a_clip_leaves_with_a_note(demo: Run) -> None:
    paths = demo.predicted(micro(demo.expressions), label=lambda e: "good")
    assert demo.tables("recognition", paths, *TASK) == 0
    record = demo.record
    assert record["table"]["rows"][0]["uf1"] == 1
    assert record["confusion"]["mdml"] == {"classes": ["good", "bad"], "matrix": [[9.0, 0.0], [0.0, 0.0]]}
    assert "all: no clip of bad; excluded from UF1 and UAR there" in record["table"]["notes"]


def test_every_labelled_clip_must_be_predicted_unless_it_was_excluded(demo: Run, capsys: Capture) -> None:
    chosen = [e for e in micro(demo.expressions) if (e.subject, e.expression) != ("s02", 3)]
    paths = demo.predicted(chosen, label=lambda e: "good")
    assert demo.tables("recognition", paths, *TASK) == 2
    assert "demo/s02/s02_1/3: no prediction; expected 'good', as the index says" in one_line(capsys)
    shard = demo.root / "results" / "apexdiff" / "demo" / "s02.h5"
    with shard_files.create_shard(shard) as file:
        shard_files.set_attributes(file, {"excluded": json.dumps([["s02_1", "expression 3: no face"]])})
    assert demo.tables("recognition", paths, *TASK, shards=[recorded(shard, "apexdiff")]) == 0
    assert demo.record["complete"] is False


@pytest.mark.parametrize(
    ("kinds", "label", "words"),
    [
        (("micro", "macro"), "good", "demo/s01/s01_1/2: got 'good', expected none, as the index says"),
        (("micro",), "bad", "demo/s01/s01_1/1: got 'bad', expected 'good', as the index says"),
    ],
)
def test_predictions_of_an_older_index_are_refused(
    demo: Run, capsys: Capture, kinds: Sequence[str], label: str, words: str
) -> None:
    paths = demo.predicted([e for e in demo.expressions if e.kind in kinds], label=lambda e: label)
    assert demo.tables("recognition", paths, *TASK) == 2
    assert words in one_line(capsys)


def test_a_subject_of_the_index_without_a_fold_is_named(demo: Run, capsys: Capture) -> None:
    assert demo.tables("spotting", demo.detected(SUBJECTS[:2])) == 2
    error = one_line(capsys)
    assert "demo/s03 in the index, but no fold" in error and "demo-s03/detections.csv" in error
    assert not (demo.root / "t.csv").exists()


@pytest.mark.parametrize("method", ["aemnet", "random"])
def test_the_folds_of_one_method_do_not_vouch_for_those_of_another(demo: Run, capsys: Capture, method: str) -> None:
    gone = demo.path("spotting", method, "s02", "detections.csv")
    assert demo.tables("spotting", [p for p in demo.detected() if p != gone]) == 2
    error = one_line(capsys)
    assert "demo/s02 in the index, but no fold" in error and f"{method}/demo-s02/detections.csv" in error


def test_a_fold_that_is_given_twice_does_not_count_twice(demo: Run, capsys: Capture) -> None:
    folds = demo.detected()
    assert demo.tables("spotting", [*folds, folds[1]]) == 2
    assert "aemnet/demo-s02/detections.csv: given twice" in one_line(capsys)


def test_detections_that_were_copied_from_another_fold_are_refused(demo: Run, capsys: Capture) -> None:
    folds = demo.detected()
    folds[1].write_bytes(folds[0].read_bytes())
    assert demo.tables("spotting", folds) == 2
    error = one_line(capsys)
    assert "demo-s02/detections.csv" in error and "'s01' inside a file that was moved or swapped" in error


@pytest.mark.parametrize(
    ("kind", "folds", "words"),
    [
        ("spoting", True, "--kind: got 'spoting', expected spotting or recognition"),
        ("spotting", False, "--folds: no file; expected detections.csv or predictions.csv of every fold"),
    ],
)
def test_wrong_use_is_one_line(demo: Run, capsys: Capture, kind: str, folds: bool, words: str) -> None:
    assert demo.tables(kind, demo.detected() if folds else []) == 2
    assert words in one_line(capsys)


def test_a_detection_in_an_unknown_video_is_named(demo: Run, capsys: Capture) -> None:
    folds = demo.detected(silent=SUBJECTS)
    row = ("aemnet", 0, "demo", "s01", "s09_1", 1, 2, 0.0, 0.033, "micro", 0.5)
    storage.write_csv(folds[0], DETECTION_COLUMNS, [row])
    assert demo.tables("spotting", folds) == 2
    assert "row 2: demo/s01/s09_1: a video that the index does not list" in one_line(capsys)


@pytest.mark.parametrize("first", [0, 1, 700])
def test_displaced_detections_keep_length_and_stay_inside(first: int) -> None:
    rng = np.random.default_rng(0)
    items = [Interval("d/s", "v", first + onset, first + offset, "micro") for onset, offset in ((90, 99), (5, 9))]
    places = set()
    for _ in range(50):
        moved = displaced(items, {("d/s", "v"): (first, 100)}, rng)
        assert [m.offset - m.onset for m in moved] == [9, 4]
        assert all(m.onset >= first and m.offset < first + 100 for m in moved)
        places.add(moved[0].onset)
    assert len(places) > 20


def test_a_seed_or_method_that_found_nothing_counts_as_a_run() -> None:
    video = Video("d", "s", "v", "v.mp4", 100, 30.0, 32, 32)
    found = as_intervals(
        [
            Detection("aemnet", 1, "d", "s", "v", 1, 2, "micro", 0.5),
            Detection("aemnet", 0, "d", "s", "v", 1, 2, "micro", 0.5),
            Detection("random", 1, "d", "s", "v", 1, 2, "micro", 1.0),
        ],
        {"aemnet_permuted": [0, 1], "flow_magnitude": [0], "aemnet": [2], "random": [2, 0]},
        [video],
    )
    assert {m: [(s, len(i)) for s, i in runs.items()] for m, runs in found.items()} == {
        "aemnet": [(0, 1), (1, 1), (2, 0)], "random": [(0, 0), (1, 1), (2, 0)],
        "aemnet_permuted": [(0, 0), (1, 0)], "flow_magnitude": [(0, 0)],
    }  # fmt: skip
    assert found["random"][1] == [Interval("d/s", "v", 2, 3, "micro")], "in the release's numbers, which count from 1"


def test_rows_stand_in_the_order_of_the_methods_with_controls_after_them() -> None:
    names = ["random", "aemnet_oracle", "aemnet", "flow", "random_oracle", "aemnet_permuted"]
    found = as_intervals([], {n: [0] for n in names}, [], order=["aemnet", "flow", "random"])
    assert list(found)[:3] == ["aemnet", "flow", "random"]
    assert set(found) == set(names)


def silenced(demo: Run, methods: Iterable[str]) -> list[Path]:
    """Folds without any detection."""
    paths = [demo.path("spotting", m, s, "detections.csv") for m in methods for s in SUBJECTS]
    for path in paths:
        write_detections(path, [], VIDEOS)
    return paths


def test_a_model_that_found_nothing_keeps_its_row(demo: Run) -> None:
    folds = silenced(demo, ("aemnet", "flow_magnitude"))
    for s in SUBJECTS:
        folds.append(demo.path("spotting", "random", s, "detections.csv"))
        write_detections(folds[-1], [Detection("random", 0, "demo", s, f"{s}_1", 1, 2, "micro", 0.5)], VIDEOS)
    ran = demo.selected({"aemnet": [0, 1], "flow_magnitude": [0], "random": [0]})
    assert demo.tables("spotting", folds, selections=ran) == 0
    rows = {m: r for (m, kind), r in demo.rows().items() if kind == "overall"}
    silent = {m: (r["f1"], r["predictions"], r["seeds"]) for m, r in rows.items() if not m.startswith("random")}
    assert silent == {
        "aemnet": ("0.0", "0", "2"), "aemnet_oracle": ("0.0", "0", "2"),
        "flow_magnitude": ("0.0", "0", "1"), "flow_magnitude_oracle": ("0.0", "0", "1"),
    }  # fmt: skip
    assert rows["random"]["predictions"] == "3"
    assert demo.record["per_subject"]["aemnet"]["demo/s02"]["micro"]["predictions"] == 0


@pytest.mark.parametrize(
    ("wanted", "words"),
    [("[aemnet]", "method aemnet: nothing says that it ran"), ("[]", "no selection.json says which methods ran")],
)
def test_silent_folds_of_which_no_seed_is_known_make_no_table(
    demo: Run, capsys: Capture, wanted: str, words: str
) -> None:
    assert demo.tables("spotting", silenced(demo, ["aemnet"]), "--set", f"methods={wanted}") == 2
    assert words in one_line(capsys)
    assert not (demo.root / "t.csv").exists()


def test_a_recogniser_without_any_prediction_is_named(demo: Run, capsys: Capture) -> None:
    folds = demo.predicted(demo.expressions)
    assert demo.tables("recognition", folds, "--set", "methods=[mdml, majority]") == 2
    assert "method majority: nothing says that it ran" in one_line(capsys)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"methods": []}', '{"methods": {"aemnet": {}}, "method": "aemnet", "oracle": "aemnet_oracle"}']
)
def test_a_damaged_selection_is_named(demo: Run, capsys: Capture, text: str) -> None:
    ran = demo.selected({"aemnet": [0, 1], "random": [0]})
    ran[1].write_text(text)
    assert demo.tables("spotting", demo.detected(), selections=ran) == 2
    error = one_line(capsys)
    assert str(ran[1]) in error and "expected selection.json of the stage detect" in error


def test_selections_of_all_folds_are_one(demo: Run) -> None:
    ran = demo.selected({"aemnet": [0]}) + demo.selected({"random": [3, 1]})
    assert read_ran(ran) == {"aemnet": {0}, "aemnet_oracle": {0}, "random": {1, 3}, "random_oracle": {1, 3}}


@pytest.mark.parametrize("second", [{"aemnet": [0]}, {"aemnet": [0, 1, 2], "aemnet_permuted": [0]}])
def test_folds_of_one_method_that_ran_with_other_seeds_or_rows_are_no_table(
    demo: Run, capsys: Capture, second: dict[str, list[int]]
) -> None:
    ran = demo.selected({"aemnet": [0, 1, 2]})
    stale = ran[1]
    record = json.loads(stale.read_text())
    record["methods"] = {name: {str(seed): {} for seed in seeds} for name, seeds in second.items()}
    stale.write_text(json.dumps(record))
    assert demo.tables("spotting", demo.detected(), selections=ran) == 2
    error = one_line(capsys)
    assert str(stale) in error and f"as in {ran[0]}" in error and "aemnet with seeds 0 1 2" in error


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"options": {"epochs": 15, "seeds": 1}, "inputs_sha256": "a"}, "trained with epochs: got 15, expected 30"),
        ({"options": {"epochs": 30, "seeds": 1}, "inputs_sha256": "b"}, "trained on other files"),
    ],
)
def test_folds_that_were_trained_otherwise_than_the_first_are_no_table(
    demo: Run, capsys: Capture, second: dict[str, object], expected: str
) -> None:
    """Left by a run that was stopped while it trained again with other options."""
    ran = demo.selected({"aemnet": [0]})
    for path in ran:
        record = {"options": {"epochs": 30, "seeds": 1}, "inputs_sha256": "a"}
        provenance.write_provenance(path, {"stage": "detect", FOLD_RECORD: record})
    check_alike(ran)
    provenance.write_provenance(ran[1], {"stage": "detect", FOLD_RECORD: second})
    with pytest.raises(UserError) as error:
        check_alike(ran)
    assert expected in str(error.value) and str(ran[0]) in str(error.value) and str(ran[1]) in str(error.value)
    assert demo.tables("spotting", demo.detected(), selections=ran) == 2
    assert expected in one_line(capsys)


def test_chance_of_a_perfect_detector_is_far_below_it() -> None:
    truths = [Interval("d/s", "v", 50 * i, 50 * i + 10, "micro") for i in range(1, 20)]
    options = TablesStageParams(permutations=100, matching="one_to_one")
    found = chance({0: truths}, truths, {("d/s", "v"): (1, 1000)}, options=options)
    assert found["micro"][0] < 0.6
    assert found["micro"][1] < 0.4


def test_chance_does_not_depend_on_where_a_release_starts_to_count() -> None:
    truths = [Interval("d/s", "v", 50 * i, 50 * i + 10, "micro") for i in range(1, 20)]
    later = [replace(t, onset=t.onset + 700, offset=t.offset + 700) for t in truths]
    options = TablesStageParams(permutations=20)
    found = [chance({0: t}, t, {("d/s", "v"): (n, 1000)}, options=options) for t, n in ((truths, 1), (later, 701))]
    assert found[0] == found[1]


def test_published_rows_only_for_known_releases() -> None:
    assert published_rows(["demo", "folder"]) == []
    rows = published_rows(["cas_me2"])
    assert {"MDMD (published)", "LGSNet (published, chosen on test)"} <= {r["method"] for r in rows}
    assert all(set(r) <= set(COLUMNS) for r in rows)


def test_shuffled_labels_score_near_chance() -> None:
    rows = [Prediction("m", 0, "d", "s", "v", str(i), "ab"[i % 2], "ab"[i % 2]) for i in range(200)]
    uf1, uar = permuted_scores(rows, ["a", "b"], 100, seed=0)
    assert abs(uf1 - 0.5) < 0.05 and abs(uar - 0.5) < 0.05
    assert np.isnan(permuted_scores(rows, ["a", "b"], 0, seed=0)[0])
