"""Labelled flow of action units: each moves what it should, labels say what was drawn, a seed gives the same maps."""

import numpy as np
import pytest

from microexp.datasets.classes import KNOWN
from microexp.rendered.unit_maps import (
    DEFINITIONS,
    UNITS,
    UnitVariation,
    draw_maps,
    draw_weights,
    make_face,
    movements,
    paired,
)

CALM = {"none_share": 0, "blink_share": 0, "gaze_share": 0, "other_share": 0, "head": 0}


@pytest.fixture(scope="module")
def face():
    return make_face(7, 1)


def flow_of(face, name, side):
    return face.halves[movements().index(name), side]


def centre(flow):
    """x, y of where the flow is."""
    magnitude = np.hypot(flow[..., 0], flow[..., 1])
    y, x = np.mgrid[: len(flow), : len(flow)]
    return (x * magnitude).sum() / magnitude.sum(), (y * magnitude).sum() / magnitude.sum()


def test_units_are_those_of_experiments():
    assert UNITS == KNOWN and set(DEFINITIONS) == set(KNOWN)
    assert not paired("jawLeft") and not paired("mouthLeft") and paired("mouthSmileLeft")


@pytest.mark.long
def test_every_movement_is_where_it_belongs(face):
    nose_x, eyes_y = face.eyes[:, 0].mean(), face.eyes[:, 1].mean()
    for name in ("browInnerUp", "browOuterUp*"):
        for side in (0, 1):
            x, y = centre(flow_of(face, name, side))
            assert y < eyes_y and (x > nose_x) == (side == 0)  # the face's own left is on the right of the picture
            assert flow_of(face, name, side)[..., 1].min() < -1  # upwards
    for side in (0, 1):
        x, y = centre(flow_of(face, "mouthSmile*", side))
        assert y > eyes_y and (x > nose_x) == (side == 0)
        outwards = flow_of(face, "mouthSmile*", side)[..., 0].sum()
        assert outwards > 0 if side == 0 else outwards < 0


def test_the_same_seed_gives_the_same_maps_of_unit_size(face):
    one, two, other = (draw_maps([face], 12, np.random.default_rng(s)) for s in (3, 3, 4))
    assert np.array_equal(one.maps, two.maps) and np.array_equal(one.halves, two.halves)
    assert not np.array_equal(one.maps, other.maps)
    assert one.maps.shape == (12, 2, 28, 28) and one.maps.dtype == np.float32
    assert np.sqrt(np.square(one.maps).mean((1, 2, 3))) == pytest.approx(np.ones(12), abs=1e-3)
    assert np.array_equal(one.units, one.halves.any(2)) and one.units.any()


def test_labels_say_what_moves(face):
    rng = np.random.default_rng(0)
    for _ in range(20):
        weights, shown = draw_weights(rng, face, UnitVariation(**CALM, published_share=0))
        assert 1 <= shown.any(1).sum() <= 3
        for unit, sides in zip(UNITS, shown, strict=True):
            for name in DEFINITIONS[unit]:
                assert (weights[movements().index(name)][sides] > 0).all()


def test_a_map_without_units_has_no_label(face):
    found = draw_maps([face], 5, np.random.default_rng(1), how=UnitVariation(none_share=1, blink_share=0))
    assert not found.halves.any() and np.isfinite(found.maps).all()


def test_one_sided_units_have_one_side(face):
    how = UnitVariation(**CALM, one_sided_share=1)
    found = draw_maps([face], 10, np.random.default_rng(2), how=how)
    assert (found.halves.sum(2)[found.units] == 1).all()
