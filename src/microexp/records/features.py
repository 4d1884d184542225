"""Feature shards `results/features/{stream}/{dataset}/{subject}.h5`: one sequence of features per video, read lazily.

Feature i of a video covers the frames [step·i, step·i + clip) of its own frame axis, which has `fps` frames per second;
`frame_index` says which source frame (0-based) each of these frames is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.errors import UserError
from microexp.records.shard import Array, Attribute, Kind, Subject, create_file, open_file
from microexp.run import shard_files

if TYPE_CHECKING:
    import h5py

Key = tuple[str, str, str]
"""Data set, subject, video."""

ARRAYS = {
    "features": Array(("F", "C"), "float32", "feature i covers the frames [step i, step i + clip)"),
    "frame_index": Array(("n_frames",), "float64", "source frame of each frame: 0-based, may be fractional"),
    "valid": Array(("F",), "uint8", "1 where a feature rests on usable frames", optional=True),
}
ATTRIBUTES = {
    "fps": Attribute("float", "rate of the frames, frames per second"),
    "n_frames": Attribute("int", "frames that the features lie on"),
    "clip_frames": Attribute("int", "frames that a feature covers"),
    "step_frames": Attribute("int", "frames between two features"),
    "channels": Attribute("text", "names of the C channels, comma-separated; empty where they have none"),
}
KIND = Kind(
    "features",
    "features of one stream",
    ARRAYS,
    attributes=ATTRIBUTES,
    identity=("stream", "dataset", "subject"),
    layout="{stream}/{dataset}/{subject}.h5",
)
CHUNK = 64


class Files:
    """Shards that stay open while they are read; a context manager."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._open: dict[Path, Any] = {}

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        self._open.clear()

    def group(self, path: Path, video: str) -> h5py.Group:
        """The group of `video` in the shard `path`."""
        if path not in self._open:
            self._open[path] = self._stack.enter_context(shard_files.open_shard(path))
        return self._open[path][video]


@dataclass(frozen=True)
class Features:
    """The features of one stream of a video.

    Attributes:
        stream: name of the stream.
        path: shard that holds them.
        n_steps: features.
        channels: names of the channels, or "" for each where they have none.
        n_frames: frames on the features' own axis.
        step_frame: frames between two features.
        clip_frame: frames that a feature covers.
        fps: frames per second of the features' own axis.
        frame_index: (n_frames,) source frame of each frame.
        files: open shards.
    """

    stream: str
    dataset: str
    subject: str
    video: str
    path: Path
    n_steps: int
    channels: tuple[str, ...]
    n_frames: int
    step_frame: int
    clip_frame: int
    fps: float
    frame_index: np.ndarray = field(repr=False, compare=False)
    files: Files = field(repr=False, compare=False)

    @property
    def key(self) -> Key:
        """What tells the video from all others."""
        return self.dataset, self.subject, self.video

    @property
    def n_channels(self) -> int:
        """Channels of a feature."""
        return len(self.channels)

    @property
    def origin_frame(self) -> float:
        """Start of feature 0's slot on the frame axis, so that each slot is centred in the clip that it stands for."""
        return (self.clip_frame - self.step_frame) / 2

    def read(self, first: int, last: int) -> np.ndarray:
        """(last - first, C) float32 features.

        Raises:
            UserError: when the shard is damaged or holds values that are not finite.
        """
        data: np.ndarray = self.files.group(self.path, self.video)["features"][first:last]
        if not np.isfinite(data).all():
            raise UserError(
                file=self.path, where=self.video, problem="features that are not finite", expected="finite numbers"
            )
        return data

    def valid(self) -> np.ndarray:
        """(F,) bool: whether each feature rests on usable frames; all of them where the shard does not say."""
        group = self.files.group(self.path, self.video)
        return np.asarray(group["valid"][:], bool) if "valid" in group else np.ones(self.n_steps, bool)

    def to_frames(self, source: np.ndarray) -> np.ndarray:
        """Source frames -> frames on the features' axis (both may be fractional)."""
        frames: np.ndarray = np.interp(source, self.frame_index, np.arange(self.n_frames))
        return frames

    def to_source(self, frames: np.ndarray) -> np.ndarray:
        """Frames on the features' axis -> source frames (both may be fractional)."""
        source: np.ndarray = np.interp(frames, np.arange(self.n_frames), self.frame_index)
        return source


def list_features(paths: Iterable[Path], files: Files) -> list[Features]:
    """The videos of feature shards, sorted; excluded and empty ones are passed over.

    Raises:
        UserError: when a shard is damaged, is another subject's, or lacks what a feature shard holds.
    """
    found = [item for path in paths for item in _list_shard(path, files)]
    return sorted(found, key=lambda f: (f.stream, *f.key))


def unit_of(path: Path) -> tuple[str, str, str]:
    """(stream, data set, subject) of the shard `…/{stream}/{dataset}/{subject}.h5`, by its path."""
    return path.parent.parent.name, path.parent.name, path.stem


def _list_shard(path: Path, files: Files) -> Iterator[Features]:
    with open_file(path, KIND) as (shard, _):
        for video, group in shard.items():
            if not group.attrs["excluded"]:
                item = _described(path, video, group, files)
                if item.n_steps:
                    yield item


def _described(path: Path, video: str, group: h5py.Group, files: Files) -> Features:
    n_steps, n_channels = group["features"].shape
    step, clip, n_frames = (int(group.attrs[k]) for k in ("step_frames", "clip_frames", "n_frames"))
    names = str(group.attrs["channels"])
    channels = tuple(names.split(",")) if names else ("",) * n_channels
    if len(channels) != n_channels:
        raise UserError(file=path, where=video, problem=f"{n_channels} channels, {len(channels)} names")
    fps, index = float(group.attrs["fps"]), group["frame_index"][:]
    return Features(*unit_of(path), video, path, n_steps, channels, n_frames, step, clip, fps, index, files)


@dataclass(frozen=True)
class Layout:
    """How features lie on a video's frames, as `Features` says."""

    step_frame: int
    clip_frame: int
    fps: float
    channels: Sequence[str] = ()


class FeaturesWriter:
    """A shard of features in the making.

    Args:
        file: the shard.
        about: attributes of the file beside those that name stream, data set and subject.
    """

    def __init__(self, file: h5py.File, about: Mapping[str, object]) -> None:
        self.file = file
        shard_files.set_attributes(file, about)

    def exclude(self, video: str, reason: str) -> None:
        """Say why a video has no features."""
        shard_files.set_attributes(self.file.create_group(video), {"excluded": reason})

    def add(
        self,
        video: str,
        features: np.ndarray,
        layout: Layout,
        *,
        frame_index: np.ndarray,
        valid: np.ndarray | None = None,
    ) -> None:
        """Write the features of a video.

        Args:
            video: its name.
            features: (F, C) float32.
            layout: of the features.
            frame_index: (T,) source frame of each frame of the features' axis; may be fractional.
            valid: (F,) bool, where some features rest on frames that cannot be used.
        """
        group = self.file.create_group(video)
        shard_files.add_array(
            group, "features", features, chunks=(max(1, min(CHUNK, len(features))), features.shape[1])
        )
        shard_files.add_array(group, "frame_index", np.asarray(frame_index, np.float64))
        if valid is not None:
            shard_files.add_array(group, "valid", np.asarray(valid, np.uint8))
        attributes = {
            "excluded": "",
            "step_frames": layout.step_frame,
            "clip_frames": layout.clip_frame,
            "n_frames": len(frame_index),
            "fps": layout.fps,
            "channels": ",".join(layout.channels),
        }
        shard_files.set_attributes(group, attributes)


@contextlib.contextmanager
def create_features(
    path: Path, stream: str, subject: Subject, *, about: Mapping[str, object] | None = None
) -> Iterator[FeaturesWriter]:
    """Make a shard of a stream.

    Args:
        path: `…/{stream}/{dataset}/{subject}.h5`.
        stream: its name.
        subject: whom it is of.
        about: further attributes of the file, such as the weights that were used.

    Raises:
        UserError, ValueError: see `shard.create_file`.
    """
    with create_file(path, KIND, subject, stage=stream, stream=stream) as file:
        yield FeaturesWriter(file, about or {})
