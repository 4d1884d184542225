"""The stages `aemnet` and `detect` together: honest selection, the leak canary, exact resume."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from microexp.methods.spotting.aemnet.aemnet import plan_fits, read_model

from microexp.commands.main import main
from microexp.errors import UserError
from microexp.methods.spotting import detect
from microexp.methods.spotting.aemnet import aemnet, training
from microexp.methods.spotting.aemnet.proposals import read_proposals
from microexp.methods.spotting.params import AemnetParams, DetectParams
from microexp.metrics.spotting import Interval, count
from microexp.records.index import Video, read_expressions, read_videos, write_expressions, write_videos
from microexp.run.stage import Job
from microexp.run.storage import create_shard
from tests.methods.spotting.made_up import write_data, write_features, write_motion

NETWORK = {
    "stem_channels": [8, 8, 8], "channels": 16, "attention_channels": 16, "head_channels": 16, "stem_stride": 1,
}  # fmt: skip
QUICK = {"network": NETWORK, "epochs": 2, "warmup_epochs": 1, "batch_size": 8, "test_stride_frames": 64}
SUBJECTS = [("d", f"s{i}") for i in range(8)]


def run_fold(data, out: Path, fold="fake-s00", options=QUICK, **detecting):
    files = {"model": "model.safetensors", "training": "training.csv", "proposals": "proposals.csv"}
    job = Job(
        {"features": data.features, "expressions": [data.expressions], "videos": [data.videos]},
        {k: out / v for k, v in files.items()},
        AemnetParams.model_validate(options),
        {"fold": fold},
        device="cpu",
    )
    aemnet.run(job)
    inputs = {"expressions": [data.expressions], "videos": [data.videos], "motion": data.motion}
    detect.run(
        Job(
            {"proposals": [out / "proposals.csv"], **inputs},
            {"detections": out / "detections.csv", "selection": out / "selection.json"},
            DetectParams.model_validate(detecting),
            {"fold": fold},
        )
    )
    return out


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), subjects=5, n_frames=300, channels=8)


@pytest.fixture(scope="module")
def fold(data, tmp_path_factory):
    return run_fold(data, tmp_path_factory.mktemp("fold"), options={**QUICK, "permuted_control": True, "seeds": [0, 1]})


def garble(data, folder):
    """A copy of the data in which the held-out subject's features, motion and annotations are garbage."""
    copy = shutil.copytree(data.folder, folder)
    generator = np.random.default_rng(99)
    for name, write in (("i3d", write_features), ("motion", write_motion)):
        with create_shard(copy / name / "fake" / "s00.h5") as file:
            if name == "i3d":
                write(file, "other", [], 520, 8, 4, 8, 100.0, generator)
            else:
                write(file, "other", [], 520, generator)
    expressions = copy / "index" / "fake" / "expressions.csv"
    known = read_videos(data.videos)
    items = [e for e in read_expressions(expressions, known) if e.subject != "s00"]
    junk = [e for e in items if e.subject == "s01"]
    moved = [type(e)("fake", "s00", "other", e.expression, 0, 1, 400, "micro", "junk", "99") for e in junk]
    changed = [Video("fake", "s00", "other", "-", 520, 30.0, 64, 64), *(v for v in known if v.subject != "s00")]
    write_expressions(expressions, moved + items, changed)
    videos = copy / "index" / "fake" / "videos.csv"
    write_videos(videos, changed)
    paths = {n: sorted((copy / n / "fake").glob("*.h5")) for n in ("i3d", "motion")}
    return type(data)(copy, paths["i3d"], paths["motion"], expressions, videos)


SHIPPED = {"centre": "video", "refit": True, "permuted_control": True, "seeds": [0, 1], "epochs": 1}
"""What else the demo and the ablation set."""


@pytest.mark.parametrize(
    "options",
    [QUICK, {**QUICK, "selection": "inner_folds", "inner_folds": 2, "epochs": 1}, {**QUICK, **SHIPPED}],
    ids=["held_out", "inner_folds", "shipped"],
)
def test_the_held_out_subject_cannot_leak(data, tmp_path, options):
    """The canary: garbage in place of the held-out subject leaves model, thresholds and training log byte-identical."""
    clean = run_fold(data, tmp_path / "clean", options=options)
    garbled = run_fold(garble(data, tmp_path / "copy"), tmp_path / "garbled", options=options)
    for name in ("model.safetensors", "training.csv", "selection.json"):
        assert (clean / name).read_bytes() == (garbled / name).read_bytes(), name
    roles = [_by_role(folder / "proposals.csv") for folder in (clean, garbled)]
    assert roles[0]["calibration"] == roles[1]["calibration"]
    assert roles[0]["test"] != roles[1]["test"]  # the canary is alive: the garbage was really read


def _by_role(path):
    proposals = read_proposals(path)
    return {role: [p for p in proposals if p.role == role] for role in ("calibration", "test")}


def test_the_canary_would_sing(data, tmp_path):
    """Garbage in a training subject's place does change everything."""
    clean = run_fold(data, tmp_path / "clean", fold="fake-s01")
    garbled = run_fold(garble(data, tmp_path / "copy"), tmp_path / "garbled", fold="fake-s01")
    for name in ("model.safetensors", "training.csv", "selection.json"):
        assert (clean / name).read_bytes() != (garbled / name).read_bytes(), name


def test_broken_features_of_the_held_out_subject_show_only_after_training(data, tmp_path):
    copy = garble(data, tmp_path / "copy")
    with create_shard(copy.features[0]) as file:
        write_features(file, "other", [], 300, 8, 4, 8, np.nan, np.random.default_rng(0))
    with pytest.raises(UserError, match="not finite"):
        run_fold(copy, tmp_path / "out")
    clean = run_fold(data, tmp_path / "clean")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (clean / "model.safetensors").read_bytes()


class Stop(Exception):
    """A kill."""


@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_training_goes_on_where_it_was_stopped(data, tmp_path, monkeypatch, stop_after):
    """Stopped after any epoch of any fit, the next run ends with the same bytes."""
    options = {**QUICK, "refit": True, "seeds": [0, 1]}  # 2 seeds x 2 fits x 2 epochs
    whole = run_fold(data, tmp_path / "whole", options=options)
    monkeypatch.setattr(aemnet, "CHECKPOINT_EVERY_S", 0.0)
    epochs = []

    def stopping(*args):
        save(*args)
        epochs.append(1)
        if len(epochs) == stop_after:
            raise Stop

    save = training.save_checkpoint
    monkeypatch.setattr(aemnet, "save_checkpoint", stopping)
    with pytest.raises(Stop):
        run_fold(data, tmp_path / "parts", options=options)
    assert (tmp_path / "parts" / "model.safetensors.checkpoint").exists()
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    run_fold(data, tmp_path / "parts", options=options)
    assert len(epochs) == 8  # no epoch was trained twice
    for name in ("model.safetensors", "training.csv", "proposals.csv", "detections.csv", "selection.json"):
        assert (whole / name).read_bytes() == (tmp_path / "parts" / name).read_bytes(), name
    assert not (tmp_path / "parts" / "model.safetensors.checkpoint").exists()


SAMM_LV = {
    "30 fps": (128, {"n_frames": 1600, "step": 2, "rate": 6, "index": np.cumsum([0, *[6, 7, 7] * 79])}),
    "200 fps": (1024, {"n_frames": 1600, "step": 2, "rate": 6}),
}


@pytest.mark.parametrize("fps", SAMM_LV)
def test_both_samm_lv_settings_run(tmp_path, capsys, fps):
    """128 frames at 30 frames/s, resampled by steps of 6, 7, 7, and 1024 at 200."""
    window_frames, layout = SAMM_LV[fps]
    data = write_data(tmp_path / "data", subjects=3, channels=8, **layout)
    options = {**QUICK, "window_frames": window_frames, "epochs": 1, "learning_rate": 5e-4}
    out = run_fold(data, tmp_path / "out", options=options)
    found = [p for p in read_proposals(out / "proposals.csv") if p.role == "test"]
    assert found and all(0 <= p.onset < p.offset < 1600 for p in found)
    assert max(p.offset for p in found) > 1400  # in source frames, to the video's end
    assert "shorter than window_frames" not in capsys.readouterr().err


def test_a_window_longer_than_the_videos_runs_and_is_told(data, tmp_path, capsys):
    out = run_fold(data, tmp_path, options={**QUICK, "window_frames": 1024, "epochs": 1, "learning_rate": 5e-4})
    _, geometry, _ = read_model(out / "model.safetensors")
    assert geometry.lengths == (128, 64, 32, 16, 8, 4, 2)  # 256 features that are 4 frames apart, stride 1 in the stem
    test = [p for p in read_proposals(out / "proposals.csv") if p.role == "test"]
    assert test and all(0 <= p.onset < p.offset <= 299 for p in test)
    assert "4 of 4 training videos are shorter than window_frames=1024" in capsys.readouterr().err


@pytest.mark.parametrize("other", ["options", "source_sha256", "device_name"])
def test_a_checkpoint_of_other_options_or_code_or_hardware_is_not_used(data, tmp_path, monkeypatch, other):
    monkeypatch.setattr(aemnet, "CHECKPOINT_EVERY_S", 0.0)

    def stopping(*args):
        training.save_checkpoint(*args)
        raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(aemnet, "save_checkpoint", stopping)
        patch.setattr(training, "learning_rate", lambda *args: 0.1)  # so that a resumed fit would show
        if other != "options":
            patch.setattr(aemnet, other, lambda *args: "another")
        run_fold(data, tmp_path / "a", options={**QUICK, **({"weight_decay": 0.1} if other == "options" else {})})
    fresh, after = run_fold(data, tmp_path / "b"), run_fold(data, tmp_path / "a")
    assert (fresh / "model.safetensors").read_bytes() == (after / "model.safetensors").read_bytes()


def test_outputs_hold_what_they_promise(fold):
    log = (fold / "training.csv").read_text().splitlines()
    assert log[0].startswith("model,seed,fit,epoch,learning_rate,loss") and len(log) == 1 + 2 * 2 * 2
    proposals = read_proposals(fold / "proposals.csv")
    assert {(p.model, p.seed, p.role) for p in proposals} == {
        (m, s, r) for m in ("aemnet", "permuted") for s in (0, 1) for r in ("test", "calibration")
    }
    assert {p.subject for p in proposals if p.role == "test"} == {"s00"}
    assert "s00" not in {p.subject for p in proposals if p.role == "calibration"}
    found = detect.read_detections(fold / "detections.csv")
    assert {d.method for d in found} >= {"aemnet_oracle", "random"}
    assert {(d.dataset, d.subject) for d in found} == {("fake", "s00")}
    selection = json.loads((fold / "selection.json").read_text())
    assert set(selection["methods"]) == {"aemnet", "aemnet_permuted", "flow_magnitude"}
    assert "fake/s00" not in json.dumps(selection["methods"])
    assert set(selection["methods"]["aemnet"]) == {"0", "1"}
    low, high = selection["duration_s"]["micro"]
    assert 0.15 < low < high < 0.7


def test_a_model_file_can_be_read_back(fold):
    networks, geometry, options = read_model(fold / "model.safetensors")
    assert set(networks) == {"aemnet.0", "aemnet.1", "permuted.0", "permuted.1"}
    assert geometry.lengths == (16, 8, 4, 2) and options.channels == 16
    with pytest.raises(UserError, match="a model"):
        read_model(fold / "training.csv")


def test_reported_limits_and_thresholds_hold_for_the_detections(fold):
    selection = json.loads((fold / "selection.json").read_text())
    for d in detect.read_detections(fold / "detections.csv"):
        if d.method == "aemnet":
            low, high = selection["duration_s"][d.kind]
            assert low - 0.04 <= (d.offset - d.onset + 1) / 30 <= high + 0.04
            assert d.score >= selection["methods"]["aemnet"][str(d.seed)][d.kind]["threshold"] - 1e-6


def test_calibration_proposals_never_come_from_a_fit_that_saw_the_subject():
    inner = AemnetParams(selection="inner_folds", permuted_control=True, seeds=(0, 3))
    for options in (AemnetParams(), AemnetParams(refit=True), inner):
        plans = plan_fits(SUBJECTS, options, 0)
        for plan in plans:
            assert not set(plan.subjects) & set(plan.calibration)
            assert set(plan.subjects) | set(plan.calibration) <= set(SUBJECTS)
        for model in {p.model for p in plans}:
            for seed in options.seeds:
                own = [p for p in plans if (p.model, p.seed) == (model, seed)]
                assert sum(p.final for p in own) == 1
                calibrated = [s for p in own for s in p.calibration]
                assert len(set(calibrated)) == len(calibrated)
                if options.selection == "inner_folds":
                    assert sorted(calibrated) == SUBJECTS
                    assert next(p for p in own if p.final).subjects == tuple(SUBJECTS)
                else:
                    assert len(calibrated) == 2


def test_seeds_draw_other_calibration_subjects():
    drawn = {plan_fits(SUBJECTS, AemnetParams(), seed)[0].calibration for seed in range(8)}
    assert len(drawn) > 3


def test_one_training_subject_is_not_enough(data, tmp_path):
    two = type(data)(data.folder, data.features[:2], data.motion[:2], data.expressions, data.videos)
    with pytest.raises(UserError, match="at least 2"):
        run_fold(two, tmp_path)


def test_a_subject_without_a_usable_video_has_a_fold_and_costs_the_others_nothing(data, tmp_path):
    for stage in ("i3d", "motion"):
        with create_shard(tmp_path / stage / "fake" / "s99.h5"):
            pass
    more = replace(
        data,
        features=[*data.features, tmp_path / "i3d/fake/s99.h5"],
        motion=[*data.motion, tmp_path / "motion/fake/s99.h5"],
    )
    empty = run_fold(more, tmp_path / "empty", "fake-s99")
    assert detect.read_detections(empty / "detections.csv") == []
    assert json.loads((empty / "selection.json").read_text())["methods"]["aemnet"]
    for folder, shards in ((tmp_path / "with", more), (tmp_path / "without", data)):
        run_fold(shards, folder, "fake-s01")
    assert (tmp_path / "with/detections.csv").read_bytes() == (tmp_path / "without/detections.csv").read_bytes()


def test_the_command_line_runs_both_stages(data, tmp_path, capsys):
    out = {n: tmp_path / n for n in ("model", "training", "proposals", "detections", "selection")}
    features, motion = ([str(p) for p in paths] for paths in (data.features, data.motion))
    status = main(
        ["aemnet", "--fold", "fake-s04", "--features", *features, "--expressions", str(data.expressions),
         "--videos", str(data.videos),
         *(f"--out-{n}={out[n]}" for n in ("model", "training", "proposals")), "--params", json.dumps(QUICK)]
    )  # fmt: skip
    assert status == 0
    status = main(
        ["detect", "--fold", "fake-s04", f"--proposals={out['proposals']}", f"--expressions={data.expressions}",
         "--videos", str(data.videos), "--motion", *motion,
         *(f"--out-{n}={out[n]}" for n in ("detections", "selection"))]
    )  # fmt: skip
    assert status == 0 and out["detections"].exists()
    nowhere = [f"--out-{n}={tmp_path / 'x'}" for n in ("model", "training", "proposals")]
    assert main(["aemnet", "--fold", "fake-s99", "--features", *features, *nowhere]) == 2
    assert "fake/s99" in capsys.readouterr().err


def test_detect_refuses_proposals_that_are_not_honest(data, fold, tmp_path):
    text = (fold / "proposals.csv").read_text().replace("aemnet,test", "aemnet,calibration")
    (tmp_path / "p.csv").write_text(text)
    job = Job(
        {"proposals": [tmp_path / "p.csv"], "expressions": [data.expressions], "videos": [data.videos], "motion": []},
        {"detections": tmp_path / "d.csv", "selection": tmp_path / "s.json"},
        DetectParams(),
        {"fold": "fake-s00"},
    )
    with pytest.raises(UserError, match="held-out subject"):
        detect.run(job)


def test_an_expression_of_an_unknown_video_is_named(data, tmp_path):
    (tmp_path / "v.csv").write_text(data.videos.read_text().replace("s01_0", "s01_9"))
    with pytest.raises(UserError, match="s01_0"):
        detect.read_annotations([data.expressions], [tmp_path / "v.csv"], ("fake", "s00"))


@pytest.mark.long
def test_planted_signals_are_found_and_the_control_finds_nothing(tmp_path):
    """Two folds of an easy data set: clearly above flow magnitude, random intervals and the permuted control."""
    data = write_data(tmp_path, subjects=6, n_frames=600, channels=16, noise=0.3, seed=1)
    options = {**QUICK, "epochs": 15, "learning_rate": 5e-3, "permuted_control": True, "test_stride_frames": 32}
    found = []
    for subject in ("s00", "s01"):
        out = run_fold(data, tmp_path / subject, f"fake-{subject}", options)
        found += detect.read_detections(out / "detections.csv")
    truths = [
        Interval(e.subject, e.video, e.onset, e.offset, e.kind)
        for e in read_expressions(data.expressions, read_videos(data.videos))
        if e.subject in ("s00", "s01")
    ]
    f1 = {}
    for method in ("aemnet", "aemnet_oracle", "aemnet_permuted", "flow_magnitude", "random"):
        own = [Interval(d.subject, d.video, d.onset, d.offset, d.kind) for d in found if d.method == method]
        f1[method] = count(own, truths, "one_to_one")["overall"].f1
    assert f1["aemnet"] > 0.6
    assert f1["aemnet_oracle"] >= f1["aemnet"]
    assert f1["aemnet"] > f1["flow_magnitude"] + 0.1
    assert f1["aemnet"] > 3 * max(f1["aemnet_permuted"], f1["random"])
