"""TV-L1 in torch, for whole batches; within a batch a fixed schedule never waits for the GPU.

The same steps as `tests/flow/reference.py`, on (N, H, W) tensors. With a stopping rule each pair of the batch stops on
its own: its flow is frozen on the device, and the host asks only every `ASK_EVERY` iterations whether all have stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nn
from torch import Tensor

from microexp.errors import one_line
from microexp.flow.params import GRADIENT_FLOOR, Tvl1
from microexp.flow.tvl1 import gaussian_weights, pyramid_sizes, spline_weights
from microexp.run.log import log

# How many pairs go to a GPU at a time: as many as its memory likes, in few different shapes.

GPU_BATCH = 128
"""Pairs of 224 x 224 px per batch on a GPU; of other sizes as many as take the same memory, at most LARGEST_BATCH."""

LARGEST_BATCH = 1024

FILL_STEP = 4
"""On a GPU a smaller batch is filled up to the largest one divided by a power of this: at most so many times the work,
which takes milliseconds, and few shapes, since compiling for each takes seconds."""


def gpu_batch(height: int, width: int) -> int:
    """Pairs of this size per batch on a GPU: a power of two, and its memory does not grow with the size."""
    fitting = min(LARGEST_BATCH, GPU_BATCH * 224 * 224 // (height * width))
    return 1 << max(0, fitting.bit_length() - 1)


def filled_size(count: int, batch: int) -> int:
    """To how many pairs `count` are filled up: `batch`, or that divided by a power of FILL_STEP."""
    size = batch
    while size // FILL_STEP >= count:
        size //= FILL_STEP
    return max(size, count)


def fill_up(batch: Tensor, size: int) -> Tensor:
    """`batch` with its first item repeated until there are `size`."""
    return torch.cat([batch, batch[:1].expand(size - len(batch), *batch.shape[1:])])


ASK_EVERY = 10
"""Iterations between two questions whether all pairs have stopped (only with `epsilon_px` > 0)."""

State = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def iteration(
    wx: Tensor, wy: Tensor, inverse: Tensor, *, rho: Tensor, state: State, limit: float, theta: float, ratio: float
) -> tuple[State, Tensor]:
    """One iteration; `state` is u, v and the four dual fields, all (N, H, W). Also gives the squared changes."""
    u, v, p11, p12, p21, p22 = state
    step = (-(rho + (wx * u + wy * v)) * inverse).clamp(-limit, limit)
    du = step * wx + theta * divergence(p11, p12)
    dv = step * wy + theta * divergence(p21, p22)
    u, v = u + du, v + dv
    return (u, v, *dual_step(u, p11, p12, ratio=ratio), *dual_step(v, p21, p22, ratio=ratio)), du * du + dv * dv


def divergence(px: Tensor, py: Tensor) -> Tensor:
    """Backward differences, zero beyond the edge."""
    return (px - nn.pad(px[..., :-1], (1, 0))) + (py - nn.pad(py[..., :-1, :], (0, 0, 1, 0)))


def dual_step(u: Tensor, px: Tensor, py: Tensor, *, ratio: float) -> tuple[Tensor, Tensor]:
    """Gradient ascent on the dual field of one component, then back towards the unit disc."""
    ux = nn.pad(u[..., 1:] - u[..., :-1], (0, 1))
    uy = nn.pad(u[..., 1:, :] - u[..., :-1, :], (0, 0, 0, 1))
    shrink = 1 / (1 + ratio * torch.sqrt(ux * ux + uy * uy))
    return (px + ratio * ux) * shrink, (py + ratio * uy) * shrink


@cache
def compiled_iteration() -> Callable[..., tuple[State, Tensor]]:
    """`iteration` as two fused kernels, compiled anew for each shape (`dynamic` would cost the vector code).

    Where that fails (no C compiler, no Triton) it says so once and goes on with the plain function.
    """
    now: Callable[..., tuple[State, Tensor]] = torch.compile(iteration, dynamic=False)

    def run(*fields: Tensor, **more: Any) -> tuple[State, Tensor]:
        """The compiled iteration, or the plain one once compiling has failed."""
        nonlocal now
        if now is iteration:
            return iteration(*fields, **more)
        try:
            # the default limit of 8 shapes is soon used up by levels and sizes, after which torch falls back in silence
            with torch._dynamo.config.patch(recompile_limit=256):
                return now(*fields, **more)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, OSError, ImportError) as error:  # what is no failure of a compiler comes again below
            reason = one_line(str(error).strip().partition("\n")[0] or type(error).__name__, 200)
            log(f"flow: torch cannot compile here, so that flow takes several times as long: {reason}")
            now = iteration
            return iteration(*fields, **more)

    return run


def median_filter(image: Tensor, side: int) -> Tensor:
    """Median over side x side px of (N, H, W), edge repeated."""
    radius = side // 2
    padded = nn.pad(image.unsqueeze(1), (radius,) * 4, mode="replicate")[:, 0]
    return padded.unfold(1, side, 1).unfold(2, side, 1).reshape(*image.shape, side * side).median(-1).values


def gradient(image: Tensor, axis: int, scheme: str) -> Tensor:
    """Central differences of 3 or 5 points of (N, H, W) along axis 1 (y) or 2 (x), edge repeated."""
    n = image.shape[axis]
    index = torch.arange(n, device=image.device)

    def at(offset: int) -> Tensor:
        """The image moved by `offset` px along the axis, edge repeated."""
        return image.index_select(axis, (index + offset).clamp(0, n - 1))

    near = at(1) - at(-1)
    return 0.5 * (near if scheme == "central" else (8 * near - (at(2) - at(-2))) / 6)


def remove_shading(image: Tensor, tvl1: Tvl1) -> Tensor:
    """`image` (N, H, W) less a share of what a Gaussian blur leaves of it, edge repeated."""
    if not (tvl1.shading_sigma_px and tvl1.shading_share):
        return image
    return image - tvl1.shading_share * convolve(image, gaussian_weights(tvl1.shading_sigma_px))


def convolve(image: Tensor, weights: np.ndarray) -> Tensor:
    """`image` (N, H, W) filtered with the same weights along x and y, edge repeated."""
    radius = len(weights) // 2
    for axis in (2, 1):
        n = image.shape[axis]
        index = torch.arange(n, device=image.device)
        total = torch.zeros_like(image)
        for k, weight in enumerate(weights.tolist(), -radius):
            total = total + weight * image.index_select(axis, (index + k).clamp(0, n - 1))
        image = total
    return image


def cubic_weights(t: Tensor, a: float) -> list[Tensor]:
    """Weights of Keys' bicubic kernel for the taps -1, 0, 1, 2, at 0 <= t < 1."""
    z = 1 - t
    first, last = a * t * z * z, a * z * t * t
    second = ((a + 2) * t - (a + 3)) * t * t + 1
    return [first, second, 1 - first - second - last, last]


def spline_basis(t: Tensor) -> list[Tensor]:
    """Weights of the cubic B-spline for the taps -1, 0, 1, 2, at 0 <= t < 1."""
    z = 1 - t
    first, last = z * z * z / 6, t * t * t / 6
    second = (3 * t - 6) * t * t / 6 + 4 / 6
    return [first, second, 1 - first - second - last, last]


def warp(images: Tensor, u: Tensor, v: Tensor, *, tvl1: Tvl1) -> Tensor:
    """`images` (N, C, H, W), or splines with these coefficients, at x + u, y + v.

    Gathered by hand, since `grid_sample(mode="bicubic")` has a slope of -0.75 for good.
    """
    n, c, h, w = images.shape
    x = (torch.arange(w, device=u.device, dtype=u.dtype) + u).clamp(-2, w)
    y = (torch.arange(h, device=u.device, dtype=u.dtype)[:, None] + v).clamp(-2, h)
    left, top = x.floor(), y.floor()
    spline, a = tvl1.interpolation == "spline", tvl1.cubic_a
    across, down = (spline_basis(t) if spline else cubic_weights(t, a) for t in (x - left, y - top))
    columns = [(left.long() + j - 1).clamp(0, w - 1) for j in range(4)]
    flat = images.reshape(n, c, h * w)
    total = torch.zeros_like(images)
    for i in range(4):
        row = (top.long() + i - 1).clamp(0, h - 1) * w
        part = torch.zeros_like(images)
        for j in range(4):
            index = (row + columns[j]).reshape(n, 1, h * w).expand(n, c, h * w)
            part = part + across[j].unsqueeze(1) * flat.gather(2, index).reshape(n, c, h, w)
        total = total + down[i].unsqueeze(1) * part
    return total


@lru_cache(maxsize=256)
def places(source: int, target: int, ratio: float, *, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `target` px the `source` px before and after it, and the weight of the latter.

    Kept on the device, for the few sizes there are: a copy from the host would make it wait.
    """
    place = ((np.arange(target) + 0.5) * ratio - 0.5).clip(0, source - 1)
    low = place.astype(np.int64)
    parts = low, np.minimum(low + 1, source - 1), (place - low).astype(np.float32)
    return tuple(torch.from_numpy(part).to(device, non_blocking=True) for part in parts)  # type: ignore[return-value]


def resize(image: Tensor, size: tuple[int, int], ratio: tuple[float, float], *, factor: float = 1.0) -> Tensor:
    """`factor` times `image` (N, H, W), bilinear with half-pixel centres; ratio = source px per target px."""
    for axis, (n, r) in enumerate(zip(size, ratio, strict=True), 1):
        low, high, weight = places(image.shape[axis], n, r, device=image.device)
        one, two = image.index_select(axis, low), image.index_select(axis, high)
        image = one + (two - one) * (weight if axis == 2 else weight[:, None])
    return factor * image


class TorchSolver:
    """Pyramids and flow of frames of one size, batched, on `device`."""

    name = "torch"
    solve_frames = None

    def __init__(
        self,
        height: int,
        width: int,
        tvl1: Tvl1,
        *,
        threads: int = 1,
        device: str = "cpu",
        compiled: bool | None = None,
    ) -> None:
        self.device = device
        self.threads = threads
        self.tvl1 = tvl1
        self.sizes = pyramid_sizes(height, width, tvl1)
        self.on_gpu = device.startswith("cuda")
        self.batch = self.at_once = gpu_batch(height, width) if self.on_gpu else 8
        # compiling takes half a minute: on a GPU it turns 40 launches per iteration into 2; on a CPU there is numba
        self.iterate = compiled_iteration() if (self.on_gpu if compiled is None else compiled) else iteration

    @torch.inference_mode()
    def prepare(self, frames: np.ndarray) -> Tensor:
        """Pyramids (N, numbers), level by level as `_level` says, of grey frames (N, H, W), uint8 or float32."""
        torch.set_num_threads(self.threads)
        grey = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device, non_blocking=True).float()
        grey = remove_shading(grey, self.tvl1)
        down = 1 / self.tvl1.scale_step
        parts = []
        for level, size in enumerate(self.sizes):
            if level:
                grey = resize(grey, size, (down, down))
            images = [grey, gradient(grey, 2, self.tvl1.gradient), gradient(grey, 1, self.tvl1.gradient)]
            value = grey
            if self.tvl1.interpolation == "spline":  # then compare what a warp by nothing gives: equal means no flow
                images = [convolve(image, spline_weights()) for image in images]
                still = torch.zeros_like(grey)
                value = warp(images[0].unsqueeze(1), still, still, tvl1=self.tvl1)[:, 0]
            parts += [value, *images]
        return torch.cat([p.flatten(1) for p in parts], 1)

    @torch.inference_mode()
    def solve(self, first: Tensor, second: Tensor, warm: Tensor | None = None, *, scales: int = 0) -> Tensor:
        """Flow (N, H, W, 2), px, on the device; see `tvl1.Solver`."""
        torch.set_num_threads(self.threads)
        count = len(first)
        if self.on_gpu:
            full = filled_size(count, self.batch)
            first, second = fill_up(first, full), fill_up(second, full)
            warm = None if warm is None else fill_up(warm, full)
        levels = len(self.sizes) if warm is None else min(scales, len(self.sizes))
        flow = self._start(len(first), levels, warm)
        for level in range(levels - 1, -1, -1):
            size = self.sizes[level]
            if flow[0].shape[1:] != size:
                ratio = flow[0].shape[1] / size[0], flow[0].shape[2] / size[1]
                flow = tuple(resize(f, size, ratio, factor=1 / self.tvl1.scale_step) for f in flow)
            flow = self._solve_level(self._level(first, level)[:, 0], self._level(second, level)[:, 1:], *flow)
        return torch.stack(flow, -1)[:count]

    def _level(self, pyramid: Tensor, level: int) -> Tensor:
        """(N, 4, h, w): grey, then what is warped: grey, d/dx and d/dy or their spline coefficients."""
        before = 4 * sum(h * w for h, w in self.sizes[:level])
        h, w = self.sizes[level]
        return pyramid[:, before : before + 4 * h * w].reshape(-1, 4, h, w)

    def _start(self, count: int, levels: int, warm: Tensor | None) -> tuple[Tensor, ...]:
        """Flow to begin with at the coarsest level: zero, or `warm` made smaller."""
        if warm is None:
            zero = torch.zeros((count, *self.sizes[levels - 1]), device=self.device)
            return zero, zero.clone()
        flow = warm.unbind(-1)
        for old, new in zip(self.sizes[: levels - 1], self.sizes[1:levels], strict=True):
            ratio = old[0] / new[0], old[1] / new[1]
            flow = tuple(resize(f, new, ratio, factor=self.tvl1.scale_step) for f in flow)
        return tuple(f.contiguous() for f in flow)

    def _solve_level(self, first: Tensor, second: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        t = self.tvl1
        state: State = (u, v, *(torch.zeros_like(u) for _ in range(4)))  # type: ignore[assignment]
        for _ in range(t.warps):
            u, v = state[:2]
            warped, wx, wy = warp(second, u, v, tvl1=t).unbind(1)
            squared = wx * wx + wy * wy
            inverse = torch.where(squared > GRADIENT_FLOOR, 1 / squared, 0.0)
            rho = warped - wx * u - wy * v - first
            state = self._iterate(wx.contiguous(), wy.contiguous(), inverse, rho, state)
        return state[0], state[1]

    def _iterate(self, wx: Tensor, wy: Tensor, inverse: Tensor, rho: Tensor, state: State) -> State:
        """All iterations of one warp; with a stopping rule each pair stops on its own."""
        t = self.tvl1
        numbers = {"limit": t.data_weight * t.theta, "theta": t.theta, "ratio": t.tau / t.theta}
        stop = t.epsilon_px**2 * rho[0].numel()
        active = torch.ones((len(rho), 1, 1), dtype=torch.bool, device=rho.device)
        for k in range(t.outer_iterations * t.iterations):
            if k % t.iterations == 0 and t.median_px > 1:
                smooth = (median_filter(f, t.median_px) for f in state[:2])
                u, v = (torch.where(active, s, f) for s, f in zip(smooth, state[:2], strict=True))
                state = (u, v, *state[2:])
            new, change = self.iterate(wx, wy, inverse, rho=rho, state=state, **numbers)
            if t.epsilon_px <= 0:
                state = new
                continue
            state = tuple(torch.where(active, n, o) for n, o in zip(new, state, strict=True))  # type: ignore[assignment]
            active = active & (change.sum((1, 2), dtype=torch.float64) > stop)[:, None, None]
            if k % ASK_EVERY == ASK_EVERY - 1 and not bool(active.any()):
                break
        return state
