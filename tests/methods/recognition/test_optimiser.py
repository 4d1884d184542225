import pytest
import torch

from microexp.methods.recognition.mdml.optimiser import AdamW


@pytest.mark.long
def test_it_agrees_with_torch():
    torch.manual_seed(0)
    start = [torch.randn(4, 3), torch.randn(5)]
    ours, theirs = ([s.clone().requires_grad_() for s in start] for _ in range(2))
    unused = torch.ones(2, requires_grad=True)
    mine = AdamW(ours[:1], [ours[1], unused], weight_decay=0.3)
    reference = torch.optim.AdamW(
        [{"params": theirs[:1], "weight_decay": 0.3}, {"params": theirs[1:], "weight_decay": 0.0}], lr=1.0
    )
    for step in range(5):
        rate = 0.1 / (step + 1)
        for parameters in (ours, theirs):
            sum((p**3).sum() for p in parameters).backward()
        mine.step(rate)
        for group in reference.param_groups:
            group["lr"] = rate
        reference.step()
        reference.zero_grad()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
        assert a.grad is None
    assert torch.equal(unused, torch.ones(2))
