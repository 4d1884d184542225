"""OpenCV's TV-L1 on the CPU (the reference of the field) and on CUDA, with all its traps covered.

* The object loses pyramid levels for good after it has seen one small image: none is used for two sizes.
* The CUDA class takes `useInitialFlow`, but never reads the flow it is given: it would start from whatever lies in the
  GPU's memory, so warm starts are refused.
* Both give nonsense on images one pixel wide: refused.
* The CPU class misspells a keyword argument (`innnerIterations`): only setters are used.
* Float images are multiplied by 255 inside: 8-bit images are passed as they are, others divided by 255.
* Its rows run in parallel but a serial loop lies between them (1.08x on two cores): one thread each, pairs in parallel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from microexp.errors import UserError
from microexp.flow.numba_backend import for_each, remove_shading
from microexp.flow.params import Tvl1


class OpencvSolver:
    """`cv2.optflow.DualTVL1OpticalFlow` with the given parameters."""

    name = "opencv"
    solve_frames = None
    device = "cpu"
    batch = 32

    def __init__(self, height: int, width: int, tvl1: Tvl1, *, threads: int = 1) -> None:
        import cv2

        if not hasattr(cv2, "optflow"):
            raise UserError(
                where="flow.backend",
                problem="an OpenCV without cv2.optflow",
                expected="opencv-contrib-python-headless",
                hint="remove other opencv-python packages and install it, or use backend numba",
            )
        reject_additions("opencv", tvl1, cubic_a=-0.75)
        reject_thin("opencv", height, width)
        self.shape = (height, width)
        self.tvl1 = tvl1
        self.threads = self.at_once = threads

    def prepare(self, frames: np.ndarray) -> np.ndarray:
        """The frames (N, H, W) as OpenCV wants them."""
        return prepare(frames, self.tvl1)

    def solve(
        self, first: np.ndarray, second: np.ndarray, warm: np.ndarray | None = None, *, scales: int = 0
    ) -> np.ndarray:
        """Flow (N, H, W, 2), px; see `tvl1.Solver`."""
        import cv2

        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            return self._solve(first, second, warm, scales)
        finally:
            cv2.setNumThreads(before)

    def _solve(self, first: np.ndarray, second: np.ndarray, warm: np.ndarray | None, scales: int) -> np.ndarray:
        out = np.empty((len(first), *self.shape, 2), np.float32)

        def start() -> Callable[[int], None]:
            """What solves a pair; OpenCV's object is made for each, since it keeps its last flow."""

            def one(i: int) -> None:
                """Solve pair `i`."""
                method = self._method(scales if warm is not None else self.tvl1.scales)
                if warm is None:
                    out[i] = method.calc(first[i], second[i], None)
                else:
                    method.setUseInitialFlow(True)
                    out[i] = method.calc(first[i], second[i], warm[i].copy())

            return one

        for_each(start, len(first), self.threads)
        return out

    def _method(self, scales: int) -> Any:
        import cv2

        t = self.tvl1
        optflow: Any = cv2.optflow  # OpenCV's type hints know nothing of it
        method = optflow.DualTVL1OpticalFlow_create()
        method.setTau(t.tau)
        method.setLambda(t.data_weight)
        method.setTheta(t.theta)
        method.setScalesNumber(min(scales, t.scales))
        method.setScaleStep(t.scale_step)
        method.setWarpingsNumber(t.warps)
        method.setOuterIterations(t.outer_iterations)
        method.setInnerIterations(t.iterations)
        # with 0 OpenCV stops as soon as nothing changes at all, which is the fixed schedule
        method.setEpsilon(t.epsilon_px)
        method.setMedianFiltering(t.median_px)
        return method


class CudaSolver:
    """`cv2.cuda.OpticalFlowDual_TVL1`, for those who built OpenCV with CUDA and its contributed modules."""

    name = "opencv_cuda"
    solve_frames = None
    batch = 32
    at_once = 1

    def __init__(self, height: int, width: int, tvl1: Tvl1, *, device: str = "cuda") -> None:
        import cv2

        if not hasattr(getattr(cv2, "cuda", None), "OpticalFlowDual_TVL1_create"):
            raise UserError(
                where="flow.backend",
                problem="an OpenCV without cv2.cuda.OpticalFlowDual_TVL1",
                expected="OpenCV built with WITH_CUDA and the contributed module cudaoptflow",
                hint="no wheel has it: docs/flow.md says how to build it; backend torch runs on CUDA without",
            )
        if cv2.cuda.getCudaEnabledDeviceCount() < 1:
            raise UserError(
                where="flow.backend",
                problem="no CUDA device",
                expected="a GPU that OpenCV can use",
                hint="use backend numba",
            )
        reject_additions("opencv_cuda", tvl1, cubic_a=-0.5)
        if tvl1.median_px > 1:
            raise UserError(
                where="flow.median_px",
                got=tvl1.median_px,
                expected="1: OpenCV's CUDA class has no median",
                hint="set flow.median_px: 1",
            )
        _, _, number = device.partition(":")
        cv2.cuda.setDevice(int(number or 0))
        reject_thin("opencv_cuda", height, width)
        self.device = device
        self.shape = (height, width)
        self.tvl1 = tvl1
        # one object for all pairs, since it keeps its buffers; all have one size, so that it keeps its levels too
        self.method = self._method()

    def prepare(self, frames: np.ndarray) -> list[Any]:
        """The frames (N, H, W) on the GPU, each of them uploaded once."""
        import cv2

        uploaded = []
        for frame in prepare(frames, self.tvl1):
            uploaded.append(cv2.cuda.GpuMat())
            uploaded[-1].upload(frame)
        return uploaded

    def solve(self, first: list[Any], second: list[Any], warm: None = None, *, scales: int = 0) -> np.ndarray:
        """Flow (N, H, W, 2), px; OpenCV takes one pair at a time, and never starts from a flow that is given."""
        import cv2

        out = np.empty((len(first), *self.shape, 2), np.float32)
        flow = cv2.cuda.GpuMat()
        for i, (one, two) in enumerate(zip(first, second, strict=True)):
            flow = self.method.calc(one, two, flow)
            out[i] = flow.download()
        return out

    def _method(self) -> Any:
        import cv2

        t = self.tvl1
        cuda: Any = cv2.cuda  # OpenCV's type hints know nothing of it
        iterations = t.iterations * t.outer_iterations
        return cuda.OpticalFlowDual_TVL1_create(
            t.tau, t.data_weight, t.theta, t.scales, t.warps, t.epsilon_px, iterations, t.scale_step, 0.0, False
        )


def prepare(frames: np.ndarray, tvl1: Tvl1) -> np.ndarray:
    """8-bit frames as they are; others, and those with the shading taken out, as float32 divided by 255."""
    if tvl1.shading_sigma_px and tvl1.shading_share:
        frames = np.stack([remove_shading(f, tvl1) for f in frames])
    return frames if frames.dtype == np.uint8 else frames / np.float32(255)


def reject_additions(backend: str, tvl1: Tvl1, cubic_a: float) -> None:
    """Refuse parameters that OpenCV does not have, rather than ignore them.

    Raises:
        UserError: naming the parameter.
    """
    for name, own in (("interpolation", "cubic"), ("cubic_a", cubic_a), ("gradient", "central")):
        if getattr(tvl1, name) != own:
            raise UserError(
                where=f"flow.{name}",
                got=getattr(tvl1, name),
                expected=f"{own}, which is fixed in backend {backend}",
                hint=f"set flow.{name}: {own} or a preset that has it, or use backend numba",
            )


def reject_thin(backend: str, height: int, width: int) -> None:
    """Refuse images one pixel high or wide, to which OpenCV gives flows of tens of px.

    Raises:
        UserError: naming the size.
    """
    if min(height, width) < 2:
        size = f"images of {height} x {width} px"
        raise UserError(
            where="flow", got=size, expected=f"at least 2 x 2 px for backend {backend}", hint="use backend numba"
        )
