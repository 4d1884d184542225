"""Targets by hand, and against a slow reference."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from microexp.methods.spotting.aemnet.geometry import make_geometry
from microexp.methods.spotting.aemnet.targets import anchor_targets, make_targets, point_targets

GEOMETRY = make_geometry(128, 2, 2, None, (0.5, 0.75, 1.0, 1.5, 2.0))
TABLES = st.lists(
    st.tuples(st.integers(0, 100), st.integers(2, 60), st.sampled_from([1, 2])), max_size=4
).map(lambda rows: np.array(sorted((a, a + n, k) for a, n, k in rows), float).reshape(-1, 3))  # fmt: skip


def test_a_point_regresses_the_ends_of_the_expression_around_it():
    label, distance = point_targets(np.array([[10.0, 20.0, 1.0]]), GEOMETRY)
    assert not label.any()  # the point at 12 has an end 8 frames away, and its level's range [0, 8) ends there
    label, distance = point_targets(np.array([[9.0, 17.0, 2.0]]), GEOMETRY)
    assert np.flatnonzero(label).tolist() == [1]
    assert label[1] == 2 and distance[1].tolist() == [3 / 8, 5 / 8]


def test_the_shortest_expression_wins():
    label, _ = point_targets(np.array([[0.0, 40.0, 2.0], [18.0, 31.0, 1.0]]), GEOMETRY)
    place = 17
    assert GEOMETRY.points[place] == 24 and GEOMETRY.strides[place] == 16
    # both fit the range [8, 32) of this level's point only if their farther end is 8 to 32 frames away
    assert label[place] == 2  # the short one's ends are 6 and 7 frames away: not in the range
    label, _ = point_targets(np.array([[0.0, 40.0, 2.0], [14.0, 36.0, 1.0]]), GEOMETRY)
    assert label[place] == 1


def test_anchors_are_positive_above_and_negative_below_the_limits():
    width, centre = GEOMETRY.anchor_widths, GEOMETRY.anchor_centres
    table = np.array([[16.0, 24.0, 1.0]])
    label, offset = anchor_targets(table, GEOMETRY, 0.5, 0.4)
    iou = np.array([_iou((c - w / 2, c + w / 2), (16, 24)) for c, w in zip(centre, width, strict=True)])
    assert (label[iou > 0.5] == 1).all() and (iou > 0.5).any()
    assert (label[iou < 0.4] == 0).all()
    assert (label[(iou >= 0.4) & (iou <= 0.5)] == -1).all() and ((iou >= 0.4) & (iou <= 0.5)).any()
    exact = int(np.flatnonzero((centre == 20) & (width == 8))[0])
    assert offset[exact].tolist() == [0, 0]
    wider = int(np.flatnonzero((centre == 20) & (width == 12))[0])
    assert np.allclose(offset[wider], [0, np.log(8 / 12)])


def _iou(a, b):
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return shared / (a[1] - a[0] + b[1] - b[0] - shared)


@settings(max_examples=50)
@given(TABLES)
def test_targets_agree_with_a_slow_reference(table):
    label, distance = point_targets(table, GEOMETRY)
    for i, (point, stride, (low, high)) in enumerate(
        zip(GEOMETRY.points, GEOMETRY.strides, GEOMETRY.ranges, strict=True)
    ):
        best = None
        for start, end, kind in table:
            left, right = point - start, end - point
            if min(left, right) > 0 and low <= max(left, right) < high and (best is None or end - start < best[0]):
                best = (end - start, kind, left / stride, right / stride)
        assert label[i] == (best[1] if best else 0)
        if best:
            assert np.allclose(distance[i], best[2:])
    label, offset = anchor_targets(table, GEOMETRY, 0.5, 0.4)
    for i, (centre, width) in enumerate(zip(GEOMETRY.anchor_centres, GEOMETRY.anchor_widths, strict=True)):
        ious = [_iou((centre - width / 2, centre + width / 2), row) for row in table]
        best = int(np.argmax(ious)) if ious else None
        score = ious[best] if ious else 0
        expected = table[best, 2] if score > 0.5 else (-1 if score >= 0.4 else 0)
        assert label[i] == expected
        if label[i] > 0:
            start, end, _ = table[best]
            decoded = offset[i, 0] * width + centre, np.exp(offset[i, 1]) * width
            assert np.allclose(decoded, [(start + end) / 2, end - start], atol=1e-3)


def test_targets_of_several_windows_stand_together():
    targets = make_targets([np.empty((0, 3)), np.array([[9.0, 17.0, 2.0]])], GEOMETRY, 0.5, 0.4)
    assert targets.point_label.shape == (2, 30) and targets.anchor_offset.shape == (2, 150, 2)
    assert not targets.point_label[0].any() and targets.point_label[1].any()
    assert targets.anchor_label.dtype == np.int8
