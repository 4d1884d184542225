import pytest
import torch
import torch.nn.functional as F

from microexp.methods.recognition.mdml.losses import classification, mutual, ramp


def test_classification_is_weighted_cross_entropy_per_member():
    scores, labels = torch.randn(2, 5, 3), torch.tensor([[0, 1, 2, 0, -1], [2, 2, 1, 0, 0]])
    weights = torch.rand(2, 5)
    found = classification(scores, labels, weights)
    for g in range(2):
        each = F.cross_entropy(scores[g], labels[g], reduction="none", ignore_index=-1)
        torch.testing.assert_close(found[g], (each * weights[g]).mean())


def test_mutual_is_both_kl_divergences_at_the_temperature():
    a, b = torch.randn(1, 4, 3), torch.randn(1, 4, 3)
    p, q = (a[0] / 2.5).softmax(-1), (b[0] / 2.5).softmax(-1)
    both = (p * (p / q).log()).sum(-1) + (q * (q / p).log()).sum(-1)
    torch.testing.assert_close(mutual([a, b], 2.5)[0], 2.5**2 * both.mean())
    assert mutual([a, a], 2.0).item() == pytest.approx(0, abs=1e-6)


def test_mutual_teaches_the_student_and_not_the_teacher():
    a, b = torch.randn(1, 4, 3, requires_grad=True), torch.randn(1, 4, 3, requires_grad=True)
    temperature = 2.0
    mutual([a, b], temperature).sum().backward()
    # d/da of T^2 KL(q || p_a) with q fixed is T (p_a - q) / batch
    expected = temperature * ((a / temperature).softmax(-1) - (b / temperature).softmax(-1)).detach() / 4
    torch.testing.assert_close(a.grad, expected)
    torch.testing.assert_close(b.grad, -expected)


def test_ramp_rises_and_stays():
    assert [ramp(s, 100, 0.25) for s in (0, 5, 25, 99)] == [0, 0.2, 1, 1]
    assert ramp(0, 100, 0) == 1
