"""The 68 landmarks, the canonical face, and similarity transforms between them.

Points are (x, y) in px with the centre of the first pixel at (0, 0). A similarity is a (2, 3) float64 matrix `m`
that maps p to `m[:, :2] @ p + m[:, 2]`.
"""

from __future__ import annotations

import numpy as np

LEFT_EYE = slice(36, 42)  # left in the picture
RIGHT_EYE = slice(42, 48)
NOSE_BASE = slice(31, 36)
RIGID = np.array([27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 39, 42, 45])
"""Bridge and base of the nose and the corners of the eyes: the points that expressions move least."""

NOSE_DROP = 0.69
"""Height of the eyes over the base of the nose, in units of the distance between the eyes."""


def fit_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity (rotation, one scale, shift; no mirror) that maps `source` to `target` in least squares.

    Umeyama 1991 for two dimensions, where it is linear in complex numbers.

    Args:
        source: (n, 2) points, n >= 2, not all equal.
        target: (n, 2) points.

    Returns:
        (2, 3) float64.
    """
    p = source[:, 0] + 1j * source[:, 1]
    q = target[:, 0] + 1j * target[:, 1]
    p0, q0 = p.mean(), q.mean()
    turn = np.vdot(p - p0, q - q0) / np.vdot(p - p0, p - p0)
    return from_complex(turn, q0 - turn * p0)


def from_complex(turn: complex, shift: complex) -> np.ndarray:
    """The similarity z -> turn * z + shift as a (2, 3) matrix."""
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """`points` (..., 2) mapped by a (2, 3) matrix."""
    mapped: np.ndarray = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a (2, 3) matrix."""
    inverse = np.linalg.inv(matrix[:, :2])
    return np.hstack([inverse, -inverse @ matrix[:, 2:]])


def scale_of(matrix: np.ndarray) -> float:
    """Length of a mapped vector over its length before."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def anchors(landmarks: np.ndarray) -> np.ndarray:
    """(..., 68, 2) landmarks -> (..., 3, 2): centre of the left eye, of the right eye, base of the nose."""
    means = [landmarks[..., part, :].mean(axis=-2) for part in (LEFT_EYE, RIGHT_EYE, NOSE_BASE)]
    return np.stack(means, axis=-2)


def canonical_anchors(eye_distance: float, eye_height: float) -> np.ndarray:
    """Where `anchors` lie in the unit square of the crop: (3, 2)."""
    half = eye_distance / 2
    return np.array([[0.5 - half, eye_height], [0.5 + half, eye_height], [0.5, eye_height + NOSE_DROP * eye_distance]])


def face_alignment(reference: np.ndarray, eye_distance: float, eye_height: float) -> np.ndarray:
    """The similarity from source px to the unit square of the crop, for (68, 2) reference landmarks."""
    return fit_similarity(anchors(reference), canonical_anchors(eye_distance, eye_height))


def rebox(landmarks: np.ndarray) -> np.ndarray:
    """The box (x0, y0, x1, y1) that dlib's detector would draw around these landmarks.

    The predictor was trained on such boxes, so it is steadiest when started from one. The figures are the relation of
    its box to mean and spread of the landmarks of a frontal face.
    """
    centre = landmarks.mean(axis=0)
    spread = np.sqrt(((landmarks - centre) ** 2).sum(axis=1).mean())
    middle = centre + spread * np.array([-0.05, -0.03])
    return np.concatenate([middle - 1.24 * spread, middle + 1.24 * spread])
