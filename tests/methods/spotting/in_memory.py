"""Videos with features in memory, with signals planted where the expressions are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from microexp.methods.spotting.aemnet.features import FeatureStore, FeatureVideo
from microexp.methods.spotting.aemnet.geometry import Geometry, Window, training_windows
from microexp.records.index import Expression
from tests.methods.spotting.made_up import draw_expressions


@dataclass(frozen=True)
class MemoryStream:
    """As `records.features.Features`, of as many frames as the video."""

    data: np.ndarray
    n_frames: int
    step_frame: int
    clip_frame: int
    frame_index: np.ndarray = field(repr=False, compare=False)

    @property
    def channels(self) -> tuple[str, ...]:
        return ("",) * self.data.shape[1]

    @property
    def origin_frame(self) -> float:
        return (self.clip_frame - self.step_frame) / 2

    def read(self, first: int, last: int) -> np.ndarray:
        return self.data[first:last]

    def to_frames(self, source: np.ndarray) -> np.ndarray:
        return np.interp(source, self.frame_index, np.arange(self.n_frames))

    def to_source(self, frames: np.ndarray) -> np.ndarray:
        return np.interp(frames, np.arange(self.n_frames), self.frame_index)


def make_video(
    subject: str, n_frames: int, *, channels: int = 12, step: int = 4, clip: int = 8, seed: int = 0
) -> tuple[FeatureVideo, list[Expression]]:
    """A video of which the first channels rise with micro-, the next ones with macro-expressions."""
    generator = np.random.default_rng(seed)
    planted = draw_expressions("d", subject, "v", n_frames, generator)
    activity = np.zeros((n_frames, 2))
    for item in planted:
        activity[item.onset : item.offset + 1, 0 if item.kind == "micro" else 1] = 1
    n_steps = (n_frames - clip) // step + 1
    data = 0.5 * generator.standard_normal((n_steps, channels))
    signal = np.stack([activity[step * i : step * i + clip].mean(0) for i in range(n_steps)])
    data[:, : channels // 2] += signal[:, :1] * 2
    data[:, channels // 2 :] += signal[:, 1:] * 2
    stream: Any = MemoryStream(data.astype(np.float32), n_frames, step, clip, np.arange(n_frames))
    return FeatureVideo("d", subject, "v", n_steps, channels, n_frames, step, clip, (stream,)), planted


def make_fold(
    geometry: Geometry, sizes: tuple[tuple[int, ...], ...], *, channels: int = 12, step: int = 4, seed: int = 0
) -> tuple[list[list[Window]], FeatureStore]:
    """Training windows of several fits, fit k on the subjects `sizes[k]`, and the store of all videos."""
    subjects = sorted({s for own in sizes for s in own})
    made = {s: make_video(f"s{s}", 300 + 40 * s, channels=channels, step=step, seed=seed + s) for s in subjects}
    windows = []
    for own in sizes:
        videos = [made[s][0] for s in own]
        truth = {made[s][0].key: made[s][1] for s in own}
        windows.append(
            training_windows(videos, truth, geometry, stride_frames=8, inside=0.9, empty_ratio=1.0, seed=seed)
        )
    return windows, FeatureStore([video for video, _ in made.values()], centre=False)
