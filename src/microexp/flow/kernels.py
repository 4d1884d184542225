"""TV-L1 on the CPU: numba kernels that make one pass over memory per warp, and the median of a flow field.

The method is Zach, Pock & Bischof 2007 as written down by Sanchez, Meinhardt-Llopis & Facciolo (IPOL 2013) and
implemented in OpenCV; `tests/flow/reference.py` says the same in plain NumPy.

An iteration walks down the image once: as soon as the flow of row y is new, the dual field of row y-1 can follow, and
then the next iteration on row y-1. So all iterations of a warp walk down together. Rows are separate functions with
arguments declared not to overlap, which is what lets LLVM turn their loops into vector code; without that an iteration
takes ten times as long. One thread works on one pair, so results do not depend on how many threads there are.
"""

from __future__ import annotations

import math

import numpy as np
from numba import float32, njit

from microexp.flow.compiler import OPTIONS, NoOverlap
from microexp.flow.params import GRADIENT_FLOOR
from microexp.flow.pyramid import PAD, cubic_row, level_view, locate_row, resize, sample_row, spline_row

# Median filter of a flow field as a sorting network over image rows (numba): no branches, all vector code.


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


LANES = 16
"""Rows are computed in blocks of so many px, what a vector register of AVX-512 holds; what lies behind a row's end is
computed along and never read."""

# the planes of a row of the workspace (h + 2, PLANES, row_length); pixel 0 and the rows above and below stay zero
WX, WY, INVERSE, RHO, U, V, P11, P12, P21, P22 = range(10)
PLANES = 10


@njit(pipeline_class=NoOverlap, **OPTIONS)
def flow_row(
    wx: np.ndarray, wy: np.ndarray, inverse: np.ndarray, rho: np.ndarray, u: np.ndarray, v: np.ndarray,
    p11: np.ndarray, p12: np.ndarray, p12_up: np.ndarray, p21: np.ndarray, p22: np.ndarray, p22_up: np.ndarray,
    change: np.ndarray, limit: float, theta: float, width: int, end: int,
) -> None:  # fmt: skip
    """Thresholding and primal step on one row, in place; adds the squared changes to `change`.

    `width` px are computed, in whole blocks; beyond `end` px u and v repeat themselves.
    """
    for x in range(1, width + 1):
        a = u[x]
        b = v[x]
        step = -(rho[x] + (wx[x] * a + wy[x] * b)) * inverse[x]
        step = min(max(step, -limit), limit)
        du = step * wx[x] + theta * ((p11[x] - p11[x - 1]) + (p12[x] - p12_up[x]))
        dv = step * wy[x] + theta * ((p21[x] - p21[x - 1]) + (p22[x] - p22_up[x]))
        u[x] = a + du
        v[x] = b + dv
        change[x] += du * du + dv * dv
    u[end + 1] = u[end]
    v[end + 1] = v[end]


@njit(pipeline_class=NoOverlap, **OPTIONS)
def dual_row(
    u: np.ndarray, u_down: np.ndarray, v: np.ndarray, v_down: np.ndarray, p11: np.ndarray, p12: np.ndarray,
    p21: np.ndarray, p22: np.ndarray, ratio: float, width: int,
) -> None:  # fmt: skip
    """Dual step on one row, in place."""
    one = float32(1)
    for x in range(1, width + 1):
        ux = u[x + 1] - u[x]
        uy = u_down[x] - u[x]
        vx = v[x + 1] - v[x]
        vy = v_down[x] - v[x]
        su = one / (one + ratio * math.sqrt(ux * ux + uy * uy))
        sv = one / (one + ratio * math.sqrt(vx * vx + vy * vy))
        p11[x] = (p11[x] + ratio * ux) * su
        p12[x] = (p12[x] + ratio * uy) * su
        p21[x] = (p21[x] + ratio * vx) * sv
        p22[x] = (p22[x] + ratio * vy) * sv


@njit(inline="always", **OPTIONS)
def row_length(w: int) -> int:
    """Numbers in a row of the workspace: whole blocks for `w` px, one number before and some behind."""
    return (w + LANES - 1) // LANES * LANES + LANES


@njit(inline="always", **OPTIONS)
def iterate_row(
    work: np.ndarray, y: int, h: int, w: int, change: np.ndarray, limit: float, theta: float, ratio: float, width: int
) -> None:
    """The flow of row `y`, then the dual field of the row above, for which it is what was missing."""
    row = work[y]
    up = work[y - 1]
    flow_row(
        row[WX], row[WY], row[INVERSE], row[RHO], row[U], row[V],
        row[P11], row[P12], up[P12], row[P21], row[P22], up[P22],
        change, limit, theta, width, w,
    )  # fmt: skip
    if y > 1:
        dual_row(up[U], row[U], up[V], row[V], up[P11], up[P12], up[P21], up[P22], ratio, width)
    if y == h:
        dual_row(row[U], row[U], row[V], row[V], row[P11], row[P12], row[P21], row[P22], ratio, width)


@njit(**OPTIONS)
def iterate(
    work: np.ndarray, h: int, w: int, count: int, limit: float, theta: float, ratio: float, stop: float
) -> float:
    """At most `count` iterations, until the sum of squared changes is not above `stop`; returns that sum.

    With `stop` below 0 all of them walk down the image together, each one row behind the one before: the numbers are
    the same, and the rows in use stay in the core's own cache.
    """
    change = np.empty(work.shape[2], np.float32)
    width = row_length(w) - LANES
    total = np.inf
    together = count if stop < 0 else 1
    for _ in range(0, count, together):
        change[:] = float32(0)
        for front in range(1, h + together):
            for y in range(min(front, h), max(front - together, 0), -1):
                iterate_row(work, y, h, w, change, limit, theta, ratio, width)
        if stop >= 0:
            total = 0.0
            for x in range(1, w + 1):
                total += change[x]
            if total <= stop:
                break
    return total


@njit(pipeline_class=NoOverlap, **OPTIONS)
def linearise_row(
    first: np.ndarray, second: np.ndarray, u: np.ndarray, v: np.ndarray, wx: np.ndarray, wy: np.ndarray,
    inverse: np.ndarray, rho: np.ndarray, width: int,
) -> None:  # fmt: skip
    """The data term of a row, from the first image and the warped second one (both 4 channels a pixel)."""
    for x in range(width):
        gx = second[4 * x + 1]
        gy = second[4 * x + 2]
        squared = gx * gx + gy * gy
        wx[x + 1] = gx
        wy[x + 1] = gy
        inverse[x + 1] = float32(1) / squared if squared > float32(GRADIENT_FLOOR) else float32(0)
        rho[x + 1] = second[4 * x] - gx * u[x + 1] - gy * v[x + 1] - first[4 * x + 3]


@njit(**OPTIONS)
def warp(
    first: np.ndarray, second: np.ndarray, work: np.ndarray, rows: np.ndarray, h: int, w: int, a: float, spline: bool
) -> None:
    """Fill the planes of the data term; `first` and `second` are levels (h + 2 PAD, w + 2 PAD, 4)."""
    flat = second.reshape(-1)
    stride = 4 * (w + 2 * PAD)
    x_weights = rows[0 : 4 * w].reshape(4, w)
    y_weights = rows[4 * w : 8 * w].reshape(4, w)
    sampled = rows[8 * w : 12 * w]
    x_taps = np.empty(w, np.int32)
    y_taps = np.empty(w, np.int32)
    x_between = np.empty(w, np.float32)
    y_between = np.empty(w, np.float32)
    for y in range(h):
        row = work[y + 1]
        u = row[U]
        v = row[V]
        locate_row(u, float32(0), float32(1), float32(w), x_taps, x_between, w)
        locate_row(v, float32(y), float32(0), float32(h), y_taps, y_between, w)
        if spline:
            spline_row(x_between, x_weights, w)
            spline_row(y_between, y_weights, w)
        else:
            cubic_row(x_between, a, x_weights, w)
            cubic_row(y_between, a, y_weights, w)
        sample_row(flat, stride, x_taps, x_weights, y_taps, y_weights, sampled, w)
        inside = first[y + PAD, PAD : PAD + w].reshape(-1)
        linearise_row(inside, sampled, u, v, row[WX], row[WY], row[INVERSE], row[RHO], w)


@njit(**OPTIONS)
def solve_pair(
    first: np.ndarray, second: np.ndarray, sizes: np.ndarray, levels: int, numbers: tuple[np.float32, ...],
    counts: tuple[int, int, int, int], spline: bool, work: np.ndarray, out: np.ndarray, warm: bool,
) -> None:  # fmt: skip
    """Flow between two pyramids, into `out` (h, w, 2), px; with `warm` it starts from what `out` holds.

    Args:
        first, second: flat pyramids made by `pyramid.build_pyramid`.
        sizes: (all levels, 2) heights and widths.
        levels: how many of them to use.
        numbers: float32 data weight times theta, theta, tau / theta, epsilon_px, cubic a, scale step.
        counts: warps, outer iterations, iterations, median side.
        spline: whether the pyramids hold spline coefficients.
        work: from `make_workspace`.
    """
    limit, theta, ratio, epsilon, a, step = numbers
    warps, outer, inner, median = counts
    area = sizes[0, 0] * sizes[0, 1]
    largest = PLANES * (sizes[0, 0] + 2) * row_length(sizes[0, 1])
    flow = work[largest : largest + 2 * area]  # flow of the level above
    rows = work[largest + 2 * area :]
    for level in range(levels - 1, -1, -1):
        h = sizes[level, 0]
        w = sizes[level, 1]
        local = work[: PLANES * (h + 2) * row_length(w)].reshape(h + 2, PLANES, row_length(w))
        local[:] = float32(0)
        start_level(flow, out, local, sizes, level, levels, step, warm)
        one, two = level_view(first, sizes, level), level_view(second, sizes, level)
        stop = float(epsilon) ** 2 * h * w if epsilon > 0 else -1.0
        for _ in range(warps):
            warp(one, two, local, rows, h, w, a, spline)
            for _ in range(outer):
                if median > 1:
                    median_filter(local[1 : h + 1, U, 1 : w + 1], median)
                    median_filter(local[1 : h + 1, V, 1 : w + 1], median)
                if iterate(local, h, w, inner, limit, theta, ratio, stop) <= stop:
                    break
        keep = flow[: 2 * h * w].reshape(2, h, w)
        keep[0] = local[1 : h + 1, U, 1 : w + 1]
        keep[1] = local[1 : h + 1, V, 1 : w + 1]
    full = flow.reshape(2, sizes[0, 0], sizes[0, 1])
    out[:, :, 0] = full[0]
    out[:, :, 1] = full[1]


@njit(**OPTIONS)
def start_level(
    flow: np.ndarray, out: np.ndarray, local: np.ndarray, sizes: np.ndarray, level: int, levels: int, step: float,
    warm: bool,
) -> None:  # fmt: skip
    """Fill u and v of `local`: from the level above, from `out` when started warm, else they stay zero."""
    h = sizes[level, 0]
    w = sizes[level, 1]
    if level < levels - 1:
        above = sizes[level + 1]
        old = flow[: 2 * above[0] * above[1]].reshape(2, above[0], above[1])
        for c in range(2):
            resize(old[c], local[1 : h + 1, U + c, 1 : w + 1], above[0] / h, above[1] / w, float32(1) / step)
    elif warm:
        for c in range(2):
            given = np.ascontiguousarray(out[:, :, c])
            for k in range(1, level + 1):
                smaller = np.empty((sizes[k, 0], sizes[k, 1]), np.float32)
                resize(given, smaller, sizes[k - 1, 0] / sizes[k, 0], sizes[k - 1, 1] / sizes[k, 1], step)
                given = smaller
            local[1 : h + 1, U + c, 1 : w + 1] = given


def make_workspace(height: int, width: int) -> np.ndarray:
    """Working memory for `solve_pair` on images of this size; one thread needs one."""
    padded = -(-width // LANES) * LANES + LANES
    size = PLANES * (height + 2) * padded + 2 * height * width + 12 * width
    memory = np.empty(size + LANES, np.float32)
    # pixel 1 of each row begins a cache line: 15 % faster than any other place
    offset = (LANES - 1 - memory.ctypes.data // memory.itemsize) % LANES
    return memory[offset : offset + size]
