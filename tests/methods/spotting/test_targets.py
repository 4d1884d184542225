"""Targets by hand, and against a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microexp.methods.spotting.aemnet.geometry import make_geometry
from microexp.methods.spotting.aemnet.targets import anchor_targets, make_targets, point_targets

GEOMETRY = make_geometry(128, 2, 2, levels=None, ratios=(0.5, 0.75, 1.0, 1.5, 2.0))
TABLES = st.lists(
    st.tuples(st.integers(0, 100), st.integers(2, 60), st.sampled_from([1, 2])), max_size=4
).map(lambda rows: np.array(sorted((a, a + n, k) for a, n, k in rows), float).reshape(-1, 3))  # fmt: skip


def test_a_point_regresses_the_ends_of_the_expression_around_it():
    label, distance = point_targets(np.array([[10.0, 20.0, 1.0]]), GEOMETRY)
    # the point at 12 has an end 8 frames away, and its level's range [0, 8) ends there: it is chosen as the nearest
    assert np.flatnonzero(label).tolist() == [1] and distance[1].tolist() == [2 / 8, 8 / 8]
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
    label, offset = anchor_targets(table, GEOMETRY, 0.5, background_iou=0.4)
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


@pytest.mark.long
@settings(max_examples=50)
@given(TABLES)
def test_targets_agree_with_a_slow_reference(table):
    """Where an expression has places of its own; those that are given one are looked at below."""
    label, distance = point_targets(table, GEOMETRY)
    owners = {}
    for i, (point, (low, high)) in enumerate(zip(GEOMETRY.points, GEOMETRY.ranges, strict=True)):
        best = None
        for k, (start, end, _) in enumerate(table):
            left, right = point - start, end - point
            if min(left, right) > 0 and low <= max(left, right) < high:
                best = k if best is None or end - start < table[best, 1] - table[best, 0] else best
        owners[i] = best
    missing = set(range(len(table))) - set(owners.values())
    for i, k in owners.items():
        if k is not None and not missing:
            assert label[i] == table[k, 2]
            start, end, _ = table[k]
            assert np.allclose(
                distance[i] * GEOMETRY.strides[i], [GEOMETRY.points[i] - start, end - GEOMETRY.points[i]]
            )
    assert (label > 0).sum() >= sum(k is not None for k in owners.values())
    assert missing or not any(label[i] for i, k in owners.items() if k is None)
    label, offset = anchor_targets(table, GEOMETRY, 0.5, background_iou=0.4)
    owned = set()
    scores = []
    for centre, width in zip(GEOMETRY.anchor_centres, GEOMETRY.anchor_widths, strict=True):
        ious = [_iou((centre - width / 2, centre + width / 2), row) for row in table]
        best = int(np.argmax(ious)) if ious else None
        scores.append((ious[best] if ious else 0, best))
        owned |= {best} if ious and ious[best] > 0.5 else set()
    if len(owned) == len(table):
        for i, (score, best) in enumerate(scores):
            assert label[i] == (table[best, 2] if score > 0.5 else (-1 if score >= 0.4 else 0))
    for i in np.flatnonzero(label > 0):
        centre, width = GEOMETRY.anchor_centres[i], GEOMETRY.anchor_widths[i]
        decoded = np.array([offset[i, 0] * width + centre, np.exp(offset[i, 1]) * width])
        assert any(np.allclose(decoded, [(a + b) / 2, b - a], atol=1e-3) and k == label[i] for a, b, k in table)


GEOMETRIES = {
    "window 128, step 2": GEOMETRY,
    "window 128, step 1": make_geometry(128, 1, 2, levels=None, ratios=GEOMETRY.ratios),
    "window 1024, step 2": make_geometry(1024, 2, 2, levels=None, ratios=GEOMETRY.ratios),
    "window 1024, step 8": make_geometry(1024, 8, 2, levels=None, ratios=GEOMETRY.ratios),
    "one level, one narrow anchor": make_geometry(128, 4, 1, levels=1, ratios=(0.1,)),
}


@pytest.mark.parametrize(
    "geometry",
    [pytest.param(g, id=n, marks=[pytest.mark.long] * (g.window_frame > 128)) for n, g in GEOMETRIES.items()],
)
def test_every_expression_of_1_to_64_frames_has_a_point_and_an_anchor_wherever_it_lies(geometry):
    for length in range(1, 65):
        places = np.arange(-0.1 * length, geometry.window_frame - 0.9 * length + 1, 1 if length < 9 else 7)
        for start in places[:: max(1, len(places) // 150)]:
            table = np.array([[start, start + length, 1.0]])
            label, distance = point_targets(table, geometry)
            assert (label == 1).any(), (length, start)
            assert (distance >= 0).all() and (distance[label == 1].sum(1) > 0).all()
            assert (anchor_targets(table, geometry, 0.5, background_iou=0.4)[0] == 1).any(), (length, start)


def test_what_is_given_is_the_nearest_of_the_level_that_fits_and_of_equally_near_ones_the_earlier():
    label, distance = point_targets(np.array([[7.5, 8.5, 2.0]]), GEOMETRY)  # points at 4 and 12, and at 8 two levels up
    assert np.flatnonzero(label).tolist() == [0] and label[0] == 2
    assert distance[0].tolist() == [0, 4.5 / 8]  # it lies before its expression: nothing to the left
    label, _ = anchor_targets(np.array([[8.0, 9.0, 2.0]]), GEOMETRY, 0.5, background_iou=0.4)
    (found,) = np.flatnonzero(label == 2)
    iou = [
        _iou((c - w / 2, c + w / 2), (8, 9))
        for c, w in zip(GEOMETRY.anchor_centres, GEOMETRY.anchor_widths, strict=True)
    ]
    assert iou[found] == max(iou) <= 0.5


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1, 120), st.integers(1, 64), st.sampled_from([1, 2])), min_size=1, max_size=12),
    st.sampled_from(sorted(GEOMETRIES)),
)
def test_every_one_of_several_expressions_has_its_own_point_and_anchor(rows, name):
    """Each expression is told by a kind of its own, so that its places can be counted."""
    geometry = GEOMETRIES[name]
    rows = sorted((a, a + n) for a, n, _ in rows)[: len(geometry.points)]
    table = np.array([(a, b, k + 1) for k, (a, b) in enumerate(rows)])
    for label in (point_targets(table, geometry)[0], anchor_targets(table, geometry, 0.5, background_iou=0.4)[0]):
        assert set(range(1, len(table) + 1)) <= set(label.tolist())


def test_more_expressions_than_places_are_logged(capsys):
    crowded = np.array([(k, k + 1, 1) for k in range(40)], float)
    make_targets([crowded], GEOMETRY, 0.5, background_iou=0.4)
    assert "1 windows hold more than 30 expressions" in capsys.readouterr().err
    make_targets([crowded[:30]], GEOMETRY, 0.5, background_iou=0.4)
    assert capsys.readouterr().err == ""


def test_targets_of_several_windows_stand_together():
    targets = make_targets([np.empty((0, 3)), np.array([[9.0, 17.0, 2.0]])], GEOMETRY, 0.5, background_iou=0.4)
    assert targets.point_label.shape == (2, 30) and targets.anchor_offset.shape == (2, 150, 2)
    assert not targets.point_label[0].any() and targets.point_label[1].any()
    assert targets.anchor_label.dtype == np.int8
