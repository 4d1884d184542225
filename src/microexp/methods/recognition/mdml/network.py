"""MDML's networks: several streams with a classifier head at every stage, many networks ("members") stacked in one.

The members (folds, seeds) share nothing: their convolutions run as groups of one convolution and their heads as one
batched product, which on small maps is several times faster than one network after the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPSILON = 1e-5
NORM_MOMENTUM = 0.1


@dataclass(frozen=True)
class Shape:
    """What a stream's network looks like.

    Attributes:
        inputs: channels of the input.
        size: side of the input, px.
        channels: feature maps of each stage.
        classes: number of classes.
        head_size: side of the grid on which a head sees the features of its stage.
        linear_path: add a linear map of the input to the last head's scores.
    """

    inputs: int
    size: int
    channels: tuple[int, ...]
    classes: int
    head_size: int
    linear_path: bool = False

    def sides(self) -> list[int]:
        """Side of each stage's feature maps, px: halved as long as a head's grid still fits."""
        sides, side = [], self.size
        for _ in self.channels:
            side = (side + 1) // 2 if side >= 2 * self.head_size else side
            sides.append(side)
        return sides


class StackedStream(nn.Module):
    """`members` independent networks of one stream.

    Stage 1 is a 5x5 convolution, each further stage a 3x3 one; then batch norm, ReLU and, where the map is still at
    least twice a head's grid, a halving (by stride in stage 1, by a maximum later). A head averages its stage's maps
    down to a `head_size` grid and is linear on it: where something moves matters, so there is no global pooling.
    """

    def __init__(self, shape: Shape, seeds: Sequence[int]) -> None:
        """Initialise one member per seed: member i depends on seeds[i] alone."""
        super().__init__()
        self.shape = shape
        self.members = len(seeds)
        drawn = [_initial(shape, torch.Generator().manual_seed(seed)) for seed in seeds]
        self.weights = nn.ParameterDict(
            {name: nn.Parameter(torch.stack([d[name] for d in drawn])) for name in drawn[0]}
        )
        for k, width in enumerate(shape.channels):
            self.register_buffer(f"mean{k}", torch.zeros(self.members, width))
            self.register_buffer(f"variance{k}", torch.ones(self.members, width))

    def forward(self, x: Tensor, masks: HeadMasks | None = None) -> StageOutputs:
        """Run all members, each on its own batch.

        Args:
            x: (B, G, C, H, W), member g's batch in x[:, g].
            masks: dropout before each head (training only).

        Returns:
            scores (G, B, classes) and features (G, B, D_k) of every stage k.
        """
        batch = x.shape[0]
        h = x.reshape(batch, -1, *x.shape[3:])
        scores, features = [], []
        side = self.shape.size
        for k, next_side in enumerate(self.shape.sides()):
            h = self._stage(h, k, side, next_side)
            side = next_side
            pooled = _pool(h, side, self.shape.head_size)
            feature = pooled.view(batch, self.members, -1).transpose(0, 1)
            features.append(feature)
            scores.append(self._head(feature, k, masks))
        if self.shape.linear_path:
            flat = x.flatten(2).transpose(0, 1)
            scores[-1] = scores[-1] + torch.bmm(flat, self.weights["linear"])
        return StageOutputs(scores, features)

    def _stage(self, h: Tensor, k: int, side: int, next_side: int) -> Tensor:
        weight = self.weights[f"conv{k}"]
        stride = 2 if k == 0 and next_side < side else 1
        h = F.conv2d(h, weight.flatten(0, 1), stride=stride, padding=weight.shape[-1] // 2, groups=self.members)
        mean, variance = getattr(self, f"mean{k}"), getattr(self, f"variance{k}")
        gain, bias = self.weights[f"gain{k}"].flatten(), self.weights[f"shift{k}"].flatten()
        h = F.batch_norm(h, mean.view(-1), variance.view(-1), gain, bias, self.training, NORM_MOMENTUM, NORM_EPSILON)
        h = F.relu(h)
        if k > 0 and next_side < side:
            h = F.max_pool2d(h, 2, ceil_mode=True)
        return h

    def _head(self, feature: Tensor, k: int, masks: HeadMasks | None) -> Tensor:
        if masks is not None:
            feature = feature * masks.draw(*feature.shape[1:]).to(feature.device)
        return torch.baddbmm(self.weights[f"bias{k}"].unsqueeze(1), feature, self.weights[f"head{k}"])

    def member_tensors(self, member: int) -> dict[str, Tensor]:
        """All tensors of one member by name, for its model file."""
        buffers = {name: b[member] for name, b in self.named_buffers()}
        return {**{name: w[member].detach() for name, w in self.weights.items()}, **buffers}

    def load_members(self, tensors: Sequence[Mapping[str, Tensor]]) -> None:
        """Set all members from what `member_tensors` gave."""
        with torch.no_grad():
            for name, target in (*self.weights.items(), *self.named_buffers()):
                if name.startswith("weights."):
                    continue
                target.copy_(torch.stack([t[name] for t in tensors]))

    def decayed(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters with weight decay (kernels and heads) and without (norm and biases)."""
        plain = ("gain", "shift", "bias")
        with_decay = [p for n, p in self.weights.items() if not n.startswith(plain)]
        return with_decay, [p for n, p in self.weights.items() if n.startswith(plain)]


def _pool(h: Tensor, side: int, grid: int) -> Tensor:
    """Average maps down to a grid; the plain average, where the grid fits, is much faster than the adaptive one."""
    if side <= grid:
        return h
    return F.avg_pool2d(h, side // grid) if side % grid == 0 else F.adaptive_avg_pool2d(h, grid)


class HeadMasks:
    """Dropout masks, drawn per seed: a member draws the same whatever it is stacked with."""

    def __init__(self, seeds: Sequence[int], dropout: float) -> None:
        """`seeds` of the members; `dropout` is the share dropped."""
        self.dropout = dropout
        unique = sorted(set(seeds))
        self._generators = [torch.Generator().manual_seed(seed) for seed in unique]
        self._of_member = torch.tensor([unique.index(seed) for seed in seeds])

    def draw(self, batch: int, features: int) -> Tensor:
        """Next mask (G, batch, features): 0 or 1 / (1 - dropout)."""
        drawn = torch.stack([torch.rand(batch, features, generator=g) for g in self._generators])
        return ((drawn >= self.dropout) / (1 - self.dropout))[self._of_member]


@dataclass(frozen=True)
class StageOutputs:
    """Class scores (G, B, classes) and features (G, B, D) of every stage."""

    scores: list[Tensor]
    features: list[Tensor]


def _initial(shape: Shape, generator: torch.Generator) -> dict[str, Tensor]:
    """Random weights of one member: He's for the convolutions, small ones for the heads."""
    weights: dict[str, Tensor] = {}
    inputs = shape.inputs
    for k, (width, side) in enumerate(zip(shape.channels, shape.sides(), strict=True)):
        kernel = 5 if k == 0 else 3
        std = math.sqrt(2 / (inputs * kernel**2))
        weights[f"conv{k}"] = torch.randn(width, inputs, kernel, kernel, generator=generator) * std
        weights[f"gain{k}"] = torch.ones(width)
        weights[f"shift{k}"] = torch.zeros(width)
        features = width * min(side, shape.head_size) ** 2
        weights[f"head{k}"] = torch.randn(features, shape.classes, generator=generator) * (0.1 / math.sqrt(features))
        weights[f"bias{k}"] = torch.zeros(shape.classes)
        inputs = width
    if shape.linear_path:
        weights["linear"] = torch.zeros(shape.inputs * shape.size**2, shape.classes)
    return weights
