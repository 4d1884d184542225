"""Where AEM-Net's predictions sit in a window: pyramid levels, anchor-free points and anchors, all in frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from microexp.errors import UserError

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class Geometry:
    """The pyramid over one window.

    Attributes:
        window_steps: features per window.
        step_frame: frames between two features.
        lengths: positions of each level, finest first.
        stride_frame: distance of two positions of the finest level, frames; it doubles from level to level.
        ratios: anchor widths over the stride.
    """

    window_steps: int
    step_frame: int
    lengths: tuple[int, ...]
    stride_frame: int
    ratios: tuple[float, ...]

    @property
    def window_frame(self) -> int:
        """Length of the window in frames."""
        return self.window_steps * self.step_frame

    @cached_property
    def strides(self) -> FloatArray:
        """(P,) stride of each anchor-free point's level, frames."""
        return np.concatenate([np.full(n, self.stride_frame * 2**k) for k, n in enumerate(self.lengths)]).astype("f4")

    @cached_property
    def points(self) -> FloatArray:
        """(P,) anchor-free points: (i + .5)·stride from the window's start, frames."""
        position = np.concatenate([np.arange(n) for n in self.lengths])
        return ((position + 0.5) * self.strides).astype("f4")

    @cached_property
    def ranges(self) -> FloatArray:
        """(P, 2) distances [low, high) that each point's level regresses, frames.

        With strides 8, 16, 32, 64: [0,8) [8,32) [32,64) [64,128); the last level takes whatever is longer.
        """
        bounds = [0.0, float(self.stride_frame)]
        bounds += [2.0 * self.stride_frame * 2**k for k in range(1, len(self.lengths))]
        bounds[-1] = np.inf
        rows = [np.tile([bounds[k], bounds[k + 1]], (n, 1)) for k, n in enumerate(self.lengths)]
        return np.concatenate(rows).astype("f4")

    @cached_property
    def anchor_centres(self) -> FloatArray:
        """(A,) centres of the anchors, frames; the anchors of one position stand together."""
        return np.repeat(self.points, len(self.ratios))

    @cached_property
    def anchor_widths(self) -> FloatArray:
        """(A,) widths of the anchors, frames."""
        widths: FloatArray = np.outer(self.strides, np.asarray(self.ratios, "f4")).reshape(-1).astype("f4")
        return widths


def level_lengths(window_steps: int, stem_stride: int, levels: int | None) -> tuple[int, ...]:
    """Positions per level: the stem shortens by `stem_stride` and 2, each further level halves, down to two.

    Args:
        window_steps: features per window.
        stem_stride: stride of the convolution behind the stem.
        levels: number of levels; None follows from the window (64 steps: 16, 8, 4, 2; 512 steps: 128 … 2).
    """
    lengths = [math.ceil(math.ceil(window_steps / stem_stride) / 2)]
    while (len(lengths) < levels) if levels else (lengths[-1] > 2):
        lengths.append(math.ceil(lengths[-1] / 2))
    return tuple(lengths)


def make_geometry(
    window_frames: int, step_frame: int, stem_stride: int, *, levels: int | None, ratios: tuple[float, ...]
) -> Geometry:
    """The pyramid for a window of `window_frames` frames over features that are `step_frame` apart.

    Raises:
        UserError: when the window is no multiple of the step, or has fewer than 8 features.
    """
    steps = window_frames // step_frame
    if steps * step_frame != window_frames or steps < 8:
        raise UserError(
            file="aemnet",
            where="window_frames",
            got=window_frames,
            expected=f"a multiple of the features' step ({step_frame}), at least 8 of it",
        )
    return Geometry(
        steps, step_frame, level_lengths(steps, stem_stride, levels), step_frame * stem_stride * 2, tuple(ratios)
    )
