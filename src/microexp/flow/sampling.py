"""Values between pixels (numba): weights of cubic convolution and of the cubic B-spline, row by row."""

from __future__ import annotations

import numpy as np
from numba import float32, njit

from microexp.flow.compiler import OPTIONS, NoOverlap
from microexp.flow.vector import bicubic_pixel

PAD = 3
"""Repeated edge around each pyramid level, px: room for the taps of the bicubic kernel."""


@njit(pipeline_class=NoOverlap, **OPTIONS)
def locate_row(
    flow: np.ndarray, start: float, step: float, end: float, taps: np.ndarray, between: np.ndarray, count: int
) -> None:
    """First of four taps (in the padded image), and the place between the middle two, for start + step * x + flow[x].

    The coordinate is held within 2 px of the image, where all four taps see the repeated edge anyway.
    """
    for x in range(count):
        at = min(max(start + step * float32(x) + flow[x + 1], float32(-2)), end)
        whole = np.floor(at)
        taps[x] = np.int32(whole) + np.int32(PAD - 1)
        between[x] = at - whole


@njit(pipeline_class=NoOverlap, **OPTIONS)
def cubic_row(between: np.ndarray, a: float, weights: np.ndarray, count: int) -> None:
    """Weights (4, count) of Keys' cubic convolution (1981) with slope `a`."""
    one = float32(1)
    for x in range(count):
        t = between[x]
        z = one - t
        first = a * t * z * z
        last = a * z * t * t
        second = ((a + float32(2)) * t - (a + float32(3))) * t * t + one
        weights[0, x] = first
        weights[1, x] = second
        weights[2, x] = one - first - second - last
        weights[3, x] = last


@njit(pipeline_class=NoOverlap, **OPTIONS)
def spline_row(between: np.ndarray, weights: np.ndarray, count: int) -> None:
    """Weights (4, count) of the cubic B-spline."""
    one = float32(1)
    sixth = one / float32(6)
    for x in range(count):
        t = between[x]
        z = one - t
        first = z * z * z * sixth
        last = t * t * t * sixth
        second = (float32(3) * t - float32(6)) * t * t * sixth + float32(4) * sixth
        weights[0, x] = first
        weights[1, x] = second
        weights[2, x] = one - first - second - last
        weights[3, x] = last


@njit(pipeline_class=NoOverlap, **OPTIONS)
def sample_row(
    image: np.ndarray, stride: int, x_taps: np.ndarray, x_weights: np.ndarray, y_taps: np.ndarray,
    y_weights: np.ndarray, out: np.ndarray, count: int,
) -> None:  # fmt: skip
    """Bicubic values of the 4 channels of `image` (flat, `stride` numbers a row) at each pixel of a row."""
    for x in range(count):
        bicubic_pixel(
            image,
            y_taps[x] * stride + np.intp(4) * x_taps[x],
            stride,
            (x_weights[0, x], x_weights[1, x], x_weights[2, x], x_weights[3, x]),
            (y_weights[0, x], y_weights[1, x], y_weights[2, x], y_weights[3, x]),
            out,
            4 * x,
        )
