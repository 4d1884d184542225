"""Inception-v1 I3D in torch, as published: the plain form that every faster form is tested against.

Source: Carreira & Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, figure 3, and their TensorFlow release:
SAME padding, batch normalisation with epsilon 1e-3 and without scale, features before the classifier averaged over
all positions (1024 numbers a clip). Modules carry the names of the widely used `pytorch-i3d` port, so that its weight
files load as they are. Its scale parameters are kept for the same reason; converted TensorFlow weights hold ones there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 1024
BN_EPSILON = 1e-3

Triple = tuple[int, int, int]

#: name -> (input channels, output channels of b0, b1a, b1b, b2a, b2b, b3b)
MIXED: dict[str, tuple[int, tuple[int, int, int, int, int, int]]] = {
    "Mixed_3b": (192, (64, 96, 128, 16, 32, 32)),
    "Mixed_3c": (256, (128, 128, 192, 32, 96, 64)),
    "Mixed_4b": (480, (192, 96, 208, 16, 48, 64)),
    "Mixed_4c": (512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": (512, (128, 128, 256, 24, 64, 64)),
    "Mixed_4e": (512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": (528, (256, 160, 320, 32, 128, 128)),
    "Mixed_5b": (832, (256, 160, 320, 32, 128, 128)),
    "Mixed_5c": (832, (384, 192, 384, 48, 128, 128)),
}
#: the pooling that stands before a module: kernel and stride
POOLS: dict[str, tuple[Triple, Triple]] = {
    "Conv3d_2b_1x1": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding of one axis: (before, after); the odd one goes after."""
    outputs = -(-size // stride)
    total = max(0, (outputs - 1) * stride + kernel - size)
    return total // 2, total - total // 2


def pad_same(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """`x` (N, C, T, H, W) with zeros around it as TensorFlow's SAME asks for."""
    pads: list[int] = []
    for axis in (2, 1, 0):  # F.pad counts axes from the last
        pads += same_padding(x.shape[2 + axis], kernel[axis], stride[axis])
    return F.pad(x, pads)


def max_pool_same(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Max pooling with SAME padding; `x` >= 0 (it always follows a ReLU), so zeros stand for minus infinity."""
    return F.max_pool3d(pad_same(x, kernel, stride), kernel, stride)


class Unit3D(nn.Module):
    """Convolution, then batch normalisation and ReLU (neither in the classifier)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Triple = (1, 1, 1), *, stride: Triple = (1, 1, 1), head: bool = False
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=head)
        self.bn = None if head else nn.BatchNorm3d(outputs, eps=BN_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, outputs, ceil(T / stride), …)."""
        x = self.conv3d(pad_same(x, self.kernel, self.stride))
        return x if self.bn is None else F.relu(self.bn(x))


class Mixed(nn.Module):
    """Inception module: 1x1x1 | 1x1x1, 3x3x3 | 1x1x1, 3x3x3 | max pooling, 1x1x1."""

    def __init__(self, inputs: int, outputs: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        self.b0 = Unit3D(inputs, outputs[0])
        self.b1a, self.b1b = Unit3D(inputs, outputs[1]), Unit3D(outputs[1], outputs[2], (3, 3, 3))
        self.b2a, self.b2b = Unit3D(inputs, outputs[3]), Unit3D(outputs[3], outputs[4], (3, 3, 3))
        self.b3b = Unit3D(inputs, outputs[5])

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, T, H, W) -> (N, sum of the branches, T, H, W)."""
        pooled = max_pool_same(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], 1)


class InceptionI3d(nn.Module):
    """The whole network for `channels` 3 (RGB) or 2 (flow)."""

    def __init__(self, channels: int = 3, classes: int = 400) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit3D(channels, 64, (7, 7, 7), stride=(2, 2, 2))
        self.Conv3d_2b_1x1 = Unit3D(64, 64)
        self.Conv3d_2c_3x3 = Unit3D(64, 192, (3, 3, 3))
        for name, (inputs, outputs) in MIXED.items():
            self.add_module(name, Mixed(inputs, outputs))
        self.logits = Unit3D(FEATURES, classes, head=True)

    def maps(self, x: Tensor) -> Tensor:
        """(N, channels, T, H, W) in [-1, 1] -> the last feature maps (N, 1024, ceil(T/8), ceil(H/32), ceil(W/32))."""
        for name in ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3", *MIXED):
            if name in POOLS:
                x = max_pool_same(x, *POOLS[name])
            x = self.get_submodule(name)(x)
        return x

    def features(self, x: Tensor) -> Tensor:
        """(N, channels, T, H, W) in [-1, 1] -> (N, 1024): the maps averaged over all positions."""
        return self.maps(x).mean((2, 3, 4))

    def forward(self, x: Tensor) -> Tensor:
        """Class scores (N, classes): pooled over (2, 7, 7) positions as released, classified, averaged.

        The maps must span at least that window: 9 frames of 193 px or more.
        """
        return self.logits(F.avg_pool3d(self.maps(x), (2, 7, 7), 1)).mean((2, 3, 4))  # type: ignore[no-any-return]
