"""AEM-Net as a method: settings of the data sets, what a model file gives back, that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microexp.errors import UserError
from microexp.methods.context import Context
from microexp.methods.spotting.aemnet.method import AemNetMethod
from microexp.methods.spotting.aemnet.params import AemnetParams
from microexp.methods.spotting.base import FitRequest, SpottingVideo
from microexp.methods.training import reproducible
from microexp.metrics.spotting import Interval, count
from microexp.records.detections import read_detections
from microexp.records.features import Files, list_features
from microexp.records.index import read_expressions, read_videos
from microexp.records.proposals import TEST, read_proposals
from microexp.run import bundle
from tests.methods.spotting.made_up import PLACES, SPANS, run_fold, write_data
from tests.methods.spotting.quick import NETWORK, QUICK

METHOD = AemNetMethod()
OPTIONS = AemnetParams.model_validate(QUICK)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), subjects=4, n_frames=300, channels=8)


@pytest.fixture(scope="module")
def training(data):
    """Videos with both streams, and their annotations."""
    known = read_videos(data.videos)
    truth: dict = {}
    for item in read_expressions(data.expressions, known):
        truth.setdefault(item.video_key, []).append(item)
    with Files() as files:
        streams: dict = {}
        for item in list_features(data.features, files):
            streams.setdefault(item.key, {})[item.stream] = item
        yield [SpottingVideo(*v.key, v.n_frames, v.fps, streams[v.key]) for v in known], truth


def same(one, other):
    return all(np.array_equal(a, b) for kind in ("micro", "macro") for a, b in zip(one[kind], other[kind], strict=True))


SAMM_LV = {
    "30 fps": (128, {"n_frames": 1600, "step": 2, "rate": 6, "index": np.cumsum([0, *[6, 7, 7] * 79])}),
    "200 fps": (1024, {"n_frames": 1600, "step": 2, "rate": 6}),
}


@pytest.mark.long
@pytest.mark.parametrize("fps", SAMM_LV)
def test_both_samm_lv_settings_run(tmp_path, capsys, fps):
    """128 frames at 30 frames/s, resampled by steps of 6, 7, 7, and 1024 at 200."""
    window_frames, layout = SAMM_LV[fps]
    made = write_data(tmp_path / "data", subjects=3, channels=8, **layout)
    options = {**QUICK, "window_frames": window_frames, "epochs": 1, "learning_rate": 5e-4}
    out = run_fold(made, tmp_path / "out", options=options, calibrate="held_out")
    found = [p for p in read_proposals(out / "proposals.h5") if p.role == TEST]
    ends = np.concatenate([p.intervals for p in found])
    assert len(ends) and (ends[:, 0] >= 0).all() and (ends[:, 0] < ends[:, 1]).all() and ends.max() < 1600
    assert ends.max() > 1400  # in source frames, to the video's end
    assert "shorter than window_frames" not in capsys.readouterr().err


@pytest.mark.long
def test_a_window_longer_than_the_videos_runs_and_is_told(data, tmp_path, capsys):
    options = {**QUICK, "window_frames": 1024, "epochs": 1, "learning_rate": 5e-4}
    out = run_fold(data, tmp_path, options=options, calibrate="held_out")
    part = bundle.read(out / "trained.safetensors").parts["method.0"]
    model = METHOD.from_bytes(part, AemnetParams.model_validate(options))
    assert model.geometry.lengths == (128, 64, 32, 16, 8, 4, 2)  # 256 features that are 4 frames apart
    found = [p for p in read_proposals(out / "proposals.h5") if p.role == TEST]
    assert all(len(p.intervals) and p.intervals.max() <= 299 for p in found)
    assert "training videos are shorter than window_frames=1024" in capsys.readouterr().err


@pytest.mark.long
def test_a_model_comes_back_from_its_bytes(training):
    videos, truth = training
    model = METHOD.fit(videos[:3], truth, OPTIONS, context=Context(0))
    data = METHOD.to_bytes(model)
    again = METHOD.from_bytes(data, OPTIONS)
    assert METHOD.to_bytes(again) == data and not again.networks[0].training
    assert same(METHOD.propose(model, videos[3]), METHOD.propose(again, videos[3]))


@pytest.mark.long
def test_several_networks_of_a_fit(training):
    """The first is the one that would be trained alone, the others differ; the file holds all, the log tells them."""
    videos, truth = training
    one, log = METHOD.fit(videos[:3], truth, OPTIONS, context=Context(0)), Context(0)
    options = AemnetParams.model_validate({**QUICK, "networks": 3})
    model = METHOD.fit(videos[:3], truth, options, context=log)
    weights = [torch.cat([p.flatten() for p in network.parameters()]) for network in (*one.networks, *model.networks)]
    assert torch.allclose(weights[0], weights[1], atol=1e-5)
    assert not any(torch.allclose(weights[0], other, atol=1e-2) for other in weights[2:])
    assert sorted((row["network"], row["epoch"]) for row in log.rows) == [(n, e) for n in (1, 2, 3) for e in (1, 2)]
    data = METHOD.to_bytes(model)
    again = METHOD.from_bytes(data, options)
    assert METHOD.to_bytes(again) == data and len(again.networks) == 3
    found = METHOD.propose(again, videos[3])
    assert same(found, METHOD.propose(model, videos[3])) and not same(found, METHOD.propose(one, videos[3]))


def test_one_network_is_no_option_of_its_own():
    """Runs that are finished do not change with an option that they did not have."""
    assert "networks" not in OPTIONS.model_dump()


@pytest.mark.long
def test_threads_and_the_callers_generators_change_nothing(training):
    videos, truth = training
    threads, found = torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            torch.manual_seed(n)
            before = torch.get_rng_state()
            model = METHOD.fit(videos[:3], truth, OPTIONS, context=Context(0))
            found.append((METHOD.to_bytes(model), METHOD.propose(model, videos[3])))
            assert torch.get_num_threads() == n and torch.equal(torch.get_rng_state(), before)
    finally:
        torch.set_num_threads(threads)
    assert found[0][0] == found[1][0] and same(found[0][1], found[1][1])


def test_settings_and_generators_are_put_back():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with reproducible("cpu"):
        assert torch.get_num_threads() == 1
        torch.manual_seed(5)
        torch.rand(3)
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)


@pytest.mark.long
def test_several_streams_are_read_together(training):
    videos, truth = training
    both = AemnetParams.model_validate({**QUICK, "network": {**NETWORK, "streams": ["i3d_rgb", "motion"]}})
    assert METHOD.streams(both) == ("i3d_rgb", "motion")
    model = METHOD.fit(videos[:3], truth, both, context=Context(0))
    assert model.in_channels == 8 + len(PLACES) + len(SPANS)  # the speeds of regions are not for networks
    assert len(METHOD.propose(model, videos[3])["micro"][0])
    alone = METHOD.fit(videos[:3], truth, OPTIONS, context=Context(0))
    with pytest.raises(UserError, match="8 channels; expected 14"):
        METHOD.propose(type(model)(model.networks, model.geometry, OPTIONS, model.in_channels), videos[3])
    assert alone.in_channels == 8


def test_fits_log_into_their_own_rows(training):
    videos, truth = training
    contexts = [Context(0), Context(7)]
    requests = [FitRequest(videos[:n], truth, c) for n, c in zip((3, 2), contexts, strict=True)]
    METHOD.fit_many(requests, OPTIONS, Context(0))
    assert [[row["epoch"] for row in c.rows] for c in contexts] == [[1, 2], [1, 2]]
    assert contexts[0].rows[0]["windows"] > contexts[1].rows[0]["windows"]
    assert list(contexts[0].rows[0])[:3] == ["epoch", "learning_rate", "loss"]


def test_videos_without_an_expression_give_nothing_to_train_on(training):
    with pytest.raises(UserError, match="training windows"):
        METHOD.fit(training[0], {}, OPTIONS, context=Context(0))


@pytest.mark.long
def test_planted_signals_are_found_and_the_control_finds_nothing(tmp_path):
    """Two folds of an easy data set: clearly above flow magnitude, random intervals and the permuted control."""
    made = write_data(tmp_path, subjects=6, n_frames=600, channels=16, noise=0.3, seed=1)
    options = {**QUICK, "epochs": 15, "learning_rate": 5e-3, "test_stride_frames": 32}
    known = read_videos(made.videos)
    truths = [
        Interval(e.subject, e.video, e.onset, e.offset, e.kind)
        for e in read_expressions(made.expressions, known)
        if e.subject in ("s00", "s01")
    ]
    f1 = {}
    methods = {
        "aemnet": {"options": options, "permuted_control": True}, "flow_magnitude": {}, "random_intervals": {},
    }  # fmt: skip
    for method, more in methods.items():
        found = []
        for subject in ("s00", "s01"):
            out = run_fold(
                made, tmp_path / method / subject, f"fake-{subject}", method=method, calibrate="held_out", **more
            )
            found += read_detections(out / "detections.csv", known)
        for row in {d.method for d in found} | {"made_up"}:
            own = [Interval(d.subject, d.video, d.onset, d.offset, d.kind) for d in found if d.method == row]
            f1[row.replace("made_up", method)] = count(own, truths, "one_to_one")["overall"].f1
    assert f1["aemnet"] > 0.6 and f1["aemnet_oracle"] >= f1["aemnet"]
    assert f1["aemnet"] > f1["flow_magnitude"] + 0.1
    assert f1["aemnet"] > 3 * max(f1.get("aemnet_permuted", 0), f1["random_intervals"])
