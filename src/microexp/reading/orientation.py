"""Turning and mirroring pictures as their files say: display matrices of videos, EXIF of images."""

from __future__ import annotations

import struct

import numpy as np

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
