"""Pairs of images with known motion."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A periodic random texture with grey levels around 128."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width))
    for sigma in (1.2, 5.0):
        layer = gaussian_filter(rng.standard_normal((height, width)), sigma, mode="wrap")
        total += layer / layer.std()
    return 128 + 20 * total


def shifted(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """A periodic image moved by (dx, dy) px, exactly."""
    ky, kx = (np.fft.fftfreq(n) for n in image.shape)
    return np.fft.ifft2(np.fft.fft2(image) * np.exp(-2j * np.pi * (kx * dx + ky[:, None] * dy))).real


def grey(image: np.ndarray) -> np.ndarray:
    """As a camera would store it."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def moved_pairs(count: int = 3, height: int = 52, width: int = 47) -> tuple[np.ndarray, np.ndarray]:
    """(count, height, width) twice: textures that move by another fraction of a pixel each."""
    first, second = [], []
    for seed in range(count):
        image = texture(height, width, seed)
        first.append(grey(image))
        second.append(grey(shifted(image, 0.2 + 0.5 * seed, -0.4 * seed)))
    return np.stack(first), np.stack(second)


@pytest.fixture(scope="session")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    return moved_pairs()
