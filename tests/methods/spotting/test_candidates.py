"""Candidates without any training: what stands out from a video's own noise, and what else may have caused it."""

from __future__ import annotations

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.methods.spotting.candidates import (
    FALSE_ALARMS,
    FLAGS,
    RIGID,
    Candidate,
    bursts,
    candidates,
    flags_of,
    moment_mean,
    moving,
    threshold_for,
)
from microexp.records.features import Files, Layout, list_features
from microexp.records.validity import Reason
from tests.methods.spotting.made_up import create

SPANS = {
    "brows": ("brow_outer_left.span6", "brow_inner_left.span6", "glabella_middle.span6"),
    "cheeks": ("cheek_left.span6", "cheek_right.span6", "nostril_left.span6"),
    "mouth": ("mouth_corner_left.span6", "mouth_corner_right.span6", "lip_upper_middle.span6"),
    "eyes": ("lid_upper_left.span6", "lid_upper_right.span6", "lid_lower_left.span6"),
    "nose": RIGID,
}
"""Channels of the regions."""
OTHERS = ("mouth_corner_left.speed", "region_mouth")
N = 600


@pytest.fixture
def video(tmp_path):
    """A function that makes the stream of a video of 40 s; `bumps`: region -> [(first, last, deviations)]."""
    with Files() as files:
        made = []

        def make(bumps, *, noise=1.0, valid=None, index=None, regions=tuple(SPANS), seed=0):
            path = tmp_path / str(len(made)) / "motion" / "d" / "s.h5"
            channels = tuple(name for region in regions for name in SPANS[region]) + OTHERS
            data = noise * np.random.default_rng(seed).standard_normal((N, len(channels)))
            data[:, -len(OTHERS) :] = 1e3
            for region, spans in bumps.items():
                for first, last, height in spans:
                    data[first : last + 1, [channels.index(name) for name in SPANS[region]]] += height
            index = np.arange(2 * N + 1) if index is None else index
            compressed = (2 * np.arcsinh(data / 2)).astype(np.float32)
            with create(path) as shard:
                shard.add("v", compressed, Layout(2, 3, 30.0, channels), frame_index=index, valid=valid)
            made.append(path)
            return list_features([path], files)[0]

        yield make


def test_a_movement_becomes_a_candidate_with_its_region(video):
    (found,) = candidates(video({"mouth": [(200, 206, 12)], "brows": [(202, 204, 9)]}))
    assert isinstance(found, Candidate) and found.regions == ("mouth", "brows") and not found.flags
    assert abs(found.onset - 400) <= 4 and abs(found.offset - 414) <= 4 and found.onset < found.peak < found.offset
    assert found.score > threshold_for(1.0)


def test_coming_and_going_is_one_candidate_and_far_apart_are_two(video):
    spans = {"cheeks": [(100, 102, 12), (108, 110, 12), (200, 202, 12), (230, 232, 12)]}
    assert [round(c.onset / 20) for c in candidates(video(spans))] == [10, 20, 23]


@pytest.mark.parametrize("noise", [0.3, 1.0, 5.0])
def test_a_noisy_video_gives_no_more_than_a_quiet_one(video, noise):
    assert candidates(video({}, noise=noise)) == []


def test_eyes_alone_are_no_candidate_and_a_blink_is_flagged(video):
    assert candidates(video({"eyes": [(100, 103, 99)]})) == []
    (found,) = candidates(video({"eyes": [(100, 103, 99)], "brows": [(100, 103, 9)]}))
    assert found.flags == ("blink",)


def test_a_head_that_turns_is_flagged(video):
    moves = {"nose": [(100, 110, 9)], "mouth": [(100, 110, 12)]}
    (found,) = candidates(video(moves))
    assert found.flags == ("head_turn",)
    assert flags_of(moving(video({})), (10, 30)) == ()


def test_an_event_amid_speech_is_flagged_and_one_with_a_still_mouth_around_is_not(video):
    brows = {"brows": [(100, 110, 12)]}
    syllables = [(k, k + 2, 9) for k in range(88, 124, 5)]
    assert flags_of(moving(video(brows | {"mouth": syllables})), (200, 220)) == ("speech",)
    assert flags_of(moving(video(brows | {"mouth": [(100, 110, 12)]})), (200, 220)) == ()
    hidden = np.ones(N, bool)
    hidden[[*range(85, 100), *range(112, 126)]] = False
    assert flags_of(moving(video(brows | {"mouth": syllables}, valid=hidden)), (200, 220)) == ()


def test_flags_at_either_end_of_a_video(video):
    seen = video({"mouth": [(0, 30, 9)]})
    assert flags_of(moving(seen), (0, 10)) == ("speech",) and flags_of(moving(seen), (2 * N - 4, 2 * N)) == ()


def test_frames_with_something_the_matter_are_told(video):
    reason = np.zeros(2 * N + 1, np.uint8)
    reason[[405, 1000]] = Reason.REPEATED, Reason.CUT
    seen = video({"mouth": [(200, 206, 12), (498, 503, 12)]})
    assert [c.flags for c in candidates(seen, reason)] == [("repeated",), ("cut",)]
    assert "gap" in flags_of(moving(seen), (0, 100), np.full(2 * N + 1, Reason.GAP))
    for code in (Reason.NO_FACE, Reason.OUTSIDE, Reason.DAMAGED):
        assert flags_of(moving(seen), (0, 100), np.full(2 * N + 1, code)) == ("occlusion",)
    told = {flag for code in Reason for flag in flags_of(moving(seen), (0, 100), np.full(2 * N + 1, code))}
    assert told | {"blink", "head_turn", "speech"} == set(FLAGS)


def test_what_is_not_valid_neither_moves_nor_counts_as_still(video):
    valid = np.ones(N, bool)
    valid[150:260] = False
    bumps = {"mouth": [(200, 206, 900), (400, 406, 12)]}
    masked = candidates(video(bumps, valid=valid))
    assert [round(c.onset / 20) for c in masked] == [40]
    assert candidates(video(bumps, valid=np.zeros(N, bool))) == []
    (alone,) = candidates(video({"mouth": [(400, 406, 12)]}))
    assert masked[0].score == pytest.approx(alone.score, rel=0.2)


def test_frames_are_those_of_the_source(video):
    index = np.arange(2 * N + 1) * 200 / 30
    (found,) = candidates(video({"mouth": [(200, 206, 12)]}, index=index))
    assert abs(found.onset - 400 * 200 / 30) < 30


@pytest.mark.long
def test_more_false_alarms_find_no_less(video):
    seen = video({"mouth": [(50 * k, 50 * k + 4, 0.7 * k) for k in range(1, 11)]})
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
    with pytest.raises(UserError, match="no place of the cheeks"):
        candidates(video({}, regions=("brows",)))


def test_bursts_and_moments():
    score = np.array([0, 3, 5, 9, 5, 3, 0, 0, 6, 12, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 9.0])
    assert bursts(score, 8.0, 10.0) == [(2, 9), (20, 20)]
    assert bursts(score, 100.0, 10.0) == []
    values, valid = np.array([[1.0], [2.0], [99.0], [4.0]]), np.array([True, True, False, True])
    assert moment_mean(values, valid, 3).ravel().tolist() == [1.5, 1.5, 3.0, 4.0]
    assert moment_mean(values, np.zeros(4, bool), 3).tolist() == [[0.0]] * 4
