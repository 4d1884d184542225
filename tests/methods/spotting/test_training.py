"""Schedule, batches, devices, checkpoints; that training learns and repeats itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from microexp.errors import UserError
from microexp.methods.spotting.aemnet.features import FeatureStore, list_videos
from microexp.methods.spotting.aemnet.geometry import make_geometry
from microexp.methods.spotting.aemnet.training import (
    LOG_COLUMNS,
    autocast,
    batches,
    learning_rate,
    load_checkpoint,
    reproducible,
    save_checkpoint,
    start_fit,
    train,
)
from microexp.methods.spotting.aemnet.windows import expression_frames, training_windows
from microexp.methods.spotting.params import AemnetParams
from tests.methods.spotting.made_up import draw_expressions, write_data

CPU = torch.device("cpu")
OPTIONS = AemnetParams.model_validate(
    {
        "network": {
            "stem_channels": (4, 4, 4), "channels": 8, "attention_channels": 8, "head_channels": 8, "stem_stride": 1,
        },
        "epochs": 4, "warmup_epochs": 1, "learning_rate": 5e-3, "batch_size": 8,
    }
)  # fmt: skip


def test_the_rate_warms_up_from_above_zero_and_falls_like_a_cosine():
    options = AemnetParams()
    rates = [learning_rate(e, options) for e in range(30)]
    assert rates[0] == pytest.approx(8e-4 / 6)
    assert rates[5] == max(rates) == 8e-4
    assert np.allclose(np.diff(rates[:6]), 8e-4 / 6)
    assert all(a > b for a, b in itertools.pairwise(rates[5:])) and rates[-1] > 0
    assert rates[5 + 25 // 2 + 1] < 4e-4 < rates[5 + 25 // 2]
    assert learning_rate(0, AemnetParams(epochs=1)) == 8e-4


def test_no_batch_holds_a_single_window():
    assert [len(b) for b in batches(np.arange(65), 32)] == [32, 33]
    assert [len(b) for b in batches(np.arange(64), 32)] == [32, 32]
    assert [len(b) for b in batches(np.arange(66), 32)] == [32, 32, 2]
    assert np.concatenate(batches(np.arange(65), 32)).tolist() == list(range(65))


def test_cpus_keep_full_precision():
    with autocast(CPU, "auto"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_settings_and_generators_are_put_back():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with reproducible(CPU):
        assert torch.get_num_threads() == 1
        torch.manual_seed(5)
        torch.rand(3)
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    data = write_data(tmp_path_factory.mktemp("data"), subjects=3, n_frames=300, channels=8)
    videos = list_videos(data.features)
    from microexp.methods.spotting.aemnet.aemnet import read_annotations

    return videos, read_annotations([data.expressions], [data.videos], None)


def fit_once(fold, seed=0, options=OPTIONS):
    videos, annotated = fold
    geometry = make_geometry(128, 4, 1, None, options.network.anchor_ratios)
    with reproducible(CPU), FeatureStore(videos, slice(0, 8), False) as store:
        windows = training_windows(videos, annotated, geometry, 32, 0.9, 1.0, seed)
        fit = start_fit(("aemnet", 0, "main"), seed, 8, geometry, options, CPU)
        train(fit, windows, store, geometry, options, CPU)
    return fit


def test_training_learns_and_repeats_itself(fold):
    fit = fit_once(fold)
    losses = [row[LOG_COLUMNS.index("loss")] for row in fit.log]
    assert len(losses) == 4 and losses[-1] < 0.8 * losses[0]
    assert [row[:4] for row in fit.log] == [("aemnet", 0, "main", e) for e in range(1, 5)]
    assert all(len(row) == len(LOG_COLUMNS) for row in fit.log)
    again = fit_once(fold)
    assert again.log == fit.log
    assert torch.equal(again.optimizer.values, fit.optimizer.values)
    assert not torch.equal(fit_once(fold, seed=1).optimizer.values, fit.optimizer.values)
    assert not fit.network.training


def test_the_number_of_threads_changes_nothing(fold):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = fit_once(fold)
        torch.set_num_threads(2)
        two = fit_once(fold)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one.optimizer.values, two.optimizer.values)


def test_too_few_windows_are_refused(fold):
    with pytest.raises(UserError, match="training window"):
        fit_once((fold[0], {}))


def test_a_checkpoint_belongs_to_its_job(tmp_path, fold):
    fit = fit_once(fold, options=OPTIONS.model_copy(update={"epochs": 1}))
    path = tmp_path / "c"
    assert load_checkpoint(path, "key") is None
    save_checkpoint(path, "key", 0, fit, {"log": []}, CPU)
    assert load_checkpoint(path, "other") is None
    state = load_checkpoint(path, "key")
    assert state is not None and state["fit"]["epoch"] == 1
    path.write_bytes(b"broken")
    with pytest.raises(UserError, match="checkpoint"):
        load_checkpoint(path, "key")


def test_made_up_expressions_do_not_overlap(fold):
    """A check on the generator that the other tests rest on."""
    items = draw_expressions("d", "s", "v", 500, np.random.default_rng(0))
    assert len(items) > 3
    assert all(a.offset < b.onset for a, b in itertools.pairwise(items))
    assert expression_frames(fold[0][0], items).shape == (len(items), 3)
