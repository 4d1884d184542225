"""Training features that are varied anew in every epoch, so that a network cannot learn few people by heart.

For the stream `motion`: its channels are named by place and side, and hold robust deviations, compressed
(`features.motion.channels.normalise`). A video is varied as a whole. What is drawn depends on the fit's seed, the epoch
and the video alone, not on what else is trained beside it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from microexp.records.features import Key

STRENGTH_SD = 0.6
"""Standard deviation of the logarithm of how strong all motion of a video is, at the amount 1."""
NOISE_SD = 0.4
"""Of what is added to every number, in compressed deviations."""
DROPPED = 0.2
"""Share of the channels that say nothing."""
LEFT, RIGHT = "_left", "_right"


def other_side(channels: Sequence[str]) -> np.ndarray:
    """(C,) number of the channel of the same place on the other side of the face; its own where there is none."""
    number = {name: k for k, name in enumerate(channels)}
    found = []
    for k, name in enumerate(channels):
        place, dot, what = name.partition(".")
        if place.endswith(LEFT):
            place = place.removesuffix(LEFT) + RIGHT
        elif place.endswith(RIGHT):
            place = place.removesuffix(RIGHT) + LEFT
        found.append(number.get(f"{place}{dot}{what}", k))
    return np.array(found, np.int64)


def generator(seed: int, epoch: int, video: Key) -> np.random.Generator:
    """What the variation of a video in an epoch is drawn from."""
    return np.random.default_rng([seed, 5, epoch, zlib.crc32("/".join(video).encode())])


def vary(values: np.ndarray, mirror: np.ndarray, amount: float, *, rng: np.random.Generator) -> np.ndarray:
    """A video's features, the face mirrored or not, all motion stronger or weaker, with noise, some channels silent.

    Args:
        values: (n, C) compressed deviations.
        mirror: (C,) as of `other_side`.
        amount: how much, 0 to 1; mirroring does not depend on it.
        rng: of the video and the epoch.

    Returns:
        (n, C) float32.
    """
    if rng.random() < 0.5:
        values = values[:, mirror]
    strength = np.float32(np.exp(amount * STRENGTH_SD * rng.standard_normal()))
    found = 2 * np.arcsinh(strength * np.sinh(values / 2))
    found += np.float32(amount * NOISE_SD) * rng.standard_normal(values.shape, np.float32)
    found[:, rng.random(values.shape[1]) < amount * DROPPED] = 0
    return found.astype(np.float32, copy=False)
