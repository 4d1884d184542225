"""Rates of frames from their times, where headers are wrong, rates vary and frames are missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microexp.reading.frames import file_rate, gaps, measured_fps, number_times


def even(n: int, fps: float, start: float = 0.0) -> np.ndarray:
    return start + np.arange(n) / fps


@given(st.integers(2, 200), st.floats(1, 500), st.floats(0, 1000))
def test_even_times_have_their_rate_and_no_gap(n: int, fps: float, start: float) -> None:
    times = even(n, fps, start)
    assert not gaps(times).any()
    assert measured_fps(times) == pytest.approx(fps, rel=1e-6)


def test_a_gap_is_where_time_is_missing_and_is_no_part_of_the_rate() -> None:
    times = np.concatenate([even(50, 30), even(50, 30, 4.0)])
    assert np.flatnonzero(gaps(times)).tolist() == [50]
    assert measured_fps(times) == pytest.approx(30)


@pytest.mark.parametrize(("steps", "is_gap"), [(1.4, False), (1.6, True), (2.0, True)])
def test_a_gap_is_more_than_half_a_frame_of_missing_time(steps: float, is_gap: bool) -> None:
    times = np.cumsum([0, *[0.04] * 10, 0.04 * steps, *[0.04] * 10])
    assert gaps(times).any() == is_gap


@pytest.mark.parametrize("times", [[], [0.5]])
def test_of_one_frame_no_rate_is_known(times: list[float]) -> None:
    assert measured_fps(np.array(times)) is None and not gaps(np.array(times)).any()
    assert file_rate(np.array(times), 25.0, 1e-3) == (25.0, [])
    assert file_rate(np.array(times), None, 1e-3) == (None, [])


def test_two_frames_have_a_rate() -> None:
    assert measured_fps(np.array([0.0, 0.04])) == pytest.approx(25)
    assert not gaps(np.array([0.0, 9.0])).any()


@pytest.mark.parametrize("fps", [30000 / 1001, 25.0, 200.0, 12.5])
def test_a_header_that_agrees_is_taken_as_it_stands(fps: float) -> None:
    """Times in milliseconds cannot tell 29.97 from 29.97003; the header can."""
    times = np.round(even(90, fps), 3)
    assert file_rate(times, fps, 1e-3) == (fps, [])


@pytest.mark.parametrize("header", [24.0, 60.0, 1000.0])
def test_a_header_that_is_wrong_is_noted_and_the_times_count(header: float) -> None:
    fps, notes = file_rate(even(90, 30), header, 1e-4)
    assert fps == 30.0
    assert notes == [f"the header says {header:g} frames/s, the frames' times 30: kept the times'"]


def test_a_header_that_says_nothing_is_noted() -> None:
    fps, notes = file_rate(np.round(even(90, 50), 3), None, 1e-3)
    assert fps == 50.0 and len(notes) == 1 and "the header says nothing frames/s" in notes[0]


def test_a_variable_rate_is_noted_with_its_bounds() -> None:
    generator = np.random.default_rng(0)
    times = np.cumsum(generator.uniform(0.02, 0.05, 200))
    fps, notes = file_rate(times, None, 1e-4)
    assert fps == pytest.approx(measured_fps(times))
    assert notes[-1].startswith("a variable rate: ") and "to 50 ms between frames, 0 gaps" in notes[-1]


def test_missing_frames_are_counted_in_the_note() -> None:
    times = np.delete(even(100, 30), [20, 21, 60])
    fps, notes = file_rate(times, 30.0, 1e-4)
    assert fps == 30.0 and len(notes) == 1 and "33 to 100 ms between frames, 2 gaps" in notes[0]


def test_coarse_times_are_no_variable_rate() -> None:
    """Times in hundredths of a second jump between 30 and 40 ms at 30 frames/s."""
    times = np.round(even(300, 30), 2)
    assert file_rate(times, 30.0, 0.01) == (30.0, [])


@pytest.mark.parametrize("step", [1, 2, 7])
@pytest.mark.parametrize("first", [0, 1, 12_345])
def test_numbers_of_images_are_times_from_the_first(first: int, step: int) -> None:
    numbers = first + step * np.array([0, 1, 2, 3, 7, 8])
    np.testing.assert_allclose(number_times(numbers, 25.0), np.array([0, 1, 2, 3, 7, 8]) / 25)


def test_one_image_is_at_the_start() -> None:
    assert number_times(np.array([812]), 30.0).tolist() == [0.0]
