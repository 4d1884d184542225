"""Training and calibration of the network on labelled maps of rendered people, for `tools/train_action_units.py`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from microexp.methods.recognition.action_units.network import UnitNetwork, mirrored
from microexp.rendered.unit_maps import UnitMaps

BATCH = 256
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
ROUNDS = 30
"""Newton steps of the calibration; a dozen is enough."""


def answers(labelled: UnitMaps) -> np.ndarray:
    """(N, U, 3) bool: shown at all, on the left, on the right."""
    return np.concatenate([labelled.units[..., None], labelled.halves], 2)


def train(
    labelled: UnitMaps, epochs: int, seed: int, *, tell: Callable[[int, float], None] = lambda epoch, loss: None
) -> UnitNetwork:
    """A network trained on these maps with binary cross-entropy; `tell` gets the loss after each epoch.

    One cycle of the learning rate, AdamW, half of the batches mirrored; on one thread the same seed gives the same
    network.
    """
    torch.manual_seed(seed)
    maps, truth = torch.from_numpy(labelled.maps), torch.from_numpy(answers(labelled).astype(np.float32))
    network, rng = UnitNetwork(truth.shape[1]), torch.Generator().manual_seed(seed)
    steps = len(maps) // BATCH
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, epochs * steps)
    for epoch in range(1, epochs + 1):
        order, total = torch.randperm(len(maps), generator=rng), 0.0
        for rows in order[: steps * BATCH].reshape(steps, BATCH):
            flip = bool(torch.rand(1, generator=rng) < 0.5)
            total += _step(network, optimiser, maps[rows], truth[rows], flip)
            schedule.step()
        tell(epoch, total / steps)
    return network.eval()


def _step(network: UnitNetwork, optimiser: torch.optim.Optimizer, maps: Tensor, truth: Tensor, flip: bool) -> float:
    if flip:
        maps, truth = mirrored(maps), truth[..., [0, 2, 1]]
    loss = nn.functional.binary_cross_entropy_with_logits(network.one(maps), truth)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(loss.detach())


def calibrate(logits: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift (U, 3) of the logits (N, U, 3) that make probabilities true on other people than the training's.

    Platt's logistic regression per answer, with his targets (Advances in Large Margin Classifiers, 1999), by Newton's
    method.
    """
    units, kinds = logits.shape[1:]
    scale, shift = np.ones((units, kinds)), np.zeros((units, kinds))
    for u in range(units):
        for k in range(kinds):
            scale[u, k], shift[u, k] = _platt(logits[:, u, k], truth[:, u, k])
    return scale, shift


def _platt(logit: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    yes, no = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (yes + 1) / (yes + 2), 1 / (no + 2))
    x = np.stack([logit, np.ones_like(logit)], 1)
    found = np.array([1.0, 0.0])
    for _ in range(ROUNDS):
        p = 1 / (1 + np.exp(-np.clip(x @ found, -30, 30)))
        gradient = x.T @ (p - target)
        curvature = (x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(2)
        found = found - np.linalg.solve(curvature, gradient)
    return float(found[0]), float(found[1])
