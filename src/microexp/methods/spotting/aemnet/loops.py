"""What `kernels` does beside matrix products, compiled for CPUs: one pass over memory each, in float32.

Torch needs a dozen operations, each over all of the memory, for one Mish with its slope. Same numbers as the torch
formulas in `kernels` up to rounding (tests compare them).
"""

from __future__ import annotations

import numpy as np
from numba import float32, njit

from microexp.flow.compiler import OPTIONS, NoOverlap

LOG2_E = float32(1.4426950408889634)
LN2_HIGH, LN2_LOW = float32(0.693359375), float32(-2.12194440e-4)
SMALLEST, LARGEST = float32(-87.0), float32(20.0)
"""exp is 0 in float32 below the first; above the other, mish(x) is x in float32."""


@njit(pipeline_class=NoOverlap, **OPTIONS)
def mish_into(x: np.ndarray, y: np.ndarray, slope: np.ndarray) -> None:
    """mish(x) and its derivative of (n,) float32 numbers; the exponential is Cephes' expf (Moshier 1992)."""
    one, two = float32(1), float32(2)
    for i in range(x.shape[0]):
        value = x[i]
        held = min(max(value, SMALLEST), LARGEST)
        whole = np.floor(held * LOG2_E + float32(0.5))
        r = held - whole * LN2_HIGH - whole * LN2_LOW
        p = float32(1.9875691500e-4)
        p = p * r + float32(1.3981999507e-3)
        p = p * r + float32(8.3334519073e-3)
        p = p * r + float32(4.1665795894e-2)
        p = p * r + float32(1.6666665459e-1)
        p = p * r + float32(5.0000001201e-1)
        p = p * r * r + r + one
        e = p * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
        s = e * (e + two)
        inverse = one / (s + two)
        share = s * inverse
        y[i] = value * share
        slope[i] = share + float32(4) * value * ((s - e) * inverse) * inverse


@njit(pipeline_class=NoOverlap, **OPTIONS)
def copy_around(x: np.ndarray, out: np.ndarray, stride: int, padding: int) -> None:
    """(M, L, C) -> (M, L', K, C): what lies under a kernel of K at each of its places, zeros beyond the ends."""
    for m in range(out.shape[0]):
        for place in range(out.shape[1]):
            for k in range(out.shape[2]):
                row = place * stride + k - padding
                if 0 <= row < x.shape[1]:
                    for c in range(out.shape[3]):
                        out[m, place, k, c] = x[m, row, c]
                else:
                    for c in range(out.shape[3]):
                        out[m, place, k, c] = float32(0)


@njit(pipeline_class=NoOverlap, **OPTIONS)
def add_around(around: np.ndarray, out: np.ndarray, stride: int, padding: int) -> None:
    """The reverse, (M, L', K, C) -> (M, L, C): sums of all copies of each place; `out` starts as zeros."""
    for m in range(around.shape[0]):
        for place in range(around.shape[1]):
            for k in range(around.shape[2]):
                row = place * stride + k - padding
                if 0 <= row < out.shape[1]:
                    for c in range(around.shape[3]):
                        out[m, row, c] += around[m, place, k, c]


@njit(pipeline_class=NoOverlap, **OPTIONS)
def moments(x: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> None:
    """Mean and (biased) variance (G, C) float64 over the rows of (G, R, C)."""
    rows = x.shape[1]
    for g in range(x.shape[0]):
        for c in range(x.shape[2]):
            mean[g, c] = 0.0
            variance[g, c] = 0.0
        for r in range(rows):
            for c in range(x.shape[2]):
                mean[g, c] += x[g, r, c]
        for c in range(x.shape[2]):
            mean[g, c] /= rows
        for r in range(rows):
            for c in range(x.shape[2]):
                off = x[g, r, c] - mean[g, c]
                variance[g, c] += off * off
        for c in range(x.shape[2]):
            variance[g, c] /= rows


@njit(pipeline_class=NoOverlap, **OPTIONS)
def normalise(
    x: np.ndarray, mean: np.ndarray, inverse: np.ndarray, gain: np.ndarray, shift: np.ndarray, unit: np.ndarray,
    out: np.ndarray,
) -> None:  # fmt: skip
    """(G, R, C) -> `unit`, of mean 0 and variance 1, and `out`, unit · gain + shift; the others are (G, C)."""
    for g in range(x.shape[0]):
        for r in range(x.shape[1]):
            for c in range(x.shape[2]):
                value = (x[g, r, c] - mean[g, c]) * inverse[g, c]
                unit[g, r, c] = value
                out[g, r, c] = value * gain[g, c] + shift[g, c]


@njit(pipeline_class=NoOverlap, **OPTIONS)
def slope_sums(
    gradient: np.ndarray, slope: np.ndarray, unit: np.ndarray, bent: np.ndarray, to_gain: np.ndarray,
    to_shift: np.ndarray,
) -> None:  # fmt: skip
    """`bent` = gradient · slope (G, R, C); sums of bent · unit and of bent over the rows, (G, C) float64."""
    for g in range(unit.shape[0]):
        for c in range(unit.shape[2]):
            to_gain[g, c] = 0.0
            to_shift[g, c] = 0.0
        for r in range(unit.shape[1]):
            for c in range(unit.shape[2]):
                value = gradient[g, r, c] * slope[g, r, c]
                bent[g, r, c] = value
                to_gain[g, c] += value * unit[g, r, c]
                to_shift[g, c] += value


@njit(pipeline_class=NoOverlap, **OPTIONS)
def norm_gradient(
    bent: np.ndarray, unit: np.ndarray, by_unit: np.ndarray, constant: np.ndarray, scale: np.ndarray
) -> None:
    """In place: bent <- (bent - constant - unit · by_unit) · scale; the last three are (G, C)."""
    for g in range(bent.shape[0]):
        for r in range(bent.shape[1]):
            for c in range(bent.shape[2]):
                bent[g, r, c] = (bent[g, r, c] - constant[g, c] - unit[g, r, c] * by_unit[g, c]) * scale[g, c]
