"""What every user of the flow relies on: the backends agree, the motion is right, and bad input is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microexp.errors import UserError
from microexp.flow import tvl1
from microexp.flow.params import PRESETS, FlowParams
from microexp.flow.tvl1 import compute_flow, resolve_backend, stream_flow
from tests.flow.reference import reference_flow

from .conftest import grey, moved_pairs, shifted, texture

Images = tuple[np.ndarray, np.ndarray]
VARIANTS: dict[str, dict[str, Any]] = {
    "micro": {},
    "classic": {"preset": "classic", "iterations": 8},
    "opencv": {"preset": "opencv"},
    "five_point": {"preset": "classic", "gradient": "five_point", "scales": 2, "iterations": 5},
    "shading": {"preset": "classic", "shading_sigma_px": 2, "shading_share": 0.5, "warps": 1, "iterations": 5},
    "median_3": {"median_px": 3, "outer_iterations": 2, "iterations": 5},
    "stops": {"epsilon_px": 0.02, "iterations": 50},
}


def flow(images: Images, **options: Any) -> np.ndarray:
    return compute_flow(*images, FlowParams(**options))


@pytest.mark.parametrize("name", VARIANTS)
def test_numba_equals_the_reference_to_the_last_bit(pairs: Images, name: str) -> None:
    params = FlowParams(**VARIANTS[name])
    expected = [reference_flow(a, b, params.tvl1()) for a, b in zip(*pairs, strict=True)]
    assert np.abs(expected).max() > 0.1
    np.testing.assert_array_equal(compute_flow(*pairs, params), expected)


@pytest.mark.parametrize("name", VARIANTS)
def test_torch_equals_numba(pairs: Images, name: str) -> None:
    options = VARIANTS[name]
    difference = np.abs(flow(pairs, **options) - flow(pairs, backend="torch", **options))
    assert difference.mean() < 1e-4


@pytest.mark.parametrize("median_px", [1, 5])
def test_opencv_equals_numba_at_one_scale_and_one_warp(pairs: Images, median_px: int) -> None:
    options: dict[str, Any] = {"preset": "opencv", "scales": 1, "warps": 1, "median_px": median_px}
    ours = flow(pairs, **options)
    assert np.abs(ours).max() > 0.1
    np.testing.assert_allclose(flow(pairs, backend="opencv", **options), ours, atol=1e-4)


def spoiled_pairs() -> tuple[Images, np.ndarray]:
    """Pairs that move by known (4, 2) px, with a tenth of their pixels at random: work for the median."""
    rng = np.random.default_rng(0)
    motion = np.array([[0.6, 0.3], [-0.3, 0.8], [1.2, -0.5], [0.15, 0.1]])
    images = [texture(128, 128, seed) for seed in range(len(motion))]
    moved = [shifted(image, *m) for image, m in zip(images, motion, strict=True)]

    def spoil(image: np.ndarray) -> np.ndarray:
        return grey(np.where(rng.random(image.shape) < 0.1, rng.uniform(0, 255, image.shape), image))

    return (np.stack([spoil(i) for i in images]), np.stack([spoil(i) for i in moved])), motion


@pytest.mark.long
def test_opencv_has_the_same_error_statistics_at_its_defaults() -> None:
    """And they would tell a wrong median or stopping rule."""
    pairs, motion = spoiled_pairs()

    def statistics(**options: Any) -> np.ndarray:
        found = flow(pairs, preset="opencv", **options)
        error = np.linalg.norm(found - motion[:, None, None], axis=3)[:, 8:-8, 8:-8]
        return np.array([error.mean(), np.quantile(error, 0.9), np.abs(np.diff(found, axis=1)).mean()])

    def worst(ratios: np.ndarray) -> float:
        return float(np.abs(ratios - 1).max())

    opencv = statistics(backend="opencv")
    assert worst(statistics() / opencv) < 0.05
    for wrong in ({"median_px": 1}, {"epsilon_px": 0.005}, {"epsilon_px": 0.02}, {"epsilon_px": 0}):
        assert worst(statistics(**wrong) / opencv) > 0.05, wrong


@pytest.mark.parametrize("amplitude", [0.1, 0.2, 0.3, 1.0])
def test_micro_recovers_small_translations_in_full(amplitude: float) -> None:
    image = texture(96, 96)
    motion = amplitude * np.array([0.8, 0.6])
    found = flow((grey(image)[None], grey(shifted(image, *motion))[None]))[0, 8:-8, 8:-8]
    gain = (found @ motion).mean() / amplitude**2
    assert 0.95 < gain < 1.05


def test_opencv_preset_keeps_the_known_bias() -> None:
    image = texture(96, 96)
    found = flow((grey(image)[None], grey(shifted(image, 0.1, 0))[None]), preset="opencv")[0, 8:-8, 8:-8, 0]
    assert 0.5 < found.mean() / 0.1 < 0.9


def test_changing_light_disturbs_micro_less_than_classic() -> None:
    image = texture(96, 96)
    shade = np.linspace(-12, 12, 96)[None]
    pair = grey(image)[None], grey(shifted(image, 0.3, 0) + shade)[None]
    error = {p: np.abs(flow(pair, preset=p)[0] - np.float32([0.3, 0])).mean() for p in ("classic", "micro")}
    assert error["micro"] < 0.6 * error["classic"]


@pytest.mark.parametrize("backend", ["numba", "torch", "opencv"])
@pytest.mark.parametrize("value", [0, 1, 200])
def test_images_that_hold_nothing_do_not_move(backend: str, value: int) -> None:
    image = np.full((2, 40, 30), value, np.uint8)
    preset = "opencv" if backend == "opencv" else "micro"
    np.testing.assert_array_equal(flow((image, image), backend=backend, preset=preset), 0)


@pytest.mark.long
@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (2, 3), (17, 16)])
@pytest.mark.parametrize("preset", list(PRESETS))
def test_thin_and_tiny_images_have_a_defined_flow(shape: tuple[int, int], preset: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 1, *shape)).astype(np.uint8)
    expected = reference_flow(a[0], b[0], PRESETS[preset])
    np.testing.assert_array_equal(flow((a, b), preset=preset)[0], expected)
    # noise in tiny images is where rounding shows most: the same motion to a hundredth
    found = flow((a, b), preset=preset, backend="torch")[0]
    assert found.shape == (*shape, 2)
    np.testing.assert_allclose(found, expected, atol=0.02, rtol=0.02)
    for axis in (0, 1):  # no motion across what is one pixel wide
        if shape[1 - axis] == 1:
            assert not expected[..., axis].any() and not found[..., axis].any()


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1)])
def test_opencv_refuses_images_one_pixel_wide(shape: tuple[int, int]) -> None:
    image = np.zeros((1, *shape), np.uint8)
    with pytest.raises(UserError, match=f"images of {shape[0]} x {shape[1]} px, expected at least 2 x 2"):
        flow((image, image), preset="opencv", backend="opencv")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["micro", "opencv"]))
def test_equal_images_have_no_flow(seed: int, preset: str) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (1, 24, 33)).astype(np.uint8)
    np.testing.assert_array_equal(flow((image, image), preset=preset), 0)


@settings(max_examples=15, deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1))
def test_translation_has_the_right_sign_and_size(dx: float, dy: float) -> None:
    image = texture(48, 48)
    found = flow((grey(image)[None], grey(shifted(image, dx, dy))[None]))[0, 8:-8, 8:-8]
    np.testing.assert_allclose(np.median(found, (0, 1)), [dx, dy], atol=0.05)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_transposed_images_have_transposed_flow(seed: int) -> None:
    a, b = np.random.default_rng(seed).integers(0, 256, (2, 1, 24, 20)).astype(np.float32)
    upright = flow((a, b), warps=1, scales=1)[0]
    turned = flow((a.transpose(0, 2, 1), b.transpose(0, 2, 1)), warps=1, scales=1)[0]
    np.testing.assert_allclose(turned.transpose(1, 0, 2)[..., ::-1], upright, atol=1e-3)


def test_mirrored_images_have_mirrored_flow() -> None:
    """To about a hundredth of a pixel: TV-L1's differences look to one side, and so do the pyramid's sizes."""
    image = texture(64, 64)
    pair = grey(image)[None], grey(shifted(image, 0.4, 0.2))[None]
    mirrored = flow((pair[0][:, :, ::-1], pair[1][:, :, ::-1]))[0, :, ::-1] * np.float32([-1, 1])
    assert np.abs(mirrored - flow(pair)[0])[6:-6, 6:-6].mean() < 0.01


def test_results_do_not_depend_on_threads_or_batches() -> None:
    pairs = moved_pairs(5)
    once = compute_flow(*pairs, threads=1)
    np.testing.assert_array_equal(compute_flow(*pairs, threads=3), once)
    np.testing.assert_array_equal(
        np.concatenate([compute_flow(a[None], b[None]) for a, b in zip(*pairs, strict=True)]), once
    )


@pytest.mark.long
def test_float_images_mean_the_same_as_bytes(pairs: Images) -> None:
    for options in ({}, {"preset": "opencv", "backend": "opencv"}):
        floats = tuple(p.astype(np.float32) for p in pairs)
        np.testing.assert_allclose(flow(floats, **options), flow(pairs, **options), atol=1e-2)  # type: ignore[arg-type]


def frames(count: int = 7) -> list[np.ndarray]:
    image = texture(40, 36)
    return [grey(shifted(image, 0.15 * k, 0.1 * k)) for k in range(count)]


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_streaming_gives_the_flow_of_each_pair(batch: int) -> None:
    video = frames()
    found = np.stack(list(stream_flow(iter(video), batch=batch)))
    np.testing.assert_array_equal(found, compute_flow(np.stack(video[:-1]), np.stack(video[1:])))


@pytest.mark.parametrize("backend", ["numba", pytest.param("torch", marks=pytest.mark.long), "opencv"])
def test_warm_start_restarts_on_schedule_and_not_by_batch(backend: str) -> None:
    preset = "opencv" if backend == "opencv" else "micro"
    params = FlowParams(warm_start_pairs=3, warm_start_scales=2, backend=backend, preset=preset)  # type: ignore[arg-type]
    video = frames(5)
    found = [np.stack(list(stream_flow(video, params, threads=t, batch=b))) for t, b in ((1, 1), (2, 4), (1, 64))]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    cold = compute_flow(np.stack(video[:-1]), np.stack(video[1:]), FlowParams(backend=backend, preset=preset))  # type: ignore[arg-type]
    np.testing.assert_allclose(found[0][::3], cold[::3], atol=1e-6)
    assert np.abs(found[0][1::3] - cold[1::3]).max() > 1e-4
    np.testing.assert_allclose(np.median(found[0], (1, 2)), np.median(cold, (1, 2)), atol=0.05)


@pytest.mark.parametrize(("backend", "threads", "size"), [("numba", 1, 32), ("numba", 3, 48), ("torch", 1, 128)])
def test_warm_start_keeps_every_worker_busy(
    monkeypatch: pytest.MonkeyPatch, backend: str, threads: int, size: int
) -> None:
    """Runs of 16 pairs go on side by side, as many as are solved at once."""
    video = frames(2) * 65
    params = FlowParams(backend=backend, warm_start_pairs=16, iterations=1, warps=1, scales=1)  # type: ignore[arg-type]
    calls: list[int] = []
    make = tvl1.make_solver

    def counting(*arguments: Any, **more: Any) -> Any:
        solver = make(*arguments, **more)
        solve = solver.solve

        def counted(first: Any, *rest: Any, **more: Any) -> Any:
            calls.append(len(first))
            return solve(first, *rest, **more)

        monkeypatch.setattr(solver, "solve", counted)
        return solver

    monkeypatch.setattr(tvl1, "make_solver", counting)
    assert len(list(stream_flow(video, params, threads))) == 129
    assert calls[:16] == [size // 16] * 16


def test_warm_start_agrees_between_backends() -> None:
    a, b = (
        np.stack(list(stream_flow(frames(), FlowParams(warm_start_pairs=4, warm_start_scales=2, backend=backend))))
        for backend in ("numba", "torch")
    )
    np.testing.assert_allclose(a, b, atol=1e-3)


def test_streaming_holds_no_more_than_a_batch() -> None:
    read = 0

    def video() -> Iterator[np.ndarray]:
        nonlocal read
        for frame in frames(40):
            read += 1
            yield frame

    for done, _ in enumerate(stream_flow(video(), FlowParams(iterations=1, warps=1), batch=4), 1):
        assert read <= done + 4 + 1


def test_short_videos_have_no_flow() -> None:
    assert list(stream_flow([])) == []
    assert list(stream_flow(frames(1))) == []


def test_empty_batch() -> None:
    assert compute_flow(np.zeros((0, 8, 9), np.uint8), np.zeros((0, 8, 9), np.uint8)).shape == (0, 8, 9, 2)


def test_which_backend_auto_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_backend(FlowParams(), "auto") == ("numba", "cpu")
    assert resolve_backend(FlowParams(), "cpu") == ("numba", "cpu")
    assert resolve_backend(FlowParams(), "cuda:1") == ("torch", "cuda:1")
    assert resolve_backend(FlowParams(backend="numba"), "cuda") == ("numba", "cpu")
    assert resolve_backend(FlowParams(backend="torch"), "cpu") == ("torch", "cpu")
    assert resolve_backend(FlowParams(backend="torch"), "auto") == ("torch", "cuda")
    assert resolve_backend(FlowParams(backend="opencv_cuda"), "auto") == ("opencv_cuda", "cuda")
    for backend in ("auto", "numba", "torch", "opencv", "opencv_cuda"):
        for device in ("gpu", "cudafoo", *([] if backend == "opencv_cuda" else ["cuda:9"])):
            with pytest.raises(UserError, match="--device"):
                resolve_backend(FlowParams(backend=backend), device)


def test_own_parameters_replace_those_of_the_preset() -> None:
    own = FlowParams(preset="classic", warps=2, theta=0.2).tvl1()
    assert (own.warps, own.theta, own.cubic_a) == (2, 0.2, PRESETS["classic"].cubic_a)
    with pytest.raises(ValueError, match="at least 2"):
        FlowParams(warm_start_pairs=1)


EXTREMES = [
    dict(zip(("theta", "tau", "data_weight", "epsilon_px"), bounds, strict=True))
    for bounds in itertools.product((1e-3, 10), (1e-4, 0.25), (1e-4, 100), (0, 10))
]


@pytest.mark.parametrize("backend", ["numba", pytest.param("torch", marks=pytest.mark.long)])
def test_flow_is_finite_at_every_corner_of_the_parameters(backend: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 24, 24)).astype(np.uint8)
    for options in EXTREMES:
        found = flow((images[0], images[1]), backend=backend, scales=20, scale_step=0.95, warps=2, **options)
        assert np.isfinite(found).all(), options


@pytest.mark.parametrize(
    "options",
    [
        {"theta": 1e-40},
        {"theta": float("nan")},
        {"tau": 1e-40},
        {"data_weight": 1e30},
        {"scale_step": 0.999999},
        {"iterations": 10**12},
        {"warps": 10**12},
        {"epsilon_px": 1e30},
        {"warm_start_pairs": 10**9},
        {"storage_scale_px": 1e-40},
    ],
)
def test_parameters_beyond_the_bounds_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        FlowParams(**options)
