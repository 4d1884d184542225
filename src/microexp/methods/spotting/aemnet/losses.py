"""AEM-Net's loss: focal classification, smooth L1 on anchors, 1 - tIoU on anchor-free points."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from microexp.methods.spotting.aemnet.network import N_KINDS


class LossParts(NamedTuple):
    """Scalar losses of a batch."""

    point_class: Tensor
    point_distance: Tensor
    anchor_class: Tensor
    anchor_offset: Tensor

    def total(self, anchor_free_weight: float, anchor_based_weight: float) -> Tensor:
        """.8·(anchor-free) + 1.2·(anchor-based) with the default weights."""
        anchor_free = self.point_class + self.point_distance
        return anchor_free_weight * anchor_free + anchor_based_weight * (self.anchor_class + self.anchor_offset)


def focal_loss(logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> Tensor:
    """Sum of the sigmoid focal loss (Lin et al. 2017, eq. 5); label 0 is background, that is no class at all.

    Args:
        logits: (n, 2).
        labels: (n,) 0, 1 or 2.
        alpha: weight of the positives.
        gamma: exponent.
    """
    truth = F.one_hot(labels.long(), N_KINDS + 1)[:, 1:].to(logits.dtype)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    wrong = (truth - logits.sigmoid()).abs()
    weight = alpha * truth + (1 - alpha) * (1 - truth)
    return (weight * wrong**gamma * entropy).sum()


def loss_parts(
    predictions: tuple[Tensor, Tensor, Tensor, Tensor],
    targets: tuple[Tensor, Tensor, Tensor, Tensor],
    alpha: float,
    gamma: float,
) -> LossParts:
    """The four losses of a batch.

    Args:
        predictions: of `AemNet.forward`.
        targets: point label, point distance, anchor label, anchor offset, as in `Targets`.
        alpha: of the focal loss.
        gamma: of the focal loss.

    Deviates from the released code: the anchors' class loss is divided by at least 1 (there, a batch without a
    positive anchor gives infinity).
    """
    point_logits, distances, anchor_logits, offsets = predictions
    point_label, point_distance, anchor_label, anchor_offset = targets
    inside = point_label > 0
    positive = anchor_label > 0
    used = anchor_label >= 0
    point_class = focal_loss(point_logits.flatten(0, 1), point_label.flatten(), alpha, gamma)
    anchor_class = focal_loss(anchor_logits[used], anchor_label[used], alpha, gamma)
    return LossParts(
        point_class / (inside.sum() + len(point_label)),
        _mean(1 - distance_iou(distances[inside], point_distance[inside])),
        anchor_class / positive.sum().clamp(min=1),
        2 * _mean(F.smooth_l1_loss(offsets[positive], anchor_offset[positive], reduction="none")),
    )


def distance_iou(first: Tensor, second: Tensor) -> Tensor:
    """(n,) tIoU of intervals that are given by their distances (n, 2) >= 0 to the left and right of a common point."""
    overlap = torch.minimum(first, second).sum(-1)
    union = torch.maximum(first, second).sum(-1)
    return overlap / union.clamp(min=1e-6)


def _mean(values: Tensor) -> Tensor:
    """Mean, or a zero that is still part of the graph when there is nothing."""
    return values.sum() / max(1, values.numel())
