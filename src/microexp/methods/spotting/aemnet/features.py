"""Lazy access to the features of many videos: what a fold reads stays in the shards, shared through the page cache."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microexp.errors import UserError
from microexp.run.storage import open_shard

KEEP_BYTES = 1 << 28
"""Feature sets up to this size (the demo) stay in memory once read; larger ones are sliced from the files."""


@dataclass(frozen=True)
class FeatureVideo:
    """The features of one video.

    Attributes:
        path: shard that holds them.
        n_steps: features.
        n_frames: frames at the features' rate.
        step_frame: frames between two features.
        clip_frame: frames that a feature covers: feature i covers [step·i, step·i + clip).
        frame_index: (n_frames,) source frame of each frame.
    """

    dataset: str
    subject: str
    video: str
    path: Path
    n_steps: int
    n_channels: int
    n_frames: int
    step_frame: int
    clip_frame: int
    frame_index: np.ndarray

    @property
    def origin_frame(self) -> float:
        """Start of feature 0's slot on the frame axis, so that each slot is centred in the clip that it stands for."""
        return (self.clip_frame - self.step_frame) / 2

    def to_frames(self, source: np.ndarray) -> np.ndarray:
        """Source frames -> frames at the features' rate (both may be fractional)."""
        frames: np.ndarray = np.interp(source, self.frame_index, np.arange(self.n_frames))
        return frames

    def to_source(self, frames: np.ndarray) -> np.ndarray:
        """Frames at the features' rate -> source frames (both may be fractional)."""
        source: np.ndarray = np.interp(frames, np.arange(self.n_frames), self.frame_index)
        return source


class FeatureStore:
    """The open shards of a fold.

    Args:
        channels: which of the features' channels are read.
        centre: whether each video's own mean feature is subtracted.
    """

    def __init__(self, videos: Iterable[FeatureVideo], channels: slice, centre: bool) -> None:
        self.videos = list(videos)
        self.channels = channels
        self._centre = centre
        self._stack = contextlib.ExitStack()
        self._files: dict[Path, Any] = {}
        self._means: dict[tuple[Path, str], np.ndarray] = {}
        self._kept: dict[tuple[Path, str], np.ndarray] = {}
        self._keep = sum(v.n_steps * v.n_channels * 4 for v in self.videos) <= KEEP_BYTES

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def read(self, video: FeatureVideo, start: int, length: int) -> np.ndarray:
        """(length, channels) float32 features from `start` on; beyond either end the last feature is repeated.

        Raises:
            UserError: when the shard is damaged or holds values that are not finite.
        """
        first, last = min(max(start, 0), video.n_steps - 1), max(min(start + length, video.n_steps), 1)
        if self._keep:
            part = self._whole(video)[first:last]
        else:
            part = self._slice(video, first, last)
            if self._centre:
                part = part - self._mean(video)
        before, after = max(0, -start), max(0, start + length - video.n_steps)
        if before or after:
            part = np.pad(part, ((before, after), (0, 0)), mode="edge")[:length]
        return part

    def _whole(self, video: FeatureVideo) -> np.ndarray:
        key = (video.path, video.video)
        if key not in self._kept:
            data = self._slice(video, 0, video.n_steps)
            self._kept[key] = data - self._mean(video) if self._centre else data
        return self._kept[key]

    def _mean(self, video: FeatureVideo) -> np.ndarray:
        key = (video.path, video.video)
        if key not in self._means:
            total = np.zeros(len(range(*self.channels.indices(video.n_channels))))
            for first in range(0, video.n_steps, 512):
                total += self._slice(video, first, min(first + 512, video.n_steps)).sum(0, dtype=np.float64)
            self._means[key] = (total / video.n_steps).astype(np.float32)
        return self._means[key]

    def _slice(self, video: FeatureVideo, first: int, last: int) -> np.ndarray:
        if video.path not in self._files:
            self._files[video.path] = self._stack.enter_context(open_shard(video.path))
        data: np.ndarray = self._files[video.path][video.video]["features"][first:last, self.channels]
        if not np.isfinite(data).all():
            raise UserError(
                file=video.path, where=video.video, problem="features that are not finite", expected="finite numbers"
            )
        return data


def list_videos(paths: Iterable[Path]) -> list[FeatureVideo]:
    """The videos of feature shards `…/{dataset}/{subject}.h5`, sorted; excluded and empty ones are left out.

    Raises:
        UserError: when a shard is damaged or lacks what the contract of the stage `i3d` promises.
    """
    videos = [v for path in paths for v in _list_shard(path)]
    return sorted(videos, key=lambda v: (v.dataset, v.subject, v.video))


def _list_shard(path: Path) -> Iterator[FeatureVideo]:
    with open_shard(path) as file:
        for name, group in file.items():
            if group.attrs.get("excluded", ""):
                continue
            try:
                features, attributes = group["features"], group.attrs
                n_steps, n_channels = features.shape
                step, clip, n_frames = (int(attributes[k]) for k in ("step_frames", "clip_frames", "n_frames"))
                index = group["frame_index"][:]
            except KeyError as error:
                raise UserError(
                    file=path, where=name, problem=error, expected="features with the attributes of the stage i3d"
                ) from error
            if n_steps:
                yield FeatureVideo(
                    path.parent.name, path.stem, name, path, n_steps, n_channels, n_frames, step, clip, index
                )


def common_layout(videos: Iterable[FeatureVideo]) -> tuple[int, int, int]:
    """(step, clip, channels) that all videos share.

    Raises:
        UserError: naming the first shard that differs, or when there is no video.
    """
    videos = list(videos)
    if not videos:
        raise UserError(
            file="features", problem="no usable training video", expected="at least one video that is not excluded"
        )
    layout = (videos[0].step_frame, videos[0].clip_frame, videos[0].n_channels)
    for video in videos:
        if (video.step_frame, video.clip_frame, video.n_channels) != layout:
            got = (video.step_frame, video.clip_frame, video.n_channels)
            raise UserError(
                file=video.path, where="step, clip, channels", got=got, expected=f"{layout} as in {videos[0].path}"
            )
    return layout


def stream_slice(streams: str, n_channels: int) -> slice:
    """Channels of `streams`: RGB is the first half, flow the second."""
    half = n_channels // 2
    return {"both": slice(0, n_channels), "rgb": slice(0, half), "flow": slice(half, n_channels)}[streams]
