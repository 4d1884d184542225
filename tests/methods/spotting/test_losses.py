"""The four losses by hand."""

from __future__ import annotations

import math

import pytest
import torch

from microexp.methods.spotting.aemnet.targets import distance_iou, focal_loss, loss_parts


def test_focal_loss_by_hand():
    logits = torch.tensor([[[0.0, 2.0], [-1.0, 0.5]], [[3.0, 2.0], [-1.0, 0.5]]])
    labels = torch.tensor([[2, 0], [-1, 0]])
    expected = [0.0, 0.0]
    for fit, (rows, kinds) in enumerate(zip(logits.tolist(), labels.tolist(), strict=True)):
        for row, label in zip(rows, kinds, strict=True):
            for kind, x in enumerate(row, 1):
                p = 1 / (1 + math.exp(-x))
                if label < 0:
                    continue
                expected[fit] -= 0.25 * (1 - p) ** 2 * math.log(p) if kind == label else 0.75 * p**2 * math.log(1 - p)
    assert focal_loss(logits, labels, 0.25, gamma=2.0).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 3.5])
def test_the_focal_loss_has_the_slope_of_its_values(gamma):
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[0, 1, 2, -1, 0], [2, 2, 0, 1, -1]])
    assert torch.autograd.gradcheck(lambda x: focal_loss(x, labels, 0.25, gamma=gamma), (logits,))


def test_sure_and_right_costs_nothing_and_extreme_logits_stay_finite():
    assert focal_loss(torch.tensor([[[-200.0, 200.0]]]), torch.tensor([[2]]), 0.25, gamma=2.0).item() == 0
    logits = torch.tensor([[[200.0, -200.0]]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([[2]]), 0.25, gamma=2.0)
    loss.sum().backward()
    assert math.isfinite(loss.item()) and torch.isfinite(logits.grad).all()


def test_distance_iou_is_that_of_the_intervals():
    first, second = torch.tensor([[2.0, 4.0], [1.0, 1.0]]), torch.tensor([[4.0, 2.0], [1.0, 1.0]])
    assert distance_iou(first, second).tolist() == pytest.approx([4 / 8, 1.0])


def targets(point, anchor):
    """Of one fit and one window."""
    return (
        torch.tensor([[point]], dtype=torch.int8),
        torch.ones(1, 1, len(point), 2),
        torch.tensor([[anchor]], dtype=torch.int8),
        torch.zeros(1, 1, len(anchor), 2),
    )


def test_parts_are_normalised_by_their_positives():
    shapes = ((2, 0.0), (2, 2.0), (3, 0.0), (3, 0.5))
    predictions = tuple(torch.full((1, 1, n, 2), value) for n, value in shapes)
    parts = loss_parts(predictions, targets([1, 0], [2, 0, -1]), 0.25, gamma=2.0)
    at_half = 0.25 * math.log(2)  # (1/2)² · -log(1/2)
    assert parts.point_class.item() == pytest.approx(at_half * (0.25 + 3 * 0.75) / 2)  # one positive + one window
    assert parts.point_distance.item() == pytest.approx(1 - 2 / 4)
    assert parts.anchor_class.item() == pytest.approx(at_half * (0.25 + 3 * 0.75) / 1)  # the third one does not count
    assert parts.anchor_offset.item() == pytest.approx(0.125 + 0.125)  # smooth L1 of .5 for centre and width
    total = parts.total(0.8, 1.2).item()
    assert total == pytest.approx(0.8 * (parts[0] + parts[1]).item() + 1.2 * (parts[2] + parts[3]).item())


def test_the_loss_of_a_fit_does_not_depend_on_its_neighbours():
    torch.manual_seed(0)
    predictions = tuple(torch.rand(2, 3, n, 2) for n in (4, 4, 6, 6))
    labels = [torch.randint(-1, 3, (2, 3, n)) for n in (4, 6)]
    truth = (labels[0].clamp(min=0), torch.rand(2, 3, 4, 2), labels[1], torch.rand(2, 3, 6, 2))
    together = loss_parts(predictions, truth, 0.25, gamma=2.0)
    for k in range(2):
        alone = loss_parts(*(tuple(t[k : k + 1] for t in part) for part in (predictions, truth)), 0.25, gamma=2.0)
        for a, b in zip(together, alone, strict=True):
            assert torch.allclose(a[k : k + 1], b)


def test_a_batch_without_any_expression_has_a_finite_loss_and_gradient():
    predictions = tuple(torch.ones(1, 1, n, 2).requires_grad_() for n in (2, 2, 3, 3))
    total = loss_parts(predictions, targets([0, 0], [0, 0, 0]), 0.25, gamma=2.0).total(0.8, 1.2)
    total.sum().backward()
    assert math.isfinite(total.item()) and all(torch.isfinite(p.grad).all() for p in predictions)
