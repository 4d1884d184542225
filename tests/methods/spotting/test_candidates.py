"""Candidates without any training: what stands out from a video's own noise, and what else may have caused it."""

from __future__ import annotations

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.methods.spotting.candidates import (
    EYES,
    FALSE_ALARMS,
    REGIONS,
    RIGID,
    Candidate,
    bursts,
    candidates,
    flags_of,
    moment_mean,
    threshold_for,
)
from microexp.records.features import Files, Layout, list_features
from microexp.records.validity import Reason
from tests.methods.spotting.made_up import create

CHANNELS = (*RIGID, *REGIONS, EYES)
N = 600


@pytest.fixture
def video(tmp_path):
    """A function that makes the stream of a video of 40 s; `bumps`: channel -> [(first, last, speed)]."""
    with Files() as files:
        made = []

        def make(bumps, *, noise=0.02, valid=None, index=None, channels=CHANNELS, seed=0):
            path = tmp_path / str(len(made)) / "motion" / "d" / "s.h5"
            rng = np.random.default_rng(seed)
            data = 0.1 + noise * rng.standard_normal((N, len(channels)))
            rigid = [i for i, name in enumerate(channels) if name in RIGID]
            data[:, rigid] = rng.standard_normal((N, len(rigid)))
            for name, spans in bumps.items():
                for first, last, speed in spans:
                    data[first : last + 1, channels.index(name)] += speed
            index = np.arange(2 * N + 1) if index is None else index
            with create(path) as shard:
                shard.add("v", data.astype(np.float32), Layout(2, 3, 30.0, channels), index, valid=valid)
            made.append(path)
            return list_features([path], files)[0]

        yield make


def test_a_movement_becomes_a_candidate_with_its_region(video):
    (found,) = candidates(video({"region_mouth": [(200, 206, 1.0)], "region_brows": [(202, 204, 0.8)]}))
    assert isinstance(found, Candidate) and found.regions == ("mouth", "brows") and not found.flags
    assert abs(found.onset - 400) <= 4 and abs(found.offset - 414) <= 4 and found.onset < found.peak < found.offset
    assert found.score > threshold_for(1.0)


def test_coming_and_going_is_one_candidate_and_far_apart_are_two(video):
    spans = {"region_cheeks": [(100, 102, 1.0), (108, 110, 1.0), (200, 202, 1.0), (230, 232, 1.0)]}
    assert [round(c.onset / 20) for c in candidates(video(spans))] == [10, 20, 23]


@pytest.mark.parametrize("noise", [0.02, 0.06, 0.2])
def test_a_noisy_video_gives_no_more_than_a_quiet_one(video, noise):
    assert candidates(video({}, noise=noise)) == []


def test_eyes_alone_are_no_candidate_and_a_blink_is_flagged(video):
    assert candidates(video({EYES: [(100, 103, 3.0)]})) == []
    (found,) = candidates(video({EYES: [(100, 103, 3.0)], "region_brows": [(100, 103, 1.0)]}))
    assert found.flags == ("blink",)


def test_a_head_that_turns_is_flagged(video):
    moves = {name: [(100, 110, 5.0)] for name in RIGID} | {"region_mouth": [(100, 110, 1.0)]}
    (found,) = candidates(video(moves))
    assert found.flags == ("head_turn",)
    assert flags_of(video({}), (10, 30)) == ()


def test_frames_with_something_the_matter_are_told(video):
    reason = np.zeros(2 * N + 1, np.uint8)
    reason[[405, 1000]] = Reason.REPEATED, Reason.CUT
    seen = video({"region_mouth": [(200, 206, 1.0), (498, 503, 1.0)]})
    assert [c.flags for c in candidates(seen, reason)] == [("repeated",), ("cut",)]
    assert "gap" in flags_of(seen, (0, 100), np.full(2 * N + 1, Reason.GAP))


def test_what_is_not_valid_neither_moves_nor_counts_as_still(video):
    valid = np.ones(N, bool)
    valid[150:260] = False
    bumps = {"region_mouth": [(200, 206, 50.0), (400, 406, 1.0)]}
    masked = candidates(video(bumps, valid=valid))
    assert [round(c.onset / 20) for c in masked] == [40]
    assert candidates(video(bumps, valid=np.zeros(N, bool))) == []
    (alone,) = candidates(video({"region_mouth": [(400, 406, 1.0)]}))
    assert masked[0].score == pytest.approx(alone.score, rel=0.2)


def test_frames_are_those_of_the_source(video):
    index = np.arange(2 * N + 1) * 200 / 30
    (found,) = candidates(video({"region_mouth": [(200, 206, 1.0)]}, index=index))
    assert abs(found.onset - 400 * 200 / 30) < 30


def test_more_false_alarms_find_no_less(video):
    seen = video({"region_mouth": [(50 * k, 50 * k + 4, 0.06 * k) for k in range(1, 11)]})
    numbers = [len(candidates(seen, per_minute=rate)) for rate, _ in FALSE_ALARMS]
    assert numbers == sorted(numbers) and numbers[0] < numbers[-1]
    scores = [score for _, score in FALSE_ALARMS]
    assert scores == sorted(scores, reverse=True)
    assert [threshold_for(rate) for rate, _ in FALSE_ALARMS] == pytest.approx(scores)
    assert scores[1] > threshold_for(1.5) > scores[2]


@pytest.mark.parametrize("rate", [0.0, 0.1, 100.0])
def test_a_rate_that_nobody_measured_is_refused(video, rate):
    with pytest.raises(UserError, match="false alarms a minute"):
        candidates(video({}), per_minute=rate)


def test_a_stream_of_something_else_is_refused(video):
    with pytest.raises(UserError, match="no region_cheeks"):
        candidates(video({}, channels=("region_brows", "other")))


def test_bursts_and_moments():
    score = np.array([0, 3, 5, 9, 5, 3, 0, 0, 6, 12, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 9.0])
    assert bursts(score, 8.0, 10.0) == [(2, 9), (20, 20)]
    assert bursts(score, 100.0, 10.0) == []
    values, valid = np.array([[1.0], [2.0], [99.0], [4.0]]), np.array([True, True, False, True])
    assert moment_mean(values, valid, 3).ravel().tolist() == [1.5, 1.5, 3.0, 4.0]
    assert moment_mean(values, np.zeros(4, bool), 3).tolist() == [[0.0]] * 4
