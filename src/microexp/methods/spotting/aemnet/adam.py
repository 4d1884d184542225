"""Adam with decoupled weight decay on a matrix of parameters, a row for each network of a stack.

Same numbers as `torch.optim.AdamW` up to rounding (a test compares them). Making one of torch's optimisers imports its
compiler, about a second of CPU in every fold's job, and steps through the parameters one by one; here a step is a few
vector operations however many layers and networks there are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class StackedAdam:
    """Optimiser of G networks, each at its own step.

    Args:
        values: (G, n) parameters, updated in place.
        weight_decay: decoupled, times the learning rate per step.

    Attributes:
        steps: (G,) steps that are done.
        mean: (G, n) running mean of the gradients.
        square: (G, n) running mean of their squares.
    """

    def __init__(self, values: Tensor, weight_decay: float = 0.0) -> None:
        self.values, self.weight_decay = values, weight_decay
        self.steps = np.zeros(len(values), np.int64)
        self.mean, self.square = torch.zeros_like(values), torch.zeros_like(values)

    @torch.no_grad()
    def step(self, gradients: Tensor, rows: slice, rate: float) -> None:
        """One update of some rows (Kingma & Ba 2015, algorithm 1; decay: Loshchilov & Hutter 2019).

        Args:
            gradients: (number of rows, n).
            rows: which networks.
            rate: learning rate.
        """
        self.steps[rows] += 1
        values, mean, square = (t[rows] for t in (self.values, self.mean, self.square))
        if self.weight_decay:
            values.mul_(1 - rate * self.weight_decay)
        mean.lerp_(gradients, 1 - BETA_1)
        square.mul_(BETA_2).addcmul_(gradients, gradients, value=1 - BETA_2)
        first = self._column(-rate / (1 - BETA_1 ** self.steps[rows]))
        second = self._column(1 / (1 - BETA_2 ** self.steps[rows]))
        spread = (square * second).sqrt_().add_(EPSILON)
        values.add_((mean * first).div_(spread))

    def _column(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(numbers.astype(np.float32))[:, None].to(self.values.device)
