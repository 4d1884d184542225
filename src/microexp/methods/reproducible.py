"""Torch so that the same inputs give the same bytes: one thread, deterministic kernels, generators put back after."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def reproducible(device: torch.device | str) -> Iterator[None]:
    """One CPU thread and deterministic kernels inside the block; torch's settings and generators are put back after."""
    device = torch.device(device)
    threads, benchmark, deterministic = (
        torch.get_num_threads(), torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic,
    )  # fmt: skip
    torch.set_num_threads(1)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = benchmark, deterministic
