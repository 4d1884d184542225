"""The flat optimiser against torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from microexp.methods.spotting.aemnet.adam import FlatAdam


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(3, 4, 3), nn.Mish(), nn.Conv1d(4, 2, 1))


@pytest.mark.long  # importing torch.optim takes seconds
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_steps_like_torchs_adamw(decay):
    ours, theirs = make(), make()
    flat = FlatAdam(ours, decay)
    reference = torch.optim.AdamW(theirs.parameters(), 1e-2, weight_decay=decay, foreach=False)
    for step in range(30):
        x = torch.randn(5, 3, 9, generator=torch.Generator().manual_seed(step))
        flat.zero()
        ours(x).square().mean().backward()
        flat.step(1e-2)
        reference.zero_grad()
        theirs(x).square().mean().backward()
        reference.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-5)


def test_parameters_are_views_and_state_goes_on():
    first, second = make(), make()
    a, b = FlatAdam(first), FlatAdam(second)
    assert next(first.parameters()).data_ptr() == a.values.data_ptr()
    for network, flat in ((first, a), (second, b)):
        flat.gradients.fill_(0.1)
        flat.step(1e-2)
        assert len(network.state_dict()) == 4
    c = FlatAdam(second)
    c.restore(b.state())
    a.step(1e-2)
    c.gradients.fill_(0.1)
    c.step(1e-2)
    assert torch.equal(a.values, c.values)
