"""MDML's terms: balanced classification, stage-wise mutual learning, and what the ramp does to a weight.

All terms come out per member, shape (G,): members share nothing, so the sum over them trains each for itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def classification(scores: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy per member, the mean over the batch of weight times loss.

    Args:
        scores: (G, B, classes).
        labels: (G, B) class numbers; -1 (no label) counts nothing.
        weights: (G, B) weight of each clip: balance over classes, less for sources.
    """
    log_p = F.log_softmax(scores, -1)
    hit = log_p.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return (-hit * weights * (labels >= 0)).mean(-1)


def mutual(scores: Sequence[Tensor], temperature: float) -> Tensor:
    """Mutual learning of one stage, per member: T^2 KL(teacher || student), each stream teaching each other stream.

    Deep mutual learning (Zhang et al., CVPR 2018, eq. 4) with the temperature of distillation (Hinton et al. 2015). The
    teacher's side carries no gradient, so that a stream learns from the other instead of meeting it half-way.

    Args:
        scores: per stream, (G, B, classes).
        temperature: T.
    """
    log_p = [F.log_softmax(s / temperature, -1) for s in scores]
    total = torch.zeros(scores[0].shape[0], device=scores[0].device)
    for teacher, student in itertools.permutations(log_p, 2):
        fixed = teacher.detach()
        total = total + (fixed.exp() * (fixed - student)).sum(-1).mean(-1)
    return temperature**2 * total


def ramp(step: int, steps: int, share: float) -> float:
    """Factor on a term's weight: rises linearly from 0 to 1 over the first `share` of the steps."""
    length = share * steps
    return 1.0 if length <= 0 else min(1.0, step / length)
