"""How many pairs go to a GPU at a time: as many as its memory likes, in few different shapes."""

from __future__ import annotations

import torch
from torch import Tensor

GPU_BATCH = 128
"""Pairs of 224 x 224 px per batch on a GPU; of other sizes as many as take the same memory, at most LARGEST_BATCH."""

LARGEST_BATCH = 1024

FILL_STEP = 4
"""On a GPU a smaller batch is filled up to the largest one divided by a power of this: at most so many times the work,
which takes milliseconds, and few shapes, since compiling for each takes seconds."""


def gpu_batch(height: int, width: int) -> int:
    """Pairs of this size per batch on a GPU: a power of two, and its memory does not grow with the size."""
    fitting = min(LARGEST_BATCH, GPU_BATCH * 224 * 224 // (height * width))
    return 1 << max(0, fitting.bit_length() - 1)


def filled_size(count: int, batch: int) -> int:
    """To how many pairs `count` are filled up: `batch`, or that divided by a power of FILL_STEP."""
    size = batch
    while size // FILL_STEP >= count:
        size //= FILL_STEP
    return max(size, count)


def fill_up(batch: Tensor, size: int) -> Tensor:
    """`batch` with its first item repeated until there are `size`."""
    return torch.cat([batch, batch[:1].expand(size - len(batch), *batch.shape[1:])])
