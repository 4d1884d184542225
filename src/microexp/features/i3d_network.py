"""Inception-v1 I3D in torch: the plain form as published, and a faster one that is tested against it.

Source: Carreira & Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, figure 3, and their TensorFlow release:
SAME padding, batch normalisation with epsilon 1e-3 and without scale, features before the classifier averaged over
all positions (1024 numbers a clip). Modules carry the names of the widely used `pytorch-i3d` port, so that its weight
files load as they are. Its scale parameters are kept for the same reason; converted TensorFlow weights hold ones there.
"""

from __future__ import annotations

from collections.abc import Mapping

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


# The same I3D features, computed faster: every number that is skipped is a zero or is somewhere else already.
#
# Differences from `InceptionI3d.features`, which the tests hold it to (about 1e-6 relative):
#
# - Batch normalisation is folded into the convolutions.
# - Activations keep the order (clip, frame, row, column, channel) in memory, so that 1x1x1 convolutions and poolings
#   over one frame run on a plain view as images, and nothing is copied between 2-D and 3-D steps.
# - The first convolution is linear and overlapping clips share frames: its seven taps in time are split into four
#   kernels of at most two taps, each pair of frames meets all four once, and a clip's outputs are sums of such
#   partial results. Taps that would fall on the padding before or after a clip are never computed.
# - 3x3x3 convolutions get their padding from the convolution itself, which skips it; with one frame left (the last two
#   modules for clips of 8 frames) only the middle tap is applied.
# - Several consecutive clips run at once.

FIRST = "Conv3d_1a_7x7"
FIRST_STEP = 2  # stride of the first convolution in frames, and frames of a pair
LAYOUT = torch.channels_last_3d


class FastI3d:
    """I3D features of many overlapping clips of one stream.

    Args:
        state: weights with the names of `InceptionI3d`.
        device: what computes.
        dtype: of weights and activations; sums inside of a product and the last mean are in float32 in any case.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        names = [k.removesuffix(".conv3d.weight") for k in state if k.endswith(".conv3d.weight")]
        folded = {n: fold(state, n) for n in names if n != "logits"}
        self.bias = {n: b.to(device, dtype) for n, (_, b) in folded.items()}
        self.weight = {n: w.contiguous(memory_format=LAYOUT).to(device, dtype) for n, (w, _) in folded.items()}
        self.images = {n: _image_kernel(w) for n, w in self.weight.items() if n != FIRST}
        self.pairs = pair_kernels(self.weight[FIRST])
        self.device, self.dtype = torch.device(device), dtype

    @torch.inference_mode()
    def features(self, frames: Tensor, clip_frames: int, step_frames: int) -> Tensor:
        """Features of all clips in `frames`.

        Args:
            frames: (T, channels, H, W) float32 in [-1, 1]; T = step_frames * (clips - 1) + clip_frames.
            clip_frames: frames of a clip.
            step_frames: frames between the starts of clips.

        Returns:
            (clips, 1024) float32.
        """
        if (len(frames) - clip_frames) % step_frames or len(frames) < clip_frames:
            raise ValueError(f"{len(frames)} frames are no whole number of clips")
        frames = frames.to(self.dtype)
        if clip_frames % FIRST_STEP == 0 and step_frames % FIRST_STEP == 0:
            x = self._first_shared(frames, clip_frames, step_frames)
        else:
            x = self._first(frames, clip_frames, step_frames)
        for name in ("Conv3d_2b_1x1", "Conv3d_2c_3x3"):
            x = self._unit(x, name)
        for name in MIXED:
            x = pool(x, *POOLS[name]) if name in POOLS else x
            x = self._mixed(x, name)
        return x.mean((2, 3, 4), dtype=torch.float32)

    def _first(self, frames: Tensor, clip_frames: int, step_frames: int) -> Tensor:
        """First convolution and pooling, clip by clip: for odd clip lengths and steps."""
        clips = frames.unfold(0, clip_frames, step_frames).permute(0, 1, 4, 2, 3)
        padded = pad_same(clips, (7, 7, 7), (2, 2, 2)).contiguous(memory_format=LAYOUT)
        x = F.relu_(F.conv3d(padded, self.weight[FIRST], self.bias[FIRST], 2))
        return pool(x, *POOLS["Conv3d_2b_1x1"])

    def _first_shared(self, frames: Tensor, clip_frames: int, step_frames: int) -> Tensor:
        """First convolution and pooling of clips that start at even frames; see the head of this module."""
        t, channels, height, width = frames.shape
        rows, columns = same_padding(height, 7, 2), same_padding(width, 7, 2)
        pairs = F.pad(frames, (*columns, *rows)).reshape(t // 2, 2 * channels, height + sum(rows), width + sum(columns))
        partial = F.conv2d(pairs.contiguous(memory_format=torch.channels_last), self.pairs, stride=2)
        partial = partial.permute(0, 2, 3, 1)
        partial = partial.reshape(*partial.shape[:3], 4, 64)  # (pair, row, column, kernel, channel)
        clips, outputs, hop = (t - clip_frames) // step_frames + 1, clip_frames // 2, step_frames // 2
        total = partial.new_empty(clips, outputs, *partial.shape[1:3], 64)
        for output in range(outputs):
            terms = [  # kernel k sits k - 1 pairs after the output's own; outside the clip there is only padding
                partial[output + k - 1 :: hop, :, :, k][:clips] for k in range(4) if 0 <= output + k - 1 < outputs
            ]
            torch.add(terms[0], terms[1], out=total[:, output]) if len(terms) > 1 else total[:, output].copy_(terms[0])
            for term in terms[2:]:
                total[:, output] += term
        x = pool(total.permute(0, 4, 1, 2, 3), *POOLS["Conv3d_2b_1x1"])  # the maximum commutes with + bias and ReLU
        return F.relu_(x.add_(self.bias[FIRST][:, None, None, None]))

    def _unit(self, x: Tensor, name: str) -> Tensor:
        """Convolution of kernel 1x1x1 or 3x3x3 and ReLU."""
        kernel, bias, t = self.weight[name], self.bias[name], x.shape[2]
        if kernel.shape[2] == 1 or t == 1:  # frame by frame: no neighbour in time but padding
            y = F.conv2d(_as_images(x), self.images[name], bias, padding=kernel.shape[3] // 2)
            return F.relu_(_as_clips(y, t))
        return F.relu_(F.conv3d(x, kernel, bias, padding=1))

    def _mixed(self, x: Tensor, name: str) -> Tensor:
        one = self._unit(self._unit(x, f"{name}.b1a"), f"{name}.b1b")
        two = self._unit(self._unit(x, f"{name}.b2a"), f"{name}.b2b")
        three = self._unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{name}.b3b")
        return torch.cat([self._unit(x, f"{name}.b0"), one, two, three], 1)


def fold(state: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of unit `name` with its batch normalisation inside (computed in double precision)."""
    variance, mean = state[f"{name}.bn.running_var"].double(), state[f"{name}.bn.running_mean"].double()
    scale = state[f"{name}.bn.weight"].double() / torch.sqrt(variance + BN_EPSILON)
    weight = state[f"{name}.conv3d.weight"].double() * scale[:, None, None, None, None]
    return weight.float(), (state[f"{name}.bn.bias"].double() - mean * scale).float()


def pair_kernels(weight: Tensor) -> Tensor:
    """(64, C, 7, 7, 7) -> (4 * 64, 2 * C, 7, 7): taps 0-1, 2-3, 4-5 and 6 as image kernels over pairs of frames.

    With SAME padding an even clip has two zero frames before it, so that output o covers the pairs o - 1 … o + 2.
    """
    eight = torch.cat([weight, torch.zeros_like(weight[:, :, :1])], 2)
    outputs, channels = weight.shape[:2]
    kernels = eight.reshape(outputs, channels, 4, 2, 7, 7).permute(
        2, 0, 3, 1, 4, 5
    )  # (kernel, output, frame of the pair, channel, …)
    return kernels.reshape(4 * outputs, -1, 7, 7).contiguous(memory_format=torch.channels_last)


def pool(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Max pooling with SAME padding by minus infinity, without copying; `x` (N, C, T, H, W), kernel odd or = stride."""
    before = [same_padding(x.shape[2 + axis], kernel[axis], stride[axis])[0] for axis in range(3)]
    if kernel[0] == 1:
        y = F.max_pool2d(_as_images(x), kernel[1:], stride[1:], before[1:], ceil_mode=True)
        return _as_clips(y, x.shape[2])
    return F.max_pool3d(x, kernel, stride, before, ceil_mode=True)


def _image_kernel(weight: Tensor) -> Tensor:
    """The middle tap of a kernel, for what is computed frame by frame."""
    return weight[:, :, weight.shape[2] // 2].contiguous(memory_format=torch.channels_last)


def _as_images(x: Tensor) -> Tensor:
    """(N, C, T, H, W) -> (N * T, C, H, W), a view when channels come last in memory."""
    return x.permute(0, 2, 3, 4, 1).flatten(0, 1).permute(0, 3, 1, 2)


def _as_clips(x: Tensor, frames: int) -> Tensor:
    """(N * T, C, H, W) -> (N, C, T, H, W), the inverse of `_as_images`."""
    _, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(-1, frames, height, width, channels).permute(0, 4, 1, 2, 3)
