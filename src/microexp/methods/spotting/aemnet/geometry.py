"""Where AEM-Net's predictions sit in a window: pyramid levels, anchor-free points and anchors, all in frames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from microexp.errors import UserError
from microexp.methods.spotting.aemnet.features import FeatureVideo
from microexp.records.index import KINDS, Expression
from microexp.run.log import log

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


# Windows over the features of a video, and the expressions that belong to them.

VideoKey = tuple[str, str, str]
"""Data set, subject, video."""


@dataclass(frozen=True)
class Window:
    """A window and what belongs to it.

    Attributes:
        video: the one that it slices features of.
        start: first feature; may lie before the video's first one or reach beyond its last.
        expressions: (n, 3) start, end (exclusive) in frames from the window's start, and kind (1 micro, 2 macro).
        empty: whether no expression even overlaps it.
    """

    video: FeatureVideo
    start: int
    expressions: np.ndarray
    empty: bool


def warn_if_short(videos: Sequence[FeatureVideo], window_frames: int) -> None:
    """Say so when most videos are shorter than a window: each is then a single window, most of it padding."""
    short = sum(v.n_frames < window_frames for v in videos)
    if 2 * short > len(videos):
        log(f"aemnet: {short} of {len(videos)} training videos are shorter than window_frames={window_frames}")


def window_starts(video: FeatureVideo, window_steps: int, stride_steps: int) -> list[int]:
    """First features of windows that together cover the video from its first frame to its last.

    Windows are `stride_steps` apart, and one more ends where the video ends; a video shorter than a window gets one
    window, which the reader pads. As features stand for the middle of their clips, the frames before the first and
    after the last middle are reached by a few repeated features at either end.
    """
    before = int(np.ceil(video.origin_frame / video.step_frame))
    end = int(np.ceil((video.n_frames - video.origin_frame) / video.step_frame))
    last = max(-before, max(end, video.n_steps) - window_steps)
    starts = list(range(-before, last + 1, stride_steps))
    if starts[-1] != last:
        starts.append(last)
    return starts


def window_origin_frame(video: FeatureVideo, start: int) -> float:
    """Where a window that begins at feature `start` begins on the video's frame axis."""
    return start * video.step_frame + video.origin_frame


def expression_frames(video: FeatureVideo, expressions: Iterable[Expression]) -> np.ndarray:
    """(n, 3) start, end (exclusive) in frames at the features' rate, and kind; sorted by start."""
    rows = [(e.onset, e.offset, KINDS.index(e.kind) + 1) for e in expressions]
    table = np.array(sorted(rows), dtype=np.float64).reshape(-1, 3)
    table[:, 0] = video.to_frames(table[:, 0])
    table[:, 1] = video.to_frames(table[:, 1]) + 1
    return table


def make_window(
    video: FeatureVideo, start: int, geometry: Geometry, *, expressions: np.ndarray, inside: float
) -> Window:
    """The window at `start`: an expression belongs to it when more than the share `inside` of it lies inside."""
    origin = window_origin_frame(video, start)
    belongs, touches = _inside(origin, geometry, expressions, inside)
    return Window(video, start, expressions[belongs] - [origin, origin, 0], not bool(touches.any()))


def _inside(
    origin: float, geometry: Geometry, expressions: np.ndarray, inside: float
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """(n,) which expressions belong to the window at frame `origin`, and which overlap it at all."""
    start, end = expressions[:, 0] - origin, expressions[:, 1] - origin
    overlap = np.minimum(end, geometry.window_frame) - np.maximum(start, 0)
    return overlap > inside * (end - start), overlap > 0


def training_windows(
    videos: Sequence[FeatureVideo],
    expressions: Mapping[VideoKey, Sequence[Expression]],
    geometry: Geometry,
    *,
    stride_frames: int,
    inside: float,
    empty_ratio: float,
    seed: int,
) -> list[Window]:
    """Every window with at least one expression, and `empty_ratio` times as many empty ones drawn by `seed`.

    Windows that hold only a piece of an expression are neither and are not used. Expressions that belong to no window
    (most often longer than one) are logged.
    """
    stride = max(1, round(stride_frames / geometry.step_frame))
    windows, total, homeless = [], 0, 0
    for video in videos:
        table = expression_frames(video, expressions.get((video.dataset, video.subject, video.video), ()))
        seen = np.zeros(len(table), bool)
        for start in window_starts(video, geometry.window_steps, stride):
            windows.append(make_window(video, start, geometry, expressions=table, inside=inside))
            seen |= _inside(window_origin_frame(video, start), geometry, table, inside)[0]
        total, homeless = total + len(table), homeless + int((~seen).sum())
    if homeless:
        log(
            f"aemnet: {homeless} of {total} training expressions lie in no window of {geometry.window_frame} frames: "
            "nothing is learned from them"
        )
    full = [w for w in windows if len(w.expressions)]
    empty = [w for w in windows if w.empty]
    count = min(len(empty), round(empty_ratio * len(full)))
    chosen = np.sort(np.random.default_rng([seed, 1]).permutation(len(empty))[:count])
    return full + [empty[i] for i in chosen]
