"""Peaks are those of scipy, plateaus and ties of prominence included."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import find_peaks as scipy_find_peaks

from microexp.methods.spotting.peaks import find_peaks


@pytest.mark.parametrize("distance", [1, 2, 7, 40])
@pytest.mark.parametrize("levels", [0, 12])
@pytest.mark.parametrize("seed", range(3))
def test_as_scipy_finds_them(seed: int, levels: int, distance: int) -> None:
    values = np.convolve(np.random.default_rng(seed).random(400), np.ones(5), "valid")
    if levels:  # plateaus; two of one height only where no choice between them is to be made
        values, distance = np.round(values * levels) / levels, 1
    expected, about = scipy_find_peaks(values, prominence=0, distance=distance)
    places, prominences = find_peaks(values, distance)
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(prominences, about["prominences"])
    assert len(places) > 2


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 1.0, 1.0], [1.0, 2.0], [3.0, 2.0, 1.0], [1.0, 2.0, 2.0]])
def test_series_without_a_peak(values: list[float]) -> None:
    assert [len(found) for found in find_peaks(np.array(values), 1)] == [0, 0]
