"""Peaks of motion: the rule that every network has to beat."""

from __future__ import annotations

import numpy as np
import pytest

from microexp.methods.context import Context
from microexp.methods.spotting.base import SpottingVideo
from microexp.methods.spotting.flow_magnitude import REGIONS, FlowMagnitude, motion_peaks, region_motion
from microexp.records.features import Files, Layout, list_features
from microexp.records.index import Expression
from microexp.run.stage import NoParams
from tests.methods.spotting.made_up import create


@pytest.fixture
def motion(tmp_path):
    """A function that makes the stream of a video in which all regions move by `magnitude`."""
    with Files() as files:
        made = []

        def make(magnitude, fps=30.0, index=None, valid=None, step=1, channels=("other", *REGIONS)):
            path = tmp_path / str(len(made)) / "motion" / "d" / "s.h5"
            magnitude = np.asarray(magnitude, np.float32)
            data = np.repeat(magnitude[:, None], len(channels), 1)
            data[:, [i for i, name in enumerate(channels) if name == "other"]] = 1e6
            index = np.arange(step * len(magnitude) + 1) if index is None else index
            with create(path) as shard:
                shard.add("v", data, Layout(step, 2 * step, fps, channels), frame_index=index, valid=valid)
            made.append(path)
            return list_features([path], files)[0]

        yield make


def test_a_bump_of_motion_becomes_an_interval_around_it(motion):
    magnitude = np.full(299, 0.1)
    magnitude[140:160] = 1.0
    intervals, scores = motion_peaks(motion(magnitude), length_s=0.5)
    best = intervals[scores.argmax()]
    assert abs(best.mean() - 150) < 5 and best[1] - best[0] + 1 == pytest.approx(16, abs=2)
    assert scores.max() > 5  # in units of the median


def test_coming_and_going_is_one_expression_not_two(motion):
    magnitude = np.full(299, 0.1)
    magnitude[100:108] = magnitude[122:130] = 1.0
    intervals, scores = motion_peaks(motion(magnitude), length_s=1.0)
    assert (scores > 1).sum() == 1
    assert intervals[scores.argmax()].tolist() == pytest.approx([100, 129], abs=2)


def test_peaks_are_in_source_frames_and_inside_the_video(motion):
    magnitude = np.full(99, 0.1)
    magnitude[1:4] = magnitude[50:55] = 1.0
    index = np.round(np.arange(100) * 20 / 3).astype(int)
    intervals, _ = motion_peaks(motion(magnitude, index=index), 0.5)
    assert intervals.min() >= 0 and intervals.max() <= index[-1]
    assert np.array_equal(intervals, np.rint(intervals))
    assert any(abs(mean - index[53]) < 30 for mean in intervals.mean(1))


def test_steps_of_two_frames_find_the_same_place(motion):
    magnitude = np.full(150, 0.1)
    magnitude[70:80] = 1.0
    intervals, scores = motion_peaks(motion(magnitude, step=2), 0.5)
    best = intervals[scores.argmax()]
    assert abs(best.mean() - 150) < 6 and best[1] - best[0] + 1 == pytest.approx(16, abs=4)


def test_a_flat_or_short_video_has_no_peak(motion):
    assert len(motion_peaks(motion(np.full(50, 0.2)), 0.5)[0]) == 0
    assert len(motion_peaks(motion([0.1, 0.2]), 0.5)[0]) == 0
    assert len(motion_peaks(motion(np.r_[0.1, 0.9, 0.1]), 0.0)[0]) <= 1


def test_unusable_steps_take_the_value_before_them(motion):
    magnitude = np.array([9.0, 1, 2, 9, 9, 3])
    valid = np.array([False, True, True, False, False, True])
    assert region_motion(motion(magnitude, valid=valid)).tolist() == [1, 1, 2, 2, 2, 3]
    assert region_motion(motion(magnitude)).tolist() == magnitude.tolist()
    assert region_motion(motion(magnitude, valid=np.zeros(6, bool))).tolist() == magnitude.tolist()


def test_lengths_are_the_median_of_each_kind(motion):
    method, stream = FlowMagnitude(), motion(np.full(299, 0.2))
    video = SpottingVideo("d", "s", "v", 300, 30.0, {"motion": stream})
    items = [Expression("d", "s", "v", n, 0, 1, end, "micro", "", "") for n, end in enumerate((8, 11, 29), 1)]
    model = method.fit([video], {video.key: items}, NoParams(), context=Context(0))
    assert model == {"micro": pytest.approx(0.4), "macro": 0.0}
    assert method.from_bytes(method.to_bytes(model), NoParams()) == model
    assert set(method.propose(model, video)) == {"micro", "macro"}
