import pytest
import torch
import torch.nn.functional as F

from microexp.methods.recognition.mdml.network import HeadMasks, Shape, StackedStream

SHAPE = Shape(inputs=2, size=28, channels=(4, 6, 8), classes=3, head_size=7, linear_path=True)


def alone(net, member, x):
    """One member written out with plain convolutions, in evaluation mode."""
    w = {name: value[member] for name, value in net.weights.items()}
    sides, side, h, scores = net.shape.sides(), net.shape.size, x, []
    for k, after in enumerate(sides):
        h = F.conv2d(h, w[f"conv{k}"], stride=2 if k == 0 and after < side else 1, padding=w[f"conv{k}"].shape[-1] // 2)
        mean, variance = (getattr(net, f"{n}{k}")[member].view(1, -1, 1, 1) for n in ("mean", "variance"))
        h = (h - mean) / (variance + 1e-5).sqrt() * w[f"gain{k}"].view(1, -1, 1, 1) + w[f"shift{k}"].view(1, -1, 1, 1)
        h = F.relu(h)
        if k and after < side:
            h = F.max_pool2d(h, 2, ceil_mode=True)
        side = after
        scores.append(F.adaptive_avg_pool2d(h, min(7, side)).flatten(1) @ w[f"head{k}"] + w[f"bias{k}"])
    scores[-1] = scores[-1] + x.flatten(1) @ w["linear"]
    return scores


@pytest.mark.parametrize("size", [28, 30, 56, 14, 9])
def test_a_stack_is_its_members_one_by_one(size):
    shape = Shape(2, size, (4, 6, 8), 3, 7, linear_path=True)
    net = StackedStream(shape, [1, 2, 3])
    with torch.no_grad():
        for name, weight in net.weights.items():
            if name == "linear" or name.startswith(("shift", "bias")):
                weight.normal_()
        for name, buffer in net.named_buffers():
            buffer.uniform_(0.5, 1.5) if "variance" in name else buffer.normal_()
    net.eval()
    x = torch.randn(5, 3, 2, size, size)
    out = net(x)
    for g in range(3):
        for k, expected in enumerate(alone(net, g, x[:, g])):
            torch.testing.assert_close(out.scores[k][g], expected, rtol=1e-4, atol=1e-4)
            assert out.features[k][g].shape == (5, net.weights[f"head{k}"].shape[1])


def test_sides_halve_while_a_head_still_fits():
    assert SHAPE.sides() == [14, 7, 7]
    assert Shape(1, 56, (4, 4, 4, 4), 3, 7).sides() == [28, 14, 7, 7]
    assert Shape(1, 13, (4, 4), 3, 7).sides() == [13, 13]


def test_a_member_depends_on_its_own_seed_alone():
    one, two = StackedStream(SHAPE, [5]), StackedStream(SHAPE, [4, 5])
    for name in one.weights:
        assert torch.equal(one.weights[name][0], two.weights[name][1])
    assert not torch.equal(two.weights["conv0"][0], two.weights["conv0"][1])


def test_where_it_moves_matters():
    net = StackedStream(SHAPE, [0]).eval()
    x = torch.zeros(2, 1, 2, 28, 28)
    x[0, 0, :, 2:8, 2:8] = 3
    x[1, 0, :, 18:24, 18:24] = 3
    out = net(x).scores[-1][0]
    assert (out[0] - out[1]).abs().max() > 1e-3


def test_masks_are_drawn_per_seed():
    masks = HeadMasks([3, 4, 3], 0.25).draw(40, 50)
    assert torch.equal(masks[0], masks[2]) and not torch.equal(masks[0], masks[1])
    assert masks.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
    assert masks.mean() == pytest.approx(1, abs=0.05)
    assert torch.equal(HeadMasks([4], 0.25).draw(40, 50)[0], masks[1])


def test_members_can_be_stored_and_loaded():
    net = StackedStream(SHAPE, [1, 2])
    other = StackedStream(SHAPE, [8, 9])
    other.load_members([net.member_tensors(0), net.member_tensors(1)])
    x = torch.randn(3, 2, 2, 28, 28)
    torch.testing.assert_close(other.eval()(x).scores[-1], net.eval()(x).scores[-1])
