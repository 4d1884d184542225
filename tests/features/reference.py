"""I3D features once more, in numpy, from the arrays of the released checkpoint and its published description.

Written against the layout of the JAX port (frames, rows, columns, channels); shares no code with the package.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

Arrays = Mapping[tuple[str, ...], np.ndarray]
BLOCKS = ("Mixed_3b", "Mixed_3c", "POOL3", "Mixed_4b", "Mixed_4c", "Mixed_4d", "Mixed_4e", "Mixed_4f", "POOL2")


def windows(x: np.ndarray, kernel: tuple[int, ...], stride: tuple[int, ...], fill: float) -> np.ndarray:
    """(T, H, W, C) -> (t, h, w, C, kt, kh, kw) as TensorFlow's SAME lays windows out."""
    pads = []
    for n, k, s in zip(x.shape, kernel, stride, strict=False):
        total = max((math.ceil(n / s) - 1) * s + k - n, 0)
        pads.append((total // 2, total - total // 2))
    padded = np.pad(x, [*pads, (0, 0)], constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(padded, kernel, (0, 1, 2))
    return view[:: stride[0], :: stride[1], :: stride[2]]


def unit(x: np.ndarray, arrays: Arrays, *place: str, stride: tuple[int, ...] = (1, 1, 1)) -> np.ndarray:
    kernel = arrays["params", *place, "Conv_0", "kernel"].astype(np.float64)
    view = windows(x, kernel.shape[:3], stride, 0.0)
    y = np.einsum("thwcijk,ijkco->thwo", view, kernel, optimize=True)
    mean, variance = (arrays["batch_stats", *place, "BatchNorm_0", k].ravel() for k in ("mean", "var"))
    y = (y - mean) / np.sqrt(variance + 1e-3) + arrays["params", *place, "BatchNorm_0", "bias"]
    return np.maximum(y, 0)


def pool(x: np.ndarray, kernel: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    return windows(x, kernel, stride, -np.inf).max((4, 5, 6))


def mixed(x: np.ndarray, arrays: Arrays, name: str) -> np.ndarray:
    def branch(y: np.ndarray, *steps: str) -> np.ndarray:
        for step in steps:
            y = unit(y, arrays, name, step)
        return y

    return np.concatenate(
        [
            branch(x, "Branch_0/Conv3d_0a_1x1"),
            branch(x, "Branch_1/Conv3d_0a_1x1", "Branch_1/Conv3d_0b_3x3"),
            branch(x, "Branch_2/Conv3d_0a_1x1", "Branch_2/Conv3d_0b_3x3"),
            branch(pool(x, (3, 3, 3), (1, 1, 1)), "Branch_3/Conv3d_0b_1x1"),
        ],
        -1,
    )


def features(clip: np.ndarray, arrays: Arrays) -> np.ndarray:
    """(T, H, W, 3) in [-1, 1] -> (1024,)."""
    x = unit(clip.astype(np.float64), arrays, "Conv3d_1a_7x7", stride=(2, 2, 2))
    x = unit(pool(x, (1, 3, 3), (1, 2, 2)), arrays, "Conv3d_2b_1x1")
    x = pool(unit(x, arrays, "Conv3d_2c_3x3"), (1, 3, 3), (1, 2, 2))
    for name in (*BLOCKS, "Mixed_5b", "Mixed_5c"):
        if name.startswith("POOL"):
            k = int(name[-1])
            x = pool(x, (k, k, k), (2, 2, 2))
        else:
            x = mixed(x, arrays, name)
    return x.mean((0, 1, 2))
