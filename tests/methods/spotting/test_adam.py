"""The stacked Adam against torch's."""

from __future__ import annotations

import pytest
import torch

from microexp.methods.spotting.aemnet.adam import StackedAdam


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_agree_with_torchs(decay):
    torch.manual_seed(0)
    values = torch.randn(3, 7)
    twins = [torch.nn.Parameter(row.clone()) for row in values]
    theirs = [torch.optim.AdamW([p], lr=1.0, weight_decay=decay, eps=1e-8) for p in twins]
    ours = StackedAdam(values, decay)
    for step in range(20):
        rows = slice(0, 3) if step % 3 else slice(0, 2)  # the last one pauses now and then
        gradients = torch.randn(rows.stop, 7) * 10 ** torch.randn(rows.stop, 7)
        ours.step(gradients, rows, rate=0.01 * (step + 1))
        for k in range(rows.stop):
            twins[k].grad = gradients[k].clone()
            theirs[k].param_groups[0]["lr"] = 0.01 * (step + 1)
            theirs[k].step()
    assert ours.steps.tolist() == [20, 20, 13]
    for row, twin in zip(values, twins, strict=True):
        assert torch.allclose(row, twin, rtol=1e-5, atol=1e-6)


def test_numbers_without_a_gradient_stay():
    values = torch.tensor([[1.0, 2.0]])
    ours = StackedAdam(values)
    ours.step(torch.tensor([[0.0, 1.0]]), slice(0, 1), 0.1)
    assert values[0, 0] == 1 and values[0, 1] < 2
