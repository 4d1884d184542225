import torch

from microexp.methods.recognition.mdml.losses import (
    RunningMoments,
    SourceWeights,
    batch_moments,
    descriptors,
    group_masks,
    moment_distance,
)

DOMAIN = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 2, 2]])
LABELS = torch.tensor([[0, 0, 1, 1, 0, 0, 1, -1, -1, -1]])
LABELLED = torch.tensor([[True, True, False]])


def test_groups_are_classes_where_labels_allow():
    masks = group_masks(DOMAIN, LABELS, LABELLED, classes=2, by_class=True)[0]
    assert masks.shape == (3, 3, 10)
    assert masks[0, 0].nonzero().flatten().tolist() == [0, 1]
    assert masks[0, 2].nonzero().flatten().tolist() == [0, 1, 2, 3]  # the target as a whole, for sources without labels
    assert masks[1, 1].nonzero().flatten().tolist() == [6]
    assert masks[1, 2].sum() == 0  # source 1 has labels: class by class only
    assert masks[2, 2].nonzero().flatten().tolist() == [8, 9]
    whole = group_masks(DOMAIN, LABELS, LABELLED, classes=2, by_class=False)[0]
    assert whole[:, :2].sum() == 0 and whole[1, 2].sum() == 4


def test_a_labelled_source_is_never_compared_as_a_whole_whatever_the_batch_holds():
    without = torch.where(DOMAIN == 1, -1, LABELS)  # a batch with no labelled clip of source 1
    masks = group_masks(DOMAIN, without, LABELLED, classes=2, by_class=True)
    running, features = RunningMoments(), torch.randn(1, 10, 5)
    moment_distance(features, masks, running)
    assert masks[0, 1].sum() == 0 and running.seen[0, 1].tolist() == [0, 0, 0]
    _, usable = moment_distance(features, group_masks(DOMAIN, LABELS, LABELLED, classes=2, by_class=True), running)
    assert running.seen[0, 1, 2] == 0 and usable.tolist() == [[True, True]]


def test_batch_moments_are_those_of_each_group():
    features = torch.randn(1, 10, 6)
    masks = group_masks(DOMAIN, LABELS, LABELLED, classes=2, by_class=True)
    first, second, count = batch_moments(features, masks)
    torch.testing.assert_close(first[0, 0, 2], features[0, :4].mean(0))
    torch.testing.assert_close(second[0, 0, 2], features[0, :4].square().mean(0))
    assert count[0, :, 2].tolist() == [4, 0, 2]
    assert first[0, 1, 2].abs().max() == 0


def test_running_moments_take_the_first_and_then_average():
    running, one = RunningMoments(), torch.ones(1, 1, 1, 2)
    none, some = torch.tensor([[[0.0]]]), torch.tensor([[[3.0]]])
    running.update(0 * one, 0 * one, none)
    assert running.seen.item() == 0
    running.update(one, one, some)
    assert torch.equal(running.first, one)
    running.update(2 * one, 4 * one, some)
    torch.testing.assert_close(running.first, 1.1 * one)
    torch.testing.assert_close(running.second, 1.3 * one)
    running.update(9 * one, one, none)  # no clip of the group in this batch: nothing changes
    torch.testing.assert_close(running.first, 1.1 * one)


def distance(features, domain, labels, by_class=True):
    labelled = torch.stack([((domain == d) & (labels >= 0)).any(1) for d in range(int(domain.max()) + 1)], 1)
    masks = group_masks(domain, labels, labelled, classes=2, by_class=by_class)
    return moment_distance(features, masks, RunningMoments())


def test_distance_is_small_for_the_same_and_large_for_another_distribution():
    generator = torch.Generator().manual_seed(0)
    domain = torch.arange(3).repeat_interleave(60)[None]
    labels = torch.zeros(1, 180, dtype=torch.int64)
    features = torch.randn(1, 180, 4, generator=generator)
    features[:, 120:] += 3
    found, usable = distance(features, domain, labels)
    assert usable.all() and (found >= 0).all()
    assert found[0, 1] > 10 * found[0, 0]


def test_classes_are_told_apart():
    """Two domains with equal wholes but exchanged classes differ only class by class."""
    domain = torch.arange(2).repeat_interleave(80)[None]
    labels = torch.arange(2).repeat_interleave(40).repeat(2)[None]
    features = torch.randn(1, 160, 3, generator=torch.Generator().manual_seed(1)) * 0.3
    sign = torch.where(labels == domain, 1.0, -1.0)
    features = features + 2 * sign.unsqueeze(-1)
    by_class, _ = distance(features, domain, labels, True)
    whole, _ = distance(features, domain, labels, False)
    assert by_class.item() > 10 * abs(whole.item())


def test_only_the_target_is_drawn():
    features = torch.randn(1, 10, 6, requires_grad=True)
    found, usable = distance(features, DOMAIN, LABELS)
    (found * usable).sum().backward()
    assert features.grad[0, :4].abs().min(0).values.max() > 0
    assert features.grad[0, 4:].abs().max() == 0


def test_descending_the_distance_brings_the_target_to_the_source():
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(1, 40, 2, generator=generator)
    features[:, :20] += 2
    domain, labels = torch.arange(2).repeat_interleave(20)[None], torch.full((1, 40), -1)
    for _ in range(200):
        features.requires_grad_()
        found, _ = distance(features, domain, labels)
        (gradient,) = torch.autograd.grad(found.sum(), features)
        features = (features - 2 * gradient).detach()
    gap = (features[0, :20].mean(0) - features[0, 20:].mean(0)).norm()
    assert gap < 0.2 * 2.8  # it began at 2.8


def test_a_source_that_is_not_in_the_batch_is_not_usable():
    nothing = torch.zeros(1, 6, dtype=torch.int64)
    masks = group_masks(nothing, nothing, torch.ones(1, 2, dtype=torch.bool), classes=2, by_class=True)
    found, usable = moment_distance(torch.randn(1, 6, 3), masks, RunningMoments())
    assert not usable.any() and found.item() == 0


def test_source_weights_learn_which_source_is_near():
    net = SourceWeights(1)
    distances, masks = torch.tensor([[0.2, 2.0]]), group_masks(DOMAIN, LABELS, LABELLED, classes=2, by_class=True)
    usable = torch.ones(1, 2, dtype=torch.bool)
    seen = descriptors([distances, distances], masks)
    assert torch.allclose(net(seen, usable), torch.tensor([[0.5, 0.5]]))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(100):
        optimiser.zero_grad()
        net.loss(net(seen, usable), distances, 0.5).sum().backward()
        optimiser.step()
    learned = net(seen, usable)[0]
    # the minimum of sum(a d) - t H(a) is softmax(-d / t)
    torch.testing.assert_close(learned, torch.softmax(-distances[0] / 0.5, -1), atol=0.02, rtol=0)
    assert net(seen, torch.tensor([[False, True]]))[0].tolist() == [0, 1]
