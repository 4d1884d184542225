"""What is taken as an image, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.flow.params import FlowParams
from microexp.flow.tvl1 import compute_flow, stream_flow

from .conftest import moved_pairs

IMAGE = np.zeros((1, 20, 20), np.float32)
BYTES = moved_pairs(1)
FLOATS = (BYTES[0].astype(np.float32), BYTES[1].astype(np.float32))
DARK = np.eye(20, dtype=np.float32)[None]


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (IMAGE, IMAGE[:, :, :10], "same"),
        (IMAGE[0], IMAGE[0], r"\(N, H, W\)"),
        (IMAGE[:, :, :0], IMAGE[:, :, :0], "one pixel"),
        (IMAGE, IMAGE * np.nan, "NaN"),
        (IMAGE, IMAGE + np.inf, "NaN"),
        (IMAGE, IMAGE + 256, "from 256 to 256; expected grey levels of 0 to 255"),
        (IMAGE - 1, IMAGE, "from -1 to -1"),
        (FLOATS[0] * 16, FLOATS[1] * 16, "grey levels of 0 to 255"),
        (FLOATS[0] / 255, FLOATS[1] / 255, "by 255"),
        (BYTES[0], FLOATS[1] / 255, "by 255"),
        (IMAGE.astype(int), IMAGE.astype(int), "int64"),
        (IMAGE.astype(np.uint8), IMAGE.astype(bool), "bool"),
    ],
)
def test_bad_images_are_one_clear_error(first: np.ndarray, second: np.ndarray, words: str) -> None:
    with pytest.raises(UserError, match=words):
        compute_flow(first, second)


@pytest.mark.parametrize("backend", ["numba", "torch", "opencv"])
def test_nan_is_refused_by_every_backend(backend: str) -> None:
    params = FlowParams(backend=backend, preset="opencv" if backend == "opencv" else "micro")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="NaN"):
        compute_flow(IMAGE, IMAGE * np.nan, params)
    with pytest.raises(UserError, match="NaN"):
        list(stream_flow([IMAGE[0], IMAGE[0] * np.nan], params))


def test_what_interpolation_overshoots_by_is_allowed() -> None:
    wide = 255.8 * DARK - np.float32(0.4)
    assert not compute_flow(wide, wide).any()
    assert not compute_flow(IMAGE + np.float32(0.7), IMAGE + np.float32(0.7)).any()  # constant: may be dark


@pytest.mark.parametrize("backend", ["numba", "torch", "opencv"])
def test_bytes_and_floats_make_a_pair(backend: str) -> None:
    params = FlowParams(backend=backend, preset="opencv", scales=1, warps=1)  # type: ignore[arg-type]
    np.testing.assert_allclose(
        compute_flow(BYTES[0], FLOATS[1], params), compute_flow(*FLOATS, params), atol=1e-6, rtol=0
    )
    assert compute_flow(FLOATS[0].astype(np.float64), BYTES[1], params).dtype == np.float32


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([IMAGE[0], IMAGE[0, :5]], r"shape \(5, 20\)"),
        ([IMAGE], "shape"),
        ([IMAGE[0, :0]], "one pixel"),
        ([BYTES[0][0], FLOATS[1][0]], "type float32; expected all of type uint8"),
        ([FLOATS[0][0], BYTES[1][0]], "type uint8; expected all of type float32"),
        ([DARK[0], DARK[0]], "by 255"),
        ([IMAGE[0], DARK[0], 200 * DARK[0]], "by 255"),
        ([IMAGE[0], 300 * DARK[0]], "from 0 to 300"),
    ],
)
def test_bad_frames_are_one_clear_error(frames: list[np.ndarray], words: str) -> None:
    with pytest.raises(UserError, match=words):
        list(stream_flow(frames))


def test_a_video_may_fade_to_black() -> None:
    assert len(list(stream_flow([200 * DARK[0], DARK[0], 0 * DARK[0]]))) == 2
