"""Flow as 16-bit numbers with a scale: exact to 0.001 px, where 8 bits over ±20 px lose 0.05 px of a micro-motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import h5py

LARGEST = np.iinfo(np.int16).max


def quantise(flow: np.ndarray, scale_px: float) -> tuple[np.ndarray, int]:
    """Flow in px as int16 units of `scale_px`, and how many numbers were cut because they do not fit."""
    units = np.rint(flow * np.float32(1 / scale_px))
    cut = int(np.count_nonzero(np.abs(units) > LARGEST))
    return np.clip(units, -LARGEST, LARGEST).astype(np.int16), cut


def read_flow(dataset: h5py.Dataset, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Flow frames [start, stop) of a stored video as float32 px, (n, H, W, 2)."""
    flow: np.ndarray = dataset[start:stop].astype(np.float32) * np.float32(dataset.attrs["scale"])
    return flow
