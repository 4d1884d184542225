"""The parts behind the door: sorting networks, threads, compiled torch, and a stand-in for OpenCV's CUDA class."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from microexp.errors import UserError
from microexp.flow.median import median_filter, median_network
from microexp.flow.parallel import for_each
from microexp.flow.params import FlowParams
from microexp.flow.reference import cubic_weights, spline_basis
from microexp.flow.tvl1 import compute_flow, make_solver, stream_flow

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
        self.device = -1

    def getCudaEnabledDeviceCount(self) -> int:
        return 2

    def setDevice(self, number: int) -> None:
        self.device = number

    class GpuMat:
        data: np.ndarray | None = None

        def upload(self, data: np.ndarray) -> None:
            self.data = data.copy()

        def download(self) -> np.ndarray:
            assert self.data is not None
            return self.data

    def OpticalFlowDual_TVL1_create(self, *arguments: Any) -> Any:
        self.created.append(arguments)
        tau, weight, theta, scales, warps, epsilon, iterations, step, gamma, warm = arguments

        def calc(one: Any, two: Any, flow: Any) -> Any:
            method = cv2.optflow.DualTVL1OpticalFlow_create(
                tau, weight, theta, scales, warps, epsilon, iterations, 1, step, gamma, 1, warm
            )
            result = self.GpuMat()
            result.upload(method.calc(one.data, two.data, None if flow.data is None else flow.data.copy()))
            return result

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
    assert cuda.created == [(0.25, 0.15, 0.3, 5, 2, 0.0, 30, 0.8, 0.0, False)] * 2
    assert cuda.device == 1
    ours = compute_flow(*pairs, FlowParams(preset="classic", warps=2))
    assert np.abs(found - ours).mean() < 0.1
    streamed = list(stream_flow([pairs[0][0], pairs[1][0]], params, device="cuda:1"))
    np.testing.assert_array_equal(streamed[0], found[0])


def test_opencv_cuda_starts_warm(cuda: StandIn) -> None:
    video = [*moved_pairs(1)[0], *moved_pairs(1)[1], *moved_pairs(1)[0]]
    params = FlowParams(backend="opencv_cuda", preset="classic", warm_start_pairs=2, warm_start_scales=1)
    assert len(list(stream_flow(video, params))) == 2
    assert [(a[3], a[-1]) for a in cuda.created] == [(5, False), (1, True)]


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
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="a CUDA device that torch sees"):
        make_solver(8, 8, FlowParams(), device="cuda")


def test_torch_fills_batches_up_as_on_a_gpu() -> None:
    from microexp.flow.torch_backend import TorchSolver

    pairs = moved_pairs(3)
    solver = TorchSolver(*pairs[0].shape[1:], FlowParams().tvl1())
    plain = solver.solve(solver.prepare(pairs[0]), solver.prepare(pairs[1]))
    solver.on_gpu, solver.batch = True, 5  # as on a GPU, where every batch has the same shape
    filled = solver.solve(solver.prepare(pairs[0]), solver.prepare(pairs[1]))
    assert filled.shape == plain.shape
    np.testing.assert_array_equal(filled, plain)
    warm = solver.solve(solver.prepare(pairs[0]), solver.prepare(pairs[1]), plain, 1)
    assert warm.shape == plain.shape


@pytest.mark.long
def test_compiled_torch_agrees_with_the_plain_one() -> None:
    from microexp.flow.torch_backend import TorchSolver

    pairs = moved_pairs(2)
    tvl1 = FlowParams(scales=1, iterations=3).tvl1()
    plain, fast = (TorchSolver(*pairs[0].shape[1:], tvl1, compiled=c) for c in (False, True))
    flows = [s.solve(s.prepare(pairs[0]), s.prepare(pairs[1])) for s in (plain, fast)]
    np.testing.assert_allclose(flows[1], flows[0], atol=1e-4)
