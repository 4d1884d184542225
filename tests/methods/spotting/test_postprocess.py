"""Suppression and consensus: by hand, by property, and against brute force."""

from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from microexp.methods.spotting.params import ChoiceParams
from microexp.methods.spotting.selection import clean, confidence_order, duration_filter, supported, suppress
from microexp.metrics.spotting import closed_iou

PROPOSALS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 25), st.integers(1, 9)), max_size=14
).map(lambda rows: (np.array([(a, a + n) for a, n, _ in rows], float).reshape(-1, 2),
                    np.array([s / 10 for *_, s in rows])))  # fmt: skip
IOUS = st.sampled_from([0.0, 0.2, 0.5, 0.9])
SETTINGS = settings(max_examples=60)


def brute_force(intervals, scores, iou):
    """Take the best, drop what overlaps it, and so on."""
    left = sorted(range(len(scores)), key=lambda i: (-scores[i], *intervals[i]))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if closed_iou(intervals[[best]], intervals[[i]])[0, 0] <= iou]
    return kept


def test_the_better_of_two_that_overlap_stays():
    intervals = np.array([[0, 9], [5, 14], [20, 29]])
    assert suppress(intervals, np.array([0.5, 0.9, 0.1]), 0.2).tolist() == [1, 2]
    assert suppress(intervals, np.array([0.5, 0.9, 0.1]), 0.5).tolist() == [1, 0, 2]
    assert suppress(intervals[:1], np.array([0.5]), 0.2).tolist() == [0]
    assert suppress(np.empty((0, 2)), np.empty(0), 0.2).tolist() == []


def test_a_suppressed_proposal_suppresses_nothing():
    """A overlaps B, B overlaps C, A does not overlap C: C stays."""
    intervals = np.array([[0, 9], [6, 15], [12, 21]])
    assert suppress(intervals, np.array([0.9, 0.8, 0.7]), 0.2).tolist() == [0, 2]


@SETTINGS
@given(PROPOSALS, IOUS)
def test_suppression_agrees_with_brute_force(proposals, iou):
    assert suppress(*proposals, iou).tolist() == brute_force(*proposals, iou)


@SETTINGS
@given(PROPOSALS, IOUS, st.randoms())
def test_suppression_is_idempotent_order_free_and_leaves_no_overlap(proposals, iou, random):
    intervals, scores = proposals
    kept = suppress(intervals, scores, iou)
    overlap = closed_iou(intervals[kept], intervals[kept])
    assert not (overlap[~np.eye(len(kept), dtype=bool)] > iou).any()
    assert suppress(intervals[kept], scores[kept], iou).tolist() == list(range(len(kept)))
    order = np.array(random.sample(range(len(scores)), len(scores)), int)
    again = suppress(intervals[order], scores[order], iou)
    assert _rows(intervals[order][again], scores[order][again]) == _rows(intervals[kept], scores[kept])


def _rows(intervals, scores):
    return [(*map(float, i), round(float(s), 9)) for i, s in zip(intervals, scores, strict=True)]


def test_durations_include_both_limits():
    intervals = np.array([[0, 3], [0, 4], [0, 9], [0, 10]])  # 4, 5, 10, 11 frames
    assert duration_filter(intervals, (5, 10)).tolist() == [False, True, True, False]


def test_consensus_counts_other_supporters_among_the_confident():
    intervals = np.array([[0.0, 9], [0, 9], [1, 9], [40, 49]])
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    kept = intervals[[0, 3]]
    assert supported(kept, intervals, scores, needed=1, iou=0.5, confident=50).tolist() == [True, False]
    assert supported(kept, intervals, scores, needed=2, iou=0.5, confident=50).tolist() == [True, False]
    assert supported(kept, intervals, scores, needed=3, iou=0.5, confident=50).tolist() == [False, False]
    assert supported(kept, intervals, scores, needed=1, iou=0.5, confident=1).tolist() == [
        False,
        False,
    ]  # only itself is confident
    assert supported(kept, intervals, scores, needed=0, iou=0.5, confident=50).tolist() == [True, True]


def test_all_steps_together():
    intervals = np.array([[0.2, 9.4], [1.0, 10.0], [30.0, 39.0], [60.0, 60.0], [70.0, 170.0]])
    kept, scores = clean(intervals, np.array([0.9, 0.8, 0.7, 0.95, 0.99]), (5, 20), options=ChoiceParams())
    assert kept.tolist() == [[0, 9], [30, 39]]  # rounded; too short, too long and overlapping ones are gone
    assert scores.tolist() == [0.9, 0.7]
    loose, _ = clean(intervals, np.array([0.9, 0.8, 0.7, 0.95, 0.99]), (5, 20), options=ChoiceParams(overlap_iou=0.9))
    assert loose.tolist() == [[0, 9], [1, 10], [30, 39]]


@SETTINGS
@given(PROPOSALS, IOUS, st.randoms())
def test_the_order_of_proposals_does_not_matter(proposals, iou, random):
    intervals, scores = proposals
    options = ChoiceParams(overlap_iou=iou, consensus=1)
    order = np.array(random.sample(range(len(scores)), len(scores)), int)
    assert _rows(*clean(intervals, scores, (3, 20), options=options)) == _rows(
        *clean(intervals[order], scores[order], (3, 20), options=options)
    )


def test_consensus_drops_the_lonely():
    intervals = np.array([[0.0, 9.0], [1.0, 10.0], [30.0, 39.0]])
    kept, _ = clean(intervals, np.array([0.5, 0.4, 0.9]), (5, 20), options=ChoiceParams(consensus=1))
    assert kept.tolist() == [[0, 9]]


def test_nothing_stays_nothing():
    kept, scores = clean(np.empty((0, 2)), np.empty(0), (1, 9), options=ChoiceParams(consensus=1))
    assert kept.shape == (0, 2) and scores.shape == (0,)


def test_suppression_in_a_long_video_holds_no_table_of_all_pairs():
    rng = np.random.default_rng(0)
    onset = rng.integers(0, 100_000, 3000).astype(float)
    intervals, scores = np.stack([onset, onset + rng.integers(5, 60, 3000)], 1), rng.random(3000)
    tracemalloc.start()
    kept = suppress(intervals, scores, 0.3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3000 * 3000 * 8 / 20
    order = confidence_order(intervals, scores)
    overlaps = closed_iou(intervals[order], intervals[order]) > 0.3
    expected = []
    for i in range(len(order)):
        if not any(overlaps[j, i] for j in expected):
            expected.append(i)
    assert kept.tolist() == order[expected].tolist()
