"""What the flow takes as images: `uint8`, or floats from 0 to 255; anything else is refused rather than guessed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microexp.errors import UserError
from microexp.flow.params import Tvl1

KINDS = "uint8, or float32 grey levels of 0 to 255"
LEVELS = (-0.5, 255.5)
"""Range of float grey levels: what interpolation overshoots by is allowed."""


def grey_range(images: np.ndarray) -> tuple[float, float]:
    """Smallest and largest grey level of `images` (not empty).

    Raises:
        UserError: for another kind of numbers, or numbers that are no grey levels (NaN, infinite, out of range).
    """
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise UserError(where="flow", problem=f"images of type {images.dtype}", expected=KINDS)
    low, high = float(images.min()), float(images.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UserError(
            where="flow", problem="images with NaN or infinite values", expected="finite grey levels of 0 to 255"
        )
    if not LEVELS[0] <= low <= high <= LEVELS[1]:
        hint = "scale them: flow depends on their contrast"
        raise UserError(
            where="flow",
            problem=f"images with values from {low:g} to {high:g}",
            expected="grey levels of 0 to 255",
            hint=hint,
        )
    return low, high


def refuse_fractions(low: float, high: float) -> None:
    """Refuse floats of 0 to 1, in which TV-L1 would see almost no contrast and so no motion.

    Raises:
        UserError: naming the factor.
    """
    if low < high <= 1:
        raise UserError(
            where="flow",
            problem=f"float images with values from {low:g} to {high:g}",
            expected=KINDS,
            hint="multiply images of 0 to 1 by 255",
        )


def check_pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both (N, H, W), not empty, as one type: uint8, or float32 when one of them is float.

    Raises:
        UserError: when they are no grey levels of 0 to 255.
    """
    ranges = [grey_range(images) for images in (first, second)]
    floats = [r for r, images in zip(ranges, (first, second), strict=True) if images.dtype != np.uint8]
    if not floats:
        return first, second
    refuse_fractions(min(low for low, _ in floats), max(high for _, high in floats))
    return first.astype(np.float32, copy=False), second.astype(np.float32, copy=False)


class FrameCheck:
    """The frames of one video, one by one: all of one shape, type and scale of grey levels."""

    def __init__(self, head: np.ndarray) -> None:
        if head.ndim != 2 or not head.size:
            raise UserError(
                where="flow", problem=f"a frame of shape {head.shape}", expected="(H, W) with at least one pixel"
            )
        self.shape = head.shape
        self.kind = head.dtype
        self.scale_is_known = False

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """`frame` as uint8 or float32. The first one that is not constant tells the scale of all.

        Raises:
            UserError: when it differs from the first frame in shape or type, or holds no grey levels of 0 to 255.
        """
        if frame.shape != self.shape:
            raise UserError(
                where="flow", problem=f"a frame of shape {frame.shape}", expected=f"all of shape {self.shape}"
            )
        if frame.dtype != self.kind:
            raise UserError(where="flow", problem=f"a frame of type {frame.dtype}", expected=f"all of type {self.kind}")
        low, high = grey_range(frame)
        if frame.dtype == np.uint8:
            return frame
        if low < high and not self.scale_is_known:
            refuse_fractions(low, high)
            self.scale_is_known = True
        return frame.astype(np.float32, copy=False)


# Sizes of the image pyramid, the same for every backend.

SMALLEST_PX = 16
"""No level but the first is smaller than this (as in OpenCV)."""


def pyramid_sizes(height: int, width: int, tvl1: Tvl1) -> list[tuple[int, int]]:
    """(height, width) of each level in px, finest first; rounded half to even, as OpenCV does."""
    sizes = [(height, width)]
    while len(sizes) < tvl1.scales:
        height, width = round(height * tvl1.scale_step), round(width * tvl1.scale_step)
        if min(height, width) < SMALLEST_PX:
            break
        sizes.append((height, width))
    return sizes


def gaussian_weights(sigma_px: float) -> npt.NDArray[np.float32]:
    """Weights (2 r + 1,) float32 of a Gaussian cut at r = 3 sigma, their sum 1; a sigma of 0 gives the one weight 1."""
    radius = int(np.ceil(3 * sigma_px))
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / max(sigma_px, 1e-9)) ** 2)
    normalised: npt.NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return normalised


def spline_weights() -> npt.NDArray[np.float32]:
    """The filter (17,) float32 that turns numbers into coefficients of the cubic B-spline through them (Unser 1999).

    Its impulse response falls by 2 - sqrt(3) per step, so that the cut at 8 changes little.
    """
    weights = (np.sqrt(3) - 2) ** np.abs(np.arange(-8, 9))
    normalised: npt.NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return normalised
