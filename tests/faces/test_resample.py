from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microexp.faces.crops import nearest_crop, resampled_frames


def test_200_to_30_steps_by_6_7_7() -> None:
    frames = resampled_frames(7000, 200.0, 30.0)
    np.testing.assert_array_equal(np.diff(frames)[:6], [6, 7, 7, 6, 7, 7])
    assert len(frames) == 1050  # int(6.67) would make 1167 of it
    assert frames[-1] == 6993 and frames.dtype == np.int32


@pytest.mark.parametrize("fps", [None, 30.0, 60.0])
def test_all_frames_are_kept_unless_there_are_too_many(fps: float | None) -> None:
    np.testing.assert_array_equal(resampled_frames(5, 30.0, fps), np.arange(5))


@given(st.integers(1, 5000), st.sampled_from([25, 29.97, 30000 / 1001, 50, 100, 200]), st.sampled_from([10, 24, 30]))
def test_frames_lie_within_one_frame_of_their_time(n_frames: int, source_fps: float, fps: float) -> None:
    frames = resampled_frames(n_frames, source_fps, fps)
    assert frames[0] == 0 and frames[-1] < n_frames and (np.diff(frames) >= 1).all()
    if source_fps > fps:
        late = np.arange(len(frames)) / fps - frames / source_fps
        assert (late > -1e-6).all() and (late < 1 / source_fps + 1e-6).all()
        assert len(frames) / fps >= n_frames / source_fps - 1e-6  # the video's end is covered


def test_no_drift_over_an_hour() -> None:
    frames = resampled_frames(3600 * 200, 200.0, 30.0)
    assert frames[30 * 3599] == 200 * 3599


def test_container_rates_are_taken_as_fractions() -> None:
    ratio = Fraction(60000, 1001) / 30
    frames = resampled_frames(100_000, 60000 / 1001, 30.0)
    assert frames[12345] == 12345 * ratio.numerator // ratio.denominator


def test_nearest_crop() -> None:
    index = np.array([0, 6, 13, 20])
    assert [nearest_crop(index, f) for f in (0, 3, 4, 9, 10, 16, 17, 20, 99)] == [0, 0, 1, 1, 2, 2, 3, 3, 3]


@pytest.mark.long
@given(st.lists(st.integers(0, 500), min_size=1, unique=True), st.integers(0, 600))
def test_nearest_crop_is_nearest(frames: list[int], frame: int) -> None:
    index = np.array(sorted(frames))
    assert abs(index[nearest_crop(index, frame)] - frame) == np.abs(index - frame).min()
