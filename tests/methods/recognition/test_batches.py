import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from microexp.methods.recognition.mdml.batches import Member, Pool, Source, normalisation, plan
from microexp.methods.recognition.mdml.params import MdmlParams


def member(domain, extra=None, seed=0, test=()):
    domain = np.array(domain)
    extra = np.zeros(len(domain), bool) if extra is None else np.array(extra, bool)
    return Member(seed, domain, np.ones(len(domain), np.float32), extra, np.array(test, dtype=np.int64))


def pool_of(count, channels=("u", "v"), side=6, seed=0):
    maps = torch.randn(count, len(channels), side, side, generator=torch.Generator().manual_seed(seed))
    return Pool(maps, torch.zeros(count, dtype=torch.int64), channels)


@pytest.mark.long
@given(st.integers(3, 40), st.integers(2, 16), st.integers(1, 9))
def test_a_plan_goes_epochs_times_through_the_training_clips(count, batch, epochs):
    options = MdmlParams(batch_size=batch, epochs=epochs)
    one = member([0] * count + [-1] * 3)
    drawn = plan(one, options).clips
    assert drawn.shape == (max(1, round(epochs * count / batch)), batch)
    times = np.bincount(drawn.ravel(), minlength=count + 3)
    assert (times[count:] == 0).all() and times[:count].max() - times[:count].min() <= 1


def test_sources_are_drawn_in_turn_and_beside_the_target():
    options = MdmlParams(batch_size=8, epochs=4)
    one = member([0] * 16 + [1] * 4 + [2] * 50 + [-1], [False] * 16 + [True] * 55)
    drawn = plan(one, options).clips
    domain = one.domain[drawn]
    assert (np.sort(domain, 1) == [0] * 8 + [1] * 2 + [2] * 2).all()


def test_a_plan_is_the_seed_s_alone():
    options = MdmlParams(batch_size=4, epochs=2)
    a, b = plan(member([0] * 9, seed=1), options), plan(member([0] * 9, seed=1), options)
    assert (a.clips == b.clips).all() and (a.mirror == b.mirror).all() and (a.shift == b.shift).all()
    assert (a.clips != plan(member([0] * 9, seed=2), options).clips).any()
    assert not plan(member([0] * 9), options.model_copy(update={"mirror": False})).mirror.any()


def test_gathered_batches_are_shifted_and_mirrored_clips():
    pool = pool_of(3, ("u", "v"))
    source = Source(pool, 2)
    clips, mirror = torch.tensor([[2], [1]]), torch.tensor([[False], [True]])
    shift = torch.tensor([[[2, 2]], [[2, 2]]])
    x = source.batch(clips, mirror, shift)
    assert torch.equal(x[0, 0], pool.maps[2])
    assert torch.equal(x[1, 0, 0], -pool.maps[1, 0].flip(-1)) and torch.equal(x[1, 0, 1], pool.maps[1, 1].flip(-1))
    moved = source.batch(clips[:1], mirror[:1], torch.tensor([[[0, 3]]]))[0, 0]  # 2 up is down, 1 left
    assert torch.equal(moved[:, 2:, :-1], pool.maps[2][:, :-2, 1:])
    assert torch.equal(moved[:, 0, :-1], pool.maps[2][:, 0, 1:])  # the border is repeated


def test_scale_keeps_zero_and_makes_the_rms_one():
    pool = pool_of(5)
    pool.maps[:, 1] *= 7
    scaling = normalisation(pool, [member([0, 0, 0, -1, -1]), member([-1, 0, 0, 0, 0])], "scale")
    x = scaling.apply(pool.maps[:3].unsqueeze(1).expand(-1, 2, -1, -1, -1))
    torch.testing.assert_close(x[:, 0].square().mean((0, 2, 3)), torch.ones(2))
    assert scaling.mean.abs().max() == 0


def test_pixel_normalisation_is_that_of_clips_and_mirrors():
    pool = pool_of(30)
    rows = [0] * 20 + [-1] * 10
    scaling = normalisation(pool, [member(rows)], "pixel")
    both = torch.cat([pool.maps[:20], pool.mirrored()[:20]])
    x = scaling.apply(both.unsqueeze(1))[:, 0]
    torch.testing.assert_close(x.mean(0), torch.zeros(2, 6, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(0, unbiased=False), torch.ones(2, 6, 6))


@pytest.mark.parametrize("how", ["scale", "pixel"])
def test_normalisation_never_sees_what_is_not_trained_on(how):
    pool = pool_of(6)
    one = [member([0, 0, 0, -1, 1, 0], [False] * 5 + [True])]
    before = normalisation(pool, one, how)
    pool.maps[3] = float("nan")
    pool.maps[5] = 1e9  # an extra source does not set the scale either
    after = normalisation(pool, one, how)
    assert torch.equal(before.mean, after.mean) and torch.equal(before.factor, after.factor)


def test_a_clip_is_not_both_trained_on_and_predicted():
    with pytest.raises(AssertionError, match="among the training clips"):
        member([0, 0], test=[1])
