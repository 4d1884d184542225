"""Folders of images: depths, damage, and what the system refuses."""

from __future__ import annotations

import errno
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from microexp.errors import UserError
from microexp.reading import images
from microexp.reading.images import BadVideo, Depth, first_image, frame_number, image_size, list_frames, read_images


def png(path: Path, values: np.ndarray) -> Path:
    path.write_bytes(cv2.imencode(".png", values)[1].tobytes())
    return path


def deep(folder: Path, *largest: int) -> list[Path]:
    """Grey images of 16 bits, whose largest values these are."""
    found = []
    for number, value in enumerate(largest):
        picture = np.zeros((4, 6), np.uint16)
        picture[1, 2] = value
        found.append(png(folder / f"{number}.png", picture))
    return found


@pytest.mark.parametrize(("largest", "bits"), [(255, 8), (256, 10), (1023, 10), (1024, 12), (4096, 14), (65_535, 16)])
def test_depth_is_that_of_the_largest_value_anywhere(tmp_path: Path, largest: int, bits: int) -> None:
    paths = deep(tmp_path, 3, 7, largest)
    assert first_image(paths) == ((6, 4), True, Depth(16, bits))


def test_a_damaged_image_has_no_say_in_the_depth(tmp_path: Path) -> None:
    paths = deep(tmp_path, 900, 60_000, 1000)
    paths[1].write_bytes(b"damaged")
    assert first_image(paths)[2] == Depth(16, 10)


def test_values_beyond_the_depth_that_was_seen_are_white(tmp_path: Path) -> None:
    """A few images of a folder are looked at; one between them may be brighter."""
    (found,) = read_images(deep(tmp_path, 60_000), np.array([0]), True, depth=Depth(16, 10))
    assert found is not None and found.dtype == np.uint8 and found[1, 2] == 255


def test_images_of_8_bits_among_deeper_ones_stay_as_they_are(tmp_path: Path) -> None:
    path = png(tmp_path / "0.png", np.full((4, 6), 77, np.uint8))
    (found,) = read_images([path], np.array([0]), True, depth=Depth(16, 12))
    assert found is not None and (found == 77).all()


def test_the_first_image_that_can_be_decoded_decides(tmp_path: Path) -> None:
    paths = [tmp_path / "0.png", png(tmp_path / "1.png", np.zeros((4, 6, 3), np.uint8))]
    paths[0].write_bytes(b"damaged")
    assert first_image(paths) == ((6, 4), False, Depth())


def test_where_none_can_be_decoded_the_first_is_named(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("0.png", "1.png")]
    for path in paths:
        path.write_bytes(b"damaged")
    with pytest.raises(BadVideo, match=r"0\.png: no image data"):
        first_image(paths)


def test_a_whole_header_before_damaged_data_is_a_damaged_frame(tmp_path: Path) -> None:
    path = png(tmp_path / "0.png", np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[:41])  # up to where the picture begins
    assert image_size(path) == (60, 40)
    assert list(read_images([path], np.array([0]), False, depth=Depth())) == [None]


def test_what_opencv_cannot_take_is_a_damaged_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = png(tmp_path / "0.png", np.zeros((4, 6, 3), np.uint8))

    def fail(*_: object) -> None:
        raise cv2.error("assertion failed")

    monkeypatch.setattr(cv2, "imdecode", fail)
    with pytest.raises(BadVideo, match=r"0\.png: a damaged frame; expected a whole JPEG"):
        first_image([path])


def test_an_error_of_the_system_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error of its own kind, and the video is not excluded for it."""
    path = png(tmp_path / "0.png", np.zeros((4, 6, 3), np.uint8))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(images.Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"0\.png: Input/output error") as caught:
        list(read_images([path], np.array([0]), False, depth=Depth()))
    assert not isinstance(caught.value, BadVideo)
    monkeypatch.setattr(images.Path, "open", refuse)
    with pytest.raises(UserError, match=r"0\.png: Input/output error") as caught:
        image_size(path)
    assert not isinstance(caught.value, BadVideo)


def test_an_error_while_the_header_is_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(UserError, match="Stale file handle"):
        image_size(png(tmp_path / "0.png", np.zeros((4, 6), np.uint8)))


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("img7.jpg", 7),
        ("a1b2.png", 2),
        ("0009.bmp", 9),
        ("v2.final.png", 2),
        ("x.png", None),
        (f"{'9' * 19}.png", None),
    ],
)
def test_the_last_number_of_a_name_counts(name: str, number: int | None) -> None:
    assert frame_number(name) == number


def test_names_without_a_number_are_told_and_hidden_ones_passed_over(tmp_path: Path) -> None:
    for name in ("img2.png", "img10.PNG", "cover.png", ".img3.png", "notes4.txt"):
        (tmp_path / name).touch()
    found = list_frames(tmp_path)
    assert [p.name for p in found.paths] == ["img2.png", "img10.PNG"]
    assert found.numbers.tolist() == [2, 10] and found.ignored == ("cover.png",)
