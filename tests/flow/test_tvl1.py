"""What every user of the flow relies on: the backends agree, the motion is right, and bad input is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microexp.errors import UserError
from microexp.flow.params import PRESETS, FlowParams
from microexp.flow.reference import reference_flow
from microexp.flow.tvl1 import compute_flow, resolve_backend, stream_flow

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


def test_opencv_has_the_same_error_statistics_at_its_defaults() -> None:
    image = texture(120, 120)
    pair = grey(image)[None], grey(shifted(image, 0.6, 0.3))[None]
    errors = []
    for backend in ("numba", "opencv"):
        error = flow(pair, preset="opencv", backend=backend)[0] - np.float32([0.6, 0.3])
        errors.append(np.hypot(*error[8:-8, 8:-8].transpose(2, 0, 1)).mean())
    assert errors[0] == pytest.approx(errors[1], rel=0.25)


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
@pytest.mark.parametrize("value", [0, 200])
def test_images_that_hold_nothing_do_not_move(backend: str, value: int) -> None:
    image = np.full((2, 40, 30), value, np.uint8)
    preset = "opencv" if backend == "opencv" else "micro"
    np.testing.assert_array_equal(flow((image, image), backend=backend, preset=preset), 0)


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (2, 3), (17, 16)])
@pytest.mark.parametrize("preset", list(PRESETS))
def test_thin_and_tiny_images_have_a_defined_flow(shape: tuple[int, int], preset: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 1, *shape)).astype(np.uint8)
    found = flow((a, b), preset=preset)
    assert found.shape == (1, *shape, 2)
    np.testing.assert_array_equal(found[0], reference_flow(a[0], b[0], PRESETS[preset]))


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


@pytest.mark.parametrize("backend", ["numba", "torch", "opencv"])
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


IMAGE = np.zeros((1, 20, 20), np.float32)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (IMAGE, IMAGE[:, :, :10], "same"),
        (IMAGE[0], IMAGE[0], r"\(N, H, W\)"),
        (IMAGE[:, :, :0], IMAGE[:, :, :0], "one pixel"),
        (IMAGE, IMAGE * np.nan, "NaN"),
        (IMAGE, IMAGE + np.inf, "NaN"),
        (IMAGE, IMAGE + 1e9, "huge"),
        (IMAGE.astype(int), IMAGE.astype(int), "int64"),
    ],
)
def test_bad_images_are_one_clear_error(first: np.ndarray, second: np.ndarray, words: str) -> None:
    with pytest.raises(UserError, match=words):
        compute_flow(first, second)


@pytest.mark.parametrize("bad", [[IMAGE[0], IMAGE[0, :5]], [IMAGE], [IMAGE[0], IMAGE[0] * np.nan]])
def test_bad_frames_are_one_clear_error(bad: list[np.ndarray]) -> None:
    with pytest.raises(UserError):
        list(stream_flow(bad))


def test_which_backend_auto_takes() -> None:
    assert resolve_backend(FlowParams(), "auto") == ("numba", "cpu")
    assert resolve_backend(FlowParams(), "cpu") == ("numba", "cpu")
    assert resolve_backend(FlowParams(), "cuda:1") == ("torch", "cuda:1")
    assert resolve_backend(FlowParams(backend="numba"), "cuda") == ("numba", "cpu")
    assert resolve_backend(FlowParams(backend="torch"), "cpu") == ("torch", "cpu")
    assert resolve_backend(FlowParams(backend="opencv_cuda"), "auto") == ("opencv_cuda", "cuda")
    with pytest.raises(UserError, match="cuda:N"):
        resolve_backend(FlowParams(), "gpu")


def test_own_parameters_replace_those_of_the_preset() -> None:
    tvl1 = FlowParams(preset="classic", warps=2, theta=0.2).tvl1()
    assert (tvl1.warps, tvl1.theta, tvl1.cubic_a) == (2, 0.2, PRESETS["classic"].cubic_a)
    with pytest.raises(ValueError, match="at least 2"):
        FlowParams(warm_start_pairs=1)
