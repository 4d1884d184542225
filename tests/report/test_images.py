from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest

from microexp.report import page


def decode(address: str) -> np.ndarray:
    data = base64.b64decode(address.partition(",")[2])
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_a_photo_keeps_its_colours_and_shrinks() -> None:
    crop = np.zeros((120, 120, 3), np.uint8)
    crop[:, :60] = (200, 30, 30)
    address = page.photo(crop)
    assert address.startswith("data:image/jpeg;base64,") and address == page.photo(crop.copy())
    found = decode(address)
    assert found.shape == (96, 96, 3)
    assert np.abs(found[48, 20].astype(int) - (200, 30, 30)).max() < 20 and found[48, 80].max() < 20


def test_grey_and_small_photos() -> None:
    assert decode(page.photo(np.full((40, 40, 1), 90, np.uint8))).shape == (40, 40, 3)


def test_drawings_lose_nothing() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    assert np.array_equal(decode(page.drawing(picture)), picture)


@pytest.mark.parametrize(("u", "v", "channel"), [(1, 0, 0), (-0.5, 0.87, 1), (-0.5, -0.87, 2)])
def test_direction_becomes_hue(u: float, v: float, channel: int) -> None:
    flow = np.full((2, 2, 2), (u, v), np.float32)
    colour = page.flow_colours(flow, 1.0)[0, 0].astype(int)
    assert colour.argmax() == channel and colour[channel] == 255 and np.delete(colour, channel).max() < 20
    pale = page.flow_colours(flow / 4, 1.0)[0, 0].astype(int)
    assert np.delete(pale, channel).min() > 180
    assert np.array_equal(page.flow_colours(flow * 9, 1.0)[0, 0], page.flow_colours(flow * 2, 1.0)[0, 0])


def test_no_motion_is_white() -> None:
    assert (page.flow_colours(np.zeros((3, 3, 2)), 0.0) == 255).all()
    wheel = page.colour_wheel(65)
    assert (wheel[32, 32] > 245).all() and (wheel[0, 0] == 255).all()
    assert wheel[32, 62].argmax() == 0 and wheel[32, 62].min() < 40


def test_signed_colours() -> None:
    found = page.signed_colours(np.array([[-9.0, 0.0, 9.0]]), 3.0)[0]
    assert found.tolist() == [[33, 102, 172], [255, 255, 255], [178, 24, 43]]


def test_bounds() -> None:
    assert page.bound_of(np.array([[3.0, -4.0]]), 1.0) == 4
    assert page.bound_of(np.array([[[3.0, 4.0]]]), 1.0) == 5
    assert page.bound_of(np.zeros((0, 0))) == 1
