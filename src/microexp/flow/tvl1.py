"""Optical flow behind one door: `compute_flow` for pairs, `stream_flow` for the frames of a video.

TV-L1 after Zach, Pock & Bischof 2007; the parameter sets and what they are good for stand in docs/flow.md. Every
backend gives the flow from the first to the second image in px: a point at x in the first is at x + flow(x) in the
second; component 0 is x (to the right), component 1 is y (down).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

import numpy as np

from microexp.errors import UserError
from microexp.flow.params import FlowParams

LARGEST_GREY = 1e4
"""Float images beyond this are not grey levels of 0 to 255."""


class Solver(Protocol):
    """What a backend offers for frames of one size."""

    name: str
    device: str
    batch: int
    """Pairs to hand over at a time."""

    def prepare(self, frames: np.ndarray) -> Any:
        """Whatever the backend keeps per frame (pyramids): a sliceable batch for frames (N, H, W)."""

    def solve(self, first: Any, second: Any, warm: Any = None, scales: int = 0) -> Any:
        """Flow (N, H, W, 2) between two batches; `warm` is flow to start from, then only `scales` levels are used."""


def compute_flow(
    first: np.ndarray, second: np.ndarray, params: FlowParams | None = None, threads: int = 1, device: str = "cpu"
) -> np.ndarray:
    """Flow of each pair of grey images, px, float32 (N, H, W, 2).

    Args:
        first, second: (N, H, W) uint8, or float32 grey levels of 0 to 255 (onset and apex, say).
        params: options; None is the defaults.
        threads: CPU threads; never changes the result.
        device: "cpu", "cuda", "cuda:N" or "auto" (see `make_solver`).

    Raises:
        UserError: for shapes that differ or are not (N, H, W), values that are not finite, a backend that is missing.
    """
    params = params or FlowParams()
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 3:
        raise UserError(None, "flow", f"images of shapes {first.shape} and {second.shape}", "twice the same (N, H, W)")
    if not first.size:
        if 0 in first.shape[1:]:
            raise UserError(None, "flow", f"images of shape {first.shape}", "at least one pixel")
        return np.zeros((*first.shape, 2), np.float32)
    solver = make_solver(first.shape[1], first.shape[2], params, threads, device)
    out = np.empty((*first.shape, 2), np.float32)
    for start in range(0, len(first), solver.batch):
        part = slice(start, start + solver.batch)
        one, two = (solver.prepare(check_frames(images[part])) for images in (first, second))
        out[part] = to_numpy(solver.solve(one, two))
    return out


def stream_flow(
    frames: Iterable[np.ndarray],
    params: FlowParams | None = None,
    threads: int = 1,
    device: str = "cpu",
    batch: int | None = None,
) -> Iterator[np.ndarray]:
    """Flow (H, W, 2), px, float32, from each frame to the next: one less than there are frames.

    At most `batch` frames are held (with warm start: whole runs of `warm_start_pairs`), however long the video is, and
    each frame's pyramid is computed once. With warm start a pair begins from the flow of the pair before; every
    `warm_start_pairs` pairs one begins from nothing, so that results depend neither on `batch` nor on threads.

    Args:
        frames: (H, W) uint8, or float32 grey levels of 0 to 255, all of one size.
        params, threads, device: as for `compute_flow`.
        batch: pairs worked on at a time, the backend's own number if None; changes memory and speed only.

    Raises:
        UserError: for frames that differ in size, are not (H, W), or hold values that are not finite.
    """
    params = params or FlowParams()
    frames = iter(frames)
    head = next(frames, None)
    if head is None:
        return
    head = np.asarray(head)
    if head.ndim != 2 or not head.size:
        raise UserError(None, "flow", f"a frame of shape {head.shape}", "(H, W) with at least one pixel")
    solver = make_solver(head.shape[0], head.shape[1], params, threads, device)
    run = params.warm_start_pairs or 1
    size = max(1, -(-(batch or solver.batch) // run)) * run
    last = solver.prepare(check_frames(head[None]))
    while block := [np.asarray(f) for f in islice(frames, size)]:
        for frame in block:
            if frame.shape != head.shape:
                raise UserError(None, "flow", f"a frame of shape {frame.shape}", f"all of shape {head.shape}")
        pyramids = join(last, solver.prepare(check_frames(np.stack(block))))
        yield from _solve_runs(solver, pyramids, len(block), run, params.warm_start_scales)
        last = pyramids[len(block) :]


def _solve_runs(solver: Solver, pyramids: Any, pairs: int, run: int, scales: int) -> np.ndarray:
    """Flow of consecutive pairs; those at 0, run, 2 run … start from nothing, the others from the pair before."""
    if run == 1:
        return to_numpy(solver.solve(pyramids[:-1], pyramids[1:]))
    out: np.ndarray | None = None
    warm = None
    for k in range(run):
        at = list(range(k, pairs, run))  # the k-th pair of every run, all at once
        if not at:
            break
        if warm is not None:
            warm = warm[: len(at)]
        warm = solver.solve(pyramids[at], pyramids[[i + 1 for i in at]], warm, scales)
        flow = to_numpy(warm)
        if out is None:
            out = np.empty((pairs, *flow.shape[1:]), np.float32)
        out[at] = flow
    assert out is not None
    return out


def make_solver(height: int, width: int, params: FlowParams, threads: int = 1, device: str = "cpu") -> Solver:
    """The backend that `params.backend` names, for frames of one size.

    The backend `auto` is numba, or torch when `device` asks for a GPU by name: what a run gives does not hang on
    which machine it finds itself on. The device `auto` matters to the backend torch alone: a GPU if there is one.

    Raises:
        UserError: when the backend or the device is not there.
    """
    tvl1 = params.tvl1()
    backend, device = resolve_backend(params, device)
    if backend == "numba":
        from microexp.flow.numba_backend import NumbaSolver

        return NumbaSolver(height, width, tvl1, threads)
    if backend == "torch":
        from microexp.flow.torch_backend import TorchSolver

        return TorchSolver(height, width, tvl1, threads, device)
    from microexp.flow.opencv_backend import CudaSolver, OpencvSolver

    if backend == "opencv":
        return OpencvSolver(height, width, tvl1, threads)
    return CudaSolver(height, width, tvl1, device)


def resolve_backend(params: FlowParams, device: str) -> tuple[str, str]:
    """(backend, device) that really work, both to be recorded in the provenance."""
    backend = params.backend
    if device not in ("auto", "cpu") and not device.startswith("cuda"):
        raise UserError(None, "device", repr(device), "auto, cpu, cuda or cuda:N")
    if backend == "auto":
        backend = "torch" if device.startswith("cuda") else "numba"
    if backend == "opencv_cuda":
        return backend, "cuda" if device in ("auto", "cpu") else device
    if backend != "torch":
        return backend, "cpu"
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    return backend, device


def check_frames(frames: np.ndarray) -> np.ndarray:
    """`frames` as uint8 or float32.

    Raises:
        UserError: for another kind of numbers, or numbers that are no grey levels (NaN, infinite, huge).
    """
    if frames.dtype == np.uint8:
        return frames
    if not np.issubdtype(frames.dtype, np.floating):
        raise UserError(None, "flow", f"images of type {frames.dtype}", "uint8, or float32 grey levels of 0 to 255")
    if not np.isfinite(frames).all() or np.abs(frames).max(initial=0) > LARGEST_GREY:
        raise UserError(None, "flow", "images with NaN, infinite or huge values", "finite grey levels of 0 to 255")
    return frames.astype(np.float32, copy=False)


def join(one: Any, two: Any) -> Any:
    """Two batches as one."""
    if isinstance(one, np.ndarray):
        return np.concatenate([one, two])
    import torch

    return torch.cat([one, two])


def to_numpy(flow: Any) -> np.ndarray:
    """Flow of any backend as a float32 array."""
    return np.asarray(flow if isinstance(flow, np.ndarray) else flow.cpu().numpy(), np.float32)


def device_name(device: str) -> str:
    """The device as the provenance should say it: the GPU's model, or "cpu"."""
    if not device.startswith("cuda"):
        return device
    import torch

    return torch.cuda.get_device_name(device) if torch.cuda.is_available() else device
