"""Peaks of the motion in facial regions: the rule that every network has to beat. It learns lengths, no weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from microexp.methods.context import Context
from microexp.methods.spotting.base import Found, SpottingMethod, SpottingVideo, Truth
from microexp.records.features import Features
from microexp.records.index import KINDS
from microexp.run.stage import NoParams

STREAM = "motion"
REGIONS = ("region_brows", "region_cheeks", "region_mouth")
"""Channels that it looks at; blinks and glances make the eyes the worst source of error."""

Lengths = Mapping[str, float]
"""Kind -> typical length of its expressions, s; 0 where there is none."""


class FlowMagnitude(SpottingMethod[Lengths, NoParams]):
    """Intervals of the kind's median training length around the peaks of the regions' mean motion."""

    seeded = False
    learns = False

    def streams(self, options: NoParams) -> tuple[str, ...]:
        """The motion of facial regions."""
        return (STREAM,)

    def fit(self, videos: Sequence[SpottingVideo], truth: Truth, options: NoParams, *, context: Context) -> Lengths:
        """Median lengths of the training expressions."""
        lengths: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for video in videos:
            for item in truth.get(video.key, ()):
                lengths[item.kind].append((item.offset - item.onset + 1) / video.fps)
        return {kind: float(np.median(values)) if values else 0.0 for kind, values in lengths.items()}

    def propose(self, model: Lengths, video: SpottingVideo) -> Found:
        """Peaks of the video's motion, looked for at each kind's length."""
        return {kind: motion_peaks(video.streams[STREAM], length) for kind, length in model.items()}

    def to_bytes(self, model: Lengths) -> bytes:
        """JSON."""
        return json.dumps(dict(model), sort_keys=True).encode()

    def from_bytes(self, data: bytes, options: NoParams) -> Lengths:
        """The lengths."""
        return {str(kind): float(value) for kind, value in json.loads(data).items()}


def region_motion(features: Features) -> np.ndarray:
    """(F,) mean motion over the regions of each step; steps that cannot be used take the value before them."""
    columns = [features.channels.index(name) for name in REGIONS]
    motion = features.read(0, features.n_steps)[:, columns].mean(1)
    usable = features.valid()
    if usable.all() or not usable.any():
        return np.asarray(motion)
    last = np.maximum.accumulate(np.where(usable, np.arange(len(motion)), -1))
    return np.asarray(motion[np.where(last < 0, int(np.argmax(usable)), last)])


def motion_peaks(features: Features, length_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of `length_s` around the peaks of a video's motion, with the prominence of each as its score.

    The magnitude is averaged over an expression's length, since an expression moves twice (it comes and goes); a
    peak's prominence (how far it stands above the higher of the two valleys beside it) is taken in units of the
    video's median magnitude, so that one threshold fits quiet and noisy videos.

    Returns:
        (n, 2) closed intervals in source frames and (n,) prominences.
    """
    from scipy.signal import find_peaks

    motion = region_motion(features)
    rate = features.fps / features.step_frame
    half = max(1, round(length_s * rate / 2))
    if len(motion) < 3:
        return np.empty((0, 2)), np.empty(0)
    padded = np.pad(motion, half, mode="edge")
    smooth = np.convolve(padded, np.ones(2 * half) / (2 * half), mode="same")[half:-half]
    peaks, about = find_peaks(smooth, prominence=0, distance=half)
    steps = np.stack([peaks - half, peaks + half - 1], 1)
    frames = np.clip(steps * features.step_frame + max(0.0, features.origin_frame), 0, features.n_frames - 1)
    intervals = np.rint(features.to_source(frames))
    return intervals, about["prominences"] / max(float(np.median(motion)), 1e-9)
