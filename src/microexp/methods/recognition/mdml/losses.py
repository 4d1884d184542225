"""MDML's terms: balanced classification, stage-wise mutual learning, and what the ramp does to a weight.

All terms come out per member, shape (G,): members share nothing, so the sum over them trains each for itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


# The multi-source network: models each source domain's feature distribution and draws the target's toward it.
#
# At every stage of every stream, each domain has its features modelled per class (where labels allow) or as a whole: by
# mean and standard deviation, as running averages over the training, since one batch holds only a few clips of a class.
# Only the target's carry gradient: sources guide.
#
# A small network looks at how each source lies to the target and decides how much it guides (softmax over sources).

MOMENTUM = 0.9
"""Of a source's running moments."""
ENTROPY = 0.1
"""Weight of what keeps learned source weights from settling on one source."""
DESCRIPTORS = 3
"""What the weighting network sees of a source: distance to the target, its share of the batch, spread against it."""


def group_masks(domain: Tensor, labels: Tensor, labelled: Tensor, *, classes: int, by_class: bool) -> Tensor:
    """Which clip of the batch belongs to which (domain, group).

    Groups are the classes and, last, the domain as a whole. A domain that has labels is compared class by class when
    `by_class`, else (and where it has none) as a whole.

    Args:
        domain: (G, B) domain numbers, 0 the target.
        labels: (G, B), -1 without label.
        labelled: (G, domains) bool, whether any clip of the domain has a label. It is asked of all training clips, not
            of the batch: a domain that changed its groups with the batches would guide by stale moments.
        classes: number of classes.
        by_class: class by class where labels allow.

    Returns:
        (G, domains, classes + 1, B) of 0 and 1.
    """
    of_domain = F.one_hot(domain, labelled.shape[1]).transpose(1, 2).float()
    of_class = F.one_hot(labels + 1, classes + 1)[..., 1:].transpose(1, 2).float()
    per_class = of_domain.unsqueeze(2) * of_class.unsqueeze(1)
    whole = of_domain.unsqueeze(2)
    if not by_class:
        return torch.cat([torch.zeros_like(per_class), whole], 2)
    kept = ~labelled
    kept[:, 0] = True  # the target keeps its whole as well: sources without labels are compared to that
    return torch.cat([per_class, whole * kept[..., None, None]], 2)


def batch_moments(features: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means of the features and of their squares in each group.

    Args:
        features: (G, B, D).
        masks: (G, domains, groups, B).

    Returns:
        both (G, domains, groups, D), 0 where there is no clip, and the number of clips (G, domains, groups).
    """
    count = masks.sum(-1)
    share = masks / count.clamp(min=1).unsqueeze(-1)
    flat = share.flatten(1, 2)
    shape = (*masks.shape[:3], features.shape[-1])
    return torch.bmm(flat, features).view(shape), torch.bmm(flat, features.square()).view(shape), count


class RunningMoments:
    """Running mean and mean square of every (member, domain, group), at one stage of one stream; no gradient."""

    def __init__(self) -> None:
        self.first: Tensor | None = None
        self.second: Tensor | None = None
        self.seen: Tensor | None = None

    def update(self, first: Tensor, second: Tensor, count: Tensor) -> None:
        """Blend in a batch's means of x and of x^2, (G, domains, groups, D), where `count` clips made them."""
        if self.first is None or self.second is None or self.seen is None:
            self.first, self.second = torch.zeros_like(first), torch.zeros_like(second)
            self.seen = torch.zeros_like(count)
        rate = torch.where(self.seen > 0, 1 - MOMENTUM, 1.0) * (count > 0)
        self.first.lerp_(first.detach(), rate.unsqueeze(-1))
        self.second.lerp_(second.detach(), rate.unsqueeze(-1))
        self.seen += count


def moment_distance(features: Tensor, masks: Tensor, running: RunningMoments) -> tuple[Tensor, Tensor]:
    """Distance of the target's moments to each source's, averaged over the groups that both have.

    Squared differences of mean and of standard deviation, each over the source's mean variance, so that the distance
    has no unit and shrinking all features gains nothing. One batch holds but a few clips of a class, so the values are
    the running ones; the target's carry the batch's gradient, the sources' none.

    Returns:
        distance (G, sources) and whether there was anything to compare (G, sources).
    """
    first, second, count = batch_moments(features, masks)
    running.update(first, second, count)
    assert running.first is not None and running.second is not None and running.seen is not None
    mean = running.first[:, :1] + first[:, :1] - first[:, :1].detach()
    square = running.second[:, :1] + second[:, :1] - second[:, :1].detach()
    deviation = _deviation(mean, square)
    source_mean, source_deviation = running.first[:, 1:], _deviation(running.first, running.second)[:, 1:]
    unit = source_deviation.square().mean(-1)
    gap = (mean - source_mean).square() + (deviation - source_deviation).square()
    seen = running.seen
    usable = ((seen[:, 1:] >= 2) & (seen[:, :1] >= 2) & (count[:, :1] > 0)).float()
    return (gap.mean(-1) / unit * usable).sum(-1) / usable.sum(-1).clamp(min=1), usable.sum(-1) > 0


def _deviation(mean: Tensor, square: Tensor) -> Tensor:
    return ((square - mean.square()).clamp(min=0) + 1e-3).sqrt()


class SourceWeights(nn.Module):
    """The small network that learns how much each source guides: one per member, shared by its sources."""

    def __init__(self, members: int, hidden: int = 8) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        first = torch.randn(DESCRIPTORS, hidden, generator=generator) / DESCRIPTORS**0.5
        self.first = nn.Parameter(first.repeat(members, 1, 1))
        self.bias = nn.Parameter(torch.zeros(members, 1, hidden))
        self.second = nn.Parameter(torch.zeros(members, hidden, 1))  # starts with equal weights

    def forward(self, descriptors: Tensor, usable: Tensor) -> Tensor:
        """Weights (G, sources) that sum to 1 over the usable sources, from descriptors (G, sources, DESCRIPTORS)."""
        hidden = torch.tanh(torch.baddbmm(self.bias, descriptors, self.first))
        scores = torch.bmm(hidden, self.second).squeeze(-1).masked_fill(~usable, -1e9)
        return torch.softmax(scores, -1) * usable

    def loss(self, weights: Tensor, distances: Tensor, entropy: float) -> Tensor:
        """Per member: weighted distance, less `entropy` times the weights' entropy (else one source takes all)."""
        spread = -(weights * (weights + 1e-9).log()).sum(-1)
        return (weights * distances).sum(-1) - entropy * spread


def descriptors(distances: Sequence[Tensor], masks: Tensor) -> Tensor:
    """What the weighting network sees of each source, without gradient: (G, sources, DESCRIPTORS).

    Args:
        distances: of every stage and stream, (G, sources).
        masks: (G, domains, groups, B).
    """
    stacked = torch.stack([d.detach() for d in distances])
    clips = masks.amax(2).sum(-1)
    share = clips[:, 1:] / clips.sum(-1, keepdim=True).clamp(min=1)
    return torch.stack([torch.log1p(stacked.mean(0)), share, stacked.std(0, unbiased=False)], -1)
