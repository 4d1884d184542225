"""Random intervals with the lengths and the frequency of the training expressions: what chance finds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from microexp.methods.context import Context
from microexp.methods.spotting.base import Found, SpottingMethod, SpottingVideo, Truth
from microexp.records.index import KINDS
from microexp.run.stage import NoParams


@dataclass(frozen=True)
class Frequencies:
    """What is known of the training expressions.

    Attributes:
        seed: of the intervals.
        lengths_s: kind -> lengths, s.
        rate_per_s: kind -> expressions per second of video.
    """

    seed: int
    lengths_s: Mapping[str, Sequence[float]]
    rate_per_s: Mapping[str, float]


class RandomIntervals(SpottingMethod[Frequencies, NoParams]):
    """As many random intervals as there are expressions in training videos of that length."""

    learns = False

    def streams(self, options: NoParams) -> tuple[str, ...]:
        """None."""
        return ()

    def fit(self, videos: Sequence[SpottingVideo], truth: Truth, options: NoParams, *, context: Context) -> Frequencies:
        """Lengths and frequency of the training expressions."""
        lengths: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for video in videos:
            for item in truth.get(video.key, ()):
                lengths[item.kind].append((item.offset - item.onset + 1) / video.fps)
        seconds = sum(v.n_frames / v.fps for v in videos)
        return Frequencies(context.seed, lengths, {k: len(v) / seconds if seconds else 0.0 for k, v in lengths.items()})

    def propose(self, model: Frequencies, video: SpottingVideo) -> Found:
        """Intervals at random places, the same for the same video and seed."""
        name = int.from_bytes(hashlib.sha256("/".join(video.key).encode()).digest()[:4], "little")
        generator = np.random.default_rng([model.seed, name, 4])
        found = {}
        for kind in KINDS:
            number = int(generator.poisson(model.rate_per_s[kind] * video.n_frames / video.fps))
            pool = np.asarray(model.lengths_s[kind] or [1 / video.fps])
            lengths = np.clip(np.rint(generator.choice(pool, number) * video.fps), 1, video.n_frames)
            onset = np.floor(generator.random(number) * (video.n_frames - lengths + 1))
            found[kind] = (np.stack([onset, onset + lengths - 1], 1), generator.random(number))
        return found

    def to_bytes(self, model: Frequencies) -> bytes:
        """JSON."""
        return json.dumps(asdict(model), sort_keys=True).encode()

    def from_bytes(self, data: bytes, options: NoParams) -> Frequencies:
        """The frequencies."""
        return Frequencies(**json.loads(data))
