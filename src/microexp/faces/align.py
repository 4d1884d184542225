"""From noisy landmarks on some frames to one steady alignment of a video.

A micro-expression moves a mouth corner by a few pixels; landmarks shake by half a pixel from frame to frame. Aligning
each frame to its own landmarks would therefore add a motion as large as the one that is looked for. So landmarks of
many frames make one reference (the median), and the video gets one transform: all motion in the crops is motion of the
face. For heads that sway, a slowly varying transform takes the sway out: it changes within seconds, an expression
within tenths of one.
"""

from __future__ import annotations

import numpy as np

from microexp.faces.geometry import RIGID, fit_similarity
from microexp.faces.observe import Observations

GAUSSIAN_WIDTH = 2 * np.sqrt(2 * np.log(2))
"""Width at half height over standard deviation."""


def reference_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """(K, 68, 2) -> (68, 2) float64 median, which no minority of wrong or grimacing frames can move far."""
    return np.median(landmarks.astype(np.float64), axis=0)


def jitter_px(seen: Observations) -> float:
    """Noise of the landmarks from frame to frame, px: RMS distance of the rigid points between neighbouring frames.

    Divided by sqrt(2), since both frames have it; the median over the pairs of frames keeps blinks and head turns out.
    It is what frame-by-frame alignment would have added as motion. NaN when there are no neighbouring frames.
    """
    pairs = np.flatnonzero(np.diff(seen.frames) == 1)
    if not len(pairs):
        return float("nan")
    points = seen.landmarks[:, RIGID].astype(np.float64)
    square = ((points[pairs + 1] - points[pairs]) ** 2).sum(axis=-1).mean(axis=-1)
    return float(np.sqrt(np.median(square) / 2))


def distances_px(landmarks: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(K,) distance of the rigid points' mean from its reference place, px, of (K, 68, 2) landmarks."""
    centres = landmarks[:, RIGID].astype(np.float64).mean(axis=1)
    distances: np.ndarray = np.linalg.norm(centres - reference[RIGID].mean(axis=0), axis=1)
    return distances


def motion_px(seen: Observations, reference: np.ndarray) -> float:
    """How far the head leaves its reference place: 95th percentile of the distance of the rigid points' mean, px."""
    return float(np.quantile(distances_px(seen.landmarks, reference), 0.95))


def head_poses(landmarks: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Where the head is in each frame: (K, 4) turn (real, imaginary) and shift (x, y) of reference -> frame.

    Turn and shift are about the reference's rigid points, so that they are independent.
    """
    centre = reference[RIGID].mean(axis=0)
    around = reference[RIGID] - centre
    fits = [fit_similarity(around, points[RIGID].astype(np.float64) - centre) for points in landmarks]
    return np.array([[m[0, 0], m[1, 0], m[0, 2], m[1, 2]] for m in fits])


def smooth_poses(
    poses: np.ndarray, frames: np.ndarray, n_frames: int, *, step_frames: float, window: float
) -> np.ndarray:
    """Low-pass head poses and give one for every frame.

    A running median over half the window removes what is shorter than a quarter of it (blinks, wrong landmarks), a
    Gaussian then bounds how fast the rest can change.

    Args:
        poses: (K, C) at `frames`.
        frames: (K,) increasing.
        n_frames: length of the video.
        step_frames: spacing to work at, frames.
        window: width of the Gaussian at half height, frames.

    Returns:
        (n_frames, C).
    """
    from scipy.interpolate import CubicSpline
    from scipy.ndimage import gaussian_filter1d

    if n_frames == 1:
        return poses[:1]
    knots = np.linspace(0, n_frames - 1, max(2, round((n_frames - 1) / step_frames) + 1))
    spacing = (n_frames - 1) / (len(knots) - 1)
    sigma = window / GAUSSIAN_WIDTH / spacing
    half, edge = round(window / 4 / spacing), int(np.ceil(4 * sigma))
    smooth = []
    for values in poses.T:
        at_knots = np.interp(knots, frames, values)
        padded = _running_median(np.pad(at_knots, edge + half, mode="edge"), half)
        smooth.append(gaussian_filter1d(padded, sigma, mode="nearest")[edge : edge + len(knots)])
    at_frames: np.ndarray = CubicSpline(knots, np.array(smooth).T)(np.arange(n_frames))
    return at_frames


def _running_median(values: np.ndarray, half: int) -> np.ndarray:
    """Median of 2 * half + 1 values around each; the ends, where some are missing, are dropped."""
    median: np.ndarray = np.median(np.lib.stride_tricks.sliding_window_view(values, 2 * half + 1), axis=-1)
    return median


def slow_alignments(
    alignment: np.ndarray, reference: np.ndarray, seen: Observations, *, n_frames: int, step: float, window: float
) -> np.ndarray:
    """(n_frames, 2, 3): `alignment` with the slow part of the head's motion taken out; step and window in frames."""
    poses = smooth_poses(head_poses(seen.landmarks, reference), seen.frames, n_frames, step_frames=step, window=window)
    turn, shift = poses[:, 0] + 1j * poses[:, 1], poses[:, 2] + 1j * poses[:, 3]
    centre = complex(*reference[RIGID].mean(axis=0))
    scale, offset = complex(alignment[0, 0], alignment[1, 0]), complex(*alignment[:, 2])
    # frame point z -> reference place (z - centre - shift) / turn + centre -> crop
    slope = scale / turn
    constant = scale * (centre - (centre + shift) / turn) + offset
    rows = [[slope.real, -slope.imag, constant.real], [slope.imag, slope.real, constant.imag]]
    return np.moveaxis(np.array(rows), -1, 0)


def largest_shift(alignments: np.ndarray, reference: np.ndarray) -> float:
    """Largest motion that the alignment itself makes from frame to frame at a landmark, in crop sides."""
    if len(alignments) < 2:
        return 0.0
    places = np.einsum("tij,pj->tpi", alignments[:, :, :2], reference) + alignments[:, None, :, 2]
    return float(np.linalg.norm(np.diff(places, axis=0), axis=-1).max())
