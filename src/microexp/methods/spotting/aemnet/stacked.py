"""Many AEM-Nets ("fits") in one: the same numbers as `network.AemNet`, computed side by side.

A fold trains the same small network several times: inner folds, seeds, the permuted control. One after the other these
spend most of their time between operations. Here the parameters of all fits stand together, a row each, and every
operation runs once for the whole stack (`kernels`). Fits share nothing: each one's numbers are those that it would
have alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from microexp.methods.spotting.aemnet.geometry import Geometry
from microexp.methods.spotting.aemnet.kernels import NORM_EPSILON, convolve, halve, mish, norm_mish
from microexp.methods.spotting.aemnet.network import N_KINDS, AemNet
from microexp.methods.spotting.aemnet.params import NetworkParams

NORM_MOMENTUM = 0.1
BLOCK_WIDTH = 8
"""Products of 10 columns take several times as long as those of 16."""
MERGED_CHANNELS = 64
"""Up to so many channels, one product with zeros in it is faster than a product for each kernel of the stem."""
BRANCHES = ("point_class", "point_distance", "anchor_class", "anchor_offset")


@dataclass(frozen=True)
class Part:
    """Where a parameter of `AemNet` lies in a leaf: a block of it (heads) and some of its last dimension."""

    name: str
    block: int | None
    columns: slice

    def view(self, leaf: Tensor, shape: torch.Size) -> Tensor:
        """The part of `leaf` that holds the parameter, seen in the parameter's own `shape`."""
        found = (leaf if self.block is None else leaf[self.block])[..., self.columns]
        if len(shape) == 3:
            return found.unflatten(0, (shape[2], shape[1])).permute(2, 1, 0)
        return found.t() if len(shape) == 2 else found


@dataclass(frozen=True)
class Leaf:
    """A tensor of every fit that is used as a whole; what no part fills stays zero."""

    name: str
    shape: tuple[int, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class LeafLayout:
    """Leaves of a fit, one after the other in its row of parameters."""

    leaves: tuple[Leaf, ...]
    shapes: dict[str, torch.Size]

    @property
    def size(self) -> int:
        """Numbers per fit."""
        return sum(int(np.prod(leaf.shape)) for leaf in self.leaves)

    def split(self, rows: Tensor) -> dict[str, Tensor]:
        """(G, size) -> every leaf (G, *shape), views of `rows`."""
        found, first = {}, 0
        for leaf in self.leaves:
            last = first + int(np.prod(leaf.shape))
            found[leaf.name] = rows[:, first:last].unflatten(1, leaf.shape)
            first = last
        return found

    @torch.no_grad()
    def pack(self, network: AemNet, row: Tensor) -> None:
        """Copy a network's parameters into its `row` (size,)."""
        for parameter, view in self._pairs(network, row):
            view.copy_(parameter)

    @torch.no_grad()
    def unpack(self, row: Tensor, network: AemNet) -> None:
        """Copy a `row` (size,) into a network's parameters."""
        for parameter, view in self._pairs(network, row):
            parameter.copy_(view)

    def _pairs(self, network: AemNet, row: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        parameters, leaves = dict(network.named_parameters()), self.split(row[None])
        for leaf in self.leaves:
            for part in leaf.parts:
                yield parameters[part.name], part.view(leaves[leaf.name][0], self.shapes[part.name])


def layout_of(network: AemNet) -> LeafLayout:
    """Where each parameter of networks like `network` lies in a row."""
    shapes = {name: p.shape for name, p in network.named_parameters()}
    leaves = [leaf for leaf in _leaves(shapes, len(network.pyramid.lengths)) if leaf.parts]
    return LeafLayout(tuple(leaves), shapes)


def _leaves(shapes: dict[str, torch.Size], levels: int) -> Iterator[Leaf]:
    branches = sum(name.startswith("stem.parallel.") and name.endswith(".1.weight") for name in shapes)
    yield from _layer("narrow", ["narrow"], shapes)
    for k in range(branches):
        yield from _layer(f"stem{k}", [f"stem.parallel.{k}.0"], shapes)
    yield from _layer("stem_norm", [f"stem.parallel.{k}.1" for k in range(branches)], shapes)
    yield from _layer("merge", ["stem.merge.0"], shapes)
    yield from _layer("merge_norm", ["stem.merge.1"], shapes)
    for way in ("down", "lateral"):
        for k in range(levels):
            yield from _layer(f"{way}{k}", [f"pyramid.{way}.{k}"], shapes)
    for name in ("enter", "theta", "phi", "g", "squeeze.0", "squeeze.2", "fuse", "expand", "contract", "leave"):
        yield from _layer(name.replace(".", ""), [f"attention.{name}"], shapes)
    yield from _layer("head0", [f"heads.{b}.0" for b in BRANCHES], shapes)
    for k in (1, 2):
        yield from _blocks(f"head{k}", [f"heads.{b}.{k}" for b in BRANCHES], shapes)


def _layer(name: str, modules: Sequence[str], shapes: dict[str, torch.Size]) -> Iterator[Leaf]:
    """Weight and bias of modules side by side: their outputs stand together in the last dimension."""
    for kind in ("weight", "bias"):
        parts: list[Part] = []
        first, inputs = 0, tuple[int, ...]()
        for module in modules:
            shape = shapes.get(f"{module}.{kind}")
            if shape is not None:
                parts.append(Part(f"{module}.{kind}", None, slice(first, first + shape[0])))
                first, inputs = first + shape[0], (int(np.prod(shape[1:])),) if len(shape) > 1 else ()
        yield Leaf(f"{name}.{kind}", (*inputs, first), tuple(parts))


def _blocks(name: str, modules: Sequence[str], shapes: dict[str, torch.Size]) -> Iterator[Leaf]:
    """Weight and bias of modules that each read their own input: a block each, wide enough for the widest of them."""
    for kind in ("weight", "bias"):
        own = [shapes[f"{module}.{kind}"] for module in modules]
        inputs = (int(np.prod(own[0][1:])),) if len(own[0]) > 1 else ()
        parts = [Part(f"{m}.{kind}", k, slice(0, s[0])) for k, (m, s) in enumerate(zip(modules, own, strict=True))]
        width = -(-max(s[0] for s in own) // BLOCK_WIDTH) * BLOCK_WIDTH
        yield Leaf(f"{name}.{kind}", (len(modules), *inputs, width), tuple(parts))


class Masks:
    """Dropout of several fits, each with its own generator: a fit draws the same whatever it is stacked with."""

    def __init__(self, generators: Sequence[np.random.Generator], dropout: float, device: torch.device) -> None:
        """`generators` of the fits, as the epoch left them; `dropout` is the share dropped."""
        self._generators, self._dropout, self._device = generators, dropout, device

    def __call__(self, x: Tensor) -> Tensor:
        """(G, …) with a share of each fit's numbers set to 0, and the others raised to make up for it."""
        if not self._dropout:
            return x
        drawn = np.stack([g.random(x.shape[1:], np.float32) for g in self._generators])
        kept = (torch.from_numpy(drawn) >= self._dropout).to(x.dtype) / (1 - self._dropout)
        return x * kept.to(self._device)


class StackedAemNet:
    """The networks of several fits.

    Args:
        networks: like each other, on one device; their numbers are copied.
        geometry: lengths of the levels.
        options: widths and parts.
        dtype: in which products are computed.

    Attributes:
        values: (G, size) parameters.
        statistics: running mean and variance of either batch norm, (G, channels) each.
    """

    def __init__(
        self,
        networks: Sequence[AemNet],
        geometry: Geometry,
        options: NetworkParams,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        device = next(networks[0].parameters()).device
        self.geometry, self.options, self.dtype = geometry, options, dtype
        self.layout = layout_of(networks[0])
        like = next(networks[0].parameters())
        self.values = torch.zeros(len(networks), self.layout.size, device=like.device, dtype=like.dtype)
        for row, network in zip(self.values, networks, strict=True):
            self.layout.pack(network, row)
        self.statistics = {
            name: torch.stack([torch.cat(list(part)) for part in map(buffers, networks)])
            for name, buffers in _BUFFERS.items()
        }
        self._leaves: dict[tuple[int, int], dict[str, Tensor]] = {}
        place = torch.cat([torch.tensor([1.0] * n + [0.0]) for n in geometry.lengths])[:-1].to(device)
        self._place, self._kept = place[:, None], place.nonzero().flatten()
        self._near = _near(self.levels_attended, geometry.window_steps).to(device)

    @property
    def all(self) -> slice:
        """Every fit."""
        return slice(0, len(self.values))

    @property
    def levels_attended(self) -> list[int]:
        """Lengths of the levels that the attention block enhances."""
        lengths = self.geometry.lengths
        return [lengths[k] for k in sorted({0, len(lengths) - 1})]

    @torch.no_grad()
    def write_back(self, row: int, network: AemNet, steps: int) -> None:
        """Copy fit `row` into `network`, which has done `steps` steps."""
        self.layout.unpack(self.values[row], network)
        for name, buffers in _BUFFERS.items():
            parts = buffers(network)
            for target, value in zip(parts, self.statistics[name][row].split([len(p) for p in parts]), strict=True):
                target.copy_(value)
        for norm in _norms(network):
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.fill_(steps)

    def narrow(self, x: Tensor, rows: slice) -> Tensor:
        """The first layer alone, (G, B, W, C) -> (G, B, W, D), for features that are in several windows."""
        return _Pass(self, self.leaves(rows), rows, masks=None).narrow(x)

    def forward(
        self, x: Tensor, rows: slice, masks: Masks | None = None, *, narrowed: bool = False
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Windows of neighbouring fits to predictions.

        Args:
            x: (G, B, W, C) features.
            rows: which fits they are for, G of them.
            masks: dropout; none computes as after training, with the running statistics.
            narrowed: whether `x` comes from `narrow`.

        Returns:
            As `AemNet.forward`, with a first dimension G.
        """
        way = _Pass(self, self.leaves(rows), rows, masks)
        return way(x if narrowed or not self.options.input_channels else way.narrow(x))

    def leaves(self, rows: slice) -> dict[str, Tensor]:
        """The parameters of some fits by leaf, views of `values`."""
        key = (rows.start, rows.stop)
        if key not in self._leaves:
            found = self.layout.split(self.values[rows])
            self._leaves[key] = {name: leaf.requires_grad_() for name, leaf in found.items()}
        return self._leaves[key]

    def gradients(self, loss: Tensor, rows: slice) -> Tensor:
        """(G, size) gradients of `loss`, as `values` of these fits lie."""
        leaves = list(self.leaves(rows).values())
        found = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        return torch.cat([part.flatten(1) for part in found], 1)


@dataclass(frozen=True)
class _Pass:
    """One way through the networks of some fits."""

    stack: StackedAemNet
    leaves: dict[str, Tensor]
    rows: slice
    masks: Masks | None

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        levels = self._pyramid(self._stem(x))
        if self.stack.options.local_attention:
            levels = self._enhance(levels)
        return self._heads(levels)

    def narrow(self, x: Tensor) -> Tensor:
        """The first layer alone, which a video needs once for all of its windows."""
        return self._apply(x, "narrow")

    def _apply(
        self, x: Tensor, name: str, kernel: int = 1, stride: int = 1, padding: int = 0, active: bool = False
    ) -> Tensor:
        weight, bias = self.leaves[f"{name}.weight"], self.leaves.get(f"{name}.bias")
        dtype = self.stack.dtype
        return convolve(x, weight, bias, kernel=kernel, stride=stride, padding=padding, active=active, dtype=dtype)

    def _stem(self, x: Tensor) -> Tensor:
        options = self.stack.options
        released = options.fidelity == "released"
        kernels = [5] * len(options.stem_kernels) if released else options.stem_kernels
        paddings = [1 if released else kernel // 2 for kernel in kernels]
        if x.shape[3] <= MERGED_CHANNELS:
            x = self._merged(x, kernels, max(paddings))
        else:
            branches = zip(kernels, paddings, strict=True)
            x = torch.cat([self._apply(x, f"stem{k}", n, padding=p) for k, (n, p) in enumerate(branches)], 3)
        x = self._norm_mish(x, "stem_norm")
        x = self._apply(x, "merge", 3, options.stem_stride, 2 if released else 1)
        return halve(self._norm_mish(x, "merge_norm"))

    def _merged(self, x: Tensor, kernels: Sequence[int], padding: int) -> Tensor:
        """The parallel convolutions as one of the widest kernel, with zeros where the others do not reach."""
        widest, channels = max(kernels), x.shape[3]
        weights = [
            F.pad(self.leaves[f"stem{k}.weight"], (0, 0, *[(widest - kernel) // 2 * channels] * 2))
            for k, kernel in enumerate(kernels)
        ]
        biases = [self.leaves[name] for k in range(len(kernels)) if (name := f"stem{k}.bias") in self.leaves]
        bias = torch.cat(biases, 1) if biases else None
        return convolve(x, torch.cat(weights, 2), bias, kernel=widest, padding=padding, dtype=self.stack.dtype)

    def _norm_mish(self, x: Tensor, name: str) -> Tensor:
        gain, shift = self.leaves[f"{name}.weight"], self.leaves[f"{name}.bias"]
        mean, variance = (self.stack.statistics[f"{name}.{kind}"][self.rows] for kind in ("mean", "variance"))
        if self.masks is None:
            scale = gain * (variance + NORM_EPSILON).rsqrt()
            return mish(x * scale[:, None, None] + (shift - mean * scale)[:, None, None])
        y, new_mean, new_variance = norm_mish(x, gain, shift)
        mean.lerp_(new_mean, NORM_MOMENTUM)
        variance.lerp_(new_variance, NORM_MOMENTUM)
        return y

    def _pyramid(self, x: Tensor) -> list[Tensor]:
        lengths = self.stack.geometry.lengths
        x = x[:, :, : lengths[0]]
        levels = []
        for k in range(len(lengths)):
            x = self._apply(x, f"down{k}", 3, 1 if k == 0 else 2, 1, active=True)
            levels.append(x)
        if self.stack.options.top_down:
            for k in range(len(levels) - 2, -1, -1):
                above = levels[k + 1].repeat_interleave(2, 2)[:, :, : lengths[k]]
                levels[k] = levels[k] + above
        return [self._apply(level, f"lateral{k}", active=True) for k, level in enumerate(levels)]

    def _enhance(self, levels: list[Tensor]) -> list[Tensor]:
        """The finest and the coarsest level pass as one sequence, of which each place looks at its own level only."""
        chosen = sorted({0, len(levels) - 1})
        x = self._apply(torch.cat([levels[k] for k in chosen], 2), "enter")
        attended = self._over_channels(x) if self.stack.options.fidelity == "released" else self._over_time(x)
        x = self._layer_norm(self._drop(self._apply(attended, "fuse")) + x)
        inner = mish(self._drop(self._apply(x, "expand")))
        x = self._layer_norm(self._drop(self._apply(inner, "contract")) + x)
        enhanced = self._apply(x, "leave").split(self.stack.levels_attended, 2)
        return [enhanced[chosen.index(k)] if k in chosen else level for k, level in enumerate(levels)]

    def _over_time(self, x: Tensor) -> Tensor:
        phi, theta, g = (self._apply(x, name) for name in ("phi", "theta", "g"))
        if self.stack.options.channel_attention:
            phi = phi * self._squeezed(x)
        scores = phi @ theta.transpose(2, 3) * x.shape[3] ** -0.5
        weights = self._drop((scores + self.stack._near).softmax(-1))
        return weights @ self._dropped(g)

    def _squeezed(self, x: Tensor) -> Tensor:
        """(G, B, L, C) weights of the channels, the same all over a level."""
        lengths = self.stack.levels_attended
        means = torch.cat([part.mean(2, keepdim=True) for part in x.split(lengths, 2)], 2)
        weights = self._apply(self._apply(means, "squeeze0", active=True), "squeeze2").sigmoid()
        return torch.cat([weights[:, :, k : k + 1].expand(-1, -1, n, -1) for k, n in enumerate(lengths)], 2)

    def _over_channels(self, x: Tensor) -> Tensor:
        """As the released code does: the window slides over channels (see `network`)."""
        phi, g = self._apply(x, "phi"), self._apply(x, "g")
        lengths, out = self.stack.levels_attended, []
        for own_phi, own_g in zip(phi.split(lengths, 2), g.split(lengths, 2), strict=True):
            reach = max(1, self.stack.geometry.window_steps // (2 * own_g.shape[2]))
            near = F.pad(own_g, (reach, reach)).unfold(3, 2 * reach, 1)[:, :, :, : g.shape[3]]
            scores = torch.einsum("fblc,fblck->fbck", own_phi, near) * x.shape[3] ** -0.5
            out.append(torch.einsum("fbck,fblck->fblc", self._drop(scores.softmax(-1)), self._dropped(near)))
        return torch.cat(out, 2)

    def _drop(self, x: Tensor) -> Tensor:
        return x if self.masks is None else self.masks(x)

    def _dropped(self, g: Tensor) -> Tensor:
        return torch.where(g < self.stack.options.drop_threshold, torch.zeros_like(g), g)

    def _layer_norm(self, x: Tensor) -> Tensor:
        return torch.cat([F.layer_norm(p, p.shape[2:]) for p in x.split(self.stack.levels_attended, 2)], 2)

    def _heads(self, levels: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All levels as one sequence with a zero between neighbours, the branches side by side, as in `network`."""
        stack, batch = levels[0].shape[:2]
        place, branches = self.stack._place, len(BRANCHES)
        x = torch.cat([F.pad(level, (0, 0, 0, 1)) for level in levels], 2)[:, :, :-1]
        x = self._apply(x, "head0", 3, padding=1, active=True) * place
        x = x.unflatten(3, (branches, -1)).permute(0, 3, 1, 2, 4).flatten(0, 1)
        widths = slice(self.stack.options.head_channels)  # a block may be wider than what it holds
        x = self._block(x, "head1", active=True)[..., widths] * place
        x = self._block(x, "head2")[:, :, self.stack._kept].unflatten(0, (stack, branches))
        released = self.stack.options.fidelity == "released"
        points, distances = x[:, 0, ..., :N_KINDS], x[:, 1, ..., :2]
        wide = N_KINDS * len(self.stack.options.anchor_ratios)
        anchors, offsets = (x[:, k, ..., :wide].reshape(stack, batch, -1, 2) for k in (2, 3))
        return points, F.relu(distances) if released else F.softplus(distances), anchors, offsets

    def _block(self, x: Tensor, name: str, active: bool = False) -> Tensor:
        weight, bias = (self.leaves[f"{name}.{kind}"].flatten(0, 1) for kind in ("weight", "bias"))
        return convolve(x, weight, bias, kernel=3, padding=1, active=active, dtype=self.stack.dtype)


def _near(lengths: Sequence[int], window_steps: int) -> Tensor:
    """(L, L) 0 where a place looks, -inf elsewhere: the neighbourhood on its own level."""
    near = torch.full((sum(lengths), sum(lengths)), -torch.inf)
    first = 0
    for length in lengths:
        reach = max(1, window_steps // (2 * length))
        place = torch.arange(length)
        own = near[first : first + length, first : first + length]
        own[(place[:, None] - place).abs() <= reach] = 0
        first += length
    return near


def _norms(network: AemNet) -> list[nn.BatchNorm1d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]


def _buffer(name: str, merge: bool) -> Callable[[AemNet], list[Tensor]]:
    def buffers(network: AemNet) -> list[Tensor]:
        """The running values of one network's batch norms."""
        norms = _norms(network)
        return [getattr(norm, name) for norm in (norms[-1:] if merge else norms[:-1])]

    return buffers


_BUFFERS = {
    f"{norm}.{kind}": _buffer(name, norm == "merge_norm")
    for norm in ("stem_norm", "merge_norm")
    for kind, name in (("mean", "running_mean"), ("variance", "running_var"))
}
