"""Training AEM-Nets side by side: fixed epochs, exact resume, the same bytes for any number of threads on a CPU."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from microexp.errors import UserError
from microexp.methods.spotting.aemnet.features import FeatureStore
from microexp.methods.spotting.aemnet.geometry import Geometry, Window
from microexp.methods.spotting.aemnet.network import AemNet
from microexp.methods.spotting.aemnet.params import AemnetParams
from microexp.methods.spotting.aemnet.stacked import Masks, StackedAemNet
from microexp.methods.spotting.aemnet.targets import Targets, loss_parts, make_targets
from microexp.methods.training import StackedAdam
from microexp.run.devices import warn_if_slow

# Windows of features as tensors: by index from one table where all features fit in memory, else video by video.


class WindowFeatures:
    """The features of many windows.

    Args:
        windows: all windows that are ever asked for.
        store: of their videos.
        length: features per window.
        device: where the tensors go.
    """

    def __init__(self, windows: Sequence[Window], store: FeatureStore, length: int, *, device: torch.device) -> None:
        self._windows, self._store, self._length, self._device = windows, store, length, device
        self._table: Tensor | None = None
        self._first: Tensor | None = None
        self._memory = torch.empty(0, device=device)
        if store.small:
            self._table = torch.from_numpy(store.table()).to(device)
            rows = np.stack([store.rows(w.video, w.start, length) for w in windows])
            self._rows = torch.from_numpy(rows).to(device)

    def vary(self, seeds: Sequence[int], epoch: int, amount: float) -> None:
        """From now on give what fits of these seeds see in an epoch (`vary`), a fit after the other.

        Raises:
            UserError: when the features do not fit in memory.
        """
        if not self._store.small:
            problem = "augment: the features of all videos do not fit in memory"
            raise UserError(file="features", problem=problem, expected="fewer videos, or augment: 0")
        own = sorted(set(seeds))
        tables = [self._store.varied_table(seed, epoch, amount) for seed in own]
        self._table = torch.from_numpy(np.concatenate(tables)).to(self._device)
        self._first = torch.tensor([own.index(s) * len(tables[0]) for s in seeds], device=self._device)

    def __call__(self, chosen: np.ndarray, fits: slice | None = None) -> Tensor:
        """Windows `chosen` (G, B) of the fits `fits`, which matter after `vary` alone -> (G, B, W, C) float32.

        The next call may write to the same memory: taking a hundred megabytes from the system anew in each step costs
        more than filling them.
        """
        if self._table is not None:
            rows = self._rows[torch.from_numpy(chosen).to(self._device)]
            if self._first is not None and fits is not None:
                rows = rows + self._first[fits][:, None, None]
            if len(self._memory) < rows.numel():
                self._memory = self._table.new_empty(rows.numel(), self._table.shape[1])
            found = torch.index_select(self._table, 0, rows.view(-1), out=self._memory[: rows.numel()])
            return found.view(*rows.shape, -1)
        parts = [self._store.read(w.video, w.start, self._length) for w in map(self._windows.__getitem__, chosen.flat)]
        found = torch.from_numpy(np.stack(parts)).to(self._device)
        return found.view(*chosen.shape, *found.shape[1:])


LOG_COLUMNS = (
    "epoch", "learning_rate", "loss", "point_class", "point_distance", "anchor_class", "anchor_offset", "windows",
)  # fmt: skip
STACK_FITS, STACK_FITS_GPU = 8, 64
STACK_BYTES = 1 << 26
"""At most so much for the parameters, gradients and moments of a stack; more does not fit in a CPU's cache."""


def product_dtype(device: torch.device, precision: str) -> torch.dtype:
    """In which products are computed; sums, norms, losses and the optimiser stay in float32.

    `auto` takes bfloat16 on GPUs that compute with it and float32 on CPUs, where results are to be the same on all.
    """
    if precision == "bfloat16":
        return torch.bfloat16
    half = precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if half else torch.float32


def learning_rate(epoch: int, options: AemnetParams) -> float:
    """Rate of `epoch` (from 0): a linear warm-up that starts above 0, then a cosine that ends above 0."""
    warmup = min(options.warmup_epochs, options.epochs - 1)
    if epoch < warmup:
        return options.learning_rate * (epoch + 1) / (warmup + 1)
    progress = (epoch - warmup) / (options.epochs - warmup)
    return options.learning_rate * (1 + math.cos(math.pi * progress)) / 2


@dataclass
class Fit:
    """One training: its network, how far it is, and what it logged.

    Attributes:
        seed: of initial weights, dropout and the order of windows.
        network: as it is after `epoch` epochs, in evaluation mode.
        epoch: epochs that are done.
        log: one row per epoch as in LOG_COLUMNS.
        moments: of the optimiser between the first and the last epoch: steps, mean and square.
    """

    seed: int
    network: AemNet
    epoch: int = 0
    log: list[tuple[Any, ...]] = field(default_factory=list)
    moments: tuple[int, Tensor, Tensor] | None = None


def start_fit(
    seed: int, *, in_channels: int, geometry: Geometry, options: AemnetParams, device: torch.device
) -> Fit:  # fmt: skip
    """A fresh network; seeds torch's generators, which `reproducible` puts back."""
    torch.manual_seed(seed)
    return Fit(seed, AemNet(in_channels, geometry, options.network).to(device).eval())


def stacks(fits: Sequence[Fit], device: torch.device) -> list[list[int]]:
    """Which fits are trained together: as many neighbours as the sizes of the networks allow, on wide ones one alone.

    The rule sees the network and the kind of device only: an interrupted training forms the same stacks again. Numbers
    do not depend on it beyond rounding.
    """
    parameters = sum(p.numel() for p in fits[0].network.parameters()) if fits else 0
    most = STACK_FITS_GPU if device.type == "cuda" else STACK_FITS
    size = max(1, min(most, STACK_BYTES // (16 * max(1, parameters))))
    return [list(range(first, min(first + size, len(fits)))) for first in range(0, len(fits), size)]


def train_many(
    fits: Sequence[Fit],
    windows: Sequence[Sequence[Window]],
    store: FeatureStore,
    *,
    geometry: Geometry,
    options: AemnetParams,
    device: torch.device,
    after_epoch: Callable[[Sequence[Fit]], None] = lambda fits: None,
) -> None:
    """Train all `fits` from where they are to the last epoch, each as if it were alone.

    Args:
        fits: on `device`; those that were trained together before an interruption are given together again.
        windows: training windows of each fit.
        store: features of the videos of all windows.
        geometry: of the windows.
        options: the same for all.
        device: what computes.
        after_epoch: called with the fits that have just done an epoch; `state_of` gives all that is needed to go on.

    Raises:
        UserError: when a fit has no window to train on.
    """
    if options.precision == "bfloat16" and device.type == "cpu":
        warn_if_slow("aemnet", "precision: float32")
    for own in windows:
        if len(own) < 2:
            raise UserError(
                file="expressions",
                problem=f"{len(own)} training windows",
                expected="at least 2",
                hint="is the window too long?",
            )
    for stack in stacks(fits, device):
        part = [fits[k] for k in stack]
        if any(fit.epoch < options.epochs for fit in part):
            training = _Training(part, [windows[k] for k in stack], store, geometry, options, device)
            training.run(after_epoch)


class _Training:
    """The training of one stack. Fits with more windows come first, so that those with a step left are neighbours."""

    def __init__(
        self,
        fits: Sequence[Fit],
        windows: Sequence[Sequence[Window]],
        store: FeatureStore,
        geometry: Geometry,
        options: AemnetParams,
        device: torch.device,
    ) -> None:
        if len({fit.epoch for fit in fits}) > 1:
            raise ValueError("fits of one stack must be at the same epoch")
        order = sorted(range(len(fits)), key=lambda k: -len(windows[k]))
        self.fits, self.options, self.device = [fits[k] for k in order], options, device
        self.counts = [len(windows[k]) for k in order]
        self.first = np.cumsum([0, *self.counts[:-1]])
        every = [w for k in order for w in windows[k]]
        self.features = WindowFeatures(every, store, geometry.window_steps, device=device)
        targets = make_targets(
            [w.expressions for w in every], geometry, options.foreground_iou, background_iou=options.background_iou
        )  # fmt: skip
        self.targets = _tensors(targets, device)
        networks = [fit.network for fit in self.fits]
        self.network = StackedAemNet(
            networks, geometry, options.network, dtype=product_dtype(device, options.precision)
        )
        self.optimizer = StackedAdam([self.network.values], [options.weight_decay])
        mean, square = self.optimizer.mean[0], self.optimizer.square[0]
        for row, fit in enumerate(self.fits):
            if fit.moments is not None:
                self.optimizer.steps[row] = fit.moments[0]
                mean[row], square[row] = (m.to(device) for m in fit.moments[1:])

    def run(self, after_epoch: Callable[[Sequence[Fit]], None]) -> None:
        """All epochs that are left."""
        while self.fits[0].epoch < self.options.epochs:
            self._epoch()
            after_epoch(self.fits)
        for fit in self.fits:
            fit.moments = None

    def _epoch(self) -> None:
        epoch = self.fits[0].epoch
        rate, sums = learning_rate(epoch, self.options), np.zeros((len(self.fits), 5))
        if self.options.augment:
            self.features.vary([fit.seed for fit in self.fits], epoch, self.options.augment)
        orders = [np.random.default_rng([f.seed, 3, epoch]).permutation(n) for f, n in self._counted()]
        plans = [batches(order, self.options.batch_size) for order in orders]
        generators = [np.random.default_rng([fit.seed, 4, epoch]) for fit in self.fits]
        for step in range(len(plans[0])):
            for rows in _alike([len(plan[step]) for plan in plans if step < len(plan)]):
                chosen = np.stack([plans[k][step] + self.first[k] for k in range(rows.start, rows.stop)])
                masks = Masks(generators[rows], self.options.network.dropout, self.device)
                sums[rows] += chosen.shape[1] * self._step(chosen, rows, masks, rate)
        for row, (fit, count) in enumerate(self._counted()):
            fit.epoch += 1
            fit.log.append((fit.epoch, rate, *(sums[row] / count).tolist(), count))
            steps = int(self.optimizer.steps[row])
            fit.moments = steps, self.optimizer.mean[0][row], self.optimizer.square[0][row]
            self.network.write_back(row, fit.network, steps)

    def _step(self, chosen: np.ndarray, rows: slice, masks: Masks, rate: float) -> np.ndarray:
        """One step of the fits `rows` on windows `chosen` (G, B); returns (G, 5): the loss and its parts."""
        o = self.options
        index = torch.from_numpy(chosen).to(self.device)
        a, b, c, d = (part[index] for part in self.targets)
        predictions = self.network.forward(self.features(chosen, rows), rows, masks)
        parts = loss_parts(predictions, (a, b, c, d), o.focal_alpha, gamma=o.focal_gamma)
        loss = parts.total(o.anchor_free_weight, o.anchor_based_weight)
        self.optimizer.step([self.network.gradients(loss.sum(), rows)], rate, rows)
        return torch.stack([loss, *parts], 1).detach().cpu().double().numpy()

    def _counted(self) -> Iterator[tuple[Fit, int]]:
        return zip(self.fits, self.counts, strict=True)


def _alike(sizes: Sequence[int]) -> Iterator[slice]:
    """Neighbours with batches of one size: padding them to one size would let batch norm see what is no window."""
    first = 0
    for _, run in itertools.groupby(sizes):
        last = first + len(list(run))
        yield slice(first, last)
        first = last


def batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    """`order` in batches of `size`; a last batch of one joins its neighbour, as batch-norm needs two."""
    parts = [order[i : i + size] for i in range(0, len(order), size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts


def _tensors(targets: Targets, device: torch.device) -> tuple[Tensor, ...]:
    parts = (targets.point_label, targets.point_distance, targets.anchor_label, targets.anchor_offset)
    return tuple(torch.from_numpy(part).to(device) for part in parts)


# --- exact resume -----------------------------------------------------------------------------------------------------


def state_of(fits: Sequence[Fit]) -> bytes:
    """Where fits stand, to go on from exactly there; random numbers follow from the seed and the epoch."""
    buffer = io.BytesIO()
    torch.save([_state(fit) for fit in fits], buffer)
    return buffer.getvalue()


def restore_fits(fits: Sequence[Fit], data: bytes) -> None:
    """Set fits, as many as `state_of` was given and in the same order, to what it wrote."""
    states = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    for fit, state in zip(fits, states, strict=True):
        fit.epoch = state["epoch"]
        fit.log = [tuple(row) for row in state["log"]]
        if fit.epoch:
            fit.network.load_state_dict(state["network"])
        fit.moments = tuple(state["moments"]) if state["moments"] else None


def _state(fit: Fit) -> dict[str, Any]:
    network = {name: value.clone() for name, value in fit.network.state_dict().items()} if fit.epoch else {}
    moments = fit.moments and (fit.moments[0], fit.moments[1].clone(), fit.moments[2].clone())
    return {"epoch": fit.epoch, "log": fit.log, "network": network, "moments": moments}
