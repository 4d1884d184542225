"""Training AEM-Net on windows: fixed epochs, exact resume, the same bytes for any number of threads on a CPU."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from microexp.errors import UserError
from microexp.methods.spotting.aemnet.adam import FlatAdam
from microexp.methods.spotting.aemnet.features import FeatureStore
from microexp.methods.spotting.aemnet.geometry import Geometry
from microexp.methods.spotting.aemnet.losses import loss_parts
from microexp.methods.spotting.aemnet.network import AemNet
from microexp.methods.spotting.aemnet.params import AemnetParams
from microexp.methods.spotting.aemnet.targets import Targets, make_targets
from microexp.methods.spotting.aemnet.windows import Window

LOG_COLUMNS = (
    "epoch", "learning_rate", "loss", "point_class", "point_distance", "anchor_class", "anchor_offset", "windows",
)  # fmt: skip


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bfloat16 on GPUs that compute with it; CPUs stay with float32, which is faster and exact there."""
    enabled = precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def learning_rate(epoch: int, options: AemnetParams) -> float:
    """Rate of `epoch` (from 0): a linear warm-up that starts above 0, then a cosine that ends above 0."""
    warmup = min(options.warmup_epochs, options.epochs - 1)
    if epoch < warmup:
        return options.learning_rate * (epoch + 1) / (warmup + 1)
    progress = (epoch - warmup) / (options.epochs - warmup)
    return options.learning_rate * (1 + math.cos(math.pi * progress)) / 2


@dataclass
class Fit:
    """One training: its network, optimiser, how far it is, and what it logged.

    Attributes:
        seed: of initial weights, dropout and the order of windows.
        epoch: epochs that are done.
        log: one row per epoch as in LOG_COLUMNS.
    """

    seed: int
    network: AemNet
    optimizer: FlatAdam
    epoch: int = 0
    log: list[tuple[Any, ...]] = field(default_factory=list)


def start_fit(
    seed: int,
    in_channels: int,
    geometry: Geometry,
    options: AemnetParams,
    device: torch.device,
) -> Fit:
    """A fresh network and optimiser; seeds torch's generators, which `reproducible` puts back."""
    torch.manual_seed(seed)
    network = AemNet(in_channels, geometry, options.network).to(device)
    return Fit(seed, network, FlatAdam(network, options.weight_decay))


def train(
    fit: Fit,
    windows: Sequence[Window],
    store: FeatureStore,
    geometry: Geometry,
    options: AemnetParams,
    device: torch.device,
    after_epoch: Callable[[Fit], None] = lambda fit: None,
) -> None:
    """Train `fit` from where it is to the last epoch.

    Raises:
        UserError: when there is no window to train on.
    """
    if len(windows) < 2:
        raise UserError(
            file="expressions",
            problem=f"{len(windows)} training windows",
            expected="at least 2",
            hint="is the window too long?",
        )
    targets = make_targets([w.expressions for w in windows], geometry, options.foreground_iou, options.background_iou)
    fit.network.train()
    while fit.epoch < options.epochs:
        rate = learning_rate(fit.epoch, options)
        order = np.random.default_rng([fit.seed, 3, fit.epoch]).permutation(len(windows))
        sums = np.zeros(5)
        for chosen in batches(order, options.batch_size):
            x = stack_windows([windows[i] for i in chosen], store, geometry.window_steps, device)
            truth = tensors(targets, chosen, device)
            with autocast(device, options.precision):
                predictions = fit.network(x)
            parts = loss_parts(predictions, truth, options.focal_alpha, options.focal_gamma)
            loss = parts.total(options.anchor_free_weight, options.anchor_based_weight)
            fit.optimizer.zero()
            loss.backward()  # type: ignore[no-untyped-call]
            fit.optimizer.step(rate)
            sums += len(chosen) * np.array(torch.stack([loss.detach(), *(p.detach() for p in parts)]).tolist())
        fit.epoch += 1
        fit.log.append((fit.epoch, rate, *(sums / len(windows)).tolist(), len(windows)))
        after_epoch(fit)
    fit.network.eval()


def batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    """`order` in batches of `size`; a last batch of one joins its neighbour, as batch-norm needs two."""
    parts = [order[i : i + size] for i in range(0, len(order), size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts


def stack_windows(windows: Sequence[Window], store: FeatureStore, window_steps: int, device: torch.device) -> Tensor:
    """(B, W, C) float32 features of windows on `device`."""
    return torch.from_numpy(np.stack([store.read(w.video, w.start, window_steps) for w in windows])).to(device)


def tensors(targets: Targets, chosen: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The chosen windows' targets on `device`."""
    parts = (targets.point_label, targets.point_distance, targets.anchor_label, targets.anchor_offset)
    a, b, c, d = (torch.from_numpy(part[chosen]).to(device) for part in parts)
    return a, b, c, d


# --- exact resume -----------------------------------------------------------------------------------------------------


def state_of(fit: Fit, device: torch.device) -> bytes:
    """Where a fit stands, to go on from exactly there: weights, optimiser, log and torch's generators."""
    state = {
        "epoch": fit.epoch,
        "log": fit.log,
        "network": fit.network.state_dict(),
        "optimizer": fit.optimizer.state(),
        "generator": torch.get_rng_state(),
        "cuda_generator": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def restore_fit(fit: Fit, data: bytes, device: torch.device) -> None:
    """Set `fit` and torch's generators to what `state_of` wrote."""
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    fit.epoch = state["epoch"]
    fit.log = [tuple(row) for row in state["log"]]
    fit.network.load_state_dict(state["network"])
    fit.optimizer.restore(state["optimizer"])
    torch.set_rng_state(state["generator"])
    if device.type == "cuda" and state["cuda_generator"] is not None:
        torch.cuda.set_rng_state(state["cuda_generator"], device)
