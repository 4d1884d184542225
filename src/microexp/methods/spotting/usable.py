"""What a method proposes, checked against its contract and without what lies where the face cannot be seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from microexp.methods.spotting.base import SpottingVideo
from microexp.records.features import Features

USABLE_SHARE = 0.5
"""A detection needs this share of usable features: with less, most of it was not seen."""


def usable_share(features: Features, intervals: np.ndarray) -> np.ndarray:
    """Share of the features of one stream that rest on usable frames, within each interval.

    Args:
        features: of the stream.
        intervals: (n, 2) onset and offset, source frames.

    Returns:
        (n,) in [0, 1]; an interval between two features has the share of the one that is nearest.
    """
    sums = np.concatenate([[0], np.cumsum(features.valid())])
    slots = (features.to_frames(intervals) - features.origin_frame) / features.step_frame
    first = np.clip(np.floor(slots[:, 0]), 0, features.n_steps - 1).astype(int)
    last = np.clip(np.floor(slots[:, 1]), first, features.n_steps - 1).astype(int)
    share: np.ndarray = (sums[last + 1] - sums[first]) / (last + 1 - first)
    return share


def without_unseen(
    found: Mapping[str, tuple[np.ndarray, np.ndarray]], video: SpottingVideo
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The proposals of which every stream has seen enough, see `USABLE_SHARE`; annotations there count as missed.

    Args:
        found: kind -> intervals (n, 2) in source frames, and scores (n,).
        video: with the streams that the method reads; one without any drops nothing.
    """
    kept: dict[str, Any] = {}
    for kind, (intervals, scores) in found.items():
        seen = np.ones(len(intervals), bool)
        for features in video.streams.values():
            if len(intervals) and not features.valid().all():
                seen &= usable_share(features, intervals) >= USABLE_SHARE
        kept[kind] = intervals[seen], scores[seen]
    return kept
