"""From proposals to detections: choices on training subjects alone, limits that hold, the oracle row."""

from __future__ import annotations

import json

import numpy as np
import pytest

from microexp.commands.main import main
from microexp.errors import UserError
from microexp.methods.spotting import detect
from microexp.methods.spotting.detect import read_annotations
from microexp.methods.spotting.params import DetectParams
from microexp.metrics.spotting import Interval, count
from microexp.records.detections import read_detections
from microexp.records.index import Expression, Video, read_expressions, read_videos, write_expressions, write_videos
from microexp.records.proposals import CALIBRATION, METHOD, TEST, Proposals, read_proposals, write_proposals
from microexp.run.stage import Job
from tests.methods.spotting.made_up import run_fold, write_data

SLOW = "tests.methods.spotting.methods:Slow"
NUMBERS = "11-310"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), subjects=5, n_frames=300, channels=8)


@pytest.fixture(scope="module")
def fold(data, tmp_path_factory):
    return run_fold(data, tmp_path_factory.mktemp("fold"), method=SLOW, seeds=2, permuted_control=True)


@pytest.mark.long
def test_limits_and_thresholds_of_the_selection_hold_for_the_detections(data, fold):
    selection = json.loads((fold / "selection.json").read_text())
    found = read_detections(fold / "detections.csv", read_videos(data.videos))
    assert {d.method for d in found} >= {"made_up", "made_up_oracle"}
    for d in found:
        low, high = selection["duration_s"][d.kind]
        assert low - 1e-6 <= (d.offset - d.onset + 1) / 30 <= high + 1e-6
        if not d.method.endswith("_oracle"):
            chosen = selection["methods"][d.method][str(d.seed)][d.kind]
            assert d.score >= chosen["threshold"] - 1e-6
    for method, seeds in selection["methods"].items():
        for seed, chosen in seeds.items():
            for kind in ("micro", "macro"):
                own = [d for d in found if (d.method, str(d.seed), d.kind) == (method, seed, kind)]
                assert len(own) <= chosen[kind]["top_k"]


def test_nothing_of_the_held_out_subject_is_in_the_selection(data, fold):
    selection = json.loads((fold / "selection.json").read_text())
    assert set(selection["methods"]) == {"made_up", "made_up_permuted"} and "fake/s00" not in json.dumps(selection)
    assert selection["oracle"] == "made_up_oracle"
    assert set(selection["options"]) == set(DetectParams.model_fields) - {"experiment", "name", "people", "train_on"}
    lengths = [
        (e.offset - e.onset + 1) / 30
        for e in read_expressions(data.expressions, read_videos(data.videos))
        if e.kind == "micro" and e.subject != "s00"
    ]
    low, high = selection["duration_s"]["micro"]
    assert 0.7 * min(lengths) < low < high < 1.3 * max(lengths)


def test_the_oracle_is_never_worse(data, fold):
    known = read_videos(data.videos)
    truths = [
        Interval(e.subject, e.video, e.onset, e.offset, e.kind)
        for e in read_expressions(data.expressions, known)
        if e.subject == "s00"
    ]
    found = read_detections(fold / "detections.csv", known)
    for seed in (0, 1):
        f1 = [
            count(
                [Interval(d.subject, d.video, d.onset, d.offset, d.kind) for d in found if (d.method, d.seed) == key],
                truths,
                "one_to_one",
            )["overall"].f1
            for key in (("made_up", seed), ("made_up_oracle", seed))
        ]
        assert f1[1] >= f1[0] - 1e-9


def write_index(folder, subjects, fps=30.0):
    """Each subject has a video of 300 frames, called 11 to 310, with one micro-expression in frames 100 to 111."""
    videos = [Video("d", s, f"{s}_v", "-", 300, fps, 64, 64, numbers=NUMBERS) for s in subjects]
    items = [Expression("d", s, f"{s}_v", 1, 100, 105, 111, "micro", "x", "") for s in subjects]
    write_videos(folder / "v.csv", videos)
    write_expressions(folder / "e.csv", items, videos)


def proposal(subject, role, intervals, scores, kind="micro"):
    key = ("d", subject, f"{subject}_v")
    return Proposals(METHOD, 0, role, key, kind, np.array(intervals, float).reshape(-1, 2), np.array(scores, float))


def run(folder, proposals, fold_name="d-a", **params):
    write_proposals(folder / "p.h5", proposals, {})
    inputs = {"proposals": [folder / "p.h5"], "expressions": [folder / "e.csv"], "videos": [folder / "v.csv"]}
    outputs = {"detections": folder / "d.csv", "selection": folder / "s.json"}
    detect.run(Job(inputs, outputs, DetectParams(name="m", **params), {"fold": fold_name}))
    return read_detections(outputs["detections"], read_videos(folder / "v.csv")), json.loads(
        outputs["selection"].read_text()
    )


def test_by_hand(tmp_path):
    """On b and c what scores .8 is right and .5 is wrong; a's own truth would ask for .4."""
    write_index(tmp_path, "abc")
    calibration = [proposal(s, CALIBRATION, [[100, 111], [200, 211]], [0.8, 0.5]) for s in "bc"]
    test = proposal(
        "a", TEST, [[20.4, 31.2], [60, 71], [101, 112], [150, 151], [200, 290]], [0.9, 0.7, 0.4, 0.95, 0.95]
    )
    found, selection = run(tmp_path, [*calibration, test])
    chosen = selection["methods"]["m"]["0"]
    assert (
        chosen["micro"]["f1"] == 1
        and chosen["micro"]["threshold"] == pytest.approx(0.65)
        and chosen["micro"]["top_k"] == 1
    )
    assert chosen["chosen_on"] == ["d/b", "d/c"]
    assert [(d.method, d.onset, d.offset) for d in found if d.method == "m"] == [
        ("m", 20, 31)
    ]  # 2 and 91 frames do not fit
    assert (101, 112) in [(d.onset, d.offset) for d in found if d.method == "m_oracle"]
    first = (tmp_path / "d.csv").read_text().splitlines()[1].split(",")
    assert first[5:9] == ["31", "42", "0.667", "1.033"]  # the release's numbers, and seconds


def test_a_kind_that_never_hits_stays_silent(tmp_path):
    write_index(tmp_path, "abc")
    calibration = [proposal(s, CALIBRATION, [[100, 111]], [0.8]) for s in "bc"]
    calibration += [proposal(s, CALIBRATION, [[10, 21]], [0.9], "macro") for s in "bc"]
    test = [proposal("a", TEST, [[100, 111]], [0.9], kind) for kind in ("micro", "macro")]
    found, _ = run(tmp_path, [*calibration, *test])
    assert {d.kind for d in found} == {"micro"}


def test_a_subject_without_proposals_and_a_fold_without_any(tmp_path):
    write_index(tmp_path, "abc")
    found, selection = run(tmp_path, [proposal(s, CALIBRATION, [[100, 111]], [0.8]) for s in "bc"])
    assert found == [] and selection["methods"]["m"]["0"]["micro"]["f1"] == 1
    found, selection = run(tmp_path, [])
    assert found == [] and selection["methods"] == {}


@pytest.mark.parametrize("people", [[], [["d", "e"]]])
def test_proposals_that_are_not_honest_are_refused(tmp_path, people):
    write_index(tmp_path, "abc")
    with pytest.raises(UserError, match="held-out subject among the calibration proposals"):
        run(tmp_path, [proposal(s, CALIBRATION, [[1, 9]], [0.5]) for s in "ab"], people=people)
    if people:
        with pytest.raises(UserError, match="held-out subject among the calibration proposals"):
            run(tmp_path, [proposal("a", CALIBRATION, [[1, 9]], [0.5])], fold_name="e-a", people=people)


def test_lengths_of_the_same_person_elsewhere_are_not_used(tmp_path):
    write_index(tmp_path, "ab")
    annotations = read_annotations(
        [tmp_path / "e.csv"], [tmp_path / "v.csv"], ("e", "a"), options=DetectParams(people=[["d", "e"]])
    )
    assert len(annotations.lengths_s()["micro"]) == 1
    assert (
        len(
            read_annotations(
                [tmp_path / "e.csv"], [tmp_path / "v.csv"], ("e", "a"), options=DetectParams()
            ).lengths_s()["micro"]
        )
        == 2
    )


def test_an_expression_of_an_unknown_video_is_named(data, tmp_path):
    (tmp_path / "v.csv").write_text(data.videos.read_text().replace("s01_0", "s01_9"))
    with pytest.raises(UserError, match="s01_0"):
        read_annotations([data.expressions], [tmp_path / "v.csv"], ("fake", "s00"), options=DetectParams())


def test_proposals_of_an_unknown_video_are_named(tmp_path):
    write_index(tmp_path, "ab")
    with pytest.raises(UserError, match=r"p\.h5: d/z/z_v: a video that the index does not list"):
        run(tmp_path, [proposal("z", CALIBRATION, [[1, 9]], [0.5])])


def test_the_command_line_runs_both_stages(data, tmp_path, capsys):
    out = {n: tmp_path / n for n in ("trained", "training", "detections", "selection")} | {
        "proposals": tmp_path / "proposals.h5"
    }
    index = ["--expressions", str(data.expressions), "--videos", str(data.videos)]
    params = {"experiment": "e", "name": "m", "method": "flow_magnitude", "method_version": 1}
    fold = ["spotting-fold", *index, "--features", *map(str, data.features), "--params", json.dumps(params)]
    names = ("trained", "training", "proposals")
    assert main([*fold, "--fold", "fake-s04", *(f"--out-{n}={out[n]}" for n in names)]) == 0
    chosen = [f"--out-{n}={out[n]}" for n in ("detections", "selection")]
    assert main(["detect", "--fold", "fake-s04", f"--proposals={out['proposals']}", *index, *chosen]) == 0
    assert read_proposals(out["proposals"]) and out["detections"].exists()
    assert main([*fold, "--fold", "fake-s99", *(f"--out-{n}={tmp_path / 'x'}" for n in names)]) == 2
    assert "fake/s99" in capsys.readouterr().err
