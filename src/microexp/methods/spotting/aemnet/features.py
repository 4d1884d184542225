"""The features that AEM-Net reads: one or more streams of a video side by side, on the time grid of the first."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from microexp.errors import UserError
from microexp.methods.spotting.base import SpottingVideo
from microexp.records.features import Features, Key

# Training features that are varied anew in every epoch, so that a network cannot learn few people by heart.
#
# For the stream `motion`: its channels are named by place and side, and hold robust deviations, compressed
# (`features.motion.normalise`). A video is varied as a whole. What is drawn depends on the fit's seed, the
# epoch and the video alone, not on what else is trained beside it.

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


KEEP_BYTES = 1 << 28
"""Feature sets up to this size (the demo) stay in memory once read; larger ones are sliced from the files."""


def network_columns(features: Features) -> np.ndarray:
    """Numbers of the channels that a network reads: all but those that are there for the rule without weights."""
    return np.flatnonzero([not name.startswith("region_") for name in features.channels])


@dataclass(frozen=True)
class FeatureVideo:
    """The features of one video.

    Attributes:
        n_steps: features.
        n_frames: frames on the features' own axis.
        step_frame: frames between two features.
        clip_frame: frames that a feature covers: feature i covers [step·i, step·i + clip).
        streams: the streams, in the order of their channels; the first one gives the time grid.
    """

    dataset: str
    subject: str
    video: str
    n_steps: int
    n_channels: int
    n_frames: int
    step_frame: int
    clip_frame: int
    streams: tuple[Features, ...] = field(repr=False, compare=False)

    @classmethod
    def of(cls, video: SpottingVideo, streams: Sequence[str]) -> FeatureVideo:
        """The video's streams side by side."""
        chosen = tuple(video.streams[name] for name in streams)
        first, channels = chosen[0], sum(len(network_columns(f)) for f in chosen)
        return cls(*video.key, first.n_steps, channels, first.n_frames, first.step_frame, first.clip_frame, chosen)

    @property
    def key(self) -> Key:
        """Data set, subject, video."""
        return self.dataset, self.subject, self.video

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels that `read` gives."""
        return tuple(f.channels[k] for f in self.streams for k in network_columns(f))

    @property
    def origin_frame(self) -> float:
        """Start of feature 0's slot on the frame axis, so that each slot is centred in the clip that it stands for."""
        return self.streams[0].origin_frame

    @property
    def frame_index(self) -> np.ndarray:
        """(n_frames,) source frame of each frame."""
        return self.streams[0].frame_index

    def to_frames(self, source: np.ndarray) -> np.ndarray:
        """Source frames -> frames at the features' rate (both may be fractional)."""
        return self.streams[0].to_frames(source)

    def to_source(self, frames: np.ndarray) -> np.ndarray:
        """Frames at the features' rate -> source frames (both may be fractional)."""
        return self.streams[0].to_source(frames)

    def read(self, first: int, last: int) -> np.ndarray:
        """(last - first, channels) float32."""
        parts = [self.streams[0].read(first, last)]
        parts += [self._on_grid(stream, first, last) for stream in self.streams[1:]]
        chosen = [part[:, network_columns(stream)] for part, stream in zip(parts, self.streams, strict=True)]
        return np.concatenate(chosen, 1)

    def _on_grid(self, stream: Features, first: int, last: int) -> np.ndarray:
        """Features of another stream at the middles of this grid's slots, linear between its own."""
        grid = self.streams[0]
        same = (stream.step_frame, stream.clip_frame, stream.n_steps) == (
            grid.step_frame,
            grid.clip_frame,
            grid.n_steps,
        )
        if same and np.array_equal(stream.frame_index, grid.frame_index):
            return stream.read(first, last)
        middle = np.arange(first, last) * grid.step_frame + grid.clip_frame / 2
        source = grid.to_source(middle - 0.5)
        at = np.clip(
            (stream.to_frames(source) + 0.5 - stream.clip_frame / 2) / stream.step_frame, 0, stream.n_steps - 1
        )
        low, high = int(np.floor(at.min())), int(np.ceil(at.max())) + 1
        values = stream.read(low, high)
        below = np.minimum(np.floor(at).astype(int) - low, len(values) - 1)
        above = np.minimum(below + 1, len(values) - 1)
        share = (at - np.floor(at))[:, None].astype(np.float32)
        return np.asarray(values[below] * (1 - share) + values[above] * share, np.float32)


class FeatureStore:
    """Reads the features of a fold's videos; small sets stay in memory.

    Args:
        videos: the videos.
        centre: whether each video's own mean feature is subtracted.
    """

    def __init__(self, videos: Iterable[FeatureVideo], *, centre: bool) -> None:
        self.videos = list(videos)
        self._centre = centre
        self._means: dict[Key, np.ndarray] = {}
        self._kept: dict[Key, np.ndarray] = {}
        ends = np.cumsum([v.n_steps for v in self.videos])
        self._first = {v.key: int(end) - v.n_steps for v, end in zip(self.videos, ends, strict=True)}
        self._table: np.ndarray | None = None
        self._keep = sum(v.n_steps * v.n_channels * 4 for v in self.videos) <= KEEP_BYTES

    def read(self, video: FeatureVideo, start: int, length: int) -> np.ndarray:
        """(length, channels) float32 features from `start` on; beyond either end the last feature is repeated.

        Raises:
            UserError: when the shard is damaged or holds values that are not finite.
        """
        first, last = min(max(start, 0), video.n_steps - 1), max(min(start + length, video.n_steps), 1)
        if self._keep:
            part = self._whole(video)[first:last]
        else:
            part = video.read(first, last)
            if self._centre:
                part = part - self._mean(video)
        before, after = max(0, -start), max(0, start + length - video.n_steps)
        if before or after:
            part = np.pad(part, ((before, after), (0, 0)), mode="edge")[:length]
        return part

    @property
    def small(self) -> bool:
        """Whether all features stay in memory, so that `table` may be asked for."""
        return self._keep

    def table(self) -> np.ndarray:
        """(rows, channels) float32 features of all videos, one after the other."""
        if self._table is None:
            self._table = np.empty((sum(v.n_steps for v in self.videos), self.videos[0].n_channels), np.float32)
            for video in self.videos:
                first = self._first[video.key]
                self._table[first : first + video.n_steps] = self._whole(video)
                self._kept[video.key] = self._table[first : first + video.n_steps]
        return self._table

    def varied_table(self, seed: int, epoch: int, amount: float) -> np.ndarray:
        """`table` as a fit of that seed sees it in an epoch (`vary`)."""
        mirror = other_side(self.videos[0].channels)
        parts = [vary(self._whole(v), mirror, amount, rng=generator(seed, epoch, v.key)) for v in self.videos]
        return np.concatenate(parts)

    def rows(self, video: FeatureVideo, start: int, length: int) -> np.ndarray:
        """(length,) rows of `table` that `read` would give."""
        return self._first[video.key] + np.clip(np.arange(start, start + length), 0, video.n_steps - 1)

    def _whole(self, video: FeatureVideo) -> np.ndarray:
        if video.key not in self._kept:
            data = video.read(0, video.n_steps)
            self._kept[video.key] = data - self._mean(video) if self._centre else data
        return self._kept[video.key]

    def _mean(self, video: FeatureVideo) -> np.ndarray:
        if video.key not in self._means:
            total = np.zeros(video.n_channels)
            for first in range(0, video.n_steps, 512):
                total += video.read(first, min(first + 512, video.n_steps)).sum(0, dtype=np.float64)
            self._means[video.key] = (total / video.n_steps).astype(np.float32)
        return self._means[video.key]


def common_layout(videos: Sequence[FeatureVideo]) -> tuple[int, int, int]:
    """(step, clip, channels) that all videos share.

    Raises:
        UserError: naming the first video that differs, or when there is no video.
    """
    if not videos:
        raise UserError(file="features", problem="no usable training video", expected="at least one")
    layout = (videos[0].step_frame, videos[0].clip_frame, videos[0].n_channels)
    for video in videos:
        got = (video.step_frame, video.clip_frame, video.n_channels)
        if got != layout:
            raise UserError(
                file="/".join(video.key),
                where="step, clip, channels",
                got=got,
                expected=f"{layout} as in {'/'.join(videos[0].key)}",
            )
    return layout
