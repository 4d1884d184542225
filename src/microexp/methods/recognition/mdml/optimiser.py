"""AdamW on stacked parameters: `torch.optim` imports torch's compiler, which takes longer than a whole small fold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2); agrees with `torch.optim.AdamW`."""

    def __init__(self, decayed: Sequence[Tensor], plain: Sequence[Tensor], weight_decay: float) -> None:
        """`decayed` parameters shrink by rate * weight_decay each step, `plain` ones do not."""
        self.parameters = [*decayed, *plain]
        self._shrink = [weight_decay] * len(decayed) + [0.0] * len(plain)
        self._first = [torch.zeros_like(p) for p in self.parameters]
        self._second = [torch.zeros_like(p) for p in self.parameters]
        self._steps = 0

    @torch.no_grad()
    def step(self, rate: float, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> None:
        """Update all parameters that have a gradient, and drop the gradients."""
        self._steps += 1
        correction = 1 - betas[0] ** self._steps, 1 - betas[1] ** self._steps
        state = zip(self.parameters, self._shrink, self._first, self._second, strict=True)
        for parameter, shrink, first, second in state:
            gradient = parameter.grad
            if gradient is None:
                continue
            first.lerp_(gradient, 1 - betas[0])
            second.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
            if shrink:
                parameter.mul_(1 - rate * shrink)
            parameter.addcdiv_(first, (second / correction[1]).sqrt_().add_(epsilon), value=-rate / correction[0])
            parameter.grad = None
