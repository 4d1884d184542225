"""Adam with decoupled weight decay on one flat vector of parameters.

Same numbers as `torch.optim.AdamW` up to rounding (a test compares them). Making one of torch's optimisers imports its
compiler, about a second of CPU in every fold's job, and steps through the parameters one by one; here a step is six
vector operations however many layers a network has.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class FlatAdam:
    """Optimiser that owns the memory of a network's parameters and gradients.

    Args:
        network: its parameters become views of one vector; move it to its device before.
        weight_decay: decoupled, times the learning rate per step.
    """

    def __init__(self, network: nn.Module, weight_decay: float = 0.0) -> None:
        parameters = list(network.parameters())
        self.weight_decay = weight_decay
        self.steps = 0
        self.values = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.gradients = torch.zeros_like(self.values)
        self.mean, self.square = torch.zeros_like(self.values), torch.zeros_like(self.values)
        first = 0
        for parameter in parameters:
            last = first + parameter.numel()
            parameter.data = self.values[first:last].view_as(parameter)
            parameter.grad = self.gradients[first:last].view_as(parameter)
            first = last

    def zero(self) -> None:
        """Set the gradients to zero (call this instead of `zero_grad`, which would cut the views)."""
        self.gradients.zero_()

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update with learning rate `rate` (Kingma & Ba 2015, algorithm 1; decay: Loshchilov & Hutter 2019)."""
        self.steps += 1
        self.values.mul_(1 - rate * self.weight_decay)
        self.mean.lerp_(self.gradients, 1 - BETA_1)
        self.square.mul_(BETA_2).addcmul_(self.gradients, self.gradients, value=1 - BETA_2)
        spread = (self.square / (1 - BETA_2**self.steps)).sqrt_().add_(EPSILON)
        self.values.addcdiv_(self.mean, spread, value=-rate / (1 - BETA_1**self.steps))

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs besides the network's own state."""
        return {"steps": self.steps, "mean": self.mean, "square": self.square}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.steps = int(state["steps"])
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])
