"""The motion of the head as a whole between two frames, told from that of the face by a robust fit to the flow."""

from __future__ import annotations

import numpy as np

CENTRE = (0.5, 0.56)
RADII = (0.36, 0.42)
"""The face in the crop: an ellipse, in crop sides."""

ROUNDS = 20
TUKEY = 4.685
"""Residuals beyond so many standard deviations count nothing (Beaton & Tukey 1974)."""
SMALLEST_SPREAD_PX = 0.02


def face_mask(size: int) -> np.ndarray:
    """(size, size) bool: inside the ellipse of the face."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    inside: np.ndarray = ((x - CENTRE[0]) / RADII[0]) ** 2 + ((y - CENTRE[1]) / RADII[1]) ** 2 <= 1
    return inside


def rigid_flow(flow: np.ndarray) -> np.ndarray:
    """The flow of the head as a whole: a shift, turn and change of scale fitted to the flow of the face.

    Iteratively reweighted least squares with Tukey's weights from a median start: an expression moves a minor part of
    the face, stands out and counts nothing.

    Args:
        flow: (S, S, 2) px.

    Returns:
        (S, S, 2) px, smooth: in complex numbers w(z) = shift + turn * z.
    """
    size = flow.shape[0]
    y, x = np.mgrid[:size, :size]
    z = (x - size / 2) + 1j * (y - size / 2)
    inside = face_mask(size)
    points = z[inside]
    values = flow[..., 0][inside].astype(np.float64) + 1j * flow[..., 1][inside]
    shift, turn = complex(np.median(values.real), np.median(values.imag)), 0j
    for _ in range(ROUNDS):
        residual = np.abs(values - shift - turn * points)
        spread = max(SMALLEST_SPREAD_PX, float(np.median(residual)) / np.sqrt(2 * np.log(2)))  # Rayleigh
        weight = np.clip(1 - (residual / (TUKEY * spread)) ** 2, 0, None) ** 2
        total = weight.sum()
        centre, mean = (weight * points).sum() / total, (weight * values).sum() / total
        turn = (weight * np.conj(points - centre) * (values - mean)).sum() / (weight * abs(points - centre) ** 2).sum()
        shift = mean - turn * centre
    head = shift + turn * z
    return np.stack([head.real, head.imag], axis=-1).astype(np.float32)


def undo(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """`image` (S, S) float32 seen as if the points had not moved by `flow` (S, S, 2) px: image(x + flow(x))."""
    import cv2

    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    moved: np.ndarray = cv2.remap(
        image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE
    )
    return moved
