"""Varied training features: what changes and what does not, and that fits still do not meet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from microexp.errors import UserError
from microexp.methods.spotting.aemnet import features
from microexp.methods.spotting.aemnet.features import generator, other_side, vary
from microexp.methods.spotting.aemnet.params import AemnetParams
from microexp.methods.spotting.aemnet.training import state_of
from tests.methods.spotting.test_training import OPTIONS, train_some, weights

CHANNELS = ("lip_left.span6", "lip_right.span6", "tip_middle.span6", "lip_left.speed", "alone_left.speed", "plain")
MIRROR = np.array([1, 0, 2, 3, 4, 5])
VARIED = OPTIONS.model_copy(update={"augment": 1.0})


def drawn(amount: float, seed: int, values: np.ndarray) -> np.ndarray:
    return vary(values, MIRROR, amount, rng=np.random.default_rng(seed))


def test_sides_are_swapped_where_both_are_there():
    assert other_side(CHANNELS).tolist() == MIRROR.tolist()


def test_without_an_amount_half_of_the_videos_are_mirrored_and_nothing_else_changes():
    values = np.random.default_rng(0).normal(0, 2, (50, 6)).astype(np.float32)
    found = [drawn(0.0, seed, values) for seed in range(60)]
    mirrored = [np.allclose(f, values[:, MIRROR], atol=1e-4) for f in found]
    assert all(m or np.allclose(f, values, atol=1e-4) for m, f in zip(mirrored, found, strict=True))
    assert 15 < sum(mirrored) < 45


def test_strength_noise_and_silent_channels_grow_with_the_amount():
    values = np.full((4000, 6), 3.0, np.float32)
    for amount in (0.3, 1.0):
        found = np.stack([drawn(amount, seed, values) for seed in range(100)])
        silent = (found == 0).all(1)
        assert silent.mean() == pytest.approx(0.2 * amount, abs=0.05)
        assert found.dtype == np.float32 and found.std(1)[~silent].mean() == pytest.approx(0.4 * amount, rel=0.02)
        strength = np.log(np.sinh(np.array([f[:, ~s].mean() for f, s in zip(found, silent, strict=True)]) / 2))
        assert strength.std() == pytest.approx(0.6 * amount, rel=0.25)


def test_draws_depend_on_seed_epoch_and_video_alone():
    values = np.ones((3, 6), np.float32)
    keys = [(0, 1, ("d", "a", "v")), (0, 1, ("d", "b", "v")), (0, 2, ("d", "a", "v")), (1, 1, ("d", "a", "v"))]
    found = [vary(values, MIRROR, 1.0, rng=generator(*key)) for key in keys]
    assert np.array_equal(found[0], vary(values, MIRROR, 1.0, rng=generator(*keys[0])))
    assert all(not np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.long
@pytest.mark.parametrize("chosen", [(1,), (2, 0)])
def test_a_varied_fit_is_the_same_alone_and_in_any_stack_and_learns(chosen):
    together, fewer = train_some(options=VARIED), train_some(chosen, options=VARIED)
    for k, fit in zip(chosen, fewer, strict=True):
        assert torch.allclose(weights(fit), weights(together[k]), rtol=1e-3, atol=1e-4)
        losses = [row[2] for row in fit.log]
        assert losses[-1] < 0.9 * losses[0]
    plain = train_some(chosen)[0]
    assert not torch.allclose(weights(plain), weights(fewer[0]), rtol=1e-3, atol=1e-2)


@pytest.mark.long
def test_an_interrupted_varied_training_goes_on_to_the_same_bytes():
    states = []
    fits = train_some(options=VARIED, after_epoch=lambda fits: states.append(state_of(sorted(fits, key=_by_seed))))
    again = train_some(options=VARIED, state=states[1])
    assert [len(fit.log) for fit in again] == [len(fit.log) for fit in fits]
    assert all(torch.equal(weights(a), weights(b)) for a, b in zip(again, fits, strict=True))


def _by_seed(fit):
    return fit.seed


def test_features_that_do_not_fit_in_memory_cannot_be_varied(monkeypatch):
    monkeypatch.setattr(features, "KEEP_BYTES", 0)
    with pytest.raises(UserError, match="do not fit in memory"):
        train_some((0,), options=VARIED)


def test_it_is_for_motion_alone_and_leaves_no_trace_where_it_is_off():
    assert AemnetParams.model_validate({"augment": 0.5, "network": {"streams": ["motion"]}}).augment == 0.5
    assert "augment" not in AemnetParams().model_dump(mode="json")
    with pytest.raises(ValidationError, match="motion"):
        AemnetParams(augment=0.5)
