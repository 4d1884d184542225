"""Which source frames stand for a video at a lower frame rate."""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def resampled_frames(n_frames: int, source_fps: float, fps: float | None) -> np.ndarray:
    """Source frames of a video resampled to `fps`: frame k is floor(k * source_fps / fps).

    200 -> 30 frames/s gives 0, 6, 13, 20, 26, …: steps of 6, 7, 7 in turn, without drift (rounding the step itself
    to 6 would make 33.3 frames/s of it).

    Args:
        n_frames: of the source.
        source_fps: its rate.
        fps: wanted rate; None, or one that the source does not exceed, keeps all frames.

    Returns:
        (T,) int32, increasing.
    """
    ratio = _exact(source_fps) / _exact(fps) if fps is not None else Fraction(1)
    if ratio <= 1:
        return np.arange(n_frames, dtype=np.int32)
    count = -(-n_frames * ratio.denominator // ratio.numerator)  # ceil(n_frames / ratio)
    frames = np.arange(count, dtype=np.int64) * ratio.numerator // ratio.denominator
    return frames.astype(np.int32)


def sampled_frames(times_s: np.ndarray, source_fps: float, fps: float | None) -> np.ndarray:
    """Source frames of a video resampled to `fps`, by the frames' own times where their rate varies.

    Frame k is the last one that is shown by k / fps; where there is none of its own (in a gap), it is missing.

    Args:
        times_s: (n,) times of the frames, s.
        source_fps: their rate.
        fps: wanted rate; None, or one that the source does not exceed, keeps all frames.

    Returns:
        (T,) int32, increasing.
    """
    even = np.arange(len(times_s)) / source_fps
    if fps is None or np.abs(times_s - even).max() < 0.5 / source_fps:
        return resampled_frames(len(times_s), source_fps, fps)
    if fps >= source_fps:
        return np.arange(len(times_s), dtype=np.int32)
    ticks = np.arange(int(times_s[-1] * fps + 1e-6) + 1) / fps
    shown = np.searchsorted(times_s, ticks + 1e-6 / fps, side="right") - 1
    fresh = ticks - times_s[shown] < 1.5 / source_fps  # else the frame before a gap would stand for all of it
    return np.unique(shown[fresh]).astype(np.int32)


def _exact(rate_fps: float) -> Fraction:
    """The simple fraction that is meant: 29.97002997 is 30000/1001."""
    return Fraction(rate_fps).limit_denominator(1001)


def nearest_crop(frame_index: np.ndarray, frame: int) -> int:
    """Number of the crop with the source frame nearest to `frame`; the earlier one on a tie."""
    at = int(np.searchsorted(frame_index, frame))
    if at == 0:
        return 0
    if at == len(frame_index) or frame - frame_index[at - 1] <= frame_index[at] - frame:
        return at - 1
    return at
