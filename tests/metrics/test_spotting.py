"""Counting, F1, bootstrap and STRS, rule by rule and against brute force."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microexp.metrics.spotting import (
    Counts,
    Interval,
    bootstrap_f1,
    closed_iou,
    count,
    count_subjects,
    hits,
    pairs,
    strs,
    true_positives,
)


def interval(onset, offset, kind="micro", video="s1_1", subject="s1", emotion=""):
    return Interval(subject, video, onset, offset, kind, emotion)


def counts(predictions, truths, matching, kind="micro"):
    c = count(predictions, truths, matching)[kind]
    return c.true_positives, c.predictions, c.truths


BOTH = pytest.mark.parametrize("matching", ["megc", "one_to_one"])


@BOTH
def test_an_iou_of_exactly_one_half_is_a_hit(matching):
    truth = [interval(10, 19)]  # 10 frames
    assert counts([interval(10, 29)], truth, matching) == (1, 1, 1)  # 10 of 20
    assert counts([interval(10, 30)], truth, matching) == (0, 1, 1)  # 10 of 21
    assert counts([interval(15, 24)], truth, matching) == (0, 1, 1)  # 5 of 15
    assert counts([interval(12, 16)], truth, matching) == (1, 1, 1)  # 5 of 10
    assert counts([interval(12, 15)], truth, matching) == (0, 1, 1)  # 4 of 10


@BOTH
def test_both_ends_belong_to_an_interval(matching):
    """[0, 2] and [1, 3] share 2 of 4 frames; half-open intervals would share 1 of 3."""
    assert closed_iou(np.array([[0, 2]]), np.array([[1, 3]]))[0, 0] == 0.5
    assert counts([interval(0, 2)], [interval(1, 3)], matching) == (1, 1, 1)


def test_one_prediction_over_two_expressions():
    truths = [interval(0, 9), interval(10, 19)]
    assert counts([interval(0, 19)], truths, "megc") == (2, 1, 2)
    assert counts([interval(0, 19)], truths, "one_to_one") == (1, 1, 2)


def test_two_predictions_on_one_expression_are_one_true_positive():
    predictions = [interval(0, 9), interval(1, 9)]
    for matching in ("megc", "one_to_one"):
        assert counts(predictions, [interval(0, 9)], matching) == (1, 2, 1)


def test_one_to_one_finds_the_largest_matching():
    """The first prediction alone could take either expression; only one choice leaves room for the second."""
    truths = [interval(0, 9), interval(5, 14)]
    predictions = [interval(3, 12), interval(0, 7)]
    assert hits(np.array([[3, 12], [0, 7]]), np.array([[0, 9], [5, 14]]), "one_to_one").tolist() == [
        [True, True],
        [True, False],
    ]
    assert counts(predictions, truths, "one_to_one") == (2, 2, 2)


def test_predictions_around_ground_truths_that_lie_apart_need_no_assignment_solver(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)  # whoever imports it fails
    truths, predictions = np.array([[0, 9], [20, 29], [40, 49]]), np.array([[1, 12], [0, 8], [21, 29], [60, 70]])
    iou = closed_iou(predictions, truths)
    assert pairs(iou >= 0.5, iou) == {0: 1, 1: 2}
    assert pairs(np.zeros((0, 3), bool), np.zeros((0, 3))) == {} == pairs(np.zeros((2, 0), bool), np.zeros((2, 0)))


@BOTH
def test_the_wrong_kind_is_no_hit_and_overall_adds_the_kinds(matching):
    result = count([interval(0, 9, "macro")], [interval(0, 9, "micro")], matching)
    assert result["micro"] == Counts(0, 0, 1)
    assert result["macro"] == Counts(0, 1, 0)
    assert result["overall"] == Counts(0, 1, 1)


@BOTH
def test_a_prediction_in_another_video_or_subject_is_no_hit(matching):
    truth = [interval(0, 9)]
    assert counts([interval(0, 9, video="s1_2")], truth, matching) == (0, 1, 1)
    assert counts([interval(0, 9, subject="s2")], truth, matching) == (0, 1, 1)


@BOTH
def test_predictions_in_videos_without_expressions_count(matching):
    assert counts([interval(0, 9, video="empty")], [], matching) == (0, 1, 0)
    assert counts([], [], matching) == (0, 0, 0)
    assert count([], [], matching)["overall"].f1 == 0


def test_a_single_frame_hits_nothing_in_the_official_script():
    single = [interval(5, 5)]
    assert counts(single, single, "megc") == (0, 1, 1)
    assert counts(single, single, "one_to_one") == (1, 1, 1)
    assert counts([interval(9, 3)], [interval(3, 9)], "megc") == (0, 1, 1)


def test_f1_is_that_of_the_published_counts():
    c = Counts(21, 5035, 57)
    assert c.f1 == pytest.approx(0.008248, abs=1e-6)
    assert (Counts(21, 5035, 57) + Counts(109, 1523, 300)).f1 == pytest.approx(0.0376, abs=1e-4)
    assert (c.precision, c.recall) == (21 / 5035, 21 / 57)
    assert (Counts().precision, Counts().recall) == (0, 0)


def test_subjects_add_up_and_silent_ones_are_listed():
    predictions = [interval(0, 9), interval(0, 9, subject="s2")]
    truths = [interval(0, 9), interval(50, 59, "macro", subject="s3")]
    rows = count_subjects(predictions, truths, "megc", subjects=["s4"])
    assert list(rows) == ["s1", "s2", "s3", "s4"]
    assert rows["s1"]["overall"] == Counts(1, 1, 1)
    assert rows["s4"]["overall"] == Counts(0, 0, 0)
    total = sum((r["overall"] for r in rows.values()), Counts())
    assert total == count(predictions, truths, "megc")["overall"]


def test_the_bootstrap_draws_subjects():
    rows = {s: {k: Counts(s % 2, 1, 1) for k in ("micro", "macro", "overall")} for s in range(20)}
    low, high = bootstrap_f1([rows], 2000, 0)["micro"]
    assert 0.2 < low < 0.35 and 0.65 < high < 0.8  # binomial(20, .5) / 20: .28 to .72
    assert bootstrap_f1([rows], 2000, 0) == bootstrap_f1([rows], 2000, 0)
    same = {s: {k: Counts(1, 2, 2) for k in ("micro", "macro", "overall")} for s in range(5)}
    assert bootstrap_f1([same], 100, 0)["overall"] == (0.5, 0.5)
    assert np.isnan(bootstrap_f1([same], 0, 0)["overall"][0])


def test_strs_multiplies_spotting_by_recognition_of_what_was_spotted():
    truths = [interval(0, 9, emotion="a"), interval(20, 29, emotion="b"), interval(50, 59, emotion="a")]
    predictions = [interval(0, 9, emotion="a"), interval(20, 29, emotion="a"), interval(80, 89, emotion="b")]
    # spotted: a as a, b as a: precision of a 1/2 and of b 0, recall 1 and 0
    score = strs(predictions, truths)
    assert (score.true_positives, score.false_positives, score.false_negatives) == (2, 1, 1)
    assert (score.precision, score.recall, score.uf1) == (0.25, 0.5, pytest.approx(1 / 3))
    assert score.f1_analysis == pytest.approx(1 / 3)
    assert score.strs == pytest.approx(2 / 3 / 3)
    assert strs([], truths).strs == 0 == strs(predictions, []).strs


def test_strs_counts_every_emotion_of_the_ground_truth():
    """The analysis is not only about what was spotted: an emotion that nobody found counts 0."""
    truths = [interval(20 * i, 20 * i + 9, emotion=e) for i, e in enumerate("abcd")]
    predictions = truths[:2]
    assert strs(predictions, truths).f1_analysis == pytest.approx(0.5)
    assert strs(predictions, truths).strs == pytest.approx(2 * 2 / 6 * 0.5)


def test_strs_of_a_single_emotion_is_0_as_in_the_reference():
    same = [interval(0, 9, emotion="a"), interval(20, 29, emotion="a")]
    assert strs(same, same).f1_spotting == 1 and strs(same, same).strs == 0


def test_strs_gives_a_truth_to_the_first_prediction_and_a_prediction_to_several_truths():
    truths = [interval(0, 9, emotion="a"), interval(10, 19, emotion="b")]
    wide, narrow = interval(0, 19, emotion="a"), interval(0, 9, emotion="b")
    assert strs([wide, narrow], truths).true_positives == 2
    assert strs([wide, narrow], truths).false_positives == 1  # nothing is free any more
    assert strs([narrow, wide], truths).false_positives == 0


def test_strs_passes_over_what_the_reference_passes_over():
    truths = [interval(0, 9, emotion="a"), interval(20, 29, emotion="b"), interval(0, 9, subject="t", emotion="a")]
    predictions = [*truths[:2], interval(0, 9, video="empty", emotion="a")]
    assert strs(predictions, truths).strs == 1
    every = strs(predictions, truths, every_video=True)
    assert (every.false_positives, every.false_negatives) == (1, 1) and every.strs == pytest.approx(2 / 3)


SPANS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 10)), max_size=5)


def _arrays(spans):
    return np.array([(a, a + n) for a, n in spans], float).reshape(-1, 2)


def _brute_iou(a, b):
    first, second = set(range(int(a[0]), int(a[1]) + 1)), set(range(int(b[0]), int(b[1]) + 1))
    return len(first & second) / len(first | second)


@pytest.mark.long
@given(SPANS, SPANS)
def test_iou_and_matching_agree_with_brute_force(first, second):
    a, b = _arrays(first), _arrays(second)
    iou = closed_iou(a, b)
    assert iou.shape == (len(a), len(b))
    for i, j in itertools.product(range(len(a)), range(len(b))):
        assert iou[i, j] == pytest.approx(_brute_iou(a[i], b[j]))
    found = hits(a, b, "one_to_one")
    best = (0, 0.0)
    few, many = (range(len(a)), range(len(b))) if len(a) <= len(b) else (range(len(b)), range(len(a)))
    for order in itertools.permutations(many, len(few)):
        matched = [(i, j) if len(a) <= len(b) else (j, i) for i, j in zip(few, order, strict=True)]
        values = [float(iou[i, j]) for i, j in matched if found[i, j]]
        best = max(best, (len(values), sum(values)))
    assert true_positives(found, "one_to_one") == best[0]
    owner = pairs(found, iou)
    assert len(set(owner.values())) == len(owner) and all(found[p, t] for t, p in owner.items())
    assert (len(owner), sum(iou[p, t] for t, p in owner.items())) == pytest.approx(best)
    assert true_positives(found, "megc") == sum(found[:, j].any() for j in range(len(b)))


def _reference(predictions, truths):
    """The published algorithm again, by sets and loops: (F1 of spotting, F1 of the analysis)."""
    taken, lone, used = [], 0, set()
    for p in predictions:
        mine = [
            n for n, t in enumerate(truths)
            if n not in used and _brute_iou((p.onset, p.offset), (t.onset, t.offset)) >= 0.5
        ]  # fmt: skip
        used |= set(mine)
        taken += [(truths[n].emotion, p.emotion) for n in mine]
        lone += not mine
    precision = recall = 0.0
    labels = {t.emotion for t in truths}
    for label in labels:
        both = [(t == label, p == label) for t, p in taken]
        if len({*(t for t, _ in both), *(p for _, p in both)}) < 2:
            continue
        right = both.count((True, True))
        precision += right / max(1, sum(p for _, p in both)) / len(labels)
        recall += right / max(1, sum(t for t, _ in both)) / len(labels)
    spotting = 2 * len(taken) / (2 * len(taken) + lone + len(truths) - len(used))
    return spotting, 2 * precision * recall / (precision + recall) if precision + recall else 0


EMOTIONS = st.lists(st.sampled_from("abc"), min_size=5, max_size=5)


@pytest.mark.long
@given(SPANS, SPANS, EMOTIONS, EMOTIONS)
def test_strs_is_the_references(first, second, felt, shown):
    predictions = [interval(a, a + n, emotion=e) for (a, n), e in zip(first, felt, strict=False)]
    truths = [interval(a, a + n, emotion=e) for (a, n), e in zip(second, shown, strict=False)]
    score = strs(predictions, truths)
    if predictions and truths:
        assert (score.f1_spotting, score.f1_analysis) == pytest.approx(_reference(predictions, truths))


@given(SPANS, SPANS, st.randoms())
def test_counts_do_not_depend_on_the_order(first, second, random):
    predictions, truths = ([interval(a, a + n) for a, n in spans] for spans in (first, second))
    before = [count(predictions, truths, m) for m in ("megc", "one_to_one")]
    random.shuffle(predictions)
    random.shuffle(truths)
    assert [count(predictions, truths, m) for m in ("megc", "one_to_one")] == before
