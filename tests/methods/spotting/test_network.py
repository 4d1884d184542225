"""AEM-Net: shapes, gradients, what each option switches, and the released code's mistakes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from microexp.methods.spotting.aemnet.geometry import make_geometry
from microexp.methods.spotting.aemnet.network import AemNet, LocalAttention
from microexp.methods.spotting.aemnet.params import NetworkParams

NARROW = {"stem_channels": (6, 10, 16), "channels": 16, "attention_channels": 8, "head_channels": 8, "squeeze_ratio": 4}


def make(window_frames=128, in_channels=12, step=2, **options):
    torch.manual_seed(0)
    params = NetworkParams.model_validate(NARROW | options)
    geometry = make_geometry(window_frames, step, params.stem_stride, levels=params.levels, ratios=params.anchor_ratios)
    return AemNet(in_channels, geometry, params), geometry


def without_gradient(network, x):
    """Names of the parameters without a gradient; in double precision, so that rounding does not look like one."""
    torch.manual_seed(1)
    outputs = network.double()(x.double())
    sum(part.double().square().sum() for part in outputs).backward()
    return {n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-6}


@pytest.mark.parametrize("window_frames", [128, 1024, 100])
@pytest.mark.parametrize("fidelity", ["paper", "released"])
def test_both_settings_and_odd_windows_work(window_frames, fidelity):
    network, geometry = make(window_frames, fidelity=fidelity)
    outputs = network(torch.randn(2, geometry.window_steps, 12))
    points, anchors = len(geometry.points), len(geometry.anchor_centres)
    assert [tuple(o.shape) for o in outputs] == [(2, points, 2), (2, points, 2), (2, anchors, 2), (2, anchors, 2)]
    assert (outputs[1] >= 0).all()  # distances


@pytest.mark.parametrize("window_frames", [128, 1024])
def test_every_parameter_receives_a_gradient(window_frames):
    network, geometry = make(window_frames)
    assert without_gradient(network, torch.randn(4, geometry.window_steps, 12)) == set()


def test_the_released_network_keeps_theta_and_channel_attention_from_any_gradient():
    network, geometry = make(fidelity="released")
    dead = without_gradient(network, torch.randn(4, geometry.window_steps, 12))
    assert {n.split(".")[1] for n in dead if n.startswith("attention")} == {"theta", "squeeze"}
    assert {n for n in dead if not n.startswith("attention")} == {  # biases in front of a batch norm
        "stem.parallel.0.0.bias", "stem.parallel.1.0.bias", "stem.parallel.2.0.bias", "stem.merge.0.bias",
    }  # fmt: skip


def test_the_authors_widths_have_the_published_size():
    params = NetworkParams(fidelity="released")
    with torch.device("meta"):
        network = AemNet(2048, make_geometry(128, 2, 2, levels=None, ratios=params.anchor_ratios), params)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(31.8e6, rel=0.002)
    shapes = [tuple(b[0].weight.shape) for b in network.stem.parallel]
    assert shapes == [(384, 2048, 5), (640, 2048, 5), (1024, 2048, 5)]


def test_the_paper_stem_has_three_reaches():
    network, _ = make()
    assert [b[0].kernel_size for b in network.stem.parallel] == [(3,), (5,), (7,)]
    x = torch.zeros(1, 12, 64)
    x[..., 32] = 1.0
    for branch, reach in zip(network.stem.parallel, (1, 2, 3), strict=True):
        touched = (branch[0](x) - branch[0](torch.zeros_like(x))).abs().sum(1)[0] > 0
        assert touched.nonzero().flatten().tolist() == list(range(32 - reach, 32 + reach + 1))


@pytest.mark.parametrize(
    "change", [{"channel_attention": False}, {"local_attention": False}, {"top_down": False}, {"levels": 1},
               {"stem_kernels": (5, 5, 5)}, {"input_channels": 4}, {"stem_stride": 1}],
)  # fmt: skip
def test_every_part_can_be_taken_out_and_still_learns(change):
    network, geometry = make(**change)
    assert without_gradient(network, torch.randn(4, geometry.window_steps, 12)) == set()


def test_channel_attention_changes_the_output():
    network, geometry = make()
    x = torch.randn(2, geometry.window_steps, 12)
    network.eval()
    before = network(x)[0]
    network.attention.squeeze = None
    assert not torch.allclose(before, network(x)[0])


def test_local_attention_looks_at_its_temporal_neighbourhood_only():
    torch.manual_seed(0)
    block = LocalAttention(64, NetworkParams.model_validate(NARROW | {"channel_attention": False})).eval()
    x = torch.randn(1, 16, 8, requires_grad=True)
    block._over_time(x)[0, 8].sum().backward()
    touched = (x.grad.abs().sum((0, 2)) > 0).nonzero().flatten()
    assert touched.min() == 6 and touched.max() == 10  # 64 // (2·16) = 2 places to either side


def test_small_values_of_g_are_dropped():
    block = LocalAttention(64, NetworkParams.model_validate(NARROW))
    g = torch.tensor([0.1, 0.44, 0.45, -2.0, 3.0])
    assert block._dropped(g).tolist() == pytest.approx([0, 0, 0.45, 0, 3.0])


def test_heads_give_what_each_level_alone_would():
    """Levels run as one padded sequence and branches side by side: the same numbers as one after the other."""
    network, geometry = make()
    heads = network.heads
    levels = [torch.randn(2, 16, n) for n in geometry.lengths]
    branches = (heads.point_class, heads.point_distance, heads.anchor_class, heads.anchor_offset)
    for number, (branch, together) in enumerate(zip(branches, heads(levels), strict=True)):
        alone = []
        for level in levels:
            x = branch[2](F.mish(branch[1](F.mish(branch[0](level)))))
            alone.append(x.reshape(2, -1, 2, x.shape[-1]).permute(0, 3, 1, 2).reshape(2, -1, 2))
        expected = torch.cat(alone, 1)
        assert torch.allclose(together, F.softplus(expected) if number == 1 else expected, atol=1e-5)


def test_class_heads_start_at_the_prior():
    network, geometry = make()
    network.eval()
    probability = network(torch.zeros(1, geometry.window_steps, 12))[0].sigmoid()
    assert 0.001 < probability.mean() < 0.1


def test_stem_options_must_fit_together():
    with pytest.raises(ValueError, match="stem_kernels"):
        NetworkParams(stem_kernels=(3, 5))
    with pytest.raises(ValueError, match="stem_kernels"):
        NetworkParams(stem_kernels=(3, 4, 5))
