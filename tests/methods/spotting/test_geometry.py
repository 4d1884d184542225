"""Levels, points and anchors of the two published settings and of odd windows."""

from __future__ import annotations

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.methods.spotting.aemnet.geometry import level_lengths, make_geometry

RATIOS = (0.5, 0.75, 1.0, 1.5, 2.0)


def test_the_cas_me2_setting_has_150_anchors_and_30_points():
    geometry = make_geometry(128, 2, 2, levels=None, ratios=RATIOS)
    assert geometry.window_steps == 64 and geometry.window_frame == 128
    assert geometry.lengths == (16, 8, 4, 2)
    assert len(geometry.points) == 30 and len(geometry.anchor_centres) == 150
    assert sorted(set(geometry.strides.tolist())) == [8, 16, 32, 64]
    assert geometry.points[:2].tolist() == [4, 12] and geometry.points[-2:].tolist() == [32, 96]
    assert geometry.anchor_widths[:5].tolist() == [4, 6, 8, 12, 16]
    assert geometry.anchor_centres[:6].tolist() == [4] * 5 + [12]
    ranges = [tuple(r) for r in np.unique(geometry.ranges, axis=0).tolist()]
    assert ranges == [(0, 8), (8, 32), (32, 64), (64, np.inf)]


def test_the_samm_lv_setting_has_seven_levels():
    geometry = make_geometry(1024, 2, 2, levels=None, ratios=RATIOS)
    assert geometry.lengths == (128, 64, 32, 16, 8, 4, 2)
    assert geometry.strides.max() == 512
    assert make_geometry(128, 2, 2, levels=None, ratios=RATIOS).lengths == (16, 8, 4, 2)  # or 128 frames at 30 fps


@pytest.mark.parametrize(
    ("steps", "stride", "levels", "expected"),
    [(64, 2, None, (16, 8, 4, 2)), (32, 1, None, (16, 8, 4, 2)), (50, 2, None, (13, 7, 4, 2)),
     (64, 2, 1, (16,)), (64, 2, 6, (16, 8, 4, 2, 1, 1)), (8, 2, None, (2,)), (9, 2, None, (3, 2))],
)  # fmt: skip
def test_levels_follow_from_the_window(steps, stride, levels, expected):
    assert level_lengths(steps, stride, levels) == expected


def test_one_level_takes_every_length():
    assert make_geometry(128, 2, 2, levels=1, ratios=RATIOS).ranges[0].tolist() == [0, np.inf]


@pytest.mark.parametrize(("window", "step"), [(127, 2), (14, 2)])
def test_a_window_that_does_not_fit_is_refused(window, step):
    with pytest.raises(UserError, match="window_frames"):
        make_geometry(window, step, 2, levels=None, ratios=RATIOS)
