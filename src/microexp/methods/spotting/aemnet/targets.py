"""What the heads should say for a window: targets of the anchor-free points and of the anchors (NumPy)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from microexp.methods.spotting.aemnet.geometry import Geometry


@dataclass(frozen=True)
class Targets:
    """Targets of N windows with P points and A anchors.

    Attributes:
        point_label: (N, P) int8: 0 none, 1 micro, 2 macro.
        point_distance: (N, P, 2) float32 distances to start and end over the level's stride.
        anchor_label: (N, A) int8: 0 negative, 1 micro, 2 macro, -1 left out (IoU between the two limits).
        anchor_offset: (N, A, 2) float32 Δcentre/width and log(width ratio).
    """

    point_label: np.ndarray
    point_distance: np.ndarray
    anchor_label: np.ndarray
    anchor_offset: np.ndarray


def make_targets(
    expressions: Sequence[np.ndarray], geometry: Geometry, foreground_iou: float, background_iou: float
) -> Targets:
    """Targets of windows.

    Args:
        expressions: per window (n, 3): start, end (exclusive) in frames from the window's start, kind 1 or 2.
        foreground_iou: an anchor above it is positive.
        background_iou: an anchor below it is negative; between the two it is left out.
    """
    points = [point_targets(table, geometry) for table in expressions]
    anchors = [anchor_targets(table, geometry, foreground_iou, background_iou) for table in expressions]
    return Targets(*(np.stack(part) for part in (*zip(*points, strict=True), *zip(*anchors, strict=True))))


def point_targets(table: np.ndarray, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Labels (P,) and distances (P, 2) of the anchor-free points.

    A point takes an expression that it lies strictly inside of and whose farther end is in its level's range; of
    several, the shortest wins, of equally short ones the first.
    """
    label = np.zeros(len(geometry.points), np.int8)
    distance = np.zeros((len(geometry.points), 2), np.float32)
    if not len(table):
        return label, distance
    left = geometry.points[:, None] - table[:, 0]
    right = table[:, 1] - geometry.points[:, None]
    farther = np.maximum(left, right)
    low, high = geometry.ranges[:, :1], geometry.ranges[:, 1:]
    fits = (np.minimum(left, right) > 0) & (farther >= low) & (farther < high)
    best = np.where(fits, table[:, 1] - table[:, 0], np.inf).argmin(1)
    rows = np.flatnonzero(fits.any(1))
    chosen = best[rows]
    label[rows] = table[chosen, 2]
    distance[rows] = np.stack([left[rows, chosen], right[rows, chosen]], 1) / geometry.strides[rows, None]
    return label, distance


def anchor_targets(
    table: np.ndarray, geometry: Geometry, foreground_iou: float, background_iou: float
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (A,) and offsets (A, 2) of the anchors against the expression that each overlaps most."""
    centre, width = geometry.anchor_centres, geometry.anchor_widths
    label = np.zeros(len(centre), np.int8)
    offset = np.zeros((len(centre), 2), np.float32)
    if not len(table):
        return label, offset
    start, end = (centre - width / 2)[:, None], (centre + width / 2)[:, None]
    overlap = np.clip(np.minimum(end, table[:, 1]) - np.maximum(start, table[:, 0]), 0, None)
    iou = overlap / (width[:, None] + table[:, 1] - table[:, 0] - overlap)
    best = iou.argmax(1)
    score = iou.max(1)
    label[score >= background_iou] = -1
    positive = np.flatnonzero(score > foreground_iou)
    found = table[best[positive]]
    label[positive] = found[:, 2]
    offset[positive, 0] = ((found[:, 0] + found[:, 1]) / 2 - centre[positive]) / width[positive]
    offset[positive, 1] = np.log((found[:, 1] - found[:, 0]) / width[positive])
    return label, offset
