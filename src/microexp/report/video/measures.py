"""What landmarks and motion say of each frame: where the head is, how it is turned, closed eyes, speed of regions.

Lengths are in distances between the eyes of the video's median face, so that they hold for any camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from microexp.features.motion import REGION
from microexp.records.features import Features
from microexp.records.landmarks import Look

LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)
NOSE_TIP = 33
BLINK_SHARE = 0.75
"""An eye is closed where it is open by less than this share of what it is open by most of the time."""
BLINK_LONGEST_S = 0.6
"""What is closed for longer is no blink (VanderWerf et al. 2003: at most about .4 s)."""


@dataclass(frozen=True)
class Measures:
    """One entry per look, not a number where there is no face.

    Attributes:
        numbers: (K,) the release's numbers of the frames.
        shift: (K, 2) place of the eyes against their median place, eye distances.
        roll_deg: (K,) turn in the picture, degrees.
        nose: (K, 2) place of the nose's tip against the eyes, eye distances, the median taken off: turns to the side
            and up or down move it.
        opening: (K,) height of the eyes by their width.
        blink: (K,) bool.
        box: (K, 4) x0, y0, x1, y1 around the landmarks, px.
    """

    numbers: np.ndarray
    shift: np.ndarray
    roll_deg: np.ndarray
    nose: np.ndarray
    opening: np.ndarray
    blink: np.ndarray
    box: np.ndarray


def measure(looks: Sequence[Look]) -> Measures:
    """Measures of the looks of one video."""
    nothing = np.full((68, 2), np.nan)
    points = np.stack([nothing if look.points is None else look.points for look in looks] or [nothing])[: len(looks)]
    left, right = points[:, LEFT_EYE].mean(1), points[:, RIGHT_EYE].mean(1)
    across = right - left
    eye = _median(np.hypot(*across.T)) if len(looks) else 1.0
    middle = (left + right) / 2
    roll = np.degrees(np.arctan2(across[:, 1], across[:, 0]))
    opening = (_opening(points[:, LEFT_EYE]) + _opening(points[:, RIGHT_EYE])) / 2
    times = np.array([look.time_s for look in looks])
    return Measures(
        np.array([look.number for look in looks], np.int64),
        (middle - _median(middle)) / eye,
        roll,
        _from_median(_in_head(points[:, NOSE_TIP] - middle, roll) / eye),
        opening,
        blinks(opening, times),
        np.concatenate([points.min(1), points.max(1)], 1),
    )


def _opening(eye: np.ndarray) -> np.ndarray:
    """(K, 6, 2) points of an eye -> (K,) height by width (Soukupova and Cech 2016)."""
    heights = np.linalg.norm(eye[:, 1] - eye[:, 5], axis=-1) + np.linalg.norm(eye[:, 2] - eye[:, 4], axis=-1)
    found: np.ndarray = heights / (2 * np.maximum(np.linalg.norm(eye[:, 0] - eye[:, 3], axis=-1), 1e-9))
    return found


def _in_head(offset: np.ndarray, roll_deg: np.ndarray) -> np.ndarray:
    """(K, 2) offsets in the picture, turned back by the roll."""
    c, s = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    return np.stack([offset[:, 0] * c + offset[:, 1] * s, -offset[:, 0] * s + offset[:, 1] * c], 1)


def _median(values: np.ndarray) -> np.ndarray:
    seen = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    found: np.ndarray = np.median(values[seen], 0) if seen.any() else np.ones(values.shape[1:])
    return found


def _from_median(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = values - _median(values) if len(values) else values
    return found


def blinks(opening: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """(K,) bool: short stretches in which the eyes are open far less than most of the time."""
    closed = np.zeros(len(opening), bool)
    seen = np.isfinite(opening)
    if not seen.any():
        return closed
    closed[seen] = opening[seen] < BLINK_SHARE * np.median(opening[seen])
    for first, last in stretches(closed):
        if times_s[last] - times_s[first] > BLINK_LONGEST_S:
            closed[first : last + 1] = False
    return closed


def stretches(marked: np.ndarray) -> list[tuple[int, int]]:
    """Closed intervals of indices in which a (n,) bool array is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], np.asarray(marked, bool), [False]]).astype(int)))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


# The speed of the regions of a face over a video, from the stream `motion`.

MOVES = 2.0
"""A region takes part in an event where its speed reaches so many times its median over the video."""


@dataclass(frozen=True)
class Regions:
    """Speed of each region.

    Attributes:
        names: (R,) such as `brows`.
        frames: (n,) source frame, fractional, of the middle of each step.
        speed: (n, R) eye distances per second; not a number where it is not known.
    """

    names: tuple[str, ...]
    frames: np.ndarray
    speed: np.ndarray


def regions_of(motion: Features) -> Regions:
    """The regions of a video's stream `motion`."""
    columns = [i for i, name in enumerate(motion.channels) if name.startswith(REGION)]
    speed = motion.read(0, motion.n_steps)[:, columns].astype(np.float64)
    speed[~motion.valid()] = np.nan
    middle = np.arange(motion.n_steps) * motion.step_frame + (motion.clip_frame - 1) / 2
    names = tuple(motion.channels[i].removeprefix(REGION) for i in columns)
    return Regions(names, motion.to_source(middle), speed)


def per_frame(regions: Regions, n_frames: int) -> np.ndarray:
    """(n_frames, R) speed at every frame, not a number where it is not known."""
    if not len(regions.frames):
        return np.full((n_frames, len(regions.names)), np.nan)
    edges = (regions.frames[1:] + regions.frames[:-1]) / 2
    nearest = np.searchsorted(edges, np.arange(n_frames))
    found: np.ndarray = regions.speed[nearest]
    return found


def moving(regions: Regions, onset: int, offset: int) -> list[str]:
    """Regions that take part in an event, the strongest first; at least one where anything is known."""
    inside = (regions.frames >= onset) & (regions.frames <= offset)
    seen = inside & np.isfinite(regions.speed).all(1)
    if not seen.any():
        return []
    usual = np.nanmedian(regions.speed, 0)
    strength = regions.speed[seen].max(0) / np.maximum(usual, 1e-9)
    order = np.argsort(-strength, kind="stable")
    return [regions.names[i] for i in order if strength[i] >= MOVES] or [regions.names[order[0]]]
