"""TV-L1 on CPU cores: one pair per thread, so that results do not depend on the number of threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from microexp.flow import kernels, pyramid
from microexp.flow.params import Tvl1
from microexp.flow.tvl1 import gaussian_weights, pyramid_sizes, spline_weights
from microexp.run.compiled import one_at_a_time

# Work shared among threads, item by item, for code that releases the interpreter's lock.


def for_each(prepare: Callable[[], Callable[[int], None]], count: int, threads: int) -> None:
    """Call `prepare()` once per thread, and what it returns for each of `count` items: whoever is free takes the next.

    Each item is one thread's work alone, so that results do not depend on the number of threads.
    """
    items = itertools.count()

    def run() -> None:
        """What one thread does."""
        step = prepare()
        while (item := next(items)) < count:
            step(item)

    threads = max(1, min(threads, count))
    if threads == 1:
        run()
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(run) for _ in range(threads)]:
            done.result()


def remove_shading(frame: np.ndarray, tvl1: Tvl1) -> np.ndarray:
    """`frame` (H, W) as float32, without the share of slow shading that `tvl1` takes out."""
    grey = np.ascontiguousarray(frame, np.float32)
    if not (tvl1.shading_sigma_px and tvl1.shading_share):
        return grey
    out = np.empty_like(grey)
    pyramid.convolve(grey, gaussian_weights(tvl1.shading_sigma_px), out)
    return grey - np.float32(tvl1.shading_share) * out


_COMPILED: set[Tvl1] = set()


def _compile(tvl1: Tvl1) -> None:
    """Compile what `tvl1` needs, or load it, once a process and in one process at a time."""
    if tvl1 in _COMPILED:
        return
    _COMPILED.add(tvl1)
    size = 48
    frames = np.random.default_rng(0).random((2, size, size), np.float32)
    with one_at_a_time():
        solver = NumbaSolver(size, size, tvl1)
        solver.solve_frames(frames[:1], frames[1:])


class NumbaSolver:
    """Pyramids and flow of frames of one size."""

    name = "numba"
    device = "cpu"
    batch = 32

    def __init__(self, height: int, width: int, tvl1: Tvl1, *, threads: int = 1) -> None:
        self.shape = (height, width)
        self.tvl1 = tvl1
        self.threads = self.at_once = threads
        self.sizes = np.array(pyramid_sizes(height, width, tvl1), np.int64)
        pad = 2 * pyramid.PAD
        self.pyramid_length = int(sum(4 * (h + pad) * (w + pad) for h, w in self.sizes))
        f = np.float32
        t = tvl1
        self.numbers = (
            f(t.data_weight * t.theta), f(t.theta), f(t.tau / t.theta), f(t.epsilon_px), f(t.cubic_a), f(t.scale_step),
        )  # fmt: skip
        self.spline = t.interpolation == "spline"
        self.weights = spline_weights() if self.spline else np.empty(0, np.float32)
        self.counts = (t.warps, t.outer_iterations, t.iterations, t.median_px)
        _compile(tvl1)

    def prepare(self, frames: np.ndarray) -> np.ndarray:
        """Pyramids (N, length) of grey frames (N, H, W), uint8 or float32."""
        pyramids = np.empty((len(frames), self.pyramid_length), np.float32)
        for_each(lambda: lambda i: self._build(frames[i], pyramids[i]), len(frames), self.threads)
        return pyramids

    def _build(self, frame: np.ndarray, out: np.ndarray) -> None:
        five_point = self.tvl1.gradient == "five_point"
        grey = remove_shading(frame, self.tvl1)
        pyramid.build_pyramid(grey, self.sizes, 1 / self.tvl1.scale_step, five_point, self.weights, out)

    def solve_frames(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Flow (N, H, W, 2), px, between frames (N, H, W) that are in one pair each.

        A thread builds the two pyramids of its pair and solves it, in memory of its own: no thread waits for another.
        """
        out = np.empty((len(first), *self.shape, 2), np.float32)

        def start() -> Callable[[int], None]:
            """Working memory of one thread, and what solves a pair in it."""
            work = kernels.make_workspace(*self.shape)
            one, two = np.empty((2, self.pyramid_length), np.float32)

            def pair(i: int) -> None:
                """Build both pyramids of pair `i` and solve it."""
                self._build(first[i], one)
                self._build(second[i], two)
                self._solve(one, two, len(self.sizes), work, out[i], False)

            return pair

        for_each(start, len(first), self.threads)
        return out

    def solve(
        self, first: np.ndarray, second: np.ndarray, warm: np.ndarray | None = None, *, scales: int = 0
    ) -> np.ndarray:
        """Flow (N, H, W, 2), px, between pyramids.

        Args:
            first, second: pyramids of `prepare`.
            warm: flow to start from; then only the finest `scales` levels are used.
        """
        out = np.empty((len(first), *self.shape, 2), np.float32) if warm is None else warm.copy()
        levels = len(self.sizes) if warm is None else min(scales, len(self.sizes))

        def start() -> Callable[[int], None]:
            """Working memory of one thread, and what solves a pair in it."""
            work = kernels.make_workspace(*self.shape)

            def one(i: int) -> None:
                """Solve pair `i` from pyramids that exist."""
                self._solve(first[i], second[i], levels, work, out[i], warm is not None)

            return one

        for_each(start, len(first), self.threads)
        return out

    def _solve(
        self, first: np.ndarray, second: np.ndarray, levels: int, work: Any, out: np.ndarray, warm: bool
    ) -> None:
        kernels.solve_pair(first, second, self.sizes, levels, self.numbers, self.counts, self.spline, work, out, warm)
