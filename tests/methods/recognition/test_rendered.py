from dataclasses import fields, replace

import numpy as np
import pytest

from microexp.rendered import expressions as rendered
from microexp.rendered.expressions import UNITS, Variation, render_source

CLASSES = {"negative": ["anger", "disgust"], "positive": ["happiness"], "surprise": ["surprise", "amazement"]}
STILL = Variation(**dict.fromkeys((f.name for f in fields(Variation)), 0.0))


@pytest.fixture(scope="module")
def clips():
    return render_source(CLASSES, 60, seed=3, people=2, how=STILL)


@pytest.mark.long
def test_classes_are_equally_many_and_maps_have_the_form_of_clips(clips):
    assert clips.maps.shape == (60, 3, 28, 28) and clips.maps.dtype == np.float32
    assert np.isin(clips.emotion, ["anger", "disgust"]).sum() == 20
    assert (clips.emotion == "happiness").sum() == (clips.emotion == "surprise").sum() == 20
    assert set(clips.dataset) == {"rendered"} and set(clips.subject) == {"p00", "p01"}
    np.testing.assert_allclose(np.square(clips.maps).mean((2, 3)), 1, atol=2e-2)
    assert (clips.maps[:, 2] >= 0).all()


def test_mouth_corners_rise_in_happiness_brows_rise_in_surprise_and_fall_in_anger(clips):
    v = clips.maps[:, 1]  # down
    brows, mouth = v[:, 2:9, 6:22].mean((1, 2)), v[:, 16:24, 4:24].mean((1, 2))
    brow_way = np.isin(clips.emotion, ["surprise"]) & (np.abs(brows) > 0.5 * np.abs(mouth))
    assert brow_way.sum() >= 6 and (brows[brow_way] < 0).all()
    assert (mouth[clips.emotion == "happiness"] < 0).mean() > 0.9
    assert (brows[clips.emotion == "anger"] > 0).mean() > 0.6


@pytest.mark.long
def test_contempt_is_on_one_side():
    clips = render_source({"negative": ["contempt"]}, 12, seed=3, people=2, how=STILL)
    left, right = (np.square(half).sum((1, 2, 3)) for half in (clips.maps[..., :14], clips.maps[..., 14:]))
    assert (np.maximum(left, right) > 5 * np.minimum(left, right)).all()
    assert 0 < (left > right).sum() < 12


def test_the_crop_follows_the_eyes():
    """A blink lies .6 of 2.2 below the upper edge and .4 of 1.8 from either side, wherever a person's eyes are."""
    units, _, eyes = rendered.unit_flows(3, 1)
    lids = units[rendered.BLINK].sum(0)
    for shift in (0, 6):
        moved = np.roll(lids, shift, axis=0)
        cut = rendered._crop(np.random.default_rng(0), moved, eyes + np.array([0, shift]), 44, STILL)
        weight = np.square(cut).sum(-1)
        rows, columns = weight.sum(1), weight[:, :22].sum(0)
        assert (np.arange(44) * rows).sum() / rows.sum() / 44 == pytest.approx(0.6 / 2.2, abs=0.05)
        assert (np.arange(22) * columns).sum() / columns.sum() / 44 == pytest.approx(0.4 / 1.8, abs=0.05)


@pytest.mark.long
def test_same_seed_same_maps_another_seed_others():
    one, again, other = (render_source(CLASSES, 6, seed, people=1) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.maps, again.maps)
    assert np.abs(one.maps - other.maps).max() > 0.1


@pytest.mark.long
@pytest.mark.parametrize("name", ["noise", "head"])
def test_noise_and_head_motion_change_the_maps_by_about_their_share(name):
    still, little, much = (
        render_source(CLASSES, 12, 1, people=1, how=replace(STILL, **{name: share})).maps[:, :2]
        for share in (0, 0.1, 1)
    )
    alike = [np.median((still * other).mean((1, 2, 3))) for other in (little, much)]
    assert 0.98 < alike[0] < 1 and 0.5 < alike[1] < 0.9


def test_a_class_that_cannot_be_rendered_is_an_error():
    with pytest.raises(ValueError, match="'odd' can be rendered"):
        render_source({"odd": ["bored"], "positive": ["happiness"]}, 3, 0)


def test_every_way_uses_units_that_the_head_has():
    for ways in rendered.WAYS.values():
        assert all(set(way) <= set(UNITS) for way in ways) and len({frozenset(way) for way in ways}) == len(ways)
