"""Sizes of the image pyramid, the same for every backend."""

from __future__ import annotations

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
