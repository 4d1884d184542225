"""What each stacked member trains on: its clips, their normalisation, and every random choice, drawn beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from microexp.methods.recognition.mdml.params import MdmlParams


@dataclass(frozen=True)
class Pool:
    """All clips that any member may touch.

    Attributes:
        maps: (N, C, H, W) float32.
        labels: (N,) int64 class numbers, -1 without label.
        channels: names of the C channels.
    """

    maps: Tensor
    labels: Tensor
    channels: tuple[str, ...]

    def mirrored(self) -> Tensor:
        """The maps with left and right exchanged: u, which points right, changes its sign."""
        sign = torch.tensor([-1.0 if c == "u" else 1.0 for c in self.channels]).view(-1, 1, 1)
        return self.maps.flip(-1) * sign


@dataclass(frozen=True)
class Member:
    """One network to train.

    Attributes:
        seed: of its initial weights, its batches and its dropout.
        domain: (N,) int64: -1 not seen in training, 0 target domain, 1 ... source domains.
        weight: (N,) float32 weight of each clip's classification loss.
        extra: (N,) bool: clips of `sources`, which are drawn apart from those of the target data sets.
        test: (T,) int64 clips to predict, never trained on.
        peers: so many domains, the first ones, are each a target that all others guide.
    """

    seed: int
    domain: np.ndarray
    weight: np.ndarray
    extra: np.ndarray
    test: np.ndarray
    peers: int = 1

    def __post_init__(self) -> None:
        """A clip is trained on or predicted, never both."""
        assert (self.domain[self.test] == -1).all(), "a clip to predict is among the training clips"

    @property
    def main(self) -> np.ndarray:
        """Training clips of the target data sets."""
        return np.flatnonzero((self.domain >= 0) & ~self.extra)

    def steps(self, options: MdmlParams) -> int:
        """Training steps: `epochs` times through its clips of the target data sets."""
        return max(1, round(options.epochs * len(self.main) / options.batch_size))


@dataclass(frozen=True)
class BatchPlan:
    """All random choices of one member's training: (S, B) clips and mirrors, (S, B, 2) shifts in [0, 2 * shift_px]."""

    clips: np.ndarray
    mirror: np.ndarray
    shift: np.ndarray


def plan(member: Member, options: MdmlParams) -> BatchPlan:
    """Draw a member's batches: its own clips in ever new order, then half as many from the extra sources, in turn."""
    rng = np.random.default_rng(member.seed)
    steps = member.steps(options)
    clips = _stream(member.main, steps * options.batch_size, rng).reshape(steps, -1)
    groups = [
        np.flatnonzero(member.extra & (member.domain == d)) for d in np.unique(member.domain[member.extra]) if d >= 0
    ]
    if groups:
        each = max(2, options.batch_size // (2 * len(groups)))
        clips = np.concatenate([clips, *(_stream(g, steps * each, rng).reshape(steps, -1) for g in groups)], 1)
    mirror = rng.random(clips.shape) < (0.5 if options.mirror else 0.0)
    shift = rng.integers(0, 2 * options.shift_px + 1, (*clips.shape, 2))
    return BatchPlan(clips, mirror, shift)


def _stream(items: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """`length` items: one random order of all of them after another."""
    orders = [rng.permutation(items) for _ in range(-(-length // len(items)))]
    return np.concatenate(orders)[:length]


class Source:
    """Serves augmented batches (B, G, C, H, W) of a pool by gathering from one padded copy of it."""

    def __init__(self, pool: Pool, shift_px: int) -> None:
        self.shift_px = shift_px
        maps = torch.cat([pool.maps, pool.mirrored()])
        self._count = len(pool.maps)
        side_y, side_x = maps.shape[-2:]
        padded = F.pad(maps, (shift_px,) * 4, mode="replicate") if shift_px else maps
        self._windows = padded.unfold(2, side_y, 1).unfold(3, side_x, 1)  # (2N, C, shifts, shifts, H, W), a view

    def batch(self, clips: Tensor, mirror: Tensor, shift: Tensor) -> Tensor:
        """Gather clips (B, G), mirrored where `mirror`, moved by `shift` - shift_px."""
        rows = clips + self._count * mirror
        return self._windows[rows, :, shift[..., 0], shift[..., 1]]


@dataclass(frozen=True)
class Normalisation:
    """x -> (x - mean) * factor, per member: (G, C, h, w) each, with h = w = 1 for one number per channel."""

    mean: Tensor
    factor: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """Normalise (B, G, C, H, W)."""
        return (x - self.mean) * self.factor


def normalisation(pool: Pool, members: Sequence[Member], how: str) -> Normalisation:
    """Statistics of each member's own training clips of the target data sets (never of the held-out ones).

    `scale`: one root mean square per channel, so that zero motion stays zero. `pixel`: mean and standard deviation of
    every pixel over the clips and their mirror images.
    """
    shape = pool.maps.shape[1:]
    maps, mirrored = pool.maps.double(), pool.mirrored().double()
    means, factors = [], []
    for rows in (torch.from_numpy(m.main) for m in members):  # only a member's own rows are ever touched
        one, two = maps[rows], mirrored[rows]
        if how == "scale":
            mean = torch.zeros(shape[0], 1, 1, dtype=torch.float64)
            deviation = one.square().mean((0, 2, 3)).sqrt().view(-1, 1, 1)
        else:
            mean = (one.mean(0) + two.mean(0)) / 2
            deviation = ((one.square().mean(0) + two.square().mean(0)) / 2 - mean.square()).clamp(min=0).sqrt()
        floor = deviation.mean((1, 2), keepdim=True) * 0.05 + 1e-8  # a pixel that hardly varies is not blown up
        means.append(mean)
        factors.append(1 / deviation.maximum(floor))
    return Normalisation(torch.stack(means).float(), torch.stack(factors).float())
