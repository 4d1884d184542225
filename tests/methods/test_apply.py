"""Models on videos without ground truth: the same as in their fold; other data than in training are refused."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from microexp.apexdiff.apexdiff import apex_and_maps, maps_to_apex
from microexp.apexdiff.params import ApexdiffParams
from microexp.errors import UserError
from microexp.flow.params import Tvl1Params
from microexp.methods.apply import as_clips
from microexp.methods.model import read_model
from microexp.methods.recognition import action_units
from microexp.methods.spotting import candidates
from microexp.methods.spotting.candidates import flags_of, moving
from microexp.methods.spotting.selection import clean, take
from microexp.records.crops import create_crops, open_crops
from microexp.records.events import Event
from microexp.records.features import Files, list_features
from microexp.records.proposals import CALIBRATION, read_proposals
from microexp.records.shard import Subject
from microexp.records.validity import Reason
from tests.methods.applied import PREPROCESSING, recognition_model, run_apply, spotting_model, unit_model
from tests.methods.spotting.made_up import edit, garble, write_data
from tests.methods.spotting.quick import QUICK
from tests.shards import recorded, write_crops

SLOW = "tests.methods.spotting.methods:Slow"
OPTIONS = {
    SLOW: {},
    "aemnet": {**QUICK, "epochs": 8, "learning_rate": 5e-3},
    "flow_magnitude": {},
    "random_intervals": {},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), subjects=4, n_frames=300, channels=8)


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    return spotting_model(data, tmp_path_factory.mktemp("model"), method=SLOW)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def by_hand(model, subject, fps=30.0):
    """(kind, onset, offset) that the fold's own proposals and choices give for a subject that calibrated."""
    found = read_model(model, "spotting")
    rows = []
    for item in read_proposals(model.with_name("proposals.h5")):
        if item.role == CALIBRATION and item.key[1] == subject:
            low, high = (limit * fps for limit in found.limits_s[item.kind])
            cleaned = clean(item.intervals, item.scores, (low - 1e-6, high + 1e-6), options=found.choice)
            rows += [(item.kind, int(a), int(b)) for a, b in take(*cleaned, found.choices[item.kind])[0]]
    return sorted(rows)


@pytest.mark.long
@pytest.mark.parametrize("method", OPTIONS)
def test_it_finds_what_the_fold_finds(data, tmp_path, method):
    """With `held_out` the kept model itself proposes for the subjects that calibrate: the same must come out."""
    model = spotting_model(data, tmp_path / "m", method=method, options=OPTIONS[method], calibrate="held_out", seed=1)
    calibrated = {p.key[1] for p in read_proposals(model.with_name("proposals.h5"))}
    assert len(calibrated) == 1
    subject = calibrated.pop()
    expected = by_hand(model, subject)
    found = rows_of(run_apply(data, tmp_path / "out", model, subject))
    # the release counts frames from 1
    assert sorted((r["kind"], int(r["onset"]) - 1, int(r["offset"]) - 1) for r in found) == expected
    assert expected or method == "random_intervals"
    assert {r["spotting_model"] for r in found} <= {"made/made_up"}
    assert [int(r["event"]) for r in found] == list(range(1, len(found) + 1))
    assert [int(r["onset"]) for r in found] == sorted(int(r["onset"]) for r in found)


@pytest.mark.long
def test_ground_truth_is_not_read(data, model, tmp_path):
    """There is no input for it: garbage annotations and other people's shards change nothing."""
    one = run_apply(data, tmp_path / "a", model)
    other = run_apply(garble(data, tmp_path / "copy", subject="s02"), tmp_path / "b", model)
    assert one.read_bytes() == other.read_bytes() and len(rows_of(one)) > 1


def test_other_preprocessing_is_refused(data, model, tmp_path):
    run_apply(data, tmp_path, model, preprocessing=PREPROCESSING)
    with pytest.raises(UserError, match=r"crops\.size: got 96, expected 224"):
        run_apply(data, tmp_path, model, preprocessing={"crops": {"size": 96}})


@pytest.mark.parametrize(
    ("attribute", "value", "named"),
    [
        ("step_frames", 2, "step_frames: got 2, expected 4, as in training"),
        ("clip_frames", 16, "clip_frames: got 16, expected 8"),
        ("channels", "a,b,c,d,e,f,g,h", "channels: "),
        ("fps", 200.0, "fps: got 200.0, expected 30, as in training"),
    ],
)
def test_features_laid_out_otherwise_are_refused(data, model, tmp_path, attribute, value, named):
    copy = garble(data, tmp_path / "copy", subject="s02")
    with edit(copy.folder / "features/i3d_rgb/fake/s02.h5") as file:
        file["other"].attrs[attribute] = value
    with pytest.raises(UserError, match=rf"s02\.h5: {named}"):
        run_apply(copy, tmp_path / "out", model, "s02")


def test_a_rate_that_is_the_same_but_for_rounding_is_taken(data, model, tmp_path):
    copy = garble(data, tmp_path / "copy", subject="s02")
    with edit(copy.folder / "features/i3d_rgb/fake/s02.h5") as file:
        file["other"].attrs["fps"] = 29.97
    assert run_apply(copy, tmp_path / "out", model, "s02").exists()


def test_a_video_without_features_has_no_events_and_is_told(data, model, tmp_path, capsys):
    copy = garble(data, tmp_path / "copy", subject="s02")
    with edit(copy.folder / "features/i3d_rgb/fake/s02.h5") as file:
        for name in ("features", "frame_index"):
            del file["other"][name]
        file["other"].attrs["excluded"] = "no face"
    assert rows_of(run_apply(copy, tmp_path / "out", model, "s02")) == []
    assert "fake/s02/other: excluded, no i3d_rgb" in capsys.readouterr().err


@pytest.fixture(scope="module")
def crops(data, tmp_path_factory):
    """A texture that bulges in the middle of the video."""
    rng = np.random.default_rng(0)
    base = np.kron(rng.integers(40, 220, (9, 9)), np.ones((8, 8)))[:64, :64]
    frames = np.stack([np.roll(base, round(3 * np.sin(i / 20)), 0) for i in range(300)])
    images = np.repeat(frames[..., None], 3, 3).astype(np.uint8)
    return write_crops(tmp_path_factory.mktemp("crops") / "crops/fake/s01.h5", {"s01_0": images})


MAPS = ApexdiffParams(size=14, flow=Tvl1Params(backend="opencv", preset="opencv"))


@pytest.mark.parametrize("registration", ["rigid", "alignment"])
def test_maps_to_a_known_apex_are_those_of_the_search(crops, registration):
    params = MAPS.model_copy(update={"registration": registration})
    with open_crops(crops) as file:
        apex, searched = apex_and_maps(file["s01_0"], (2, 20), params)
        assert apex > 2
        known = maps_to_apex(file["s01_0"], 2, apex, params=params)
        assert known is not None and maps_to_apex(file["s01_0"], apex, apex, params=params) is None
        for name, values in vars(searched).items():
            np.testing.assert_array_equal(vars(known)[name], values, err_msg=name)
        other = maps_to_apex(file["s01_0"], 2, apex - 1, params=params)
        assert other is None or not np.array_equal(other.flow, searched.flow)


@pytest.mark.long
def test_events_are_recognised_as_the_model_says(data, model, crops, tmp_path):
    recognition = recognition_model(tmp_path / "r")
    path = run_apply(data, tmp_path / "out", model, recognition=recognition, crops=crops, apexdiff=MAPS)
    rows, plain = rows_of(path), rows_of(run_apply(data, tmp_path / "plain", model))
    columns = ("kind", "onset", "offset", "score")
    assert [[r[c] for c in columns] for r in rows] == [[r[c] for c in columns] for r in plain] and len(rows) > 1
    found = read_model(recognition, "recognition")
    with open_crops(crops) as file:
        for row in rows:
            onset, offset = int(row["onset"]) - 1, int(row["offset"]) - 1
            apex, maps = apex_and_maps(file["s01_0"], (onset, offset), MAPS)
            assert int(row["apex"]) == apex + 1 and onset < apex <= offset
            event = Event(("fake", "s01", "s01_0"), onset, offset, row["kind"], 0.0, "")
            expected = found.method.predict(found.fitted, as_clips(event, maps))[0]
            p = [float(row[f"p_{c}"]) for c in found.classes]
            assert p == pytest.approx(expected, abs=1e-6) and sum(p) == pytest.approx(1, abs=1e-5)
            assert row["emotion"] == found.classes[int(np.argmax(p))] and row["recognition_model"] == "made/mine"


@pytest.mark.long
def test_events_have_the_action_units_that_the_model_says(data, model, crops, tmp_path):
    path = unit_model(tmp_path / "units.safetensors")
    plain = rows_of(run_apply(data, tmp_path / "plain", model))
    rows = rows_of(run_apply(data, tmp_path / "out", model, action_units=path, crops=crops, apexdiff=MAPS))
    assert [r["onset"] for r in rows] == [r["onset"] for r in plain] and "AU12" not in plain[0] and len(rows) > 1
    loaded = action_units.load(path)
    with open_crops(crops) as file:
        for row in rows:
            _, maps = apex_and_maps(file["s01_0"], (int(row["onset"]) - 1, int(row["offset"]) - 1), MAPS)
            expected = action_units.of_map(maps.flow, loaded)
            assert {name: float(row[name]) for name in expected} == pytest.approx(expected, abs=1e-6)
            assert row["action_units"] == action_units.in_words(
                action_units.sided(maps.flow[None], loaded, px=True)[0], loaded.units
            )
            assert row["action_unit_model"] == "made/units" and row["apex"] and not row["emotion"]


@pytest.mark.long
def test_emotions_and_action_units_stand_side_by_side(data, model, crops, tmp_path):
    recognition, path = recognition_model(tmp_path / "r"), unit_model(tmp_path / "units.safetensors")
    rows = rows_of(
        run_apply(data, tmp_path, model, recognition=recognition, action_units=path, crops=crops, apexdiff=MAPS)
    )
    assert all(r["emotion"] and r["p_positive"] and r["AU1"] for r in rows) and len(rows) > 1


@pytest.mark.long
def test_maps_of_another_size_are_refused(data, model, crops, tmp_path):
    recognition = recognition_model(tmp_path / "r")
    larger = MAPS.model_copy(update={"size": 28})
    with pytest.raises(UserError, match=r"size of the onset-apex maps: got 28, expected 14, as in training"):
        run_apply(data, tmp_path / "out", model, recognition=recognition, crops=crops, apexdiff=larger)


def test_models_of_the_wrong_kind_are_refused(data, model, crops, tmp_path):
    recognition = recognition_model(tmp_path / "r", "majority")
    with pytest.raises(UserError, match="expected a spotting model"):
        run_apply(data, tmp_path, recognition)
    with pytest.raises(UserError, match="expected a recognition model"):
        run_apply(data, tmp_path, model, recognition=model, crops=crops)


def test_an_event_within_one_crop_has_no_class(data, model, tmp_path):
    """Two crops of a whole video: an interval that is nearer to one of them shows one face only."""
    still = {"s01_0": np.full((2, 32, 32, 3), 90, np.uint8)}
    path = tmp_path / "crops/fake/s01.h5"
    write_crops(path, still, frame_index=np.array([0, 299], np.int32))
    recognition = recognition_model(tmp_path / "r", "majority")
    rows = rows_of(run_apply(data, tmp_path / "out", model, recognition=recognition, crops=path, apexdiff=MAPS))
    across = [r for r in rows if r["apex"]]
    assert all(int(r["onset"]) <= int(r["apex"]) <= int(r["offset"]) for r in across)
    beside = [r for r in rows if (int(r["onset"]) - 1 < 149.5) == (int(r["offset"]) - 1 < 149.5)]
    assert beside and all(r["apex"] == r["emotion"] == r["p_positive"] == "" for r in beside)


def test_what_moves_in_a_video_is_computed_once_and_not_for_each_event(data, model, tmp_path, monkeypatch):
    asked = []

    def scores(features, regions=candidates.RULE_REGIONS):
        asked.append((features.video, regions))
        return scored(features, regions)

    scored = candidates.region_scores
    monkeypatch.setattr(candidates, "region_scores", scores)
    rows = rows_of(run_apply(data, tmp_path / "out", model))
    assert len(set(asked)) == len(asked) > 0
    assert len(rows) > len({r["video"] for r in rows}), "several events of one video"


def test_flags_are_those_of_the_one_definition_and_know_what_is_the_matter_with_frames(data, model, tmp_path):
    with Files() as files:
        motion = {f.video: f for f in list_features([p for p in data.features if "motion" in p.parts], files)}["s01_0"]
        reason = np.zeros(300, np.uint8)
        reason[100:], reason[200:] = Reason.NO_FACE, Reason.REPEATED
        path = tmp_path / "crops/fake/s01.h5"
        with create_crops(path, Subject("fake", "s01")) as shard:
            about = {"fps": 30.0, "source_fps": 30.0, "source_n_frames": 300}
            pictures, more = np.zeros((300, 2, 2, 1), np.uint8), {"valid": reason == 0, "reason": reason}
            shard.stream("s01_0", np.arange(300, dtype=np.int32), pictures, more=lambda: more, **about)
        recorded(path, "crops")
        rows = rows_of(run_apply(data, tmp_path / "out", model, crops=path))
        spans = [(int(r["onset"]) - 1, int(r["offset"]) - 1) for r in rows]
        assert [r["flags"] for r in rows] == ["+".join(flags_of(moving(motion), span, reason)) for span in spans]
    told = {flag for r in rows for flag in r["flags"].split("+")}
    assert {"occlusion", "repeated"} <= told and any("occlusion" not in r["flags"] for r in rows)


def test_frames_without_a_crop_have_what_is_the_matter_with_the_one_before(tmp_path):
    path = tmp_path / "crops/fake/s01.h5"
    with create_crops(path, Subject("fake", "s01")) as shard:
        more = {"reason": np.array([Reason.NONE, Reason.CUT, Reason.NO_FACE], np.uint8)}
        about = {"fps": 10.0, "source_fps": 20.0, "source_n_frames": 7}
        shard.stream("v", np.array([0, 2, 4], np.int32), np.zeros((3, 2, 2, 1), np.uint8), more=lambda: more, **about)
    recorded(path, "crops")
    with open_crops(path) as crops:
        assert crops["v"].source_reason.tolist() == [0, 0, 5, 5, 1, 1, 1]
