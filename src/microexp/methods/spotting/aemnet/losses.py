"""AEM-Net's loss: focal classification, smooth L1 on anchors, 1 - tIoU on anchor-free points, of many fits at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from microexp.methods.spotting.aemnet.network import N_KINDS

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
