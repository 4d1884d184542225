"""The few operations that AEM-Net's training consists of, each once for a whole stack of networks.

Tensors are (G, B, L, C): G networks, each with its own B windows of L places and C channels. Channels come last, so
that every convolution is one batched matrix product over copied neighbourhoods. On narrow networks this is several
times faster than `torch.nn`'s convolutions, which spend their time on changing layouts. Networks of a
stack never meet in any of these operations. What is no matrix product is compiled for CPUs (`loops`); the formulas in
torch are for GPUs and for double precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from microexp.methods.spotting.aemnet import loops

NORM_EPSILON = 1e-5
MISH_LIMIT = 20.0
"""Above it, mish(x) is x in float32."""


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, kernel: int = 1, stride: int = 1, padding: int = 0,
    active: bool = False, dtype: torch.dtype = torch.float32,
) -> Tensor:  # fmt: skip
    """One-dimensional convolution; a linear layer is one with kernel 1.

    Args:
        x: (G, B, L, C).
        weight: (G, kernel·C, O), the places of the kernel one after the other.
        bias: (G, O).
        kernel: places under the kernel.
        stride: distance of two results.
        padding: zeros at either end.
        active: whether Mish follows.
        dtype: in which products are computed; results are float32.

    Returns:
        (G, B, L', O).
    """
    where = kernel, stride, padding
    out: Tensor = _Convolution.apply(x, weight, bias, where, active, dtype)  # type: ignore[no-untyped-call]
    return out


def mish(x: Tensor) -> Tensor:
    """x·tanh(softplus(x)) of any shape."""
    out: Tensor = _Mish.apply(x)  # type: ignore[no-untyped-call]
    return out


def norm_mish(x: Tensor, gain: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Batch norm with the batch's own statistics, then Mish.

    Args:
        x: (G, B, L, C).
        gain: (G, C).
        shift: (G, C).

    Returns:
        (G, B, L, C), and (G, C) mean and unbiased variance of each network's batch.
    """
    y, mean, variance = _NormMish.apply(x, gain, shift)  # type: ignore[no-untyped-call]
    return y, mean, variance


def halve(x: Tensor) -> Tensor:
    """(G, B, L, C) -> (G, B, ceil(L/2), C): the greater of each two neighbours, of equal ones the first."""
    out: Tensor = _Halve.apply(x)  # type: ignore[no-untyped-call]
    return out


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, where: tuple[int, int, int], active: bool,
        dtype: torch.dtype,
    ) -> Tensor:  # fmt: skip
        """The product of `convolve`, with the slope of Mish where it is active."""
        around, weight = _neighbourhoods(x, *where).to(dtype), weight.to(dtype)
        if bias is None:
            out = torch.bmm(around, weight)
        else:
            out = torch.baddbmm(bias.to(dtype)[:, None], around, weight)
        out, slope = out.to(x.dtype), None
        if active:
            out, slope = _mish_and_slope(out)
        ctx.save_for_backward(around, weight, slope)
        ctx.where, ctx.shape, ctx.dtype, ctx.has_bias = where, x.shape, x.dtype, bias is not None
        return out.view(*x.shape[:2], -1, weight.shape[2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of input, weights and bias."""
        around, weight, slope = ctx.saved_tensors
        gradient = gradient.reshape(len(weight), -1, weight.shape[2])
        if slope is not None:
            gradient = gradient * slope
        to_bias = gradient.sum(1) if ctx.has_bias else None
        gradient = gradient.to(weight.dtype)
        to_weight = torch.bmm(around.transpose(1, 2), gradient).to(ctx.dtype)
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = _gathered(torch.bmm(gradient, weight.transpose(1, 2)).to(ctx.dtype), ctx.shape, *ctx.where)
        return to_x, to_weight, to_bias, None, None, None


def _neighbourhoods(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """(G, B, L, C) -> (G, B·L', kernel·C): what lies under the kernel at each of its places."""
    stack, batch, length, channels = x.shape
    if kernel == 1 and stride == 1 and not padding:
        return x.reshape(stack, batch * length, channels)
    if _compiled(x):
        out = x.new_empty(stack * batch, (length + 2 * padding - kernel) // stride + 1, kernel, channels)
        loops.copy_around(x.reshape(-1, length, channels).numpy(), out.numpy(), stride, padding)
        return out.view(stack, -1, kernel * channels)
    if padding:
        x = torch.nn.functional.pad(x, (0, 0, padding, padding))
    return x.unfold(2, kernel, stride).transpose(3, 4).reshape(stack, -1, kernel * channels)


def _gathered(around: Tensor, shape: torch.Size, kernel: int, stride: int, padding: int) -> Tensor:
    """The gradient of `_neighbourhoods`: each place of `shape` sums up where it was copied to."""
    stack, batch, length, channels = shape
    if kernel == 1 and stride == 1 and not padding:
        return around.view(shape)
    if _compiled(around):
        out = around.new_zeros(stack * batch, length, channels)
        loops.add_around(around.view(stack * batch, -1, kernel, channels).numpy(), out.numpy(), stride, padding)
        return out.view(shape)
    around = around.view(stack, batch, -1, kernel, channels)
    total = around.new_zeros(stack, batch, length + 2 * padding, channels)
    reach = stride * (around.shape[2] - 1) + 1
    for k in range(kernel):
        total[:, :, k : k + reach : stride] += around[:, :, :, k]
    return total[:, :, padding : padding + length]


class _Mish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """mish(x); its slope is kept."""
        y, slope = _mish_and_slope(x)
        ctx.save_for_backward(slope)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """The gradient times the slope."""
        slope: Tensor = ctx.saved_tensors[0]
        return gradient * slope


class _NormMish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """mish(norm(x)), with mean and unbiased variance of the batch."""
        rows = x.flatten(1, 2)
        out, unit, mean, variance, inverse = _normalised(rows, gain, shift)
        y, slope = _mish_and_slope(out)
        ctx.save_for_backward(unit, slope, gain * inverse)
        variance = variance * (rows.shape[1] / (rows.shape[1] - 1))
        ctx.mark_non_differentiable(mean, variance)
        return y.view_as(x), mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of input, gain and shift."""
        unit, slope, scale = ctx.saved_tensors
        to_x, to_gain, to_shift = _norm_gradients(gradient.reshape(unit.shape), unit, slope, scale)
        return to_x.view(gradient.shape), to_gain, to_shift


class _Halve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The greater of each two neighbours; which one it was is kept."""
        even = x.shape[2] // 2 * 2
        first, second = x[:, :, 0:even:2], x[:, :, 1:even:2]
        ctx.taken, ctx.length = first >= second, x.shape[2]
        return torch.cat([torch.maximum(first, second), x[:, :, even:]], 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Each gradient goes to the neighbour that was the greater."""
        pairs = ctx.taken.shape[2]
        out = gradient.new_empty(*gradient.shape[:2], ctx.length, gradient.shape[3])
        paired = gradient[:, :, :pairs]
        torch.mul(paired, ctx.taken, out=out[:, :, 0 : 2 * pairs : 2])
        torch.mul(paired, ~ctx.taken, out=out[:, :, 1 : 2 * pairs : 2])
        out[:, :, 2 * pairs :] = gradient[:, :, pairs:]
        return out


def _compiled(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32


def _mish_and_slope(x: Tensor) -> tuple[Tensor, Tensor]:
    """mish(x) and its derivative, by one exponential.

    With e = exp(x) and s = e(e + 2), tanh(softplus(x)) = s / (s + 2), and its derivative is 4(s - e) / (s + 2)².
    """
    if _compiled(x):
        x = x.contiguous()
        y, slope = torch.empty_like(x), torch.empty_like(x)
        loops.mish_into(x.view(-1).numpy(), y.view(-1).numpy(), slope.view(-1).numpy())
        return y, slope
    e = x.clamp(max=MISH_LIMIT).exp_()
    s = (e + 2).mul_(e)
    inverse = (s + 2).reciprocal_()
    share = s * inverse
    slope = s.sub_(e).mul_(inverse).mul_(inverse).mul_(x)
    slope = torch.add(share, slope, alpha=4)
    return share.mul_(x), slope


def _normalised(rows: Tensor, gain: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(G, R, C) normalised over its rows with and without gain and shift; (G, C) mean, variance, 1 / deviation."""
    if _compiled(rows):
        wide = np.empty((2, *gain.shape))
        loops.moments(rows.numpy(), wide[0], wide[1])
        mean, variance = torch.from_numpy(wide.astype(np.float32))
        inverse = torch.from_numpy((1 / np.sqrt(wide[1] + NORM_EPSILON)).astype(np.float32))
        unit, out = torch.empty_like(rows), torch.empty_like(rows)
        per_channel = (t.contiguous().numpy() for t in (mean, inverse, gain.detach(), shift.detach()))
        loops.normalise(rows.numpy(), *per_channel, unit.numpy(), out.numpy())
        return out, unit, mean, variance, inverse
    mean = rows.mean(1)
    unit = rows - mean[:, None]
    variance = unit.square().mean(1)
    inverse = (variance + NORM_EPSILON).rsqrt()
    unit *= inverse[:, None]
    return torch.addcmul(shift[:, None], unit, gain[:, None]), unit, mean, variance, inverse


def _norm_gradients(gradient: Tensor, unit: Tensor, slope: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to the rows (G, R, C), the gain and the shift (G, C)."""
    rows = unit.shape[1]
    if _compiled(unit):
        bent, wide = torch.empty_like(unit), np.empty((2, *scale.shape))
        loops.slope_sums(gradient.contiguous().numpy(), slope.numpy(), unit.numpy(), bent.numpy(), wide[0], wide[1])
        sums, means = wide.astype(np.float32), (wide / rows).astype(np.float32)
        loops.norm_gradient(bent.numpy(), unit.numpy(), means[0], means[1], scale.numpy())
        return bent, torch.from_numpy(sums[0]), torch.from_numpy(sums[1])
    bent = gradient * slope
    to_gain, to_shift = (bent * unit).sum(1), bent.sum(1)
    to_x = bent.sub_(to_shift[:, None] / rows).addcmul_(unit, to_gain[:, None] / rows, value=-1).mul_(scale[:, None])
    return to_x, to_gain, to_shift
