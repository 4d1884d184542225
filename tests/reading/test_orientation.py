"""Pictures are brought upright as their files say: EXIF of images, display matrices of videos."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from microexp.reading.images import EXIF, UPRIGHT, from_matrix, turned

ONE = 1 << 16
"""1 as a display matrix writes it."""


def picture(height: int = 3, width: int = 5, *channels: int) -> np.ndarray:
    return np.arange(height * width * int(np.prod(channels)), dtype=np.uint8).reshape(height, width, *channels)


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    return struct.pack("<9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize("value", range(1, 9))
def test_exif_means_what_pillow_does(value: int) -> None:
    image = Image.fromarray(picture())
    image.getexif()[0x0112] = value
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(turned(picture(), EXIF[value]), expected)


def test_the_eight_orientations_are_eight() -> None:
    shown = {turned(picture(), o).tobytes() + bytes(turned(picture(), o).shape) for o in EXIF.values()}
    assert len(shown) == len(EXIF) == 8 and EXIF[1] == UPRIGHT
    assert set(EXIF.values()) == set(itertools.product([False, True], repeat=3))


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("orientation", EXIF.values())
def test_colours_turn_as_grey_pictures_do(orientation: tuple[bool, bool, bool], channels: tuple[int, ...]) -> None:
    image = picture(3, 5, *channels)
    found = turned(image, orientation)
    assert found.shape == ((5, 3) if orientation[0] else (3, 5)) + channels
    assert sorted(found.ravel()) == sorted(image.ravel())
    assert np.shares_memory(found, image), "nothing is copied"


@pytest.mark.parametrize(
    ("numbers", "degrees"),
    [((ONE, 0, 0, ONE), 0), ((0, ONE, -ONE, 0), 270), ((-ONE, 0, 0, -ONE), 180), ((0, -ONE, ONE, 0), 90)],
)
def test_turns_of_a_display_matrix_are_those_of_phones(numbers: tuple[int, int, int, int], degrees: int) -> None:
    """(0 1 -1 0) is what an upright phone writes: the picture is shown a quarter turn clockwise."""
    found = from_matrix(matrix(*numbers))
    assert found is not None
    np.testing.assert_array_equal(turned(picture(), found), np.rot90(picture(), degrees // 90))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [((-ONE, 0, 0, ONE), picture()[:, ::-1]), ((ONE, 0, 0, -ONE), picture()[::-1]), ((0, ONE, ONE, 0), picture().T)],
)
def test_mirrors_of_a_display_matrix(numbers: tuple[int, int, int, int], expected: np.ndarray) -> None:
    found = from_matrix(matrix(*numbers))
    assert found is not None
    np.testing.assert_array_equal(turned(picture(), found), expected)


@given(st.sampled_from([(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)]), st.integers(100, 1 << 20))
def test_the_scale_of_a_matrix_does_not_matter(signs: tuple[int, int, int, int], scale: int) -> None:
    assert from_matrix(matrix(*(s * scale for s in signs))) == from_matrix(matrix(*(s * ONE for s in signs)))


@pytest.mark.parametrize("degrees", [2, 30, 45, 88, 123, 200])
def test_other_angles_are_no_orientation(degrees: int) -> None:
    c, s = (round(ONE * f(np.radians(degrees))) for f in (np.cos, np.sin))
    assert from_matrix(matrix(c, s, -s, c)) is None


@pytest.mark.parametrize("data", [b"", b"short", matrix(ONE, 0, 0, ONE)[:35], matrix(0, 0, 0, 0)])
def test_what_is_no_matrix_is_no_orientation(data: bytes) -> None:
    assert from_matrix(data) is None
