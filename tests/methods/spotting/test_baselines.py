"""Random intervals and flow peaks."""

from __future__ import annotations

import numpy as np
import pytest
from microexp.methods.spotting.baselines import MotionVideo, flow_peaks, random_intervals, read_motion

from microexp.errors import UserError
from microexp.run.storage import add_array, create_shard, set_attributes


def motion(magnitude, fps=30.0, index=None):
    index = np.arange(len(magnitude) + 1) if index is None else index
    return MotionVideo("d", "s", "v", np.asarray(magnitude, float), index, fps)


def test_a_bump_of_motion_becomes_an_interval_around_it():
    magnitude = np.full(299, 0.1)
    magnitude[140:160] = 1.0
    intervals, scores = flow_peaks(motion(magnitude), length_s=0.5)
    best = intervals[scores.argmax()]
    assert abs(best.mean() - 150) < 5 and best[1] - best[0] + 1 == pytest.approx(16, abs=2)
    assert scores.max() > 5  # in units of the median


def test_coming_and_going_is_one_expression_not_two():
    magnitude = np.full(299, 0.1)
    magnitude[100:108] = magnitude[122:130] = 1.0
    intervals, scores = flow_peaks(motion(magnitude), length_s=1.0)
    assert (scores > 1).sum() == 1
    assert intervals[scores.argmax()].tolist() == pytest.approx([100, 129], abs=2)


def test_peaks_are_in_source_frames_and_inside_the_video():
    magnitude = np.full(99, 0.1)
    magnitude[1:4] = magnitude[50:55] = 1.0
    index = np.round(np.arange(100) * 20 / 3).astype(int)
    intervals, _ = flow_peaks(motion(magnitude, index=index), 0.5)
    assert intervals.min() >= 0 and intervals.max() <= index[-1]
    assert np.array_equal(intervals, np.rint(intervals))
    assert any(abs(mean - index[53]) < 30 for mean in intervals.mean(1))


def test_a_flat_or_short_video_has_no_peak():
    assert len(flow_peaks(motion(np.full(50, 0.2)), 0.5)[0]) == 0
    assert len(flow_peaks(motion([0.1, 0.2]), 0.5)[0]) == 0
    assert len(flow_peaks(motion(np.r_[0.1, 0.9, 0.1]), 0.0)[0]) <= 1


def test_random_intervals_follow_lengths_and_frequency():
    lengths = {"micro": [0.4, 0.5], "macro": [2.0]}
    rates = {"micro": 0.5, "macro": 0.1}
    generator = np.random.default_rng(0)
    numbers = {"micro": [], "macro": []}
    for _ in range(200):
        for kind, (intervals, scores) in random_intervals(600, 30.0, lengths, rates, generator).items():
            numbers[kind].append(len(intervals))
            assert len(scores) == len(intervals)
            assert (intervals[:, 0] >= 0).all() and (intervals[:, 1] <= 599).all()
            assert set(np.unique(intervals[:, 1] - intervals[:, 0] + 1)) <= {12.0, 15.0, 60.0}
    assert np.mean(numbers["micro"]) == pytest.approx(10, rel=0.1)
    assert np.mean(numbers["macro"]) == pytest.approx(2, rel=0.2)
    assert len(random_intervals(600, 30.0, {}, {}, generator)["micro"][0]) == 0


def test_random_intervals_fit_into_short_videos():
    found = random_intervals(10, 30.0, {"macro": [5.0]}, {"macro": 30.0}, np.random.default_rng(0))["macro"][0]
    assert len(found) and found.tolist() == [[0, 9]] * len(found)


def test_motion_shards_are_read_sorted_without_excluded_videos(tmp_path):
    path = tmp_path / "d" / "s1.h5"
    with create_shard(path) as file:
        group = file.create_group("b")
        add_array(group, "magnitude", np.array([[1.0, 3.0], [2.0, 2.0]], np.float32))
        add_array(group, "frame_index", np.arange(3))
        set_attributes(group, {"fps": 30.0, "excluded": ""})
        set_attributes(file.create_group("a"), {"excluded": "no face"})
    (video,) = read_motion([path])
    assert (video.dataset, video.subject, video.video) == ("d", "s1", "b")
    assert video.magnitude.tolist() == [2, 2]
    with create_shard(path) as file:
        file.create_group("c")
    with pytest.raises(UserError, match=r"s1\.h5: c"):
        read_motion([path])
