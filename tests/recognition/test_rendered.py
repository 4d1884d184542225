from dataclasses import replace

import numpy as np
import pytest

from microexp.recognition import rendered
from microexp.recognition.rendered import UNITS, Variation, render_source

CLASSES = {"negative": ["anger", "disgust"], "positive": ["happiness"], "surprise": ["surprise", "amazement"]}
STILL = Variation(noise=0.0, head=0.0, blink=0.0, stray=0.0, shift=0.0)


@pytest.fixture(scope="module")
def clips():
    return render_source(CLASSES, 60, seed=3, people=2, how=STILL)


def test_classes_are_equally_many_and_maps_have_the_form_of_clips(clips):
    assert clips.maps.shape == (60, 3, 28, 28) and clips.maps.dtype == np.float32
    assert np.isin(clips.emotion, ["anger", "disgust"]).sum() == 20
    assert (clips.emotion == "happiness").sum() == (clips.emotion == "surprise").sum() == 20
    assert set(clips.dataset) == {"rendered"} and set(clips.subject) == {"p00", "p01"}
    np.testing.assert_allclose(np.square(clips.maps).mean((2, 3)), 1, atol=1e-2)
    assert (clips.maps[:, 2] >= 0).all()


def test_mouth_corners_rise_in_happiness_brows_rise_in_surprise_and_fall_in_anger(clips):
    v = clips.maps[:, 1]  # down
    brows, mouth = v[:, 2:9, 6:22].mean((1, 2)), v[:, 16:24, 4:24].mean((1, 2))
    brow_way = np.isin(clips.emotion, ["surprise"]) & (np.abs(brows) > 0.5 * np.abs(mouth))
    assert brow_way.sum() >= 12 and (brows[brow_way] < 0).all()
    assert (mouth[clips.emotion == "happiness"] < 0).mean() > 0.9
    assert (brows[clips.emotion == "anger"] > 0).mean() > 0.6


def test_same_seed_same_maps_another_seed_others():
    one, again, other = (render_source(CLASSES, 6, seed, people=1) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.maps, again.maps)
    assert np.abs(one.maps - other.maps).max() > 0.1


def test_noise_and_head_motion_change_the_maps_by_about_their_share():
    still = render_source(CLASSES, 12, 1, people=1, how=STILL)
    moved = render_source(CLASSES, 12, 1, people=1, how=replace(STILL, noise=1.0))
    corner = (slice(None), slice(0, 2), slice(0, 3), slice(0, 3))
    assert np.abs(moved.maps[corner]).mean() > 3 * np.abs(still.maps[corner]).mean()


def test_a_class_that_cannot_be_rendered_is_an_error():
    with pytest.raises(ValueError, match="'odd' can be rendered"):
        render_source({"odd": ["bored"], "positive": ["happiness"]}, 3, 0)


def test_every_way_uses_units_that_the_head_has():
    for ways in rendered.WAYS.values():
        assert all(weight > 0 and set(way) <= set(UNITS) for weight, way in ways)
