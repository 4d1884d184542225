"""Differences between methods: pairs on the same subjects, values by hand, what their interval says."""

import numpy as np
import pytest

from microexp.metrics.action_units import UnitPrediction, auc_figure
from microexp.metrics.bootstrap import Figure, difference, differences, draws
from microexp.metrics.recognition import Prediction, bootstrap, uf1_figure
from microexp.metrics.spotting import Interval, bootstrap_f1, count_subjects, f1_figure

SUBJECTS = [f"d/s{n:02d}" for n in range(12)]
TRUTHS = [Interval(s, "v", 100 * k, 100 * k + 10, "micro") for s in SUBJECTS for k in range(4)]


def test_every_sample_draws_as_many_subjects_as_there_are_and_the_same_for_all():
    times = draws(7, 50, seed=3)
    assert times.shape == (50, 7) and (times.sum(1) == 7).all()
    assert np.array_equal(times, draws(7, 50, seed=3))
    assert not np.array_equal(times, draws(7, 50, seed=4))


def test_the_interval_of_a_pair_is_of_the_differences_not_of_the_figures():
    hard = np.linspace(0, 1, 101)  # subjects differ far more than the methods do
    value, low, high = difference(Figure(0.6, hard + 0.1), Figure(0.5, hard))
    assert (value, low, high) == pytest.approx((0.1, 0.1, 0.1))


def test_samples_without_a_figure_are_passed_over():
    _, low, high = difference(Figure(0.6, np.array([0.6, np.nan])), Figure(0.5, np.array([0.5, 0.2])))
    assert (low, high) == pytest.approx((0.1, 0.1))
    assert np.isnan(difference(Figure(0.6, np.empty(0)), Figure(0.5, np.empty(0)))[1])


def test_every_pair_stands_once_in_the_order_of_the_methods():
    same = np.zeros(5)
    found = differences("T", {"a": Figure(0.5, same), "b": Figure(0.25, same), "c": Figure(0.0, same)}, "f1", samples=5)
    assert found is not None
    assert [(r["method"], r["minus"], r["difference"]) for r in found.rows] == [
        ("a", "b", 0.25),
        ("a", "c", 0.5),
        ("b", "c", 0.25),
    ]
    assert differences("T", {"a": Figure(0.5, same)}, "f1", samples=5) is None


def found_by(subject_number: int, upto: int) -> list[Interval]:
    """The subject's first ground truths."""
    return [Interval(SUBJECTS[subject_number], "v", 100 * k, 100 * k + 10, "micro") for k in range(upto)]


def spotted(*runs: list[Interval]) -> Figure:
    """The figure of a method with these seeds."""
    return f1_figure([count_subjects(run, TRUTHS, "one_to_one", subjects=SUBJECTS) for run in runs], 400, 0)


def test_spotting_two_methods_that_are_equal_differ_by_nothing_and_a_better_one_by_all_of_its_interval():
    uneven = [i for n in range(12) for i in found_by(n, n % 3 + 1)]
    better = [i for n in range(12) for i in found_by(n, n % 3 + 2)]
    assert difference(spotted(uneven), spotted(uneven)) == (0.0, 0.0, 0.0)
    value, low, high = difference(spotted(better), spotted(uneven))
    assert value == pytest.approx(2 * 36 / (36 + 48) - 2 * 24 / (24 + 48))  # 12 x (2 + 3 + 4) / 3 against (1 + 2 + 3)
    assert 0 < low < value < high
    alone = bootstrap_f1([count_subjects(better, TRUTHS, "one_to_one", subjects=SUBJECTS)], 400, 0)["overall"]
    assert high - low < alone[1] - alone[0]


def test_spotting_seeds_are_averaged_and_a_method_without_a_detection_counts():
    every = [i for n in range(12) for i in found_by(n, 4)]
    assert spotted(every, []).value == 0.5
    assert np.array_equal(spotted(every, []).drawn, np.full(400, 0.5))
    counts = [count_subjects(run, TRUTHS, "one_to_one", subjects=SUBJECTS) for run in (every, [])]
    assert bootstrap_f1(counts, 50, 0)["overall"] == (0.5, 0.5)


def predictions(method: str, wrong: int) -> list[Prediction]:
    """Six clips of each of eight subjects, the first of each wrong."""
    return [
        Prediction(method, 0, "d", f"s{s}", "v", str(c), "ab"[c % 2], "ab"[(c + (c < wrong + s % 2)) % 2])
        for s in range(8)
        for c in range(6)
    ]


def test_recognition_a_figure_is_the_uf1_and_pairs_are_drawn_alike():
    good, bad = predictions("good", 1), predictions("bad", 3)
    figures = [uf1_figure([rows], ["a", "b"], 300, seed=0) for rows in (good, bad)]
    right = sum(p.label == p.prediction for p in good) / len(good)
    assert figures[0].value == pytest.approx(right, abs=0.02)
    value, low, high = difference(*figures)
    assert 0 < low < value < high
    apart = np.ptp(np.quantile(figures[0].drawn, [0.025, 0.975]))
    alone = bootstrap([good], ["a", "b"], 300, seed=0)["uf1"]
    assert apart == pytest.approx(alone[1] - alone[0], abs=0.03)


def test_action_units_a_figure_is_the_mean_auc():
    def rows(method: str, noise: float) -> list[UnitPrediction]:
        rng = np.random.default_rng(5)
        found = []
        for s in range(10):
            for c in range(6):
                shown = c % 2
                p = {"AU12": float(shown + noise * rng.normal()), "AU4": float(1 - shown + noise * rng.normal())}
                label = "12" if shown else "4"
                found.append(UnitPrediction(method, 0, "d", f"s{s}", "v", str(c), label, label, p))
        return found

    names = ["AU4", "AU12"]
    sure, unsure = (auc_figure(rows("m", noise), names, 100, seed=0) for noise in (0.0, 2.0))
    assert sure.value == 1.0 and (sure.drawn == 1.0).all()
    value, low, high = difference(sure, unsure)
    assert 0.1 < low < value < high
