"""Choosing threshold and top-k: against brute force, and what wins a tie."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microexp.methods.spotting.params import ChoiceParams
from microexp.methods.spotting.selection import Candidates, Choice, choose, duration_limits, suppress, take
from microexp.metrics.spotting import hits, true_positives

SPANS = st.lists(st.tuples(st.integers(0, 80), st.integers(1, 20), st.integers(1, 30)), max_size=8)


def candidates(proposals, truths):
    intervals = np.array([(a, a + n) for a, n, _ in proposals], float).reshape(-1, 2)
    scores = np.array([s / 10 for *_, s in proposals])
    kept = suppress(intervals, scores, 0.2)
    real = np.array([(a, a + n) for a, n, *_ in truths], float).reshape(-1, 2)
    return Candidates(intervals[kept], scores[kept], real)


def f1_of(videos, choice, matching):
    tp = n = m = 0
    for video in videos:
        taken, _ = take(video.intervals, video.scores, choice)
        tp += true_positives(hits(taken, video.truths, matching), matching)
        n, m = n + len(taken), m + len(video.truths)
    return 2 * tp / (n + m) if n + m else 0.0


@pytest.mark.long
@settings(max_examples=60)
@given(st.lists(st.tuples(SPANS, SPANS), min_size=1, max_size=3))
def test_no_threshold_and_top_k_is_better(data):
    videos = [candidates(p, t) for p, t in data]
    options = ChoiceParams(matching="megc", top_k=(1, 3, 20))
    choice = choose({"micro": videos, "macro": []}, options)["micro"]
    assert choice.f1 == pytest.approx(f1_of(videos, choice, "megc"))
    scores = sorted({0.0, *(s for v in videos for s in v.scores.tolist())})
    best = max(f1_of(videos, Choice(s, k, 0), "megc") for s, k in itertools.product(scores, options.top_k))
    assert choice.f1 >= best - 1e-9


def test_one_to_one_counts_an_expression_once():
    video = Candidates(np.array([[0.0, 9], [0, 8]]), np.array([0.9, 0.8]), np.array([[0.0, 9]]))
    choice = choose({"micro": [video], "macro": []}, ChoiceParams(top_k=(1, 2)))["micro"]
    assert (choice.top_k, choice.f1) == (1, 1.0) and 0.8 < choice.threshold < 0.9


def test_the_higher_threshold_and_the_smaller_top_k_win_a_tie():
    video = Candidates(
        np.array([[0.0, 9], [20, 29], [40, 49]]), np.array([0.9, 0.6, 0.5]), np.array([[0.0, 9], [40, 49]])
    )
    choice = choose({"micro": [video], "macro": []}, ChoiceParams(top_k=(1, 2, 3)))["micro"]
    # one of one prediction: F1 2/3; two of three: 4/5
    assert (choice.f1, choice.top_k) == (0.8, 3) and choice.threshold <= 0.5
    empty = Candidates(np.empty((0, 2)), np.empty(0), np.array([[0.0, 9]]))
    assert choose({"micro": [empty], "macro": [empty]}, ChoiceParams())["macro"].f1 == 0


def test_when_nothing_hits_nothing_is_predicted():
    video = Candidates(np.array([[50.0, 59]]), np.array([0.9]), np.array([[0.0, 9]]))
    choice = choose({"micro": [video], "macro": []}, ChoiceParams())["micro"]
    assert choice.f1 == 0 and len(take(video.intervals, video.scores, choice)[0]) == 0


def test_overall_weighs_the_kinds_together():
    """Micro alone is best with its two good ones of ten; overall they cost more than they bring."""
    micro = Candidates(np.array([[100.0 * i, 100 * i + 9] for i in range(10)]), np.full(10, 0.5), np.array([[0.0, 9]]))
    macro = Candidates(np.array([[0.0, 29], [100, 129]]), np.array([0.9, 0.9]), np.array([[0.0, 29], [100, 129]]))
    videos = {"micro": [micro], "macro": [macro]}
    options = ChoiceParams(top_k=(20,))
    apart = choose(videos, options.model_copy(update={"maximise": "kinds"}))
    assert apart["micro"].threshold <= 0.5
    overall = choose(videos, options)
    assert len(take(micro.intervals, micro.scores, overall["micro"])[0]) == 0
    assert overall["macro"].f1 == 1
    totals = {k: take(videos[k][0].intervals, videos[k][0].scores, overall[k])[0] for k in videos}
    assert len(totals["macro"]) == 2


def test_taking_stops_at_threshold_and_top_k():
    intervals, scores = np.array([[0, 9], [20, 29], [40, 49]]), np.array([0.9, 0.6, 0.5])
    assert take(intervals, scores, Choice(0.6, 5, 0))[0].tolist() == [[0, 9], [20, 29]]
    assert take(intervals, scores, Choice(0.0, 1, 0))[0].tolist() == [[0, 9]]
    assert len(take(intervals, scores, Choice(0.95, 5, 0))[0]) == 0


def test_limits_are_quantiles_of_the_lengths_widened():
    limits = duration_limits({"micro": [0.2, 0.3, 0.4], "macro": []}, 0.0, 0.5)
    assert limits["micro"] == pytest.approx([0.1, 0.6])
    assert limits["macro"] == [0.0, 0.0]
    assert duration_limits({"micro": [0.0, 0.5, 1.0]}, 0.25, 0.0)["micro"] == pytest.approx([0.25, 0.75])
