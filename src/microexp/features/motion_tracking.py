"""The places of a face, and how they move, with the head's motion taken out, at a rate of choice.

Displacements are sums of flow, so they are read at the video's own rate and summed over the model's steps, whatever the
rates are. Time in which no usable face is seen is masked: the motion in it is unknown, which is not the same as zero.
Lengths are in distances between the eyes, so that neither the crop's size nor the camera's scale matters.

All functions are pure. Flow is what the stage `flow` stores: `flow[i]` leads from frame i to frame i + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

# Places of the face that follow its landmarks: Gaussian windows around means of landmarks, and a lattice for the head.
#
# A video has one alignment, so its places are fixed, and their motion is a linear function of the flow.

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


ReadFlow = Callable[[int, int], np.ndarray]
"""(start, stop) -> flow of these steps, (n, S, S, 2) px."""
ITERATIONS = 8
BATCH = 64
STEPS_AT_ONCE = 1024
"""Of a long video, so that of all places and the lattice only so much is held at a time."""
FROZEN_S = 0.25
"""What moves while the picture stands still for longer than this is unknown."""


class Displacements:
    """Mean flow of each window in each step, read in batches from the first step to the last.

    Args:
        read: flow of the video's steps.
        n_steps: how many steps there are.
        weights: (P, S·S) windows.
        unit_px: what a displacement is measured in, px.
    """

    def __init__(self, read: ReadFlow, n_steps: int, weights: np.ndarray, *, unit_px: float = 1.0) -> None:
        self._read, self._n_steps, self._weights, self._unit_px = read, n_steps, weights, unit_px
        self._first, self._held = 0, np.empty((0, len(weights), 2), np.float32)

    def between(self, first: int, last: int) -> np.ndarray:
        """(last - first, P, 2) float64 of these steps, in units; `first` may not go back from call to call.

        Raises:
            ValueError: when a batch has not the shape that the windows ask for.
        """
        parts, end = [self._held[first - self._first :]], self._first + len(self._held)
        while end < last:  # batches always begin at the same steps, and so have the same rounding
            parts.append(self._batch(end, min(end + BATCH, self._n_steps)))
            end += len(parts[-1])
        self._held, self._first = np.concatenate(parts), first
        return self._held[: last - first].astype(np.float64) / self._unit_px

    def _batch(self, first: int, last: int) -> np.ndarray:
        flow = np.asarray(self._read(first, last), np.float32)
        n_pixels = self._weights.shape[1]
        if len(flow) != last - first or flow.shape[1] * flow.shape[2] != n_pixels or flow.shape[3] != 2:
            raise ValueError(f"flow of shape {flow.shape} for steps {first} to {last} and {n_pixels} pixels")
        flat = flow.reshape(len(flow), -1, 2)
        return np.stack([flat[..., axis] @ self._weights.T for axis in range(2)], -1)


def usable_steps(usable: np.ndarray, cuts: np.ndarray | None = None) -> np.ndarray:
    """(T-1,) whether the flow between two frames means something: both show the face, and no cut lies between.

    Args:
        usable: (T,) frames that show the face inside the picture.
        cuts: (T,) frames that begin a new shot.
    """
    both = usable[1:] & usable[:-1]
    return np.asarray(both if cuts is None else both & ~cuts[1:])


def kept_frames(times_s: np.ndarray, usable: np.ndarray, repeated: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Frames that do not repeat the one before: what moved since is spread over the time that really passed.

    Where that is longer than FROZEN_S, the step counts as not usable.

    Args:
        times_s: (T,) increasing.
        usable: (T-1,) steps.
        repeated: (T,) frames that show the same picture as the one before; None: there are none.

    Returns:
        (K,) numbers of the frames, and (K-1,) whether the steps between them are usable.
    """
    if repeated is None or not repeated[1:].any():
        return np.arange(len(times_s)), usable
    kept = np.flatnonzero(np.concatenate([[True], ~repeated[1:]]))
    if len(kept) < 2:
        return kept, usable[:0]
    frozen = (np.diff(kept) > 1) & (np.diff(times_s[kept]) > FROZEN_S)
    return kept, np.logical_and.reduceat(usable[: kept[-1]], kept[:-1]) & ~frozen


@dataclass(frozen=True)
class ModelSteps:
    """A video's time at the model's rate: sums of displacements, whatever the video's own rate is.

    Attributes:
        kept: (K,) the video's frames that are read, `kept_frames`.
        known: (K-1,) whether what moved between them is known.
        left: (m,) number in `kept` of the last one before each of the model's frames (and before the last of all).
        share: (m,) how far each of the model's frames lies from there to the next one, 0 to 1.
        valid: (m-1,) whether all of a step's time is known.
    """

    kept: np.ndarray
    known: np.ndarray
    left: np.ndarray
    share: np.ndarray
    valid: np.ndarray

    def displacements(self, read: Callable[[int, int], np.ndarray]) -> Iterator[np.ndarray]:
        """(n, P, 2) displacement in the model's steps, in `pieces` of STEPS_AT_ONCE; that of unknown time is 0.

        Args:
            read: (first, last) -> (last - first, P, 2) displacement in these steps of the video, read in order.
        """
        begun: np.ndarray | float = 0.0  # the path up to where a piece begins
        for some in pieces(len(self.valid), STEPS_AT_ONCE):
            left = self.left[some.start : some.stop + 1]
            first, last = left[0], left[-1] + 1
            if last >= len(self.kept):  # there is no step
                yield np.zeros_like(read(0, 0))
                return
            moved = read(self.kept[first], self.kept[last])
            if self.kept[last] - self.kept[first] > last - first:
                moved = np.add.reduceat(moved, self.kept[first:last] - self.kept[first], 0)
            moved = np.where(self.known[first:last, None, None], moved, 0)
            path = np.cumsum(np.concatenate([np.zeros_like(moved[:1]) + begun, moved]), 0)
            share = self.share[some.start : some.stop + 1, None, None]
            yield np.diff(path[left - first] * (1 - share) + path[left - first + 1] * share, axis=0)
            begun = path[left[-1] - first]


def model_steps(
    times_s: np.ndarray, usable: np.ndarray, *, rate: float, repeated: np.ndarray | None = None
) -> ModelSteps:
    """The steps between frames at `rate`, the first at times_s[0]; arguments as of `kept_frames`."""
    kept, known = kept_frames(times_s, usable, repeated)
    times = times_s[kept]
    grid, span = times[0] + np.arange(n_model_frames(times, rate)) / rate, np.diff(times)
    if not len(span):
        return ModelSteps(kept, known, np.zeros(1, int), np.zeros(1), np.zeros(0, bool))
    seen = np.interp(grid, times, np.concatenate([[0.0], np.cumsum(span * known)]))
    left = np.clip(np.searchsorted(times, grid, "right") - 1, 0, len(span) - 1)
    share = np.clip((grid - times[left]) / span[left], 0, 1)
    return ModelSteps(kept, known, left, share, np.diff(seen) > (1 - 1e-3) / rate)


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
    trust = trust * narrow.any(1)
    steps = model_steps(times_s, usable, rate=rate, repeated=repeated)
    moved = np.empty((len(steps.valid), len(names), 2))
    flow = Displacements(read, len(usable), np.concatenate([wide, narrow]), unit_px=eye * size)
    for some, both in zip(pieces(len(moved), STEPS_AT_ONCE), steps.displacements(flow.between), strict=True):
        head = fit_head(both[:, len(names) :], spots, trust)
        moved[some] = both[:, : len(names)] - head_motion(head, (centres - bridge) / eye)
    moved *= steps.valid[:, None, None] * np.asarray(wide.any(1))[:, None]
    grid = times_s[0] + np.arange(len(moved) + 1) / rate
    return PlaceMotion(moved, steps.valid, names, np.interp(grid, times_s, np.arange(len(times_s))), rate)


def pieces(length: int, size: int) -> Iterator[slice]:
    """Slices of `size`, the last one with what is left over; a single empty one for a length of 0."""
    return (slice(*ends) for ends in pairwise([0, *range(size, length - size + 1, size), length]))
