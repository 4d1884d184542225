from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from microexp.faces.crops import cut, plan_crops
from microexp.faces.geometry import from_complex, invert


def square(x: float, y: float, side: float, angle: float = 0.0) -> np.ndarray:
    """Alignment with a crop that is a square of the source with its corner at x, y."""
    turn = np.exp(-1j * angle) / side
    return from_complex(turn, -turn * complex(x, y))


def picture(height: int, width: int, wave_px: float) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.uint8(128 + 60 * np.sin(2 * np.pi * x / wave_px) * np.cos(2 * np.pi * y / (1.3 * wave_px)))


@pytest.mark.parametrize("shift", [0.0, 0.37])
def test_as_good_as_a_bicubic_warp(shift: float) -> None:
    """Against spline interpolation of a face-like picture: no larger error than OpenCV's bicubic warp has."""
    noise = gaussian_filter(np.random.default_rng(0).normal(0, 1, (180, 200)), 1.2)
    frame = np.clip(np.rint(128 + 40 * noise / noise.std()), 0, 255).astype(np.uint8)
    for size in (100, 200):  # smaller and larger than the square
        alignment = square(20 + shift, 15, 130, 0.05)
        matrix = size * alignment
        back = invert(matrix)
        y, x = np.mgrid[:size, :size]
        places = np.stack([x, y], -1) @ back[:, :2].T + back[:, 2]
        exact = map_coordinates(frame.astype(float), [places[..., 1], places[..., 0]], order=5)
        usual = cv2.warpAffine(frame, matrix, (size, size), flags=cv2.INTER_CUBIC)
        ours = cut(frame, alignment, plan_crops(alignment[None], 200, 180, size=size))
        errors = [np.sqrt(((crop - exact)[8:-8, 8:-8] ** 2).mean()) for crop in (ours, usual)]
        assert errors[0] < 1.05 * errors[1]


@pytest.mark.parametrize("grey", [True, False])
def test_equal_frames_give_equal_crops_and_moved_ones_move(grey: bool) -> None:
    """A fixed alignment adds no motion of its own: a shift of the frame is the same shift of the crop."""
    frame = picture(200, 260, 23.0)
    frame = frame if grey else np.repeat(frame[..., None], 3, 2)
    alignment = square(40.3, 30.7, 130, 0.1)
    plan = plan_crops(alignment[None], 260, 200, size=65)
    one, same = cut(frame, alignment, plan), cut(frame.copy(), alignment, plan)
    np.testing.assert_array_equal(one, same)
    shifted = cut(np.roll(frame, (4, 2), (0, 1)), alignment, plan)
    back = np.linalg.inv([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]) @ [2 / 2, 4 / 2]
    matrix = np.array([[1, 0, back[0]], [0, 1, back[1]]])
    expected = cv2.warpAffine(one, matrix, (65, 65), flags=cv2.INTER_CUBIC)
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(shifted[inner].astype(int) - expected[inner]).mean() < 1.5


@pytest.mark.parametrize("side", [48, 96, 150, 333, 480])
def test_crop_shows_the_square_at_any_scale(side: int) -> None:
    """Against sampling the pattern itself at the crop's pixels."""
    x0, y0, wave = 51.5, 20.25, 120.0
    frame = picture(560, 600, wave)
    alignment = square(x0, y0, side)
    crop = cut(frame, alignment, plan_crops(alignment[None], 600, 560, size=96))
    x, y = x0 + np.arange(96) * side / 96, y0 + np.arange(96) * side / 96
    exact = 128 + 60 * np.sin(2 * np.pi * x / wave)[None] * np.cos(2 * np.pi * y / (1.3 * wave))[:, None]
    assert np.abs(crop - exact).max() < 3


def test_large_faces_do_not_alias() -> None:
    frame = np.random.default_rng(1).integers(0, 255, (700, 700)).astype(np.uint8)  # texture of one pixel
    alignment = square(20, 20, 640)
    plan = plan_crops(alignment[None], 700, 700, size=64)
    assert plan.factor == 10
    plain = cv2.warpAffine(frame, 64 * alignment, (64, 64), flags=cv2.INTER_CUBIC)
    assert cut(frame, alignment, plan).std() < 0.3 * plain.std()


def test_crops_reach_beyond_the_frame() -> None:
    frame = np.full((50, 50, 3), 77, np.uint8)
    for corner in (-30, 30, 200, -300):
        alignment = square(corner, corner, 60)
        crop = cut(frame, alignment, plan_crops(alignment[None], 50, 50, size=32))
        np.testing.assert_array_equal(crop, np.full((32, 32, 3), 77))


def test_one_grid_for_all_frames_of_a_slow_alignment() -> None:
    alignments = np.stack([square(100 + 0.1 * t, 80, 300) for t in range(50)])
    plan = plan_crops(alignments, 640, 480, size=100)
    assert plan.factor == 3
    frame = picture(480, 640, 61.0)
    crops = np.stack([cut(frame, a, plan) for a in alignments]).astype(int)
    assert np.abs(np.diff(crops, axis=0)).max() <= 2  # 0.03 px of a smooth picture, no jump of the grid
