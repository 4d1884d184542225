from __future__ import annotations

import pytest
import torch
from torch import Tensor

from microexp.features.i3d_load import flow_from_rgb
from microexp.features.i3d_network import FastI3d, InceptionI3d, Unit3D, fold, max_pool_same, pool


def plain(state: dict[str, Tensor], channels: int, frames: Tensor, clip: int, step: int) -> Tensor:
    network = InceptionI3d(channels).eval()
    network.load_state_dict(state, strict=False)
    starts = range(0, len(frames) - clip + 1, step)
    with torch.no_grad():
        return torch.cat([network.features(frames[i : i + clip].transpose(0, 1)[None]) for i in starts])


@pytest.mark.long
@pytest.mark.parametrize(
    ("clip", "step", "clips", "side"),
    [
        (8, 2, 3, 48),
        (8, 4, 2, 41),
        (8, 2, 1, 37),
        (16, 8, 2, 32),
        (6, 2, 2, 40),
        (2, 2, 2, 33),
        (7, 3, 2, 36),
        (1, 1, 2, 32),
        (8, 3, 2, 34),
        (4, 6, 2, 35),
    ],
)
def test_equals_the_plain_network(rgb_state: dict[str, Tensor], clip: int, step: int, clips: int, side: int) -> None:
    frames = torch.rand(step * (clips - 1) + clip, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = plain(rgb_state, 3, frames, clip, step)
    found = FastI3d(rgb_state).features(frames, clip, step)
    assert found.shape == (clips, 1024)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.long
def test_two_channels(rgb_state: dict[str, Tensor]) -> None:
    state = flow_from_rgb(rgb_state)
    frames = torch.rand(10, 2, 40, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = plain(state, 2, frames, 8, 2)
    assert (FastI3d(state).features(frames, 8, 2) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_a_clip_sees_only_its_own_frames(rgb_state: dict[str, Tensor]) -> None:
    """Frames outside a clip take part in the shared products: none of it may reach the clip."""
    network = FastI3d(rgb_state)
    frames = torch.rand(14, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    others = frames.clone()
    others[:2], others[10:] = 5.0, -5.0
    a, b = network.features(frames, 8, 2), network.features(others, 8, 2)
    assert torch.equal(a[1], b[1])
    assert not torch.allclose(a[0], b[0]) and not torch.allclose(a[2], b[2])


def test_incomplete_clips_are_a_bug(rgb_state: dict[str, Tensor]) -> None:
    for frames in (7, 9):
        with pytest.raises(ValueError, match="no whole number"):
            FastI3d(rgb_state).features(torch.zeros(frames, 3, 32, 32), 8, 2)


@pytest.mark.long
def test_folding(rgb_state: dict[str, Tensor]) -> None:
    unit = Unit3D(64, 64).eval()
    name = "Conv3d_2b_1x1"
    prefix = len(name) + 1
    unit.load_state_dict({k[prefix:]: v for k, v in rgb_state.items() if k.startswith(name)}, strict=False)
    x = torch.randn(1, 64, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    weight, bias = fold(rgb_state, name)
    expected = unit(x)
    found = torch.relu(torch.nn.functional.conv3d(x, weight, bias))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), [((1, 3, 3), 2), ((3, 3, 3), 1), ((3, 3, 3), 2), ((2, 2, 2), 2)])
@pytest.mark.parametrize("shape", [(4, 8, 8), (5, 7, 6), (1, 1, 2), (2, 9, 3)])
def test_pooling(kernel: tuple[int, int, int], stride: int, shape: tuple[int, int, int]) -> None:
    x = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    strides = (1 if kernel[0] == 1 else stride, stride, stride)
    expected = max_pool_same(x, kernel, strides)
    assert torch.equal(pool(x.contiguous(memory_format=torch.channels_last_3d), kernel, strides), expected)
    assert torch.equal(pool(x, kernel, strides), expected)
