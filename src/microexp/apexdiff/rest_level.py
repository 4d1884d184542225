"""Flow maps that others published: what their numbers mean, where they are at rest, and what an image is divided by.

Maps come as grey levels (8 or 16 bits, or the same as floats up to 1 or 255, or from -1 to 1): min-maxed per image, so
that the magnitude is gone for good and zero motion has another level in each. Or they come as flow in px, recognised by
values below 0 in images that do not each fill -1 to 1: there zero motion is 0 and the magnitude is kept.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from microexp.errors import UserError

Zero = Literal["mode", "robust", "middle", "known"]
Scale = Literal["rms", "range", "none"]
ZEROS: tuple[str, ...] = get_args(Zero)
SCALES: tuple[str, ...] = get_args(Scale)
LEVELS = 256
"""Steps of an image's own grid, on which the most frequent value is looked for."""
BIWEIGHT = 4.685
"""Tukey's constant: 95 % efficient on normal noise."""
BIWEIGHT_ROUNDS = 15


def as_values(maps: np.ndarray, file: object = None) -> tuple[np.ndarray, bool]:
    """(N, C, h, w) of any number -> float32, and whether it is flow in px; else grey levels from 0 to 1.

    Raises:
        UserError: when the values are neither.
    """
    if not len(maps):
        return maps.astype(np.float32), False
    if maps.dtype.kind not in "uif" or not np.isfinite(maps).all():
        raise UserError(
            file=file,
            where="flow",
            problem=f"{maps.dtype} with values that are no numbers",
            expected="finite grey levels or px",
        )
    low, high = maps.min(), maps.max()
    if low < 0:
        ends = np.stack([maps.min((2, 3)), maps.max((2, 3))], -1)
        if np.abs(ends - [-1, 1]).max() < 1e-3:
            return (maps.astype(np.float32) + 1) / 2, False
        return maps.astype(np.float32), True
    if maps.dtype.kind == "f" and high <= 1:
        return maps.astype(np.float32), False
    for top in (255, 65535):
        if high <= top:
            return maps.astype(np.float32) / top, False
    raise UserError(
        file=file,
        where="flow",
        problem=f"values from {low} to {high}",
        expected="grey levels (up to 1, 255 or 65535) or signed px",
    )


def centred(
    maps: np.ndarray, zero: Zero | None = None, scale: Scale | None = None, *, file: object = None
) -> np.ndarray:
    """Maps (N, C, h, w) -> float32 with u and v (the first two channels) at 0 where nothing moves.

    Args:
        maps: u, v and any others, such as the strain, which rests at 0.
        zero: the level of rest: the image's most frequent value (`mode`; most of a face rests), its Tukey biweight
            (`robust`), the `middle` of the scale (half of the grey levels; 0 px), or `known` (0 px). By default
            `robust` for grey levels and `known` for px.
        scale: an image is divided by its root mean square (`rms`), its `range` (grey levels are), or nothing (`none`).
            By default `rms` for grey levels, as their magnitude is gone, and `none` for px.
        file: named in errors.

    Raises:
        UserError: when the values are neither grey levels nor px, or grey levels are said to have a known zero.
    """
    values, signed = as_values(maps, file)
    zero = zero or ("known" if signed else "robust")
    scale = scale or ("none" if signed else "rms")
    if zero == "known" and not signed:
        raise UserError(
            file=file, where="zero", got="'known' for grey levels", expected="flow in px, or mode, robust or middle"
        )
    if not len(values):
        return values
    ends = values.min((2, 3), keepdims=True), values.max((2, 3), keepdims=True)
    values[:, :2] -= rest_levels(values[:, :2], zero, signed)[..., None, None]
    if scale == "rms":
        values /= np.sqrt(np.square(values).mean((2, 3), keepdims=True) + 1e-6)
    elif scale == "range" and signed:
        values /= np.maximum(ends[1] - ends[0], 1e-6)
    return values


def rest_levels(values: np.ndarray, zero: Zero, signed: bool = False) -> np.ndarray:
    """Level of rest of each image (..., h, w) -> (...) float32."""
    flat = values.reshape(-1, values.shape[-2] * values.shape[-1])
    if zero == "robust":
        found = biweight(flat)
    elif zero == "mode":
        found = most_frequent(flat, signed)
    else:
        found = np.full(len(flat), 0.0 if signed else 0.5)
    return np.asarray(found, dtype=np.float32).reshape(values.shape[:-2])


def most_frequent(flat: np.ndarray, own_range: bool) -> np.ndarray:
    """(M, P) -> (M,): the lowest of the most frequent values on a grid from 0 to 1, or over each row's own range."""
    low = flat.min(1, keepdims=True) if own_range else np.zeros((len(flat), 1), np.float32)
    span = np.maximum(flat.max(1, keepdims=True) - low, 1e-6) if own_range else np.ones_like(low)
    grid = np.round((flat - low) / span * (LEVELS - 1)).astype(np.int64) + LEVELS * np.arange(len(flat))[:, None]
    counts = np.bincount(grid.ravel(), minlength=LEVELS * len(flat)).reshape(-1, LEVELS)
    return np.asarray(low[:, 0] + counts.argmax(1) / (LEVELS - 1) * span[:, 0])


def biweight(flat: np.ndarray) -> np.ndarray:
    """(M, P) -> (M,): Tukey's biweight M-estimate of location of each row, by iterated weights from its median.

    The scale is the median distance from the present estimate (times 1.4826, as for normal noise), at least a
    thousandth of the row's range. Values beyond 4.685 of it, the parts that move, count nothing (Huber & Ronchetti,
    Robust Statistics, 2009, chapters 3 and 6).
    """
    flat = flat.astype(np.float64)
    level = np.median(flat, axis=1, keepdims=True)
    floor = np.maximum(np.ptp(flat, axis=1, keepdims=True) * 1e-3, 1e-9)
    for _ in range(BIWEIGHT_ROUNDS):
        off = flat - level
        width = BIWEIGHT * np.maximum(1.4826 * np.median(np.abs(off), axis=1, keepdims=True), floor)
        weight = np.square(np.clip(1 - np.square(off / width), 0, None))
        level = (weight * flat).sum(1, keepdims=True) / weight.sum(1, keepdims=True)
    return np.asarray(level[:, 0])
