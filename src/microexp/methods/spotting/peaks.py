"""Peaks of a series and their prominence, as `scipy.signal.find_peaks` finds them: its import takes 1.7 s of a job."""

from __future__ import annotations

import numpy as np


def find_peaks(values: np.ndarray, distance: int) -> tuple[np.ndarray, np.ndarray]:
    """Peaks of `values` (n,) that lie at least `distance` apart, the highest first kept, and their prominences.

    A peak is higher than both neighbours; of a plateau it is the middle. Its prominence is how far it stands above the
    higher of the two valleys beside it, each as far as the next value that is higher than the peak.

    Returns:
        (k,) int64 places, increasing, and (k,) prominences.
    """
    places = _apart(values, _local_maxima(values), distance)
    return places, np.array([_prominence(values, place) for place in places], np.float64)


def _local_maxima(values: np.ndarray) -> np.ndarray:
    starts = np.flatnonzero(np.concatenate([[True], np.diff(values) != 0]))  # of runs of equal values
    if len(starts) < 3:
        return np.empty(0, np.int64)
    ends = np.append(starts[1:], len(values)) - 1
    heights = values[starts]
    higher = (heights[1:-1] > heights[:-2]) & (heights[1:-1] > heights[2:])
    return (starts[1:-1][higher] + ends[1:-1][higher]) // 2


def _apart(values: np.ndarray, places: np.ndarray, distance: int) -> np.ndarray:
    kept = np.ones(len(places), bool)
    for k in np.argsort(values[places])[::-1]:
        if kept[k]:
            kept &= (np.abs(places - places[k]) >= distance) | (places == places[k])
    return places[kept]


def _prominence(values: np.ndarray, place: int) -> float:
    height = values[place]
    return float(height - max(_valley(values[:place][::-1], height), _valley(values[place + 1 :], height)))


def _valley(side: np.ndarray, height: float) -> float:
    """The lowest of the values that are passed before one is higher than `height`."""
    higher = side > height
    return float(side[: int(higher.argmax())].min() if higher.any() else side.min())
