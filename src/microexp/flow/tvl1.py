"""Optical flow behind one door, images checked: `compute_flow` for pairs, `stream_flow` for the frames of a video.

TV-L1 after Zach, Pock & Bischof 2007; the parameter sets and what they are good for are in docs/flow.md. Every
backend gives the flow from the first to the second image in px: a point at x in the first is at x + flow(x) in the
second; component 0 is x (to the right), component 1 is y (down).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from microexp.errors import UserError
from microexp.flow.params import FlowParams, Tvl1, Tvl1Params
from microexp.run.devices import pick_device

# What the flow takes as images: `uint8`, or floats from 0 to 255; anything else is refused rather than guessed.

KINDS = "uint8, or float32 grey levels of 0 to 255"
LEVELS = (-0.5, 255.5)
"""Range of float grey levels: what interpolation overshoots by is allowed."""


def grey_range(images: np.ndarray) -> tuple[float, float]:
    """Smallest and largest grey level of `images` (not empty).

    Raises:
        UserError: for another kind of numbers, or numbers that are no grey levels (NaN, infinite, out of range).
    """
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise UserError(where="flow", problem=f"images of type {images.dtype}", expected=KINDS)
    low, high = float(images.min()), float(images.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UserError(
            where="flow", problem="images with NaN or infinite values", expected="finite grey levels of 0 to 255"
        )
    if not LEVELS[0] <= low <= high <= LEVELS[1]:
        hint = "scale them: flow depends on their contrast"
        raise UserError(
            where="flow",
            problem=f"images with values from {low:g} to {high:g}",
            expected="grey levels of 0 to 255",
            hint=hint,
        )
    return low, high


def refuse_fractions(low: float, high: float) -> None:
    """Refuse floats of 0 to 1, in which TV-L1 would see almost no contrast and so no motion.

    Raises:
        UserError: naming the factor.
    """
    if low < high <= 1:
        raise UserError(
            where="flow",
            problem=f"float images with values from {low:g} to {high:g}",
            expected=KINDS,
            hint="multiply images of 0 to 1 by 255",
        )


def check_pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both (N, H, W), not empty, as one type: uint8, or float32 when one of them is float.

    Raises:
        UserError: when they are no grey levels of 0 to 255.
    """
    ranges = [grey_range(images) for images in (first, second)]
    floats = [r for r, images in zip(ranges, (first, second), strict=True) if images.dtype != np.uint8]
    if not floats:
        return first, second
    refuse_fractions(min(low for low, _ in floats), max(high for _, high in floats))
    return first.astype(np.float32, copy=False), second.astype(np.float32, copy=False)


class FrameCheck:
    """The frames of one video, one by one: all of one shape, type and scale of grey levels."""

    def __init__(self, head: np.ndarray) -> None:
        if head.ndim != 2 or not head.size:
            raise UserError(
                where="flow", problem=f"a frame of shape {head.shape}", expected="(H, W) with at least one pixel"
            )
        self.shape = head.shape
        self.kind = head.dtype
        self.scale_is_known = False

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """`frame` as uint8 or float32. The first one that is not constant tells the scale of all.

        Raises:
            UserError: when it differs from the first frame in shape or type, or holds no grey levels of 0 to 255.
        """
        if frame.shape != self.shape:
            raise UserError(
                where="flow", problem=f"a frame of shape {frame.shape}", expected=f"all of shape {self.shape}"
            )
        if frame.dtype != self.kind:
            raise UserError(where="flow", problem=f"a frame of type {frame.dtype}", expected=f"all of type {self.kind}")
        low, high = grey_range(frame)
        if frame.dtype == np.uint8:
            return frame
        if low < high and not self.scale_is_known:
            refuse_fractions(low, high)
            self.scale_is_known = True
        return frame.astype(np.float32, copy=False)


# Sizes of the image pyramid, the same for every backend.

SMALLEST_PX = 16
"""No level but the first is smaller than this (as in OpenCV)."""


def pyramid_sizes(height: int, width: int, tvl1: Tvl1) -> list[tuple[int, int]]:
    """(height, width) of each level in px, finest first; rounded half to even, as OpenCV does."""
    sizes = [(height, width)]
    while len(sizes) < tvl1.scales:
        height, width = round(height * tvl1.scale_step), round(width * tvl1.scale_step)
        if min(height, width) < SMALLEST_PX:
            break
        sizes.append((height, width))
    return sizes


def gaussian_weights(sigma_px: float) -> npt.NDArray[np.float32]:
    """Weights (2 r + 1,) float32 of a Gaussian cut at r = 3 sigma, their sum 1; a sigma of 0 gives the one weight 1."""
    radius = int(np.ceil(3 * sigma_px))
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / max(sigma_px, 1e-9)) ** 2)
    normalised: npt.NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return normalised


def spline_weights() -> npt.NDArray[np.float32]:
    """The filter (17,) float32 that turns numbers into coefficients of the cubic B-spline through them (Unser 1999).

    Its impulse response falls by 2 - sqrt(3) per step, so that the cut at 8 changes little.
    """
    weights = (np.sqrt(3) - 2) ** np.abs(np.arange(-8, 9))
    normalised: npt.NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return normalised


class Solver(Protocol):
    """What a backend offers for frames of one size."""

    name: str
    device: str
    batch: int
    """Pairs to pass at a time."""
    at_once: int
    """Pairs that one call of `solve` works on at once; with fewer it is no faster."""

    @property
    def solve_frames(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
        """Flow between frames that are in one pair each, where that is faster than `prepare` and `solve`."""

    def prepare(self, frames: np.ndarray) -> Any:
        """Whatever the backend keeps per frame (pyramids): a sliceable batch for frames (N, H, W)."""

    def solve(self, first: Any, second: Any, warm: Any = None, *, scales: int = 0) -> Any:
        """Flow (N, H, W, 2) between two batches; `warm` is flow to start from, then only `scales` levels are used."""


def compute_flow(
    first: np.ndarray, second: np.ndarray, params: Tvl1Params | None = None, *, threads: int = 1, device: str = "cpu"
) -> np.ndarray:
    """Flow of each pair of grey images, px, float32 (N, H, W, 2).

    Args:
        first, second: (N, H, W) uint8, or float32 grey levels of 0 to 255 (onset and apex, say).
        params: options; None is the defaults. A warm start is for videos: pairs start from nothing.
        threads: CPU threads; never changes the result.
        device: "cpu", "cuda", "cuda:N" or "auto" (see `make_solver`).

    Raises:
        UserError: for shapes that differ or are not (N, H, W), values that are not grey levels of 0 to 255 (NaN, 0 to
            1, 12 bits …), a backend that is missing.
    """
    params = params or Tvl1Params()
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 3:
        raise UserError(
            where="flow",
            problem=f"images of shapes {first.shape} and {second.shape}",
            expected="twice the same (N, H, W)",
        )
    if not first.size:
        if 0 in first.shape[1:]:
            raise UserError(where="flow", problem=f"images of shape {first.shape}", expected="at least one pixel")
        return np.zeros((*first.shape, 2), np.float32)
    first, second = check_pairs(first, second)
    solver = make_solver(first.shape[1], first.shape[2], params, threads=threads, device=device)
    if solver.solve_frames is not None:
        return solver.solve_frames(first, second)
    out = np.empty((*first.shape, 2), np.float32)
    for start in range(0, len(first), solver.batch):
        part = slice(start, start + solver.batch)
        out[part] = to_numpy(solver.solve(solver.prepare(first[part]), solver.prepare(second[part])))
    return out


def stream_flow(
    frames: Iterable[np.ndarray],
    params: FlowParams | None = None,
    threads: int = 1,
    *,
    device: str = "cpu",
    batch: int | None = None,
) -> Iterator[np.ndarray]:
    """Flow (H, W, 2), px, float32, from each frame to the next: one less than there are frames.

    However long the video is, only some frames are held (`batch`; with warm start some runs of `warm_start_pairs`), and
    each frame's pyramid is computed once. With warm start a pair begins from the flow of the pair before; every
    `warm_start_pairs` pairs one begins from nothing, so that results depend neither on `batch` nor on threads.

    Args:
        frames: (H, W) uint8, or float32 grey levels of 0 to 255, all of one size and type.
        params, threads, device: as for `compute_flow`.
        batch: pairs worked on at a time, rounded up to whole runs; the backend's own number if None. It changes memory
            and speed only.

    Raises:
        UserError: for frames that differ in size or type, are not (H, W), or hold no grey levels of 0 to 255.
    """
    params = params or FlowParams()
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        return
    head = np.asarray(first)
    check = FrameCheck(head)
    if params.warm_start_pairs and params.backend == "opencv_cuda":
        raise UserError(
            where="flow.warm_start_pairs",
            got=params.warm_start_pairs,
            expected="0: OpenCV's CUDA class never reads the flow it is given",
        )
    solver = make_solver(head.shape[0], head.shape[1], params, threads=threads, device=device)
    run = params.warm_start_pairs or 1
    runs = -(-batch // run) if batch else max(-(-solver.batch // run), solver.at_once if run > 1 else 1)
    last = solver.prepare(check(head)[None])
    while block := [check(np.asarray(f)) for f in islice(frames, runs * run)]:
        pyramids = join(last, solver.prepare(np.stack(block)))
        yield from _solve_runs(solver, pyramids, len(block), run, params.warm_start_scales)
        last = pyramids[len(block) :]


def _solve_runs(solver: Solver, pyramids: Any, pairs: int, run: int, scales: int) -> np.ndarray:
    """Flow of consecutive pairs; those at 0, run, 2 run … start from nothing, the others from the pair before."""
    if run == 1:
        return to_numpy(solver.solve(pyramids[:-1], pyramids[1:]))
    warm, flows = None, []
    for k in range(min(run, pairs)):  # the k-th pair of every run, all at once
        first, second = pyramids[k:pairs:run], pyramids[k + 1 : pairs + 1 : run]
        warm = solver.solve(first, second, None if warm is None else warm[: len(first)], scales=scales)
        flows.append(warm)
    out = np.empty((pairs, *flows[0].shape[1:]), np.float32)
    for k, flow in enumerate(flows):
        out[k::run] = to_numpy(flow)
    return out


def make_solver(height: int, width: int, params: Tvl1Params, *, threads: int = 1, device: str = "cpu") -> Solver:
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

        return NumbaSolver(height, width, tvl1, threads=threads)
    if backend == "torch":
        from microexp.flow.torch_backend import TorchSolver

        return TorchSolver(height, width, tvl1, threads=threads, device=device)
    from microexp.flow.opencv_backend import CudaSolver, OpencvSolver

    if backend == "opencv":
        return OpencvSolver(height, width, tvl1, threads=threads)
    return CudaSolver(height, width, tvl1, device=device)


def resolve_backend(params: Tvl1Params, device: str) -> tuple[str, str]:
    """(backend, device) that really work, both to be recorded in the provenance.

    Raises:
        UserError: when the device is not there, even if the backend would not use it.
    """
    backend = params.backend
    if backend == "opencv_cuda":  # OpenCV's GPUs, whether torch sees them or not
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", device):
            raise UserError(file="command line", where="--device", got=repr(device), expected="auto, cuda or cuda:N")
        return backend, device if device.startswith("cuda") else "cuda"
    wanted = str(pick_device(device)) if device not in ("auto", "cpu") or backend == "torch" else "cpu"
    if backend == "auto":
        backend = "torch" if wanted.startswith("cuda") else "numba"
    return backend, wanted if backend == "torch" else "cpu"


def join(one: Any, two: Any) -> Any:
    """Two batches as one."""
    if isinstance(one, np.ndarray):
        return np.concatenate([one, two])
    if isinstance(one, list):
        return one + two
    import torch

    return torch.cat([one, two])


def to_numpy(flow: Any) -> np.ndarray:
    """Flow of any backend as a float32 array."""
    return np.asarray(flow if isinstance(flow, np.ndarray) else flow.cpu().numpy(), np.float32)


def provenance(params: Tvl1Params, device: str) -> dict[str, Any]:
    """What a stage records about its flow: backend, device (a GPU's model) and every parameter of TV-L1."""
    backend, device = resolve_backend(params, device)
    return {"backend": backend, "device": device_name(device), "tvl1": asdict(params.tvl1())}


def device_name(device: str) -> str:
    """The device as the provenance should say it: the GPU's model, or "cpu"."""
    if not device.startswith("cuda"):
        return device
    import torch

    return torch.cuda.get_device_name(device) if torch.cuda.is_available() else device
