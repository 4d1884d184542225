"""Random intervals: what chance finds."""

from __future__ import annotations

import numpy as np
import pytest

from microexp.methods.context import Context
from microexp.methods.spotting.base import SpottingVideo
from microexp.methods.spotting.random_intervals import Frequencies, RandomIntervals
from microexp.records.index import Expression
from microexp.run.stage import NoParams

METHOD = RandomIntervals()


def video(name="v", n_frames=600, fps=30.0):
    return SpottingVideo("d", "s", name, n_frames, fps, {})


def test_they_follow_lengths_and_frequency():
    model = Frequencies(0, {"micro": [0.4, 0.5], "macro": [2.0]}, {"micro": 0.5, "macro": 0.1})
    numbers = {"micro": [], "macro": []}
    for n in range(300):
        for kind, (intervals, scores) in METHOD.propose(model, video(f"v{n}")).items():
            numbers[kind].append(len(intervals))
            assert len(scores) == len(intervals)
            assert (intervals[:, 0] >= 0).all() and (intervals[:, 1] <= 599).all()
            lengths = {"micro": {12.0, 15.0}, "macro": {60.0}}[kind]
            assert set(np.unique(intervals[:, 1] - intervals[:, 0] + 1)) <= lengths
    assert np.mean(numbers["micro"]) == pytest.approx(10, rel=0.1)
    assert np.mean(numbers["macro"]) == pytest.approx(2, rel=0.2)


def test_they_fit_into_short_videos():
    model = Frequencies(0, {"micro": [], "macro": [5.0]}, {"micro": 0.0, "macro": 30.0})
    found = METHOD.propose(model, video(n_frames=10))
    assert len(found["macro"][0]) and found["macro"][0].tolist() == [[0, 9]] * len(found["macro"][0])
    assert len(found["micro"][0]) == 0


def test_the_same_video_and_seed_give_the_same_and_others_do_not():
    model = Frequencies(3, {"micro": [0.4], "macro": [1.0, 2.0]}, {"micro": 0.5, "macro": 0.5})
    one, again = METHOD.propose(model, video()), METHOD.propose(model, video())
    assert all(np.array_equal(a, b) for kind in one for a, b in zip(one[kind], again[kind], strict=True))
    others = [
        METHOD.propose(model, video("w")),
        METHOD.propose(Frequencies(4, *list(vars(model).values())[1:]), video()),
    ]
    assert all(not np.array_equal(one["micro"][0], other["micro"][0]) for other in others)


def test_lengths_and_frequency_are_those_of_the_training_videos():
    videos = [video("v", 600, 30.0), video("w", 2000, 200.0)]  # 20 and 10 s
    truth = {
        videos[0].key: [Expression("d", "s", "v", 1, 0, 1, 14, "micro", "", "")],
        videos[1].key: [Expression("d", "s", "w", n, 0, 1, 99, "micro", "", "") for n in (1, 2)],
        ("d", "stranger", "x"): [Expression("d", "stranger", "x", 1, 0, 1, 2, "macro", "", "")],
    }
    model = METHOD.fit(videos, truth, NoParams(), context=Context(5))
    assert model.seed == 5 and model.lengths_s == {"micro": [0.5, 0.5, 0.5], "macro": []}
    assert model.rate_per_s == {"micro": pytest.approx(0.1), "macro": 0.0}
    assert METHOD.from_bytes(METHOD.to_bytes(model), NoParams()) == model
    assert METHOD.fit([], {}, NoParams(), context=Context(0)).rate_per_s == {"micro": 0.0, "macro": 0.0}
