"""The speed of the regions of a face over a video, from the stream `motion`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microexp.features.motion.stage import REGION
from microexp.records.features import Features

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
