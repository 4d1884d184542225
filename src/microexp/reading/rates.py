"""Frame rates from the times of frames: headers are often wrong, and rates may vary."""

from __future__ import annotations

import numpy as np

GAP = 1.5
"""An interval longer than this many usual ones is a gap."""

SAME = 1e-3
"""Rates that differ by less are the same."""

VARIES = 0.2
"""Intervals that differ by more than this share, beyond the unit of the times, make the rate a variable one."""


def gaps(times_s: np.ndarray) -> np.ndarray:
    """(n,) bool: whether time is missing between the frame before and this one.

    Args:
        times_s: (n,) increasing times of frames, s.
    """
    found = np.zeros(len(times_s), bool)
    if len(times_s) > 2:
        steps = np.diff(times_s)
        found[1:] = steps > GAP * np.median(steps)
    return found


def measured_fps(times_s: np.ndarray) -> float | None:
    """Frames per second: intervals over their time, gaps apart, so (n - 1) / (last - first) without any; None for one.

    Args:
        times_s: (n,) increasing times of frames, s.
    """
    if len(times_s) < 2:
        return None
    steps = np.diff(times_s)
    kept = steps[~gaps(times_s)[1:]]
    return float(len(kept) / kept.sum())


def file_rate(times_s: np.ndarray, header_fps: float | None, tick_s: float) -> tuple[float | None, list[str]]:
    """The rate of a video file, and notes on it.

    The header's rate is taken where the times agree with it, as far as their unit can tell.

    Args:
        times_s: (n,) times of the frames; empty when the file has none that can be trusted.
        header_fps: what the header says.
        tick_s: unit of the times.
    """
    measured = measured_fps(times_s)
    if measured is None:
        return header_fps, []
    steps = np.diff(times_s)
    usual = steps[~gaps(times_s)[1:]]
    unsure = max(SAME, 2 * tick_s / float(usual.sum()))
    fps = measured
    for rate in (header_fps, float(round(measured))):
        if rate and abs(measured / rate - 1) <= unsure:
            fps = rate
            break
    notes = []
    if header_fps is None or abs(fps / header_fps - 1) > 0.01:
        said = "nothing" if header_fps is None else f"{header_fps:g}"
        notes.append(f"the header says {said} frames/s, the frames' times {fps:.4g}: kept the times'")
    low, high = np.quantile(steps, [0.02, 1.0])
    if high - low > VARIES * np.median(steps) + 2 * tick_s:
        many = int(gaps(times_s).sum())
        notes.append(
            f"a variable rate: {1000 * low:.0f} to {1000 * high:.0f} ms between frames, {many} gaps: "
            "seconds follow the frames' own times"
        )
    return fps, notes


def number_times(numbers: np.ndarray, fps: float) -> np.ndarray:
    """(n,) seconds of numbered images since the first: the usual step between numbers is one frame.

    Args:
        numbers: (n,) increasing.
        fps: frames per second.
    """
    step = float(np.median(np.diff(numbers))) if len(numbers) > 1 else 1.0
    times: np.ndarray = (numbers - numbers[0]) / (step * fps)
    return times
