"""Sizes of the image pyramid, the same for every backend."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microexp.flow.params import Tvl1

SMALLEST_PX = 16
"""No level but the first is smaller than this (as in OpenCV)."""


def pyramid_sizes(height: int, width: int, tvl1: Tvl1) -> list[tuple[int, int]]:
    """(height, width) of each level in px, finest first; rounded half to even, as OpenCV does."""
    sizes = [(height, width)]
    while len(sizes) < tvl1.scales:
        height, width = round(height * tvl1.scale_step), round(width * tvl1.scale_step)
        if min(height, width) < SMALLEST_PX:
            break
        sizes.append((height, width))
    return sizes


def gaussian_weights(sigma_px: float) -> npt.NDArray[np.float32]:
    """Weights (2 r + 1,) float32 of a Gaussian cut at r = 3 sigma, their sum 1; a sigma of 0 gives the one weight 1."""
    radius = int(np.ceil(3 * sigma_px))
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / max(sigma_px, 1e-9)) ** 2)
    normalised: npt.NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return normalised


def spline_weights() -> npt.NDArray[np.float32]:
    """The filter (17,) float32 that turns numbers into coefficients of the cubic B-spline through them (Unser 1999).

    Its impulse response falls by 2 - sqrt(3) per step, so that the cut at 8 changes little.
    """
    weights = (np.sqrt(3) - 2) ** np.abs(np.arange(-8, 9))
    normalised: npt.NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return normalised
