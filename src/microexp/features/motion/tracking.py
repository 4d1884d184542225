"""How the places of a face move, with the head's motion taken out, at a rate of choice.

Displacements are sums of flow, so they are read at the video's own rate and summed over the model's steps, whatever the
rates are. Time in which no usable face is seen is masked: the motion in it is unknown, which is not the same as zero.
Lengths are in distances between the eyes, so that neither the crop's size nor the camera's scale matters.

All functions are pure. Flow is what the stage `flow` stores: `flow[i]` leads from frame i to frame i + 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from microexp.features.motion.places import HEAD_WINDOW_EYES, WINDOW_EYES, eye_distance, head_lattice, places, windows

ReadFlow = Callable[[int, int], np.ndarray]
"""(start, stop) -> flow of these steps, (n, S, S, 2) px."""
ITERATIONS = 8
BATCH = 64
FROZEN_S = 0.25
"""What moves while the picture stands still for longer than this is unknown."""


def read_displacements(read: ReadFlow, n_steps: int, weights: np.ndarray) -> np.ndarray:
    """Mean flow of each window in each step: (n_steps, P, 2) float64 px, read in batches.

    Raises:
        ValueError: when a batch has not the shape that `weights` (P, S·S) asks for.
    """
    found = np.empty((n_steps, len(weights), 2))
    for first in range(0, n_steps, BATCH):
        last = min(first + BATCH, n_steps)
        flow = np.asarray(read(first, last), np.float32)
        if len(flow) != last - first or flow.shape[1] * flow.shape[2] != weights.shape[1] or flow.shape[3] != 2:
            raise ValueError(f"flow of shape {flow.shape} for steps {first} to {last} and {weights.shape[1]} pixels")
        flat = flow.reshape(len(flow), -1, 2)
        for axis in range(2):
            found[first:last, :, axis] = flat[..., axis] @ weights.T
    return found


def usable_steps(usable: np.ndarray, cuts: np.ndarray | None = None) -> np.ndarray:
    """(T-1,) whether the flow between two frames means something: both show the face, and no cut lies between.

    Args:
        usable: (T,) frames that show the face inside the picture.
        cuts: (T,) frames that begin a new shot.
    """
    both = usable[1:] & usable[:-1]
    return np.asarray(both if cuts is None else both & ~cuts[1:])


def drop_repeated(
    moved: np.ndarray, times_s: np.ndarray, usable: np.ndarray, *, repeated: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take out frames that repeat the one before: what moved since is spread over the time that really passed.

    Where that is longer than FROZEN_S, the step counts as not usable.

    Args:
        moved: (T-1, P, 2) displacement of each step.
        times_s: (T,) increasing.
        usable: (T-1,) steps.
        repeated: (T,) frames that show the same picture as the one before; None: there are none.

    Returns:
        The same three for the frames that are left.
    """
    if repeated is None or not repeated[1:].any():
        return moved, times_s, usable
    kept = np.flatnonzero(np.concatenate([[True], ~repeated[1:]]))
    if len(kept) < 2:
        return moved[:0], times_s[:1], usable[:0]
    first, end = kept[:-1], kept[-1]
    frozen = (np.diff(kept) > 1) & (np.diff(times_s[kept]) > FROZEN_S)
    known = np.logical_and.reduceat(usable[:end], first) & ~frozen
    return np.add.reduceat(moved[:end], first, 0), times_s[kept], known


def resample(
    moved: np.ndarray, times_s: np.ndarray, usable: np.ndarray, *, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Displacements between frames at `rate`, the first at times_s[0]: sums over whatever the video's own rate is.

    Returns:
        (m-1, P, 2) displacement, that of unusable time being 0, and (m-1,) whether all of the time was usable.
    """
    grid = times_s[0] + np.arange(n_model_frames(times_s, rate)) / rate
    span = np.diff(times_s)
    seen = np.interp(grid, times_s, np.concatenate([[0.0], np.cumsum(span * usable)]))
    path = np.concatenate([np.zeros_like(moved[:1]), np.cumsum(np.where(usable[:, None, None], moved, 0), 0)])
    if not len(moved):
        return np.zeros((0, *moved.shape[1:])), np.zeros(0, bool)
    left = np.clip(np.searchsorted(times_s, grid, "right") - 1, 0, len(span) - 1)
    share = np.clip((grid - times_s[left]) / span[left], 0, 1)[:, None, None]
    at_grid = path[left] * (1 - share) + path[left + 1] * share
    return np.diff(at_grid, axis=0), np.asarray(np.diff(seen) > (1 - 1e-3) / rate)


def n_model_frames(times_s: np.ndarray, rate: float) -> int:
    """Frames at `rate` from the first to the last of `times_s`."""
    return int(np.floor((times_s[-1] - times_s[0]) * rate + 1e-3)) + 1


def fit_head(moved: np.ndarray, spots: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The head's motion in each step: a similarity, fitted robustly, so that an expression does not pull it along.

    Iteratively reweighted least squares with Tukey's biweight at three robust deviations (Holland & Welsch 1977).

    Args:
        moved: (n, H, 2) displacements.
        spots: (H, 2) where, relative to the centre of the turn.
        weights: (H,) prior weights.

    Returns:
        (n, 4) shift x, shift y, stretch and turn (rad), for motions that are small against the face; 0 without weights.
    """
    basis = _similarity(spots)
    goal = np.concatenate([moved[..., 0], moved[..., 1]], 1)
    products = (basis[:, :, None] * basis[:, None, :]).reshape(len(basis), 16)
    trust = np.broadcast_to(weights, moved.shape[:2])
    found = np.zeros((len(moved), 4))
    for _ in range(ITERATIONS if len(moved) and weights.any() else 0):
        both = np.concatenate([trust, trust], 1)
        matrix = (both @ products).reshape(-1, 4, 4) + 1e-9 * np.eye(4)
        found = np.linalg.solve(matrix, ((both * goal) @ basis)[..., None])[..., 0]
        error = np.linalg.norm(moved - head_motion(found, spots), axis=-1)
        deviation = 1.4826 * np.median(error[:, weights > 0], 1, keepdims=True) + 1e-5
        trust = weights * np.clip(1 - (error / (3 * deviation)) ** 2, 0, None) ** 2
    return found


def head_motion(head: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """(n, P, 2) displacement of `spots` (P, 2) in a motion (n, 4) of `fit_head`."""
    along = head @ _similarity(spots).T
    return np.stack(np.split(along, 2, axis=1), -1)


def _similarity(spots: np.ndarray) -> np.ndarray:
    """(2P, 4) what shift x, shift y, stretch and turn move at `spots`: first all x, then all y."""
    (x, y), one, zero = spots.T, np.ones(len(spots)), np.zeros(len(spots))
    return np.concatenate([np.stack([one, zero, x, -y], 1), np.stack([zero, one, y, x], 1)])


@dataclass(frozen=True)
class PlaceMotion:
    """How the places move, with the head's motion taken out.

    Attributes:
        moved: (m-1, P, 2) displacement between frames at the model's rate, eye distances; 0 where not valid.
        valid: (m-1,) whether the whole of a step is usable.
        names: (P,) of the places.
        frame_index: (m,) source frame, fractional, of each model frame.
        rate: frames/s.
    """

    moved: np.ndarray
    valid: np.ndarray
    names: tuple[str, ...]
    frame_index: np.ndarray
    rate: float


def place_motion(
    read: ReadFlow,
    size: int,
    landmarks: np.ndarray,
    *,
    times_s: np.ndarray,
    usable: np.ndarray,
    rate: float = 30.0,
    window_eyes: float = WINDOW_EYES,
    repeated: np.ndarray | None = None,
    inside: np.ndarray | None = None,
) -> PlaceMotion:
    """Read a video's flow and follow its places.

    Args:
        read: flow of the T-1 steps.
        size: side S of the crop, px.
        landmarks: (68, 2) reference landmarks as shares of the side.
        times_s: (T,) time of each frame, increasing.
        usable: (T-1,) steps, as of `usable_steps`.
        rate: of the result, frames/s.
        window_eyes: standard deviation of a place's window, eye distances.
        repeated: (T,) frames that repeat the one before.
        inside: (S, S) pixels that show the source's picture.

    Raises:
        ValueError: when the arrays do not fit each other or times do not increase.
    """
    if len(usable) != len(times_s) - 1 or (np.diff(times_s) <= 0).any() or landmarks.shape != (68, 2):
        raise ValueError(f"{len(usable)} steps, {len(times_s)} times (to increase), landmarks {landmarks.shape}")
    names, centres = places(landmarks)
    eye, bridge = eye_distance(landmarks), landmarks[28]
    spots, trust = head_lattice(landmarks)
    wide = windows(centres, window_eyes * eye, size, inside=inside)
    narrow = windows(spots * eye + bridge, HEAD_WINDOW_EYES * eye, size, inside=inside)
    moved = read_displacements(read, len(usable), np.concatenate([wide, narrow])) / (eye * size)
    moved, valid = resample(*drop_repeated(moved, times_s, usable, repeated=repeated), rate=rate)
    head = fit_head(moved[:, len(names) :], spots, trust * narrow.any(1))
    moved = moved[:, : len(names)] - head_motion(head, (centres - bridge) / eye)
    moved *= valid[:, None, None] * np.asarray(wide.any(1))[:, None]
    grid = times_s[0] + np.arange(len(moved) + 1) / rate
    return PlaceMotion(moved, valid, names, np.interp(grid, times_s, np.arange(len(times_s))), rate)
