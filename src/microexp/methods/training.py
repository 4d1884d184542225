"""What trainings with torch share: one Adam for any number of networks, and the same bytes from the same seed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
ALL = slice(None)


class StackedAdam:
    """Optimiser of G networks, each at its own step.

    Args:
        values: parameters (G, …), updated in place.
        weight_decay: of each of them; decoupled, times the learning rate per step.

    Attributes:
        steps: (G,) steps that are done.
        mean: as `values`: running means of the gradients.
        square: as `values`: running means of their squares.
    """

    def __init__(self, values: Sequence[Tensor], weight_decay: Sequence[float]) -> None:
        self.values, self.weight_decay = list(values), list(weight_decay)
        self.steps = np.zeros(len(self.values[0]), np.int64)
        self.mean, self.square = ([torch.zeros_like(v) for v in self.values] for _ in range(2))

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None], rate: float, rows: slice = ALL) -> None:
        """One update of some networks (Kingma & Ba 2015, algorithm 1; decay: Loshchilov & Hutter 2019).

        Args:
            gradients: (number of rows, …) for each of `values`; one without a gradient stays as it is.
            rate: learning rate.
            rows: which networks.
        """
        self.steps[rows] += 1
        first = (-rate / (1 - BETA_1 ** self.steps[rows])).astype(np.float32)
        second = (1 / (1 - BETA_2 ** self.steps[rows])).astype(np.float32)
        states = zip(self.values, gradients, self.mean, self.square, self.weight_decay, strict=True)
        for parameter, gradient, means, squares, decay in states:
            if gradient is None:
                continue
            values, mean, square = parameter[rows], means[rows], squares[rows]
            if decay:
                values.mul_(1 - rate * decay)
            mean.lerp_(gradient, 1 - BETA_1)
            square.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
            spread = (square * _column(second, square)).sqrt_().add_(EPSILON)
            values.add_((mean * _column(first, mean)).div_(spread))


def _column(numbers: np.ndarray, like: Tensor) -> Tensor:
    """Numbers (G,) so that each meets its row of a tensor (G, …)."""
    return torch.from_numpy(numbers).to(like.device).view(-1, *[1] * (like.dim() - 1))


# Torch so that the same inputs give the same bytes: one thread, deterministic kernels, generators put back after.


@contextlib.contextmanager
def reproducible(device: torch.device | str) -> Iterator[None]:
    """One CPU thread and deterministic kernels inside the block; torch's settings and generators are put back after."""
    device = torch.device(device)
    threads, benchmark, deterministic = (
        torch.get_num_threads(), torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic,
    )  # fmt: skip
    torch.set_num_threads(1)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = benchmark, deterministic
