"""The parts behind the door: sorting networks, threads, compiled torch, and a stand-in for OpenCV's CUDA class."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from microexp.errors import UserError
from microexp.flow.kernels import median_filter, median_network
from microexp.flow.numba_backend import for_each
from microexp.flow.params import FlowParams
from microexp.flow.torch_backend import TorchSolver, compiled_iteration, filled_size, gpu_batch
from microexp.flow.tvl1 import compute_flow, make_solver, stream_flow
from tests.flow.reference import cubic_weights, spline_basis

from .conftest import moved_pairs


@pytest.mark.parametrize("count", [9, 25])
def test_the_network_finds_the_median(count: int) -> None:
    numbers = np.random.default_rng(0).integers(0, 12, (400, count))
    expected = np.median(numbers, 1)
    for low, high in median_network(count):
        numbers[:, [low, high]] = np.sort(numbers[:, [low, high]], 1)
    np.testing.assert_array_equal(numbers[:, count // 2], expected)


@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 2), (20, 33)])
def test_the_median_is_that_of_opencv(side: int, shape: tuple[int, int]) -> None:
    around = np.random.default_rng(1).standard_normal((shape[0] + 2, shape[1] + 2)).astype(np.float32)
    plane = around[1:-1, 1:-1]  # part of a larger array, as the kernels hand it over
    expected = cv2.medianBlur(np.pad(plane, 4, mode="edge"), side)[4:-4, 4:-4]
    median_filter(plane, side)
    np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize("weights", [lambda t: cubic_weights(t, np.float32(-0.5)), spline_basis])
def test_interpolation_weights_sum_to_one_and_keep_ramps(weights: Callable[..., list[np.ndarray]]) -> None:
    t = np.linspace(0, 0.999, 50, dtype=np.float32)
    found = np.array(weights(t))
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)
    np.testing.assert_allclose(np.array([-1, 0, 1, 2]) @ found, t, atol=1e-6)


def test_threads_share_all_items_and_pass_errors_on() -> None:
    done: list[int] = []
    for_each(lambda: done.append, 50, 4)
    assert sorted(done) == list(range(50))

    def fail(item: int) -> None:
        raise ValueError(str(item))

    with pytest.raises(ValueError, match="0"):
        for_each(lambda: fail, 1, 4)
    with pytest.raises(ValueError):
        for_each(lambda: fail, 5, 2)


def test_opencv_refuses_what_it_does_not_have() -> None:
    images = moved_pairs(1)
    for options in ({"preset": "micro"}, {"preset": "classic"}, {"preset": "opencv", "gradient": "five_point"}):
        with pytest.raises(UserError, match="fixed in backend opencv"):
            compute_flow(*images, FlowParams(backend="opencv", **options))


def test_opencv_without_contributed_modules_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "optflow")
    with pytest.raises(UserError, match="opencv-contrib-python-headless"):
        compute_flow(*moved_pairs(1), FlowParams(backend="opencv", preset="opencv"))


def test_opencv_keeps_its_pyramid_after_a_small_image() -> None:
    """OpenCV's object would go on with fewer levels."""
    params = FlowParams(backend="opencv", preset="opencv")
    big = moved_pairs(1, 80, 80)
    before = compute_flow(*big, params)
    compute_flow(*moved_pairs(1, 20, 20), params)
    np.testing.assert_array_equal(compute_flow(*big, params), before)


def test_opencv_gets_its_threads_back() -> None:
    before = cv2.getNumThreads()
    compute_flow(*moved_pairs(1), FlowParams(backend="opencv", preset="opencv", iterations=1), threads=2)
    assert cv2.getNumThreads() == before


def test_shading_is_taken_out_for_opencv_too() -> None:
    a, b = moved_pairs(1)
    options: dict[str, Any] = {"preset": "opencv", "scales": 1, "warps": 1, "shading_sigma_px": 2, "shading_share": 0.8}
    ours = compute_flow(a, b, FlowParams(**options))
    np.testing.assert_allclose(compute_flow(a, b, FlowParams(backend="opencv", **options)), ours, atol=1e-3)


class StandIn:
    """What `cv2.cuda` would offer: remembers how it is called, and answers with OpenCV's CPU class."""

    def __init__(self) -> None:
        self.created: list[tuple[Any, ...]] = []
        self.uploads = 0
        self.device = -1

    def getCudaEnabledDeviceCount(self) -> int:
        return 2

    def setDevice(self, number: int) -> None:
        self.device = number

    def GpuMat(self) -> Any:
        memory = SimpleNamespace(data=None)

        def upload(data: np.ndarray) -> None:
            self.uploads += 1
            memory.data = data.copy()

        memory.upload, memory.download = upload, lambda: memory.data
        return memory

    def OpticalFlowDual_TVL1_create(self, *arguments: Any) -> Any:
        self.created.append(arguments)
        tau, weight, theta, scales, warps, epsilon, iterations, step, gamma, warm = arguments
        assert not warm, "the real class would start from uninitialised memory"
        method = cv2.optflow.DualTVL1OpticalFlow_create(
            tau, weight, theta, scales, warps, epsilon, iterations, 1, step, gamma, 1, False
        )

        def calc(one: Any, two: Any, flow: Any) -> Any:
            flow.data = method.calc(one.data, two.data, None)
            return flow

        return SimpleNamespace(calc=calc)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    standin = StandIn()
    monkeypatch.setattr(cv2, "cuda", standin)
    return standin


def test_opencv_cuda_is_called_with_the_parameters(cuda: StandIn) -> None:
    pairs = moved_pairs(2)
    params = FlowParams(backend="opencv_cuda", preset="classic", warps=2)
    found = compute_flow(*pairs, params, device="cuda:1")
    assert cuda.created == [(0.25, 0.15, 0.3, 5, 2, 0.0, 30, 0.8, 0.0, False)]  # one object for all pairs of a size
    assert cuda.device == 1
    ours = compute_flow(*pairs, FlowParams(preset="classic", warps=2))
    assert np.abs(found - ours).mean() < 0.1


def test_opencv_cuda_uploads_each_frame_of_a_video_once(cuda: StandIn) -> None:
    video = [image for pair in zip(*moved_pairs(3), strict=True) for image in pair]
    params = FlowParams(backend="opencv_cuda", preset="classic", warps=2)
    streamed = np.stack(list(stream_flow(video, params, batch=2)))
    assert (cuda.uploads, len(cuda.created)) == (len(video), 1)
    np.testing.assert_array_equal(streamed, compute_flow(np.stack(video[:-1]), np.stack(video[1:]), params))


def test_opencv_cuda_refuses_a_warm_start(cuda: StandIn) -> None:
    """Its class never reads the flow that it is told to start from."""
    params = FlowParams(backend="opencv_cuda", preset="classic", warm_start_pairs=2)
    with pytest.raises(UserError, match=r"flow\.warm_start_pairs: got 2, expected 0"):
        list(stream_flow([*moved_pairs(1)[0], *moved_pairs(1)[1]], params))


def test_opencv_cuda_refuses_what_it_does_not_have(cuda: StandIn) -> None:
    for options in ({"preset": "opencv"}, {"preset": "micro"}, {"preset": "classic", "median_px": 5}):
        with pytest.raises(UserError, match=r"opencv_cuda|median"):
            compute_flow(*moved_pairs(1), FlowParams(backend="opencv_cuda", **options))


def test_opencv_cuda_that_is_missing_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, cuda: StandIn) -> None:
    monkeypatch.setattr(cuda, "getCudaEnabledDeviceCount", lambda: 0, raising=False)
    with pytest.raises(UserError, match="no CUDA device"):
        make_solver(8, 8, FlowParams(backend="opencv_cuda", preset="classic"))
    monkeypatch.setattr(cv2, "cuda", SimpleNamespace())
    with pytest.raises(UserError, match=r"WITH_CUDA.*docs/flow\.md"):
        make_solver(8, 8, FlowParams(backend="opencv_cuda", preset="classic"))


def test_torch_without_a_gpu_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="torch sees no GPU"):
        make_solver(8, 8, FlowParams(), device="cuda")


def test_the_memory_of_a_gpu_batch_does_not_grow_with_the_images() -> None:
    assert [gpu_batch(side, side) for side in (28, 112, 224, 256, 448, 896, 9000)] == [1024, 512, 128, 64, 32, 8, 1]


def test_small_batches_are_filled_up_to_few_sizes() -> None:
    sizes = {count: filled_size(count, 128) for count in range(1, 129)}
    assert set(sizes.values()) == {2, 8, 32, 128}
    assert all(count <= size < 4 * count for count, size in sizes.items())


def as_on_a_gpu(solver: TorchSolver, batch: int) -> TorchSolver:
    solver.on_gpu, solver.batch = True, batch
    return solver


@pytest.mark.long
def test_torch_fills_batches_up_as_on_a_gpu() -> None:
    pairs = moved_pairs(3)
    solver = TorchSolver(*pairs[0].shape[1:], FlowParams().tvl1())
    plain = solver.solve(solver.prepare(pairs[0]), solver.prepare(pairs[1]))
    as_on_a_gpu(solver, 16)
    shapes: list[int] = []
    monitored = solver.iterate

    def iterate(wx: torch.Tensor, *rest: Any, **more: Any) -> Any:
        shapes.append(len(wx))
        return monitored(wx, *rest, **more)

    solver.iterate = iterate
    filled = solver.solve(solver.prepare(pairs[0]), solver.prepare(pairs[1]))
    assert filled.shape == plain.shape and set(shapes) == {4}
    np.testing.assert_array_equal(filled, plain)
    warm = solver.solve(solver.prepare(pairs[0]), solver.prepare(pairs[1]), plain, scales=1)
    assert warm.shape == plain.shape


class Calls(TorchFunctionMode):
    """Names of all functions of torch that are called, in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


ASK_OR_TELL = {"tensor", "as_tensor", "to", "cuda", "cpu", "numpy", "item", "tolist", "__bool__", "nonzero"}
"""What makes the host wait for a GPU, or copies from the host to it."""


@pytest.mark.long
@pytest.mark.parametrize("preset", ["classic", "micro"])
def test_a_fixed_schedule_neither_asks_the_gpu_nor_copies_to_it(preset: str) -> None:
    pairs = moved_pairs(3)
    solver = as_on_a_gpu(TorchSolver(*pairs[0].shape[1:], FlowParams(preset=preset).tvl1()), 8)  # type: ignore[arg-type]
    first, second = solver.prepare(pairs[0]), solver.prepare(pairs[1])
    warm = solver.solve(first, second)  # the few tables for these sizes are made and kept
    solver.solve(first, second, warm, scales=2)
    with Calls() as calls:
        solver.solve(first, second)
        solver.solve(first, second, warm, scales=2)
    assert "index_select" in calls.names
    assert not ASK_OR_TELL.intersection(calls.names)
    with Calls() as calls:
        solver.prepare(pairs[0])
    assert [name for name in calls.names if name in ASK_OR_TELL] == ["to"]  # the frames themselves, not waited for


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_fixed_schedule_never_waits_for_the_gpu() -> None:
    pairs = moved_pairs(3)
    solver = TorchSolver(*pairs[0].shape[1:], FlowParams().tvl1(), device="cuda")
    expected = solver.solve(solver.prepare(pairs[0]), solver.prepare(pairs[1]))  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = solver.solve(solver.prepare(pairs[0]), solver.prepare(pairs[1]))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    np.testing.assert_array_equal(found.cpu(), expected.cpu())


@pytest.mark.long
def test_flow_goes_on_where_torch_cannot_compile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    compiled_iteration.cache_clear()
    try:
        pairs = moved_pairs(2)
        plain, fast = (TorchSolver(*pairs[0].shape[1:], FlowParams().tvl1(), compiled=c) for c in (False, True))
        flows = [s.solve(s.prepare(pairs[0]), s.prepare(pairs[1])) for s in (plain, fast)]
    finally:
        compiled_iteration.cache_clear()
    np.testing.assert_array_equal(*flows)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("flow: torch cannot compile here") and line.endswith("Failed to find C compiler.")


@pytest.mark.long
def test_compiled_torch_agrees_with_the_plain_one() -> None:
    pairs = moved_pairs(2)
    tvl1 = FlowParams(scales=1, iterations=3).tvl1()
    plain, fast = (TorchSolver(*pairs[0].shape[1:], tvl1, compiled=c) for c in (False, True))
    flows = [s.solve(s.prepare(pairs[0]), s.prepare(pairs[1])) for s in (plain, fast)]
    np.testing.assert_allclose(flows[1], flows[0], atol=1e-4)
