"""Spot, then recognise: every detection of a fold with an apex and classes of a model that has not seen its subject."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from microexp.apexdiff.params import ApexdiffParams
from microexp.config import parse
from microexp.errors import UserError
from microexp.flow.params import Tvl1Params
from microexp.methods.model import read_trained
from microexp.metrics.spotting import Interval
from microexp.pipeline import STAGES
from microexp.plan import Plan
from microexp.records.detections import Detection, write_detections
from microexp.records.events import Event, read_events, write_events
from microexp.records.index import Video, write_videos
from microexp.records.tables import Table
from microexp.report.params import TablesStageParams
from microexp.report.tables import named_classes, read_spotted, with_strs
from microexp.run import bundle
from microexp.run.runner import run_stage
from microexp.run.stage import Job
from microexp.stage_options import stage_options
from tests.methods.applied import CLASSES
from tests.methods.recognition import synthetic
from tests.shards import write_crops

PEOPLE = ("a", "b", "c")
VIDEOS = [Video("demo", s, f"{s}_1", "-", 300, 30.0, 64, 64, "201-500") for s in PEOPLE]
MAPS = ApexdiffParams(size=14, flow=Tvl1Params(backend="opencv", preset="opencv"))


@pytest.fixture(scope="module")
def recognisers(tmp_path_factory):
    """What each fold of a recognition method trained."""
    folder = tmp_path_factory.mktemp("recognition")
    shards = synthetic.write_shards(synthetic.clips_of({"demo": list(PEOPLE)}), folder / "apexdiff")
    return {who: train(shards, folder / f"demo-{who}", f"demo-{who}") for who in PEOPLE}


def train(shards, folder, fold, **changes):
    stage = STAGES["recognition-fold"]
    params = stage.params(
        **{"experiment": "rec", "name": "mine", "method": "logistic_regression", "method_version": 1,
           "datasets": ["demo"], "classes": CLASSES, "seeds": 1, **changes},
    )  # fmt: skip
    outputs = {n: folder / f"{n}.{'csv' if n != 'trained' else 'safetensors'}" for n in stage.outputs}
    run_stage(stage, Job({"apexdiff": shards}, outputs, params, {"fold": fold}, device="cpu"))
    return outputs["trained"]


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """A texture that moves up and down, of everybody."""
    rng = np.random.default_rng(0)
    base = np.kron(rng.integers(40, 220, (9, 9)), np.ones((8, 8)))[:64, :64]
    frames = np.stack([np.roll(base, round(3 * np.sin(i / 20)), 0) for i in range(300)])
    images = np.repeat(frames[..., None], 3, 3).astype(np.uint8)
    folder = tmp_path_factory.mktemp("crops")
    return {who: write_crops(folder / f"crops/demo/{who}.h5", {f"{who}_1": images}) for who in PEOPLE}


def detection(who, onset, offset, kind="micro", method="row", seed=0, score=0.5):
    return Detection(method, seed, "demo", who, f"{who}_1", onset, offset, kind, score)


def run_events(folder, found, recognisers, crops, fold):
    write_videos(folder / "videos.csv", VIDEOS)
    write_detections(folder / fold / "detections.csv", found, VIDEOS)
    inputs = {
        "detections": [folder / fold / "detections.csv"], "videos": [folder / "videos.csv"], "motion": [],
        "crops": crops, "recognisers": recognisers,
    }  # fmt: skip
    out = folder / "spotting" / "spot" / "row" / fold / "events.csv"
    stage = STAGES["events"]
    params = stage.params(experiment="spot", name="row", apexdiff=MAPS)
    run_stage(stage, Job(inputs, {"events": out}, params, {"fold": fold}, device="cpu"))
    with out.open(newline="") as file:
        return out, list(csv.DictReader(file))


@pytest.mark.long
def test_every_detection_gets_an_apex_and_classes_of_the_fold_that_holds_its_subject_out(recognisers, crops, tmp_path):
    found = [detection("a", 100, 112), detection("a", 20, 60, "macro"), detection("a", 30, 40, seed=1),
             detection("a", 30, 40, method="row_oracle")]  # fmt: skip
    path, rows = run_events(tmp_path, found, list(recognisers.values()), [crops["a"]], "demo-a")
    assert [(r["kind"], r["onset"], r["offset"], r["event"]) for r in rows] == [
        ("macro", "221", "261", "1"), ("micro", "301", "313", "2"),
    ]  # fmt: skip
    for row in rows:
        assert int(row["onset"]) < int(row["apex"]) <= int(row["offset"])
        p = [float(row[f"p_{c}"]) for c in CLASSES]
        assert sum(p) == pytest.approx(1, abs=1e-5) and row["emotion"] == list(CLASSES)[int(np.argmax(p))]
        assert (row["spotting_model"], row["recognition_model"]) == ("spot/row", "rec/mine")
    _, alone = run_events(tmp_path / "alone", found, [recognisers["a"]], [crops["a"]], "demo-a")
    assert alone == rows  # it was that fold's model and no other
    events = read_events(path, VIDEOS)
    assert [(e.onset, e.offset) for e in events] == [(20, 60), (100, 112)] and events[0].emotion == rows[0]["emotion"]


@pytest.mark.long
def test_a_fold_of_a_whole_data_set_asks_each_subject_its_own(recognisers, crops, tmp_path):
    found = [detection(who, 100, 112) for who in PEOPLE]
    _, rows = run_events(tmp_path, found, list(recognisers.values()), list(crops.values()), "demo-all")
    for who, row in zip(PEOPLE, rows, strict=True):
        _, (own,) = run_events(
            tmp_path / who, [detection(who, 100, 112)], [recognisers[who]], [crops[who]], f"demo-{who}"
        )
        assert own == row


def test_without_the_fold_of_a_subject_it_is_refused(recognisers, crops, tmp_path):
    with pytest.raises(UserError, match="no fold that holds out demo/a"):
        run_events(tmp_path, [detection("a", 1, 9)], [recognisers["b"]], [crops["a"]], "demo-a")
    with pytest.raises(UserError, match="no crops of demo/a"):
        run_events(tmp_path, [detection("a", 1, 9)], [recognisers["a"]], [crops["b"]], "demo-a")


@pytest.mark.long
def test_a_fold_without_a_clip_is_trained_where_it_is_applied(tmp_path, crops):
    clips = synthetic.clips_of({"demo": ["b", "c"]})
    shards = synthetic.write_shards(clips, tmp_path / "apexdiff")
    none = train(shards, tmp_path / "demo-a", "demo-a")
    assert read_trained(none) is None
    _, (row,) = run_events(tmp_path / "x", [detection("a", 100, 112)], [none], [crops["a"]], "demo-a")
    assert row["apex"] and not row["emotion"]
    assert read_trained(train(shards, tmp_path / "again" / "demo-a", "demo-a", applied=True)) is not None


def test_what_no_recognition_fold_trained_is_refused(tmp_path):
    path = tmp_path / "trained.safetensors"
    bundle.write(path, bundle.Bundle({"stage": "spotting-fold"}, {"method.0": b"x"}))
    with pytest.raises(UserError, match=r"made by the stage spotting-fold.*expected what the stage recognition-fold"):
        read_trained(path)


# --- plan and options -------------------------------------------------------------------------------------------------

SPOT = {"datasets": ["demo"], "methods": {"flow_magnitude": {}}, "recognise_with": "rec/majority"}
CONFIG = {
    "datasets": {"demo": {}},
    "spotting": {"spot": SPOT, "plain": {"datasets": ["demo"], "methods": {"flow_magnitude": {}}}},
    "recognition": {
        "rec": {"datasets": ["demo"], "classes": {"a": ["happiness"], "b": ["disgust"]},
                "methods": {"majority": {}, "logistic_regression": {}}},
    },
}  # fmt: skip


def test_events_are_planned_where_they_are_asked_for():
    config = parse(CONFIG, "c.yaml")
    plan = Plan(config, {"demo": ["s01", "s02"]})
    assert [u["experiment"] for u in plan.units("events")] == ["spot", "spot"]
    assert plan.recognisers("spot", "demo-s01") == ["results/recognition/rec/majority/demo-s01/trained.safetensors"]
    assert plan.recognisers("plain", "demo-s01") == [] == plan.events("spotting", "plain")
    assert plan.crops_of_fold("demo-s02") == ["results/crops/demo/s02.h5"]
    assert plan.motion_of_fold("demo-s02") == ["results/features/motion/demo/s02.h5"]
    assert plan.events_of("demo", "s01") == ["results/spotting/spot/flow_magnitude/demo-s01/events.csv"]
    assert len(plan.events("spotting", "spot")) == 2 and plan.events("recognition", "rec") == []
    applied = {
        m: stage_options(config, "recognition-fold", "rec", method=m)["applied"]
        for m in ("majority", "logistic_regression")
    }
    assert applied == {"majority": True, "logistic_regression": False}
    assert stage_options(config, "tables-spotting", "spot")["task"]["classes"] == {"a": ["happiness"], "b": ["disgust"]}
    assert "task" not in stage_options(config, "tables-spotting", "plain")
    TablesStageParams.model_validate(stage_options(config, "tables-spotting", "spot"))


def test_a_whole_data_set_is_recognised_by_the_folds_of_its_subjects_or_by_its_own():
    datasets = {"demo": {}, "mine": {"adapter": "folder", "root": "/m"}}
    spot = {**SPOT, "train_on": ["mine"]}
    plan = Plan(
        parse({**CONFIG, "datasets": datasets, "spotting": {"spot": spot}}, "c"), {"demo": ["s1", "s2"], "mine": ["x"]}
    )
    assert len(plan.recognisers("spot", "demo-all")) == 2 == len(plan.crops_of_fold("demo-all"))
    whole = {"rec": {**CONFIG["recognition"]["rec"], "leave": "dataset"}}
    plan = Plan(parse({**CONFIG, "recognition": whole}, "c"), {"demo": ["s1", "s2"]})
    assert plan.recognisers("spot", "demo-s1") == ["results/recognition/rec/majority/demo-all/trained.safetensors"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recognise_with": "rec"}, "recognise_with"),
        ({"recognise_with": "rec/mdml"}, "one of rec/majority, rec/logistic_regression"),
        ({"datasets": ["mine"]}, "no fold of rec/majority holds out mine"),
    ],
)
def test_a_recogniser_must_be_there_and_hold_out_who_is_spotted(changes, message):
    datasets = {"demo": {}, "mine": {"adapter": "folder", "root": "/m"}}
    with pytest.raises(UserError, match=message):
        parse({**CONFIG, "datasets": datasets, "spotting": {"spot": {**SPOT, **changes}}}, "c.yaml")


# --- the score --------------------------------------------------------------------------------------------------------


def test_the_score_in_the_table_is_that_of_the_reference(tmp_path):
    """Two truths of three are hit, one with the right class: counted by hand."""
    truths = [
        Interval("demo/a", "a_1", 211, 220, "micro", "happiness"),
        Interval("demo/a", "a_1", 301, 310, "micro", "disgust"),
        Interval("demo/b", "b_1", 211, 220, "macro", "happiness"),
        Interval("demo/b", "b_1", 301, 310, "macro", "contempt"),
    ]
    events = [
        Event(("demo", "a", "a_1"), 10, 19, "micro", 0.9, "spot/row", 12, {"positive": 0.8, "negative": 0.2}, "r"),
        Event(("demo", "a", "a_1"), 100, 109, "micro", 0.9, "spot/row", 102, {"positive": 0.6, "negative": 0.4}, "r"),
        Event(("demo", "b", "b_1"), 250, 260, "macro", 0.9, "spot/row", 255, {"positive": 0.1, "negative": 0.9}, "r"),
    ]
    write_events(tmp_path / "events.csv", events, VIDEOS, classes=["positive", "negative"])
    task = {"datasets": ["demo"], "classes": CLASSES}
    classed = named_classes(truths, TablesStageParams.model_validate({"task": task}))
    assert [t.emotion for t in classed] == ["positive", "negative", "positive", "others"]
    table = Table("t", ["method", "kind"], [{"method": m, "kind": k} for m in ("row", "row_oracle", "none")
                                            for k in ("micro", "overall")], [])  # fmt: skip
    found = with_strs(table, read_spotted([tmp_path / "events.csv"], VIDEOS), classed, methods=["row", "none"])
    rows = {(r["method"], r["kind"]): r for r in found.rows}
    # pairs: (positive, positive), (negative, positive): precision (1/2 + 0 + 0) / 3, recall (1 + 0 + 0) / 3
    analysis = 2 * (1 / 6) * (1 / 3) / (1 / 6 + 1 / 3)
    assert rows["row", "overall"]["f1_analysis"] == pytest.approx(analysis)
    assert rows["row", "overall"]["strs"] == pytest.approx(analysis * 2 * 2 / (3 + 4))
    assert rows["none", "overall"]["strs"] == 0 and "strs" not in rows["row", "micro"]
    assert "strs" not in rows["row_oracle", "overall"] and found.columns[-2:] == ["f1_analysis", "strs"]


def test_flags_stand_in_the_file_and_come_back(tmp_path):
    event = Event(("demo", "a", "a_1"), 10, 19, "micro", 0.9, "spot/row", flags=("blink", "cut"))
    write_events(tmp_path / "e.csv", [event], VIDEOS, classes=[])
    assert "blink+cut" in (tmp_path / "e.csv").read_text()
    assert read_events(tmp_path / "e.csv", VIDEOS) == [event]
    assert read_events(tmp_path / "e.csv", VIDEOS[1:], others=True) == []
    with pytest.raises(UserError, match="a video of the index"):
        read_events(tmp_path / "e.csv", VIDEOS[1:])
