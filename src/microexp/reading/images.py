"""Folders of numbered images: listing, sizes, decoding, how pictures are turned, and what is said of bad ones."""

from __future__ import annotations

import errno
import io
import os
import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microexp.errors import UserError
from microexp.reading.trees import IMAGE_SUFFIXES
from microexp.run.storage import file_sha256

# The error of a video that cannot be used, against the errors of the system that reads it.


class BadVideo(UserError):
    """A video that is damaged or empty and can be excluded; that reading fails (network, rights) is another thing."""


MAX_PIXELS = 89_000_000
"""Pixels of the largest frame that is decoded."""


def too_large(path: Path, width: int, height: int) -> BadVideo:
    """The error of a frame that would take gigabytes to decode."""
    return BadVideo(file=path, problem=f"a frame of {width}x{height} px", expected="at most 89 million pixels")


def unreadable(path: Path, error: OSError, expected: str) -> UserError:
    """What the system said of `path`; only a link to nowhere is the video's own fault."""
    what = error.strerror or (os.strerror(error.errno) if error.errno else error)
    kind = BadVideo if path.is_symlink() and not path.exists() else UserError
    return kind(file=path, problem=what, expected=expected)


def undecodable(path: Path, error: Exception, expected: str) -> UserError:
    """Damage, as the decoder says it, or a failure of the system: FFmpeg has the same words for some of both."""
    if isinstance(error, OSError) and error.errno not in (errno.EIO, errno.EPERM, errno.EINVAL):
        return unreadable(path, error, expected)
    if isinstance(error, OSError):
        try:
            file_sha256(path)  # reads it all
        except OSError as failure:
            return unreadable(path, failure, expected)
    return BadVideo(file=path, problem=getattr(error, "strerror", "damaged text"), expected=expected)


# Turning and mirroring pictures as their files say: display matrices of videos, EXIF of images.

Orientation = tuple[bool, bool, bool]
"""What brings a stored picture upright: swap x and y, then mirror left-right, then top-bottom."""

UPRIGHT: Orientation = (False, False, False)

EXIF: dict[int, Orientation] = {
    1: UPRIGHT,
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
"""Value of the EXIF tag `Orientation` (EXIF 2.32, table 4) -> what brings the picture upright."""


def turned(image: np.ndarray, orientation: Orientation) -> np.ndarray:
    """`image` (H, W[, C]) brought upright; a view where possible."""
    swap, mirror, flip = orientation
    if swap:
        image = image.swapaxes(0, 1)
    return image[:: -1 if flip else 1, :: -1 if mirror else 1]


def from_matrix(data: bytes) -> Orientation | None:
    """The orientation of a display matrix (ISO 14496-12: nine 32-bit numbers a b u c d v x y w).

    Returns:
        None when it is not one of the eight right-angled ones.
    """
    if len(data) < 36:
        return None
    a, b, _, c, d = struct.unpack("<5i", data[:20])
    largest = max(map(abs, (a, b, c, d)))
    straight, across = (abs(a) > largest / 2, abs(d) > largest / 2), (abs(b) > largest / 2, abs(c) > largest / 2)
    small = largest / 100
    if all(straight) and max(abs(b), abs(c)) <= small:
        return False, a < 0, d < 0
    if all(across) and max(abs(a), abs(d)) <= small:
        return True, c < 0, b < 0
    return None


_LAST_NUMBER = re.compile(r"(\d+)\D*$")
_EXPECTED = "a whole JPEG, PNG, BMP, TIFF or WebP image"
_ORIENTATION_TAG = 0x0112
PLACES = 5
"""Images of a folder that are looked at for their range of values."""


@dataclass(frozen=True)
class FrameList:
    """Image files of a folder in the order of their numbers.

    Attributes:
        paths: (n) image files.
        numbers: (n,) int64, the last number in each file's name, strictly increasing.
        ignored: names of images without a number, which are no frames.
    """

    paths: tuple[Path, ...]
    numbers: np.ndarray
    ignored: tuple[str, ...] = ()


def frame_number(name: str) -> int | None:
    """The last number in a file's name without its suffix: `reg_img46.jpg` -> 46, `006_1_0001.jpg` -> 1."""
    match = _LAST_NUMBER.search(Path(name).stem)
    return int(match[1]) if match and len(match[1]) <= 18 else None


def list_frames(folder: str | Path) -> FrameList:
    """List the frames of `folder` by number, so that `img10` follows `img9`; hidden files are passed over.

    Raises:
        BadVideo: when it holds no frame, or two files with one number.
        UserError: when the folder cannot be read.
    """
    folder = Path(folder)
    try:
        names = [p.name for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != "."]
    except OSError as error:
        raise unreadable(folder, error, "a folder of frames") from error
    by_number: dict[int, str] = {}
    ignored = []
    for name in sorted(names):
        number = frame_number(name)
        if number is None:
            ignored.append(name)
        elif number in by_number:
            both = f"{by_number[number]} and {name}"
            raise BadVideo(file=folder, where=f"frame {number}", problem=both, expected="one file a frame")
        else:
            by_number[number] = name
    if not by_number:
        raise BadVideo(file=folder, problem="no frame", expected="images with numbered names (.jpg, .png, .bmp …)")
    order = sorted(by_number)
    return FrameList(tuple(folder / by_number[n] for n in order), np.array(order, np.int64), tuple(ignored))


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) in px of the upright image from its header, without decoding it.

    Raises:
        BadVideo: when it is no image, or larger than 89 million pixels.
        UserError: when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _header(path, file)[0]
    except OSError as error:
        raise unreadable(path, error, _EXPECTED) from error


def _header(path: Path, file: Any) -> tuple[tuple[int, int], Orientation]:
    """Upright size and orientation of an image."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PIL about sizes and odd EXIF, which are checked here
            with Image.open(file) as image:
                (width, height) = image.size
                # only where it is in the header: PNG would be decoded as a whole
                about = image.getexif() if image.format in ("JPEG", "MPO", "WEBP") or "exif" in image.info else {}
    except Image.DecompressionBombError as error:
        raise BadVideo(file=path, problem="a far too large image", expected="at most 89 million pixels") from error
    except Exception as error:  # PIL's readers raise a dozen kinds on damaged headers
        if isinstance(error, OSError) and error.errno:
            raise
        raise BadVideo(file=path, problem="no image data", expected=_EXPECTED) from error
    if width * height > MAX_PIXELS:
        raise too_large(path, width, height)
    orientation = EXIF.get(about.get(_ORIENTATION_TAG, 1), UPRIGHT)
    return (height, width) if orientation[0] else (width, height), orientation


@dataclass(frozen=True)
class Depth:
    """How an image file's values become 8 bits.

    Attributes:
        stored: bits of a stored value, 8 or 16.
        used: bits of the largest value, 8 to 16; they are shifted down to 8.
    """

    stored: int = 8
    used: int = 8


def first_image(paths: Sequence[Path]) -> tuple[tuple[int, int], bool, Depth]:
    """(width, height), whether the first image is grey, and how many bits the images use.

    Raises:
        BadVideo: when none of the images can be decoded.
        UserError: when one cannot be read.
    """
    import cv2

    flag, failure = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH, None
    for path in paths:
        try:
            image = _decoded(path, flag)
        except BadVideo as error:
            failure = failure or error
            continue
        depth = _depth(paths, flag) if image.dtype == np.uint16 else Depth()
        return (image.shape[1], image.shape[0]), image.ndim == 2, depth
    assert failure is not None
    raise failure


def _depth(paths: Sequence[Path], flag: int) -> Depth:
    """Bits in use, from a few images spread over the folder: cameras of 10 or 12 bits write 16-bit files."""
    largest = 1
    for index in np.unique(np.linspace(0, len(paths) - 1, PLACES).astype(int)):
        try:
            largest = max(largest, int(_decoded(paths[index], flag).max()))
        except BadVideo:
            continue
    bits = next(b for b in (8, 10, 12, 14, 16) if largest < 1 << b)
    return Depth(16, bits)


def read_images(paths: Sequence[Path], wanted: np.ndarray, grey: bool, *, depth: Depth) -> Iterator[np.ndarray | None]:
    """Decode images one by one: (H, W) or (H, W, 3) uint8 RGB; None for one that is damaged or a broken link.

    Raises:
        UserError: when one cannot be read.
    """
    import cv2

    flag = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB  # grey skips half the work of decoding a JPEG
    if depth.stored > 8:
        flag |= cv2.IMREAD_ANYDEPTH
    for index in wanted:
        try:
            image = _decoded(paths[index], flag)
        except BadVideo:
            yield None
            continue
        yield _eight_bits(image, depth)


def _eight_bits(image: np.ndarray, depth: Depth) -> np.ndarray:
    if image.dtype != np.uint16:
        return image
    scaled: np.ndarray = np.minimum(image >> (depth.used - 8), 255).astype(np.uint8)
    return scaled


def _decoded(path: Path, flag: int) -> np.ndarray:
    """The upright image as OpenCV's flag says; its size is checked first."""
    import cv2

    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error, "a frame that can be read") from error
    _, orientation = _header(path, io.BytesIO(data))
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        image = None
    if image is None:
        raise BadVideo(file=path, problem="a damaged frame", expected=_EXPECTED)
    image = np.asarray(image)
    return image if orientation == UPRIGHT else np.ascontiguousarray(turned(image, orientation))
