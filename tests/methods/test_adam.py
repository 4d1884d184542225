"""The stacked Adam against torch's, and on tensors of several shapes."""

from __future__ import annotations

import pytest
import torch

from microexp.methods.training import StackedAdam


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_agree_with_torchs(decay):
    torch.manual_seed(0)
    values = torch.randn(3, 7)
    twins = [torch.nn.Parameter(row.clone()) for row in values]
    theirs = [torch.optim.AdamW([p], lr=1.0, weight_decay=decay, eps=1e-8) for p in twins]
    ours = StackedAdam([values], [decay])
    for step in range(20):
        rows = slice(0, 3) if step % 3 else slice(0, 2)  # the last one pauses now and then
        gradients = torch.randn(rows.stop, 7) * 10 ** torch.randn(rows.stop, 7)
        ours.step([gradients], 0.01 * (step + 1), rows)
        for k in range(rows.stop):
            twins[k].grad = gradients[k].clone()
            theirs[k].param_groups[0]["lr"] = 0.01 * (step + 1)
            theirs[k].step()
    assert ours.steps.tolist() == [20, 20, 13]
    for row, twin in zip(values, twins, strict=True):
        assert torch.allclose(row, twin, rtol=1e-5, atol=1e-6)


def test_numbers_without_a_gradient_stay():
    values = torch.tensor([[1.0, 2.0]])
    ours = StackedAdam([values], [0.0])
    ours.step([torch.tensor([[0.0, 1.0]])], 0.1)
    assert values[0, 0] == 1 and values[0, 1] < 2


@pytest.mark.long
def test_tensors_of_several_shapes_and_one_that_is_not_used():
    torch.manual_seed(0)
    shapes, decays = [(4, 3, 2), (4,), (4, 5)], [0.3, 0.0, 0.3]
    start = [torch.randn(shape) for shape in shapes]
    ours, theirs = ([s.clone().requires_grad_() for s in start] for _ in range(2))
    mine = StackedAdam(ours, decays)
    groups = [{"params": [p], "weight_decay": decay} for p, decay in zip(theirs, decays, strict=True)]
    reference = torch.optim.AdamW(groups, lr=1.0)
    for step in range(5):
        rate = 0.1 / (step + 1)
        losses = [sum((p**3).sum() for p in parameters[:2]) for parameters in (ours, theirs)]
        mine.step(torch.autograd.grad(losses[0], ours, allow_unused=True), rate)
        losses[1].backward()
        for group in reference.param_groups:
            group["lr"] = rate
        reference.step()
        reference.zero_grad()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
    assert torch.equal(ours[2], start[2])
