"""Schedule, batches, stacks, exact resume; that training learns, repeats itself, and that fits do not meet."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from microexp.errors import UserError
from microexp.methods.spotting.aemnet import training
from microexp.methods.spotting.aemnet.geometry import expression_frames, make_geometry
from microexp.methods.spotting.aemnet.params import AemnetParams
from microexp.methods.spotting.aemnet.training import (
    LOG_COLUMNS,
    batches,
    learning_rate,
    product_dtype,
    restore_fits,
    stacks,
    start_fit,
    state_of,
    train_many,
)
from microexp.methods.training import reproducible
from tests.methods.spotting.in_memory import make_fold, make_video
from tests.methods.spotting.made_up import draw_expressions

CPU = torch.device("cpu")
OPTIONS = AemnetParams.model_validate(
    {
        "network": {
            "stem_channels": (4, 4, 4), "channels": 8, "attention_channels": 8, "head_channels": 8, "stem_stride": 1,
        },
        "epochs": 4, "warmup_epochs": 1, "learning_rate": 5e-3, "batch_size": 8,
    }
)  # fmt: skip
GEOMETRY = make_geometry(128, 4, 1, levels=None, ratios=OPTIONS.network.anchor_ratios)
SIZES = ((0, 1), (0,), (1, 2, 3))
SEEDS = (0, 5, 9)


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


def test_cpus_keep_full_precision_unless_told_otherwise():
    assert product_dtype(CPU, "auto") == product_dtype(CPU, "float32") == torch.float32
    assert product_dtype(CPU, "bfloat16") == torch.bfloat16


@pytest.mark.long
def test_training_in_bfloat16_learns_and_repeats_itself():
    half = OPTIONS.model_copy(update={"precision": "bfloat16"})
    first, second, full = train_some((1,), options=half)[0], train_some((1,), options=half)[0], train_some((1,))[0]
    losses = [row[LOG_COLUMNS.index("loss")] for row in first.log]
    assert losses[-1] < 0.8 * losses[0] and losses[0] == pytest.approx(full.log[0][2], rel=0.05)
    assert torch.equal(weights(first), weights(second)) and not torch.equal(weights(first), weights(full))


def train_some(chosen=(0, 1, 2), *, options=OPTIONS, after_epoch=lambda fits: None, state=None):
    """Fits `chosen` of SIZES and SEEDS, trained together."""
    windows, store = make_fold(GEOMETRY, SIZES)
    with reproducible(CPU):
        fits = [
            start_fit(SEEDS[k], in_channels=12, geometry=GEOMETRY, options=options, device=CPU) for k in chosen
        ]  # fmt: skip
        if state is not None:
            restore_fits(fits, state)
        train_many(
            fits, [windows[k] for k in chosen], store, geometry=GEOMETRY, options=options, device=CPU,
            after_epoch=after_epoch,
        )  # fmt: skip
    return fits


def weights(fit):
    return torch.cat([v.double().reshape(-1) for v in fit.network.state_dict().values()])


@pytest.mark.long
def test_training_learns_and_repeats_itself():
    fits = train_some()
    for fit in fits:
        losses = [row[LOG_COLUMNS.index("loss")] for row in fit.log]
        assert len(losses) == 4 and losses[-1] < 0.8 * losses[0]
        assert [row[0] for row in fit.log] == [1, 2, 3, 4] and all(len(row) == len(LOG_COLUMNS) for row in fit.log)
        assert fit.moments is None and not fit.network.training
    windows, _ = make_fold(GEOMETRY, SIZES)
    assert [fit.log[0][-1] for fit in fits] == [len(own) for own in windows]
    assert len({len(own) for own in windows}) == 3  # of different lengths, so that some fits pause
    again = train_some()
    assert [fit.log for fit in again] == [fit.log for fit in fits]
    assert all(torch.equal(weights(a), weights(b)) for a, b in zip(again, fits, strict=True))


@pytest.mark.long
@pytest.mark.parametrize("chosen", [(0,), (1,), (2,), (2, 0), (1, 2)])
def test_a_fit_is_the_same_alone_and_in_any_stack(chosen):
    together, fewer = train_some(), train_some(chosen)
    for k, fit in zip(chosen, fewer, strict=True):
        assert torch.allclose(weights(fit), weights(together[k]), rtol=1e-3, atol=1e-4)
        assert np.allclose(np.array(fit.log, float), np.array(together[k].log, float), rtol=1e-3)
    assert not torch.allclose(weights(together[0]), weights(together[1]), rtol=1e-3, atol=1e-2)


@pytest.mark.long
def test_stacks_of_another_size_change_rounding_only(monkeypatch):
    together = train_some()
    monkeypatch.setattr(training, "STACK_FITS", 2)
    for a, b in zip(train_some(), together, strict=True):
        assert torch.allclose(weights(a), weights(b), rtol=1e-3, atol=1e-4)


def test_wide_networks_are_trained_one_after_the_other():
    with torch.device("meta"):
        wide = [start_fit(0, in_channels=2048, geometry=GEOMETRY, options=AemnetParams(), device=torch.device("meta"))]
    narrow = [start_fit(0, in_channels=12, geometry=GEOMETRY, options=OPTIONS, device=CPU)]
    assert stacks(wide * 3, CPU) == [[0], [1], [2]]
    assert stacks(narrow * 10, CPU) == [list(range(8)), [8, 9]]
    assert stacks(narrow * 10, torch.device("cuda")) == [list(range(10))]


@pytest.mark.long
def test_the_number_of_threads_changes_nothing():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = train_some()
        torch.set_num_threads(2)
        two = train_some()
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(weights(a), weights(b)) for a, b in zip(one, two, strict=True))


@pytest.mark.long
@pytest.mark.parametrize("size", [1, 2, 8])
def test_an_interrupted_training_goes_on_to_the_same_bytes(size, monkeypatch):
    monkeypatch.setattr(training, "STACK_FITS", size)
    states = []
    windows, store = make_fold(GEOMETRY, SIZES)
    with reproducible(CPU):
        fits = [start_fit(seed, in_channels=12, geometry=GEOMETRY, options=OPTIONS, device=CPU) for seed in SEEDS]
        train_many(
            fits, windows, store, geometry=GEOMETRY, options=OPTIONS, device=CPU,
            after_epoch=lambda _: states.append(state_of(fits)),
        )  # fmt: skip
    assert len(states) == {1: 12, 2: 8, 8: 4}[size]
    for state in (states[0], states[len(states) // 2], states[-1]):
        again = train_some(state=state)
        assert [fit.log for fit in again] == [fit.log for fit in fits]
        assert all(torch.equal(weights(a), weights(b)) for a, b in zip(again, fits, strict=True))
    assert states[0] == states[0] and states[0] != states[-1]


def test_after_each_epoch_the_networks_are_those_that_were_trained():
    seen = []
    train_some((0,), after_epoch=lambda fits: seen.append((fits[0].epoch, weights(fits[0]))))
    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4]
    assert all(not torch.equal(a, b) for (_, a), (_, b) in itertools.pairwise(seen))
    short = train_some((0,), options=OPTIONS.model_copy(update={"epochs": 4}))
    assert torch.equal(weights(short[0]), seen[-1][1])


def test_too_few_windows_are_refused():
    windows, store = make_fold(GEOMETRY, SIZES)
    fits = [start_fit(0, in_channels=12, geometry=GEOMETRY, options=OPTIONS, device=CPU) for _ in range(2)]
    with pytest.raises(UserError, match="training window"):
        train_many(fits, [windows[0], windows[1][:1]], store, geometry=GEOMETRY, options=OPTIONS, device=CPU)


@pytest.mark.long
def test_features_that_do_not_fit_in_memory_give_the_same(monkeypatch):
    from microexp.methods.spotting.aemnet import features

    kept = train_some((0, 2))
    monkeypatch.setattr(features, "KEEP_BYTES", 0)
    for a, b in zip(train_some((0, 2)), kept, strict=True):
        assert torch.equal(weights(a), weights(b))


def test_made_up_expressions_do_not_overlap():
    """A check on the generator that the other tests rest on."""
    items = draw_expressions("d", "s", "v", 500, np.random.default_rng(0))
    assert len(items) > 3
    assert all(a.offset < b.onset for a, b in itertools.pairwise(items))
    assert expression_frames(make_video("s", 500)[0], items).shape == (len(items), 3)
