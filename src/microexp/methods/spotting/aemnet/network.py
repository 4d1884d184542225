"""AEM-Net: multi-stage stem, pyramid, adaptive enhancement, anchor-free and anchor-based heads.

`fidelity: paper` is the network as its authors describe it. Where their released code differs, `fidelity: released`
follows the code; every such place:

* Stem: the released convolutions all have kernel 5 and padding 1 (so two steps are cut off), and the next one pads 2.
  Paper: kernels 3, 5, 7 with same padding, which is what makes the stem multi-stage.
* Attention block: in the released code the window slides over *channels*, one tensor is an alias of another, so theta
  never matters nor gets a gradient, and the channel attention is built but never called. Paper: the window slides over
  time, theta and phi compare two places, and the channel attention re-weights phi (with Mish between its two layers:
  of the few units of a narrow network's ReLU there, all may be dead).
* Anchor-free distances: the released ReLU stops learning wherever it is 0. Paper: softplus.
* Biases that cannot matter (in front of a batch norm; theta's, which a softmax cancels) are there in the released code.
* Class heads: the released bias is 0. Paper: the focal loss's usual prior, sigmoid(bias) = .01.

Beyond both, the number of levels follows from the window (the released one, four, breaks the SAMM-LV setting).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from microexp.methods.spotting.aemnet.geometry import Geometry
from microexp.methods.spotting.aemnet.params import NetworkParams

N_KINDS = 2
PRIOR = 0.01


class Stem(nn.Module):
    """Three parallel convolutions of different reach, then one with stride and a pooling: (B, C, W) -> (B, D, W/4)."""

    def __init__(self, in_channels: int, options: NetworkParams) -> None:
        super().__init__()
        released = options.fidelity == "released"
        kernels = [5] * len(options.stem_channels) if released else list(options.stem_kernels)
        self.parallel = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(in_channels, c, k, padding=1 if released else k // 2, bias=released),
                nn.BatchNorm1d(c),
                nn.Mish(),
            )
            for c, k in zip(options.stem_channels, kernels, strict=True)
        )
        padding = 2 if released else 1
        self.merge = nn.Sequential(
            nn.Conv1d(sum(options.stem_channels), options.channels, 3, options.stem_stride, padding, bias=released),
            nn.BatchNorm1d(options.channels),
            nn.Mish(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, W) -> (B, D, L0)."""
        merged: Tensor = self.merge(torch.cat([branch(x) for branch in self.parallel], 1))
        return F.max_pool1d(merged, 2, ceil_mode=True)


class Pyramid(nn.Module):
    """Convolutions that halve the length, coarse levels added to finer ones, and a 1x1 convolution per level."""

    def __init__(self, lengths: tuple[int, ...], options: NetworkParams) -> None:
        super().__init__()
        channels = options.channels
        self.lengths = lengths
        self.top_down = options.top_down
        self.down = nn.ModuleList(
            nn.Conv1d(channels, channels, 3, stride=1 if k == 0 else 2, padding=1) for k in range(len(lengths))
        )
        self.lateral = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in lengths)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, D, L0) -> per level (B, D, L), finest first."""
        levels = []
        x = x[..., : self.lengths[0]]
        for convolution in self.down:
            x = F.mish(convolution(x))
            levels.append(x)
        if self.top_down:
            for k in range(len(levels) - 2, -1, -1):
                above = F.interpolate(levels[k + 1], size=levels[k].shape[-1], mode="nearest")
                levels[k] = levels[k] + above
        return [F.mish(lateral(level)) for lateral, level in zip(self.lateral, levels, strict=True)]


class LocalAttention(nn.Module):
    """Adaptive enhancement of one level: channel attention on the queries, then local attention over time."""

    def __init__(self, window_steps: int, options: NetworkParams) -> None:
        super().__init__()
        inner = options.attention_channels
        squeezed = max(1, inner // options.squeeze_ratio)
        self.window_steps = window_steps
        self.released = options.fidelity == "released"
        self.drop_threshold = options.drop_threshold
        self.enter = nn.Linear(options.channels, inner)
        self.theta = nn.Linear(inner, inner, bias=self.released)
        self.phi, self.g = (nn.Linear(inner, inner) for _ in range(2))
        between = nn.ReLU() if self.released else nn.Mish()
        self.squeeze = (
            nn.Sequential(nn.Linear(inner, squeezed), between, nn.Linear(squeezed, inner), nn.Sigmoid())
            if options.channel_attention
            else None
        )
        self.fuse = nn.Linear(inner, inner)
        self.expand = nn.Linear(inner, 4 * inner)
        self.contract = nn.Linear(4 * inner, inner)
        self.leave = nn.Linear(inner, options.channels)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, L) -> (B, D, L)."""
        x = self.enter(x.transpose(1, 2))
        attended = self._over_channels(x) if self.released else self._over_time(x)
        x = _layer_norm(self.dropout(self.fuse(attended)) + x)
        inner = F.mish(self.dropout(self.expand(x)))
        x = _layer_norm(self.dropout(self.contract(inner)) + x)
        left: Tensor = self.leave(x)
        return left.transpose(1, 2)

    def _over_time(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        length = x.shape[1]
        phi = self.phi(x)
        if self.squeeze is not None:
            phi = phi * self.squeeze(x.mean(1, keepdim=True))
        scores = phi @ self.theta(x).transpose(1, 2) * x.shape[2] ** -0.5  # (B, L, L)
        reach = max(1, self.window_steps // (2 * length))
        place = torch.arange(length, device=x.device)
        scores = scores.masked_fill((place[:, None] - place).abs() > reach, -torch.inf)
        attended: Tensor = self.dropout(scores.softmax(-1)) @ self._dropped(self.g(x))
        return attended

    def _over_channels(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        reach = max(1, self.window_steps // (2 * x.shape[1]))
        phi, g = self.phi(x), self.g(x)
        near = F.pad(g, (reach, reach)).unfold(2, 2 * reach, 1)[:, :, : g.shape[2]]  # (B, L, C, 2·reach)
        scores = torch.einsum("blc,blck->bck", phi, near) * x.shape[2] ** -0.5
        weights = self.dropout(scores.softmax(-1))
        return torch.einsum("bck,blck->blc", weights, self._dropped(near))

    def _dropped(self, g: Tensor) -> Tensor:
        return torch.where(g < self.drop_threshold, torch.zeros_like(g), g)


class Heads(nn.Module):
    """Four branches, shared by all levels: class and distances of points, class and offsets of anchors.

    The levels pass as one sequence with a zero between neighbours, which is what each level's own padding would put
    there, and the branches side by side: the same numbers in a tenth of the calls.
    """

    def __init__(self, lengths: tuple[int, ...], options: NetworkParams) -> None:
        super().__init__()
        anchors = len(options.anchor_ratios)
        self.lengths = lengths
        self.released = options.fidelity == "released"
        self.point_class = _branch(options, N_KINDS)
        self.point_distance = _branch(options, 2)
        self.anchor_class = _branch(options, anchors * N_KINDS)
        self.anchor_offset = _branch(options, anchors * 2)
        place = torch.cat([torch.tensor([1.0] * n + [0.0]) for n in lengths])[:-1]
        self.register_buffer("place", place, persistent=False)

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Levels (B, D, L) -> (B, P, 2), (B, P, 2), (B, A, 2), (B, A, 2)."""
        x = torch.cat([F.pad(level, (0, 1)) for level in levels], -1)[..., :-1]
        place = self.get_buffer("place")
        branches = (self.point_class, self.point_distance, self.anchor_class, self.anchor_offset)
        for k, groups in ((0, 1), (1, len(branches))):
            x = F.mish(_side_by_side([branch[k] for branch in branches], x, groups)) * place
        a, b, c, d = (
            _pairs(branch[-1](part)[..., place > 0])
            for branch, part in zip(branches, x.chunk(len(branches), 1), strict=True)
        )
        return a, F.relu(b) if self.released else F.softplus(b), c, d


class AemNet(nn.Module):
    """The whole network.

    Args:
        in_channels: channels of the features (2048 for both streams).
        geometry: lengths of the levels.
        options: widths and parts; both streams at full width make 34.4 million parameters (released: 31.8 million).
    """

    def __init__(self, in_channels: int, geometry: Geometry, options: NetworkParams) -> None:
        super().__init__()
        self.narrow = nn.Linear(in_channels, options.input_channels) if options.input_channels else nn.Identity()
        self.stem = Stem(options.input_channels or in_channels, options)
        self.pyramid = Pyramid(geometry.lengths, options)
        self.attention = LocalAttention(geometry.window_steps, options) if options.local_attention else None
        self.heads = Heads(geometry.lengths, options)
        self.apply(_initialise)
        if options.fidelity == "paper":
            for branch in (self.heads.point_class, self.heads.anchor_class):
                nn.init.constant_(branch[-1].bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Windows to predictions.

        Args:
            x: (B, W, C) features.

        Returns:
            Logits (B, P, 2) and distances over the stride (B, P, 2) of the points; logits (B, A, 2) and offsets
            (B, A, 2) of the anchors; all levels one after the other, finest first.
        """
        levels = self.pyramid(self.stem(self.narrow(x).transpose(1, 2).contiguous()))
        if self.attention is not None:
            for k in {0, len(levels) - 1}:
                levels[k] = self.attention(levels[k])
        a, b, c, d = self.heads(levels)
        return a.float(), b.float(), c.float(), d.float()


def _branch(options: NetworkParams, out_channels: int) -> nn.ModuleList:
    widths = (options.channels, options.head_channels, options.head_channels, out_channels)
    return nn.ModuleList(nn.Conv1d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))


def _side_by_side(convolutions: list[nn.Module], x: Tensor, groups: int) -> Tensor:
    """(B, D, L) -> (B, outputs of all, L): all read the whole of `x` (1 group), or each its part (a group for each)."""
    weight, bias = (torch.cat([c.get_parameter(name) for c in convolutions]) for name in ("weight", "bias"))
    return F.conv1d(x, weight, bias, padding=1, groups=groups)


def _pairs(x: Tensor) -> Tensor:
    """(B, n·2, L) -> (B, L·n, 2)."""
    return x.reshape(len(x), -1, 2, x.shape[-1]).permute(0, 3, 1, 2).flatten(1, 2)


def _layer_norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[1:])


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv1d | nn.Linear):
        nn.init.kaiming_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
