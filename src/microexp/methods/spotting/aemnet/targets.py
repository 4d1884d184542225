"""What the heads should say for a window: targets of the anchor-free points and of the anchors (NumPy)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from microexp.methods.spotting.aemnet.geometry import Geometry
from microexp.run.log import log


@dataclass(frozen=True)
class Targets:
    """Targets of N windows with P points and A anchors.

    Attributes:
        point_label: (N, P) int8: 0 none, 1 micro, 2 macro.
        point_distance: (N, P, 2) float32 distances to start and end over the level's stride.
        anchor_label: (N, A) int8: 0 negative, 1 micro, 2 macro, -1 not counted (IoU between the two limits).
        anchor_offset: (N, A, 2) float32 Δcentre/width and log(width ratio).
    """

    point_label: np.ndarray
    point_distance: np.ndarray
    anchor_label: np.ndarray
    anchor_offset: np.ndarray


def make_targets(
    expressions: Sequence[np.ndarray], geometry: Geometry, foreground_iou: float, *, background_iou: float
) -> Targets:
    """Targets of windows; of more expressions than a window has points or anchors, some have none: that is logged.

    Args:
        expressions: per window (n, 3): start, end (exclusive) in frames from the window's start, kind 1 or 2.
        geometry: points and anchors.
        foreground_iou: an anchor above it is positive.
        background_iou: an anchor below it is negative; between the two it is not counted.
    """
    made: dict[bytes, tuple[np.ndarray, ...]] = {}  # most windows of several fits, and all empty ones, are alike
    parts = []
    for table in expressions:
        key = np.ascontiguousarray(table).tobytes()
        if key not in made:
            points = point_targets(table, geometry)
            made[key] = (*points, *anchor_targets(table, geometry, foreground_iou, background_iou=background_iou))
        parts.append(made[key])
    few = min(len(geometry.points), len(geometry.anchor_centres))
    crowded = sum(len(table) > few for table in expressions)
    if crowded:
        log(f"aemnet: {crowded} windows hold more than {few} expressions: some of them train as background")
    return Targets(*(np.stack(part) for part in zip(*parts, strict=True)))


def point_targets(table: np.ndarray, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Labels (P,) and distances (P, 2) of the anchor-free points.

    A point takes an expression that it lies strictly inside of, with the farther end in its level's range; of
    several, the shortest wins, of equally short ones the first.

    Many short expressions lie between two points, or no level's range fits: they would train as background. Each
    expression that no point took is therefore given one: the nearest to its middle, on the level with half its
    length in its range, of equally near ones the earlier. A point that is the only one of another expression is passed
    over (then the next nearest follows, after those of the level those of all levels); the shortest expression chooses
    first, of equally short ones the first. Where such a point lies outside its expression, the distance to the nearer
    end is 0: the interval from the point to the farther end is the best that two distances can say.
    """
    label = np.zeros(len(geometry.points), np.int8)
    distance = np.zeros((len(geometry.points), 2), np.float32)
    if not len(table):
        return label, distance
    left = geometry.points[:, None] - table[:, 0]
    right = table[:, 1] - geometry.points[:, None]
    length = table[:, 1] - table[:, 0]
    farther = np.maximum(left, right)
    low, high = geometry.ranges[:, :1], geometry.ranges[:, 1:]
    fits = (np.minimum(left, right) > 0) & (farther >= low) & (farther < high)
    owner = np.where(fits.any(1), np.where(fits, length, np.inf).argmin(1), -1)
    on_level = (low <= length / 2) & (length / 2 < high)
    off_middle = np.abs(left - length / 2)
    give_each_one(owner, table, lambda k: np.lexsort((geometry.points, off_middle[:, k], ~on_level[:, k])))
    rows = np.flatnonzero(owner >= 0)
    chosen = owner[rows]
    label[rows] = table[chosen, 2]
    ends = np.stack([left[rows, chosen], right[rows, chosen]], 1)
    distance[rows] = np.maximum(ends, 0) / geometry.strides[rows, None]
    return label, distance


def anchor_targets(
    table: np.ndarray, geometry: Geometry, foreground_iou: float, *, background_iou: float
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (A,) and offsets (A, 2) of the anchors against the expression that each overlaps most.

    An expression that overlaps no anchor by more than `foreground_iou` (the short ones, and those that are another's
    neighbour) is given the anchor that it overlaps most, of equal ones that with the nearest centre, then the first;
    an anchor that is the only one of another expression is passed over, and the shortest expression chooses first.
    """
    centre, width = geometry.anchor_centres, geometry.anchor_widths
    label = np.zeros(len(centre), np.int8)
    offset = np.zeros((len(centre), 2), np.float32)
    if not len(table):
        return label, offset
    start, end = (centre - width / 2)[:, None], (centre + width / 2)[:, None]
    overlap = np.clip(np.minimum(end, table[:, 1]) - np.maximum(start, table[:, 0]), 0, None)
    iou = overlap / (width[:, None] + table[:, 1] - table[:, 0] - overlap)
    score = iou.max(1)
    label[score >= background_iou] = -1
    owner = np.where(score > foreground_iou, iou.argmax(1), -1)
    beside = np.abs(centre[:, None] - (table[:, 0] + table[:, 1]) / 2)
    give_each_one(owner, table, lambda k: np.lexsort((beside[:, k], -iou[:, k])))
    positive = np.flatnonzero(owner >= 0)
    found = table[owner[positive]]
    label[positive] = found[:, 2]
    offset[positive, 0] = ((found[:, 0] + found[:, 1]) / 2 - centre[positive]) / width[positive]
    offset[positive, 1] = np.log((found[:, 1] - found[:, 0]) / width[positive])
    return label, offset


def give_each_one(owner: np.ndarray, table: np.ndarray, order: Callable[[int], np.ndarray]) -> None:
    """Give every expression a place.

    Args:
        owner: (places,) the expression that has each place, or -1; changed in place.
        table: (n, 3) as in `make_targets`.
        order: of an expression, all places from the best to the worst.
    """
    count = np.bincount(owner[owner >= 0], minlength=len(table))
    for k in np.argsort(table[:, 1] - table[:, 0], kind="stable"):
        if count[k]:
            continue
        places = order(int(k))
        places = places[(owner[places] < 0) | (count[owner[places]] > 1)]
        if len(places):
            if owner[places[0]] >= 0:
                count[owner[places[0]]] -= 1
            owner[places[0]], count[k] = k, 1
