"""Places of the face that follow its landmarks: Gaussian windows around means of landmarks, and a lattice for the head.

A video has one alignment, so its places are fixed, and their motion is a linear function of the flow.
"""

from __future__ import annotations

import numpy as np

PAIRS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "brow_outer": ((17, 18), (26, 25)),
    "brow_middle": ((19,), (24,)),
    "brow_inner": ((20, 21), (23, 22)),
    "lid_upper": ((37, 38), (44, 43)),
    "lid_lower": ((40, 41), (47, 46)),
    "eye_corner": ((36,), (45,)),
    "cheek": ((40, 41, 48, 48), (47, 46, 54, 54)),
    "nostril": ((31,), (35,)),
    "nasolabial": ((31, 48), (35, 54)),
    "mouth_corner": ((48,), (54,)),
    "lip_upper": ((49, 50), (53, 52)),
    "lip_lower": ((58, 59), (56, 55)),
    "jaw": ((48, 59, 6, 6), (54, 55, 10, 10)),
}
"""Places left and right in the picture: each lies at the mean of these landmarks (iBUG 300-W order, from 0)."""
SINGLE: dict[str, tuple[int, ...]] = {
    "glabella": (21, 22, 27, 27),
    "bridge": (28, 29),
    "tip": (30,),
    "lip_upper": (51, 62),
    "lip_lower": (57, 66),
    "chin": (57, 8),
}
"""Places on the midline; the forehead, which has no landmark, is added above the brows."""
FOREHEAD_EYES = 0.3
WINDOW_EYES = 0.12
HEAD_STEP_EYES, HEAD_WINDOW_EYES = 0.2, 0.06
HEAD_REACH_EYES = (1.0, 0.9)
"""The head's motion is fitted on a lattice around the bridge of the nose, weighted by a Gaussian of this reach."""
SMALLEST_WEIGHT = 1e-30
"""Weights below are 0: they change no sum, but products with them are denormal numbers, which cost a CPU much time."""


def places(landmarks: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Names (P,) and centres (P, 2) of the places, in the unit of (68, 2) landmarks; left and right alternate."""
    names, centres = [], []
    for name, sides in PAIRS.items():
        for side, points in zip(("left", "right"), sides, strict=True):
            names.append(f"{name}_{side}")
            centres.append(landmarks[list(points)].mean(0))
    for name, points in SINGLE.items():
        names.append(f"{name}_middle")
        centres.append(landmarks[list(points)].mean(0))
    up = landmarks[27] - landmarks[33]
    names.append("forehead_middle")
    centres.append(landmarks[[21, 22]].mean(0) + FOREHEAD_EYES * eye_distance(landmarks) * up / np.linalg.norm(up))
    return tuple(names), np.stack(centres)


def eye_distance(landmarks: np.ndarray) -> float:
    """Distance between the centres of the eyes, in the unit of the landmarks."""
    return float(np.linalg.norm(landmarks[36:42].mean(0) - landmarks[42:48].mean(0)))


def head_lattice(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the head's motion is looked at: places (H, 2) in eye distances from the nose's bridge, weights (H,)."""
    ticks = np.arange(-1.2, 1.2 + 1e-9, HEAD_STEP_EYES)
    lattice = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
    outline = (landmarks - landmarks[28]) / eye_distance(landmarks)
    low = np.array([outline[:17, 0].min(), outline[[19, 24], 1].min() - 0.5])
    face = ((lattice >= low) & (lattice <= outline[:17].max(0))).all(1)
    return lattice[face], np.exp(-((lattice[face] / HEAD_REACH_EYES) ** 2).sum(1))


def windows(centres: np.ndarray, deviation: float, size: int, *, inside: np.ndarray | None = None) -> np.ndarray:
    """Gaussian windows on the pixels of a crop.

    Args:
        centres: (P, 2) shares of the crop's side.
        deviation: standard deviation, share of the side.
        size: side S of the crop, px.
        inside: (S, S) which pixels show the source's picture; the others (the repeated border) get no weight.

    Returns:
        (P, S·S) float32, each row sums to 1; all 0 where less than half of a window lies inside.
    """
    pixel = (np.arange(size) + 0.5) / size
    x, y = (np.exp(-0.5 * ((pixel - c[:, None]) / deviation) ** 2) for c in centres.T)
    weights = (y[:, :, None] * x[:, None, :]).reshape(len(centres), -1)
    whole = 2 * np.pi * (deviation * size) ** 2
    if inside is not None:
        weights = weights * inside.reshape(-1)
    total = weights.sum(1, keepdims=True)
    found = np.where(total > 0.5 * whole, weights / np.maximum(total, 1e-12), 0.0)
    return np.where(found > SMALLEST_WEIGHT, found, 0.0).astype(np.float32)
