"""What the heads should say for a window: targets of the anchor-free points and of the anchors (NumPy)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from microexp.methods.spotting.aemnet.geometry import Geometry
from microexp.methods.spotting.aemnet.network import N_KINDS
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


# AEM-Net's loss: focal classification, smooth L1 on anchors, 1 - tIoU on anchor-free points, of many fits at once.

UNION_MIN = 1e-6


class LossParts(NamedTuple):
    """Losses of each fit's batch, (G,) each."""

    point_class: Tensor
    point_distance: Tensor
    anchor_class: Tensor
    anchor_offset: Tensor

    def total(self, anchor_free_weight: float, anchor_based_weight: float) -> Tensor:
        """(G,) .8·(anchor-free) + 1.2·(anchor-based) with the default weights."""
        anchor_free = self.point_class + self.point_distance
        return anchor_free_weight * anchor_free + anchor_based_weight * (self.anchor_class + self.anchor_offset)


def focal_loss(logits: Tensor, labels: Tensor, alpha: float, *, gamma: float) -> Tensor:
    """(G,) sums of the sigmoid focal loss (Lin et al. 2017, eq. 5).

    Args:
        logits: (G, …, 2).
        labels: (G, …) 1 or 2; 0 is background, that is no class at all; below 0 does not count.
        alpha: weight of the positives.
        gamma: exponent.
    """
    loss: Tensor = _Focal.apply(logits, labels, alpha, gamma)  # type: ignore[no-untyped-call]
    return loss


class _Focal(torch.autograd.Function):
    """With s the logit, its sign turned for positives: weight · sigmoid(s)^gamma · log(1 + exp(s))."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> Tensor:
        """(G,) sums of the loss; its slope is kept."""
        kinds = torch.arange(1, N_KINDS + 1, device=labels.device, dtype=labels.dtype)
        positive = labels[..., None] == kinds
        sign = torch.where(positive, -1.0, 1.0).to(logits.dtype)
        weight = torch.where(positive, alpha, 1 - alpha).to(logits.dtype) * (labels >= 0)[..., None]
        s = logits * sign
        wrong, entropy = s.sigmoid(), F.softplus(s)
        weight *= wrong**gamma
        ctx.save_for_backward(torch.addcmul(wrong, 1 - wrong, entropy, value=gamma).mul_(weight).mul_(sign))
        return (weight * entropy).flatten(1).sum(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The slope times the gradient."""
        (slope,) = ctx.saved_tensors
        return slope * gradient.view(-1, *[1] * (slope.dim() - 1)), None, None, None


def loss_parts(
    predictions: tuple[Tensor, Tensor, Tensor, Tensor],
    targets: tuple[Tensor, Tensor, Tensor, Tensor],
    alpha: float,
    *,
    gamma: float,
) -> LossParts:
    """The four losses of each fit's batch.

    Args:
        predictions: of `StackedAemNet.forward`.
        targets: point label (G, B, P), point distance (G, B, P, 2), anchor label (G, B, A), anchor offset (G, B, A, 2),
            as in `Targets`.
        alpha: of the focal loss.
        gamma: of the focal loss.

    Deviates from the released code: the anchors' class loss is divided by at least 1 (there, a batch without a
    positive anchor gives infinity).
    """
    point_logits, distances, anchor_logits, offsets = predictions
    point_label, point_distance, anchor_label, anchor_offset = targets
    inside, positive = point_label > 0, anchor_label > 0
    n_inside, n_positive = inside.flatten(1).sum(1), positive.flatten(1).sum(1)
    apart = (1 - distance_iou(distances, point_distance)) * inside
    beside = F.smooth_l1_loss(offsets, anchor_offset, reduction="none") * positive[..., None]
    return LossParts(
        focal_loss(point_logits, point_label, alpha, gamma=gamma) / (n_inside + point_label.shape[1]),
        apart.flatten(1).sum(1) / n_inside.clamp(min=1),
        focal_loss(anchor_logits, anchor_label, alpha, gamma=gamma) / n_positive.clamp(min=1),
        beside.flatten(1).sum(1) / n_positive.clamp(min=1),
    )


def distance_iou(first: Tensor, second: Tensor) -> Tensor:
    """(…) tIoU of intervals that are given by their distances (…, 2) >= 0 to the left and right of a common point."""
    overlap = torch.minimum(first, second).sum(-1)
    union = torch.maximum(first, second).sum(-1)
    return overlap / union.clamp(min=UNION_MIN)
