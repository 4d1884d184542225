"""Cutting aligned crops: the face's square is averaged down to about the size of the crop, then warped bicubically."""

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
        size: side of the crop, px.
    """

    corner: tuple[int, int]
    shape: tuple[int, int]
    factor: int
    size: int


def plan_crops(alignments: np.ndarray, width: int, height: int, size: int) -> CropPlan:
    """The region that all crops of a video are cut from.

    Args:
        alignments: (n, 2, 3) all transforms from source px to the unit square that will be used.
        width: of the source, px.
        height: of the source, px.
        size: side of the crop, px.
    """
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
    corners = np.concatenate([square @ m[:, :2].T + m[:, 2] for m in map(invert, alignments)])
    factor = max(1, int(1e-9 + 1 / (size * max(scale_of(m) for m in alignments))))
    margin = 3 * factor  # the bicubic kernel reaches two pixels
    low = np.clip(np.floor(corners.min(axis=0)) - margin, 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + margin, low + 1, [width, height]).astype(int)
    factor = max(1, min(factor, *(high - low).tolist()))
    blocks = (high - low) // factor
    return CropPlan((int(low[0]), int(low[1])), (int(blocks[1]), int(blocks[0])), factor, size)


def cut(frame: np.ndarray, alignment: np.ndarray, plan: CropPlan) -> np.ndarray:
    """The crop of one frame: (H, W[, 3]) uint8 -> (size, size[, 3]) uint8.

    Averaging over whole blocks of pixels keeps fine texture from aliasing in large frames; the bicubic warp does the
    rest. Beyond the frame its edge is repeated.
    """
    import cv2

    (x0, y0), f, (rows, columns) = plan.corner, plan.factor, plan.shape
    part = frame[y0 : y0 + f * rows, x0 : x0 + f * columns]
    if f > 1:
        part = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    to_source = np.array([[f, 0, x0 + (f - 1) / 2], [0, f, y0 + (f - 1) / 2], [0, 0, 1]])
    matrix = plan.size * alignment @ to_source
    crop: np.ndarray = cv2.warpAffine(
        part, matrix, (plan.size, plan.size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return crop
