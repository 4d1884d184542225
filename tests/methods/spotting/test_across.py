"""Trained on some data sets, tested on others: nobody and nothing of the tested ones reaches training or thresholds."""

from __future__ import annotations

import json

import pytest

from microexp.config import parse
from microexp.errors import UserError
from microexp.methods.people import Sides
from microexp.plan import Plan
from microexp.records.detections import read_detections
from microexp.records.index import read_videos
from microexp.records.proposals import CALIBRATION, TEST, read_proposals
from microexp.report import tables
from microexp.report.params import TablesStageParams
from microexp.run.stage import Job
from microexp.stage_options import stage_options
from tests.methods.spotting.made_up import create, found_in, garble, run_fold, write_data, write_motion

SLOW = "tests.methods.spotting.methods:Slow"
ACROSS = {"method": SLOW, "train_on": ["one"], "permuted_control": True}
HONEST = ("trained.safetensors", "training.csv", "selection.json")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Five people of the data set `one`, three of `two`; names are shared."""
    sizes = {"one": 5, "two": 3}
    return {
        name: write_data(
            tmp_path_factory.mktemp(name), subjects=n, n_frames=300, channels=8, dataset=name, seed=len(name) + n
        )
        for name, n in sizes.items()
    }


@pytest.fixture(scope="module")
def across(sets, tmp_path_factory):
    return run_fold(list(sets.values()), tmp_path_factory.mktemp("across"), "two-all", **ACROSS)


@pytest.mark.long
def test_everybody_of_the_tested_data_set_is_tested_and_nobody_else(sets, across):
    proposals = read_proposals(across / "proposals.h5")
    seen = {role: {p.key[:2] for p in proposals if p.role == role} for role in (CALIBRATION, TEST)}
    assert seen[TEST] == {("two", f"s{s:02d}") for s in range(3)}
    assert seen[CALIBRATION] == {("one", f"s{s:02d}") for s in range(5)}
    chosen = json.loads((across / "selection.json").read_text())["methods"]["made_up"]["0"]
    assert chosen["chosen_on"] == [f"one/s{s:02d}" for s in range(5)]
    found = read_detections(across / "detections.csv", read_videos(sets["two"].videos))
    assert {d.dataset for d in found} == {"two"} and len({d.subject for d in found}) > 1


@pytest.mark.long
@pytest.mark.parametrize("subject", ["s00", "s02"])
def test_garbage_in_the_tested_data_set_leaves_no_trace(sets, across, tmp_path, subject):
    garbled = garble(sets["two"], tmp_path / "garbled", "two", subject)
    out = run_fold([sets["one"], garbled], tmp_path / "out", "two-all", **ACROSS)
    assert all((out / name).read_bytes() == (across / name).read_bytes() for name in HONEST)
    assert (out / "proposals.h5").read_bytes() != (across / "proposals.h5").read_bytes()


@pytest.mark.long
def test_garbage_in_training_leaves_a_trace(sets, across, tmp_path):
    garbled = garble(sets["one"], tmp_path / "garbled", "one", "s01")
    out = run_fold([garbled, sets["two"]], tmp_path / "out", "two-all", **ACROSS)
    assert all((out / name).read_bytes() != (across / name).read_bytes() for name in HONEST)


@pytest.mark.long
def test_the_same_people_are_never_on_both_sides(sets, across, tmp_path):
    both = {"people": [["one", "two"]]}
    out = run_fold(list(sets.values()), tmp_path / "out", "two-all", **ACROSS, **both)
    calibration = [p for p in read_proposals(out / "proposals.h5") if p.role == CALIBRATION]
    assert {p.key[1] for p in calibration} == {"s03", "s04"}
    garbled = garble(sets["one"], tmp_path / "garbled", "one", "s01")  # shows somebody who is tested
    again = run_fold([garbled, sets["two"]], tmp_path / "again", "two-all", **ACROSS, **both)
    assert all((out / name).read_bytes() == (again / name).read_bytes() for name in HONEST)


def test_when_everybody_is_tested_nobody_is_left_to_train_on(sets, tmp_path):
    options = {**ACROSS, "train_on": ["two"], "people": [["one", "two"]]}
    with pytest.raises(UserError, match="train_on: everybody in it is tested too"):
        run_fold(list(sets.values()), tmp_path, "one-all", **options)


def test_a_tested_data_set_must_be_seen_at_the_rate_of_training(sets, tmp_path):
    other = tmp_path / "features" / "motion" / "fast" / "s00.h5"
    data = write_data(tmp_path / "fast", subjects=1, n_frames=300, channels=8, dataset="fast")
    with create(other) as shard:
        import numpy as np

        write_motion(shard, "s00_0", [], 300, 200.0, np.random.default_rng(0))
    fast = found_in(tmp_path / "fast", "fast")
    features = [p for p in fast.features if "motion" not in str(p)] + [other]
    mixed = type(fast)(fast.folder, features, data.expressions, data.videos)
    with pytest.raises(UserError, match=r"fps: got 200.0, expected 30, as in training.*datasets.NAME.fps"):
        run_fold([sets["one"], mixed], tmp_path / "out", "fast-all", method="flow_magnitude", train_on=["one"])


def test_the_fold_of_nobody_trains_on_its_data_sets_alone(sets, tmp_path):
    out = run_fold(list(sets.values()), tmp_path, "all", method=SLOW, train_on=["one"])
    assert {p.key[0] for p in read_proposals(out / "proposals.h5")} == {"one"}


def test_sides():
    subjects = [("a", "x"), ("a", "y"), ("b", "x"), ("c", "z")]

    def training(held_out, **options):
        sides = Sides.of(held_out, subjects, **options)
        return [f"{d}{s}" for d, s in subjects if sides.is_training((d, s))]

    assert training(None) == ["ax", "ay", "bx", "cz"]
    assert training(("a", "x")) == ["ay", "bx", "cz"]
    assert training(("a", "x"), groups=[["a", "b"]]) == ["ay", "cz"]
    assert training(("b", "all"), train_on=["a"]) == ["ax", "ay"]
    assert training(("b", "all"), train_on=["a", "c"], groups=[["a", "b"]]) == ["ay", "cz"]
    assert training(("b", "gone"), groups=[["b", "a"]]) == ["ax", "ay", "bx", "cz"]


# --- plan and table ---------------------------------------------------------------------------------------------------

CONFIG = {
    "datasets": {"cas_me2": {"root": "/c"}, "samm_lv": {"root": "/l"}, "samm": {"root": "/s"}},
    "spotting": {
        "x": {"datasets": ["samm_lv"], "train_on": ["cas_me2", "samm"], "methods": {"flow_magnitude": {}}},
    },
}  # fmt: skip


def test_a_fold_per_tested_data_set_is_planned():
    config = parse(CONFIG, "c.yaml")
    plan = Plan(config, {"cas_me2": ["s15"], "samm_lv": ["006", "007"], "samm": ["006", "008"]})
    assert plan.folds("spotting", "x") == ["samm_lv-all"]
    assert len(plan.listed("spotting", "x", "motion")) == 5 and len(plan.videos("x")) == 3
    expected = ["results/spotting/x/flow_magnitude/samm_lv-all/detections.csv"]
    assert plan.detections_of("samm_lv", "006") == expected == plan.scored("spotting", "x")
    assert plan.detections_of("cas_me2", "s15") == []
    for stage in ("spotting-fold", "detect"):
        options = stage_options(config, stage, "x", method="flow_magnitude")
        assert options["train_on"] == ["cas_me2", "samm"] and options["people"] == [["samm_lv", "samm"]]
    assert stage_options(config, "tables-spotting", "x")["tested"] == ["samm_lv"]


@pytest.mark.parametrize(
    ("train_on", "message"),
    [
        (["samm_lv"], "samm_lv is trained on and tested"),
        (["nobody"], "one of datasets"),
        (["samm", "samm"], "twice"),
    ],
)
def test_data_sets_to_train_on_are_checked(train_on, message):
    wrong = {**CONFIG, "spotting": {"x": {**CONFIG["spotting"]["x"], "train_on": train_on}}}
    with pytest.raises(UserError, match=message):
        parse(wrong, "c.yaml")


def test_a_table_counts_the_tested_data_set_alone(sets, across, tmp_path):
    folder = tmp_path / "spotting" / "made" / "made_up" / "two-all"
    folder.mkdir(parents=True)
    for name in ("detections.csv", "selection.json"):
        (folder / name).write_bytes((across / name).read_bytes())
    inputs = {
        "folds": [folder / "detections.csv"], "selections": [folder / "selection.json"], "shards": [], "excluded": [],
        "expressions": [d.expressions for d in sets.values()], "videos": [d.videos for d in sets.values()],
    }  # fmt: skip
    params = TablesStageParams(bootstrap=10, permutations=2, methods=["made_up"], tested=["two"])
    table, _, details = tables.spotting(Job(inputs, {}, params, {}), "x")
    truths = len((sets["two"].expressions).read_text().splitlines()) - 1
    (row,) = [r for r in table.rows if (r["method"], r["kind"]) == ("made_up", "overall")]
    assert row["ground_truths"] == truths
    assert sorted(details["per_subject"]["made_up"]) == ["two/s00", "two/s01", "two/s02"]
    with pytest.raises(UserError, match="one/all in the index, but no fold"):
        tables.spotting(Job(inputs, {}, params.model_copy(update={"tested": ["one"]}), {}), "x")
