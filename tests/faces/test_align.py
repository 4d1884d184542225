from __future__ import annotations

import numpy as np
import pytest

from microexp.faces import segments
from microexp.faces.geometry import RIGID, apply, face_alignment, from_complex
from microexp.faces.observe import Observations

RNG = np.random.default_rng(0)
SHAPE = RNG.uniform(100, 300, (68, 2))


def seen(frames: np.ndarray, landmarks: np.ndarray) -> Observations:
    n = len(frames)
    return Observations(frames.astype(np.int32), np.zeros((n, 4), np.float32), landmarks, np.ones(n, np.float32), n)


def test_reference_ignores_a_minority_of_wrong_frames() -> None:
    landmarks = np.repeat(SHAPE[None], 9, axis=0)
    landmarks[:4] += 500
    np.testing.assert_array_equal(segments.reference_landmarks(landmarks), SHAPE)


@pytest.mark.parametrize("sigma", [0.1, 0.6])
def test_jitter_measures_the_noise_of_landmarks_and_not_slow_motion(sigma: float) -> None:
    frames = np.concatenate([np.arange(0, 4000, 20), np.arange(1, 4000, 20)])
    frames.sort()
    noise = np.random.default_rng(3).normal(0, sigma, (len(frames), 68, 2))
    sway = 10 * np.sin(frames / 300)[:, None, None]
    measured = segments.jitter_px(seen(frames, SHAPE + sway + noise))
    assert measured == pytest.approx(sigma * np.sqrt(2), rel=0.1, abs=0.03)  # two coordinates


def test_jitter_is_unknown_without_neighbours() -> None:
    assert np.isnan(segments.jitter_px(seen(np.array([0, 10]), np.stack([SHAPE, SHAPE]))))


def test_motion_is_how_far_the_head_goes() -> None:
    landmarks = SHAPE + np.array([0.0, 0, 0, 3, 4])[:, None, None] * np.array([1.0, 0])
    assert segments.motion_px(seen(np.arange(5), landmarks), SHAPE) == pytest.approx(3.8)


def test_poses_are_those_of_the_head() -> None:
    centre = complex(*SHAPE[RIGID].mean(axis=0))
    turn, shift = 1.02 * np.exp(0.05j), 3 - 2j
    moved = apply(from_complex(turn, centre + shift - turn * centre), SHAPE)
    np.testing.assert_allclose(segments.head_poses(moved[None], SHAPE)[0], [turn.real, turn.imag, 3, -2], atol=1e-9)


def smooth(values: np.ndarray, fps: float = 30.0, step: int = 6) -> np.ndarray:
    frames = np.arange(0, len(values), step)
    return segments.smooth_poses(values[frames, None], frames, len(values), step_frames=step, window=4.0 * fps)[:, 0]


def test_smoothing_keeps_a_still_head_still_to_the_last_bit() -> None:
    np.testing.assert_allclose(smooth(np.full(900, 7.0)), 7.0, rtol=0, atol=1e-12)


def test_smoothing_removes_what_is_as_short_as_an_expression() -> None:
    values = np.zeros(900)
    values[300:315] = 5.0  # half a second
    assert np.abs(smooth(values)).max() < 1e-9


def test_smoothing_follows_slow_sway() -> None:
    t = np.arange(1800) / 30
    values = 10 * np.sin(2 * np.pi * t / 30)
    rest = values - smooth(values)
    assert np.abs(rest[120:-120]).max() < 1.0
    assert np.abs(rest).max() < 5.0  # at the ends the future is not known


def test_smoothing_bounds_the_speed_of_landmark_noise() -> None:
    values = np.random.default_rng(1).normal(0, 0.6, 900)
    assert np.abs(np.diff(smooth(values))).max() < 0.02
    assert np.abs(np.diff(values)).max() > 1


def test_smoothing_works_on_very_short_videos() -> None:
    for n in (1, 2, 5):
        frames = np.arange(n)
        np.testing.assert_allclose(
            segments.smooth_poses(np.full((n, 2), 3.0), frames, n, step_frames=6.0, window=120.0), 3.0
        )


def test_slow_alignment_takes_the_sway_out() -> None:
    n = 1200
    frames = np.arange(0, n, 6)
    shift = 8 * np.sin(2 * np.pi * np.arange(n) / 900)
    landmarks = SHAPE + shift[frames, None, None] * np.array([1.0, 0.5])
    alignment = face_alignment(SHAPE, 0.35, 0.36)
    slow = segments.slow_alignments(alignment, SHAPE, seen(frames, landmarks), n_frames=n, step=6.0, window=120.0)
    assert slow.shape == (n, 2, 3)
    point = SHAPE[30]
    path = np.array([apply(slow[t], point + shift[t] * np.array([1.0, 0.5])) for t in range(150, n - 150)])
    fixed = np.array([apply(alignment, point + shift[t] * np.array([1.0, 0.5])) for t in range(150, n - 150)])
    assert np.ptp(path, axis=0).max() < 0.1 * np.ptp(fixed, axis=0).max()


def test_slow_alignment_of_a_still_head_is_the_fixed_one() -> None:
    frames = np.arange(0, 300, 6)
    alignment = face_alignment(SHAPE, 0.35, 0.36)
    slow = segments.slow_alignments(
        alignment, SHAPE, seen(frames, np.repeat(SHAPE[None], len(frames), 0)), n_frames=300, step=6, window=120
    )
    np.testing.assert_allclose(slow, np.repeat(alignment[None], 300, 0), atol=1e-12)
    assert segments.largest_shift(slow, SHAPE) < 1e-12


def test_largest_shift_is_that_of_the_fastest_landmark() -> None:
    still = np.array([[1.0, 0, 0], [0, 1, 0]])
    moved = np.array([[1.0, 0, 0.3], [0, 1, 0.4]])
    assert segments.largest_shift(np.stack([still, still, moved]), SHAPE) == pytest.approx(0.5)
    assert segments.largest_shift(still[None], SHAPE) == 0
