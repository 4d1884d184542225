"""Median filter of a flow field as a sorting network over image rows (numba): no branches, all vector code."""

from __future__ import annotations

import numpy as np
from numba import njit

from microexp.flow.compiler import OPTIONS, NoOverlap


def median_network(count: int) -> np.ndarray:
    """Compare-exchange steps (n, 2) that leave the median of `count` (odd) numbers in the middle position.

    Batcher's odd-even merge sort (1968), without the steps that the middle does not depend on.
    """
    steps = []
    p = 1
    while p < count:
        k = p
        while k >= 1:
            for j in range(k % p, count - k, 2 * k):
                for i in range(min(k, count - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        steps.append((i + j, i + j + k))
            k //= 2
        p *= 2
    needed, kept = {count // 2}, []
    for low, high in reversed(steps):
        if low in needed or high in needed:
            needed |= {low, high}
            kept.append((low, high))
    return np.array(kept[::-1], np.int64)


NETWORK_3 = median_network(9)
NETWORK_5 = median_network(25)


@njit(pipeline_class=NoOverlap, **OPTIONS)
def exchange_rows(low: np.ndarray, high: np.ndarray) -> None:
    """Put the smaller numbers into `low`, the larger into `high`."""
    for x in range(low.shape[0]):
        a = low[x]
        b = high[x]
        low[x] = min(a, b)
        high[x] = max(a, b)


@njit(**OPTIONS)
def median_filter(plane: np.ndarray, side: int) -> None:
    """Median over side x side (3 or 5) px of `plane` (h, w), in place, edge repeated."""
    h, w = plane.shape
    radius = side // 2
    network = NETWORK_3 if side == 3 else NETWORK_5
    padded = np.empty((h, w + 2 * radius), np.float32)
    padded[:, radius : radius + w] = plane
    for y in range(h):
        padded[y, :radius] = plane[y, 0]
        padded[y, radius + w :] = plane[y, w - 1]
    window = np.empty((side * side, w), np.float32)
    for y in range(h):
        for k in range(side):
            row = padded[min(max(y + k - radius, 0), h - 1)]
            for i in range(side):
                window[k * side + i] = row[i : i + w]
        for step in range(network.shape[0]):
            exchange_rows(window[network[step, 0]], window[network[step, 1]])
        plane[y] = window[side * side // 2]
