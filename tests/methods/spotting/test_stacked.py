"""The stack computes what every network of it would alone: outputs, gradients, statistics, and single operations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from microexp.methods.spotting.aemnet import stacked
from microexp.methods.spotting.aemnet.geometry import make_geometry
from microexp.methods.spotting.aemnet.kernels import convolve, halve, mish, norm_mish
from microexp.methods.spotting.aemnet.network import AemNet
from microexp.methods.spotting.aemnet.params import NetworkParams
from microexp.methods.spotting.aemnet.stacked import Masks, StackedAemNet, layout_of

NARROW = {
    "stem_channels": (6, 10, 16), "channels": 16, "attention_channels": 8, "head_channels": 8, "squeeze_ratio": 4,
    "dropout": 0.0,
}  # fmt: skip
CPU = torch.device("cpu")
OFF = Masks([], 0.0, CPU)


def make(window_frames=128, networks=3, in_channels=12, **options):
    params = NetworkParams.model_validate(NARROW | options)
    geometry = make_geometry(window_frames, 2, params.stem_stride, levels=params.levels, ratios=params.anchor_ratios)
    made = []
    for seed in range(networks):
        torch.manual_seed(seed)
        made.append(AemNet(in_channels, geometry, params).double())
    stack = StackedAemNet(made, geometry, params, dtype=torch.float64)
    torch.manual_seed(100)
    return made, stack, torch.randn(networks, 4, geometry.window_steps, in_channels, dtype=torch.float64)


@pytest.mark.parametrize(
    "options",
    [{}, {"fidelity": "released"}, {"channel_attention": False}, {"local_attention": False}, {"top_down": False},
     {"levels": 1}, {"stem_stride": 1}, {"input_channels": 4}, {"input_channels": 12}, {"stem_kernels": (5, 5, 5)},
     {"head_channels": 5}, {"head_channels": 12, "channels": 5}, {"attention_channels": 5, "squeeze_ratio": 1}],
)  # fmt: skip
@pytest.mark.parametrize("window_frames", [128, pytest.param(100, marks=pytest.mark.long)])
def test_a_stack_gives_the_outputs_gradients_and_statistics_of_its_networks(options, window_frames):
    networks, stack, x = make(window_frames, **options)
    rows = slice(0, 3)
    together = stack.forward(x, rows, OFF)
    heads = [torch.randn_like(part) for part in together]
    gradients = stack.gradients(sum((a * b).sum() for a, b in zip(together, heads, strict=True)), rows)
    for k, network in enumerate(networks):
        alone = network(x[k])
        for a, b in zip(together, alone, strict=True):
            assert torch.allclose(a[k], b.double(), atol=1e-5)  # AemNet's results are float32
        sum((a.double() * b[k]).sum() for a, b in zip(alone, heads, strict=True)).backward()
        twin = AemNet(12, stack.geometry, stack.options).double()
        stack.layout.unpack(gradients[k], twin)
        for name, parameter in network.named_parameters():
            expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            found = twin.get_parameter(name)
            assert (found - expected).abs().max() <= 1e-4 * expected.abs().max() + 1e-5, name
        stack.write_back(k, twin, 1)
        for name, value in network.state_dict().items():
            assert torch.allclose(twin.state_dict()[name], value), name
        network.eval()
        for a, b in zip(stack.forward(x[k : k + 1], slice(k, k + 1)), network(x[k]), strict=True):
            assert torch.allclose(a[0], b.double(), atol=1e-5)


def test_the_layout_holds_every_parameter_once_and_gives_it_back():
    networks, stack, _ = make()
    parts = [part.name for leaf in stack.layout.leaves for part in leaf.parts]
    assert sorted(parts) == sorted(name for name, _ in networks[0].named_parameters())
    fresh = AemNet(12, stack.geometry, stack.options).double()
    stack.write_back(1, fresh, 7)
    assert all(torch.equal(a, networks[1].get_parameter(n)) for n, a in fresh.named_parameters())
    assert layout_of(networks[0]) == stack.layout
    assert all(int(v) == 7 for n, v in fresh.state_dict().items() if n.endswith("num_batches_tracked"))


def test_the_stem_is_the_same_in_one_product_and_in_several(monkeypatch):
    _, stack, x = make()
    merged = stack.forward(x, slice(0, 3), OFF)
    monkeypatch.setattr(stacked, "MERGED_CHANNELS", 0)
    for a, b in zip(merged, stack.forward(x, slice(0, 3), OFF), strict=True):
        assert torch.allclose(a, b, atol=1e-10)


def test_features_may_be_narrowed_beforehand():
    _, stack, x = make(input_channels=12)
    rows = slice(0, 3)
    for a, b in zip(
        stack.forward(x, rows), stack.forward(stack.narrow(x, rows), rows, narrowed=True), strict=True
    ):  # fmt: skip
        assert torch.equal(a, b)


def test_dropout_draws_for_each_fit_what_it_would_alone():
    def generators(*seeds):
        return [np.random.default_rng(s) for s in seeds]

    x = torch.ones(3, 5, 4, 6)
    together = Masks(generators(1, 2, 3), 0.25, CPU)(x)
    alone = Masks(generators(2), 0.25, CPU)(x[1:2])
    assert torch.equal(together[1:2], alone) and not torch.equal(together[0], together[1])
    assert together.unique().tolist() == pytest.approx([0.0, 4 / 3])
    many = Masks(generators(0), 0.25, CPU)(torch.ones(1, 100_000))
    assert many.mean().item() == pytest.approx(1, abs=0.01)


def test_dropout_reaches_the_attention_block():
    _, stack, x = make(dropout=0.5)
    rows = slice(0, 3)

    def once(seed):
        return stack.forward(x, rows, Masks([np.random.default_rng([seed, k]) for k in range(3)], 0.5, CPU))

    assert torch.equal(once(1)[0], once(1)[0]) and not torch.equal(once(1)[0], once(2)[0])


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "length"),
    [(1, 1, 0, 9), (3, 1, 1, 9), (3, 2, 1, 9), (3, 2, 1, 8), (5, 1, 1, 9), (7, 1, 3, 9), (3, 2, 2, 8)],
)
@pytest.mark.parametrize(
    ("bias", "active"),
    [(True, True), *(pytest.param(b, False, marks=pytest.mark.long) for b in (True, False))],
)
def test_convolution_is_torchs(kernel, stride, padding, length, bias, active):
    torch.manual_seed(0)
    x = torch.randn(2, 3, length, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, kernel * 4, 5, dtype=torch.float64, requires_grad=True)
    shift = torch.randn(2, 5, dtype=torch.float64, requires_grad=True) if bias else None
    how = {"kernel": kernel, "stride": stride, "padding": padding, "active": active, "dtype": torch.float64}
    found = convolve(x, weight, shift, **how)
    for g in range(2):
        own = weight[g].view(kernel, 4, 5).permute(2, 1, 0)
        expected = F.conv1d(x[g].transpose(1, 2), own, shift[g] if bias else None, stride, padding).transpose(1, 2)
        assert torch.allclose(found[g], F.mish(expected) if active else expected)
    inputs = [x, weight, *([shift] if bias else [])]
    assert torch.autograd.gradcheck(lambda *a: convolve(*a, **how), inputs)


def test_mish_and_its_slope_are_torchs_everywhere():
    x = torch.cat([torch.linspace(-90, 90, 2001), torch.tensor([-1e30, 1e30, 0.0])]).requires_grad_()
    assert torch.allclose(mish(x), F.mish(x), rtol=1e-5, atol=1e-7)
    (found,) = torch.autograd.grad(mish(x).sum(), x)
    (expected,) = torch.autograd.grad(F.mish(x.double()).sum(), x)
    assert torch.isfinite(found).all() and torch.allclose(found[:-3], expected[:-3].float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(1, 1, 0), (3, 1, 1), (3, 2, 1), (7, 1, 3), (5, 1, 1)])
def test_compiled_convolution_gives_what_torch_does_in_double(kernel, stride, padding):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 3, 9, 4), torch.randn(2, kernel * 4, 5), torch.randn(2, 5)
    found = []
    for dtype in (torch.float32, torch.float64):
        inputs = [t.to(dtype).requires_grad_() for t in (x, weight, bias)]
        out = convolve(*inputs, kernel=kernel, stride=stride, padding=padding, active=True, dtype=dtype)
        found.append([out, *torch.autograd.grad(out.square().sum(), inputs)])
    assert all(torch.allclose(a.double(), b, rtol=1e-4, atol=1e-3) for a, b in zip(*found, strict=True))


def test_compiled_norm_gives_what_torch_does_in_double():
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, 5, 4) * 3 + 1, torch.randn(2, 4), torch.randn(2, 4)]
    found = []
    for dtype in (torch.float32, torch.float64):
        own = [t.to(dtype).requires_grad_() for t in inputs]
        y, mean, variance = norm_mish(*own)
        found.append([y, mean, variance, *torch.autograd.grad(y.pow(3).sum(), own)])
    assert all(torch.allclose(a.double(), b, rtol=1e-4, atol=1e-3) for a, b in zip(*found, strict=True))


def test_norm_mish_is_batch_norm_then_mish():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    gain, shift = (torch.randn(2, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    found, mean, variance = norm_mish(x, gain, shift)
    for g in range(2):
        rows = x[g].flatten(0, 1)
        expected = F.mish(F.batch_norm(rows, None, None, gain[g], shift[g], training=True))
        assert torch.allclose(found[g].flatten(0, 1), expected)
        assert torch.allclose(mean[g], rows.mean(0)) and torch.allclose(variance[g], rows.var(0))
    assert torch.autograd.gradcheck(lambda *a: norm_mish(*a)[0], (x, gain, shift))


@pytest.mark.parametrize("length", [1, 2, 7, 8])
def test_halving_is_max_pooling_with_ties_to_the_first(length):
    torch.manual_seed(0)
    x = torch.randint(0, 3, (2, 3, length, 4)).double().requires_grad_()
    expected = F.max_pool1d(x.flatten(0, 1).transpose(1, 2), 2, ceil_mode=True).transpose(1, 2).unflatten(0, (2, 3))
    assert torch.equal(halve(x), expected)
    weights = torch.randn_like(expected)
    one, two = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (halve(x), expected))
    assert torch.equal(one, two)


@pytest.mark.long
def test_products_in_half_precision_stay_close():
    networks, _, x = make()
    networks = [n.float() for n in networks]
    params = NetworkParams.model_validate(NARROW)
    full, half = (
        StackedAemNet(networks, make()[1].geometry, params, dtype=dtype).forward(x.float(), slice(0, 3), OFF)
        for dtype in (torch.float32, torch.bfloat16)
    )
    for a, b in zip(full, half, strict=True):
        assert b.dtype == torch.float32 and not torch.equal(a, b)
        assert (a - b).abs().mean() < 0.1 * a.abs().mean()


def test_every_row_and_run_of_rows_gives_the_same_numbers():
    _, stack, x = make()
    whole = stack.forward(x, slice(0, 3), OFF)
    for first, last in itertools.combinations(range(4), 2):
        for a, b in zip(whole, stack.forward(x[first:last], slice(first, last), OFF), strict=True):
            assert torch.allclose(a[first:last], b, atol=1e-12)
