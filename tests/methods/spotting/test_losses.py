"""The four losses by hand."""

from __future__ import annotations

import math

import pytest
import torch

from microexp.methods.spotting.aemnet.losses import distance_iou, focal_loss, loss_parts


def test_focal_loss_by_hand():
    logits = torch.tensor([[0.0, 2.0], [-1.0, 0.5]])
    labels = torch.tensor([2, 0])
    expected = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        for kind, x in enumerate(row, 1):
            p = 1 / (1 + math.exp(-x))
            if kind == label:
                expected -= 0.25 * (1 - p) ** 2 * math.log(p)
            else:
                expected -= 0.75 * p**2 * math.log(1 - p)
    assert focal_loss(logits, labels, 0.25, 2.0).item() == pytest.approx(expected, rel=1e-5)


def test_sure_and_right_costs_nothing_and_extreme_logits_stay_finite():
    assert focal_loss(torch.tensor([[-200.0, 200.0]]), torch.tensor([2]), 0.25, 2.0).item() == 0
    assert math.isfinite(focal_loss(torch.tensor([[200.0, -200.0]]), torch.tensor([2]), 0.25, 2.0).item())


def test_distance_iou_is_that_of_the_intervals():
    first, second = torch.tensor([[2.0, 4.0], [1.0, 1.0]]), torch.tensor([[4.0, 2.0], [1.0, 1.0]])
    assert distance_iou(first, second).tolist() == pytest.approx([4 / 8, 1.0])


def targets(point, anchor):
    return (
        torch.tensor([point], dtype=torch.int8),
        torch.ones(1, len(point), 2),
        torch.tensor([anchor], dtype=torch.int8),
        torch.zeros(1, len(anchor), 2),
    )


def test_parts_are_normalised_by_their_positives():
    predictions = (torch.zeros(1, 2, 2), torch.full((1, 2, 2), 2.0), torch.zeros(1, 3, 2), torch.full((1, 3, 2), 0.5))
    parts = loss_parts(predictions, targets([1, 0], [2, 0, -1]), 0.25, 2.0)
    at_half = 0.25 * math.log(2)  # (1/2)² · -log(1/2)
    assert parts.point_class.item() == pytest.approx(at_half * (0.25 + 3 * 0.75) / 2)  # one positive + one window
    assert parts.point_distance.item() == pytest.approx(1 - 2 / 4)
    assert parts.anchor_class.item() == pytest.approx(at_half * (0.25 + 3 * 0.75) / 1)  # the third one is left out
    assert parts.anchor_offset.item() == pytest.approx(0.125 + 0.125)  # smooth L1 of .5 for centre and width
    total = parts.total(0.8, 1.2).item()
    assert total == pytest.approx(0.8 * (parts[0] + parts[1]).item() + 1.2 * (parts[2] + parts[3]).item())


def test_a_batch_without_any_expression_has_a_finite_loss_and_gradient():
    shapes = ((1, 2, 2), (1, 2, 2), (1, 3, 2), (1, 3, 2))
    predictions = tuple(torch.ones(shape).requires_grad_() for shape in shapes)
    total = loss_parts(predictions, targets([0, 0], [0, 0, 0]), 0.25, 2.0).total(0.8, 1.2)
    total.backward()
    assert math.isfinite(total.item()) and all(torch.isfinite(p.grad).all() for p in predictions)
