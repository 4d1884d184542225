"""Image pyramids for `kernels.py` (numba): grey levels, derivatives, spline coefficients, made once per frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import float32, njit, types
from numba.extending import intrinsic

from microexp.flow.compiler import OPTIONS, NoOverlap

# One small piece of hand-written vector code: the bicubic sum over 4 x 4 pixels of 4 interleaved channels.
#
# LLVM turns the row loops of `kernels.py` into vector code by itself, but not this one: it would gather every number
# singly (22 ns per pixel). Written as sixteen 4-wide multiply-adds it takes 5.

_INDEX = ir.IntType(32)
_VECTOR = ir.VectorType(ir.FloatType(), 4)
_UNDEFINED = ir.Constant(_VECTOR, ir.Undefined)


def _spread(builder: Any, number: Any) -> Any:
    """A 4-vector that holds `number` four times."""
    single = builder.insert_element(_UNDEFINED, number, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(single, _UNDEFINED, ir.Constant(ir.VectorType(_INDEX, 4), [0] * 4))


def _weighted(builder: Any, total: Any, weight: Any, value: Any) -> Any:
    """`total + weight * value`; a `total` of None is zero."""
    product = builder.fmul(weight, value)
    return product if total is None else builder.fadd(total, product)


def _build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    image, start, stride, across, down, out, at = arguments
    source = context.make_array(signature.args[0])(context, builder, image).data
    target = context.make_array(signature.args[5])(context, builder, out).data
    x_weights = [_spread(builder, builder.extract_value(across, j)) for j in range(4)]
    total = None
    for i in range(4):
        part = None
        for j in range(4):
            place = builder.add(start, ir.Constant(start.type, 4 * j))
            value = builder.load(builder.bitcast(builder.gep(source, [place]), _VECTOR.as_pointer()))
            value.align = 4
            part = _weighted(builder, part, x_weights[j], value)
        total = _weighted(builder, total, _spread(builder, builder.extract_value(down, i)), part)
        start = builder.add(start, stride)
    store = builder.store(total, builder.bitcast(builder.gep(target, [at]), _VECTOR.as_pointer()))
    store.align = 4
    return context.get_dummy_value()


@intrinsic
def bicubic_pixel(
    typing_context: Any, image: Any, start: Any, stride: Any, across: Any, down: Any, out: Any, at: Any
) -> Any:
    """`out[at:at+4] = sum over i, j of down[i] * across[j] * image[start + i*stride + 4*j :][:4]`, in compiled code.

    `image` and `out` are flat float32 arrays, `across` and `down` are tuples of four float32.
    """
    return types.void(image, types.intp, types.intp, across, down, out, types.intp), _build


# Values between pixels (numba): weights of cubic convolution and of the cubic B-spline, row by row.

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


@njit(**OPTIONS)
def resize(source: np.ndarray, target: np.ndarray, y_ratio: float, x_ratio: float, factor: np.float32) -> None:
    """Bilinear with half-pixel centres and repeated edge (OpenCV's INTER_LINEAR); ratio = source px per target px."""
    height, width = source.shape
    for y in range(target.shape[0]):
        at_y = min(max((y + 0.5) * y_ratio - 0.5, 0.0), height - 1.0)
        top = int(at_y)
        down = float32(at_y - top)
        upper = source[top]
        lower = source[min(top + 1, height - 1)]
        for x in range(target.shape[1]):
            at_x = min(max((x + 0.5) * x_ratio - 0.5, 0.0), width - 1.0)
            left = int(at_x)
            right = min(left + 1, width - 1)
            across = float32(at_x - left)
            above = upper[left] + (upper[right] - upper[left]) * across
            below = lower[left] + (lower[right] - lower[left]) * across
            target[y, x] = factor * (above + (below - above) * down)


@njit(pipeline_class=NoOverlap, **OPTIONS)
def add_row(total: np.ndarray, row: np.ndarray, weight: np.float32) -> None:
    """`total += weight * row`."""
    for x in range(total.shape[0]):
        total[x] += weight * row[x]


@njit(**OPTIONS)
def convolve(image: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """`image` (h, w) filtered with the same odd number of `weights` along x and y, edge repeated, into `out`."""
    h, w = image.shape
    radius = weights.shape[0] // 2
    padded = np.empty(w + 2 * radius, np.float32)
    across = np.zeros((h, w), np.float32)
    for y in range(h):
        padded[:radius] = image[y, 0]
        padded[radius : radius + w] = image[y]
        padded[radius + w :] = image[y, w - 1]
        for k in range(weights.shape[0]):
            add_row(across[y], padded[k : k + w], weights[k])
    out[:] = float32(0)
    for y in range(h):
        for k in range(weights.shape[0]):
            add_row(out[y], across[min(max(y + k - radius, 0), h - 1)], weights[k])


@njit(**OPTIONS)
def level_view(pyramid: np.ndarray, sizes: np.ndarray, level: int) -> np.ndarray:
    """Level of a flat pyramid as (h + 2 PAD, w + 2 PAD, 4): grey, d/dx, d/dy (or their spline coefficients), grey."""
    start = 0
    for k in range(level):
        start += 4 * (sizes[k, 0] + 2 * PAD) * (sizes[k, 1] + 2 * PAD)
    h = sizes[level, 0] + 2 * PAD
    w = sizes[level, 1] + 2 * PAD
    return pyramid[start : start + 4 * h * w].reshape(h, w, 4)


@njit(**OPTIONS)
def differentiate(grey: np.ndarray, five_point: bool, dx: np.ndarray, dy: np.ndarray) -> None:
    """Central differences of 3 or 5 points, edge repeated."""
    h, w = grey.shape
    half = float32(0.5)
    for y in range(h):
        for x in range(w):
            near_x = grey[y, min(x + 1, w - 1)] - grey[y, max(x - 1, 0)]
            near_y = grey[min(y + 1, h - 1), x] - grey[max(y - 1, 0), x]
            if five_point:
                far_x = grey[y, min(x + 2, w - 1)] - grey[y, max(x - 2, 0)]
                far_y = grey[min(y + 2, h - 1), x] - grey[max(y - 2, 0), x]
                near_x = (float32(8) * near_x - far_x) / float32(6)
                near_y = (float32(8) * near_y - far_y) / float32(6)
            dx[y, x] = half * near_x
            dy[y, x] = half * near_y


@njit(**OPTIONS)
def value_at_pixels(view: np.ndarray, h: int, w: int) -> None:
    """Fill channel 3 with what a warp by nothing gives, so that equal images have no flow."""
    taps = np.arange(w).astype(np.int32) + np.int32(PAD - 1)
    down = np.empty(w, np.int32)
    weights = np.empty((4, w), np.float32)
    values = np.empty(4 * w, np.float32)
    spline_row(np.zeros(w, np.float32), weights, w)
    for y in range(h):
        down[:] = y + PAD - 1
        sample_row(view.reshape(-1), 4 * (w + 2 * PAD), taps, weights, down, weights, values, w)
        view[y + PAD, PAD : PAD + w, 3] = values[::4]


@njit(**OPTIONS)
def build_pyramid(
    frame: np.ndarray, sizes: np.ndarray, ratio: float, five_point: bool, spline: np.ndarray, pyramid: np.ndarray
) -> None:
    """The flat `pyramid` of `frame` (h, w): 4 channels a pixel, as `level_view` says; `spline` is a filter or empty."""
    grey = frame
    for level in range(sizes.shape[0]):
        h = sizes[level, 0]
        w = sizes[level, 1]
        if level > 0:
            smaller = np.empty((h, w), np.float32)
            resize(grey, smaller, ratio, ratio, float32(1))
            grey = smaller
        view = level_view(pyramid, sizes, level)
        channels = np.empty((3, h, w), np.float32)
        channels[0] = grey
        differentiate(grey, five_point, channels[1], channels[2])
        for c in range(3):
            if spline.shape[0] > 0:
                convolve(channels[c].copy(), spline, channels[c])
            view[PAD : PAD + h, PAD : PAD + w, c] = channels[c]
        view[PAD : PAD + h, PAD : PAD + w, 3] = grey
        for y in range(PAD, PAD + h):
            view[y, :PAD] = view[y, PAD]
            view[y, PAD + w :] = view[y, PAD + w - 1]
        view[:PAD] = view[PAD]
        view[PAD + h :] = view[PAD + h - 1]
        if spline.shape[0] > 0:
            value_at_pixels(view, h, w)
