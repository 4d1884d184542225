"""Shards of the stage `crops`: the aligned face of every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from pathlib import Path

import numpy as np

from microexp.records.shard import (
    Array,
    Attribute,
    Growing,
    Kind,
    Lazy,
    Shard,
    Stored,
    Subject,
    Writer,
    create_file,
    open_videos,
)
from microexp.records.validity import valid_pairs
from microexp.run.shard_files import add_array, set_attributes

ARRAYS = {
    "frames": Array(("T", "S", "S", (1, 3)), "uint8", "the crops: RGB, or grey where the source is; grey levels"),
    "frame_index": Array(("T",), "int32", "source frame of each crop: 0-based index into the decoded video"),
    "times": Array(("T",), "float64", "seconds of each crop's frame since the first of the video", optional=True),
    "valid": Array(("T",), "bool", "whether each crop shows the face in its place, with new content", optional=True),
    "reason": Array(("T",), "uint8", "what is the matter with each: numbers of `validity.Reason`", optional=True),
    "segment": Array(("T",), "int16", "which of the places of the face each crop is cut at", optional=True),
    "inside": Array(
        ("G", "S", "S"), "bool", "per place, pixels that lie inside of the picture; missing where all do", optional=True
    ),
}
ATTRIBUTES = {
    "fps": Attribute("float", "rate of the crops, frames per second", "always"),
    "source_fps": Attribute("float", "rate of the video, frames per second", "always"),
    "source_n_frames": Attribute("int", "frames of the video", "always"),
}


class Crops(Stored):
    """The crops of one video."""

    KIND = Kind("crops", "the aligned face of every frame", ARRAYS, attributes=ATTRIBUTES)

    @property
    def frames(self) -> Lazy:
        """(T, S, S, 3) uint8 RGB or (T, S, S, 1) grey, in the file until sliced."""
        data: Lazy = self.array("frames")
        return data

    @property
    def frame_index(self) -> np.ndarray:
        """(T,) int32 source frame of each crop."""
        return np.asarray(self.array("frame_index")[()])

    @property
    def reason(self) -> np.ndarray:
        """(T,) uint8 `validity.Reason` of every crop."""
        return self._or("reason", np.zeros(len(self), np.uint8))

    @property
    def source_reason(self) -> np.ndarray:
        """(source_n_frames,) uint8 `validity.Reason` of every frame; one without a crop has that of the crop before."""
        every = np.arange(self.source_n_frames)
        before = np.searchsorted(self.frame_index, every, "right") - 1
        return np.asarray(self.reason[np.clip(before, 0, len(self) - 1)])

    @property
    def valid(self) -> np.ndarray:
        """(T,) bool: crops that show the face in its place, with new content."""
        return self._or("valid", np.ones(len(self), bool))

    @property
    def valid_pairs(self) -> np.ndarray:
        """(T-1,) bool: whether the motion from each crop to the next is one of the face."""
        return valid_pairs(self.valid, self.reason)

    @property
    def times(self) -> np.ndarray:
        """(T,) float64 seconds of each crop's frame since the first frame of the video."""
        return self._or("times", self.frame_index / self.source_fps)

    def inside(self, crop: int) -> np.ndarray | None:
        """(S, S) bool: pixels of a crop that lie inside of the picture; None where all do."""
        if "inside" not in self.group:
            return None
        place = max(0, int(self._or("segment", np.zeros(len(self), np.int16))[crop]))
        return np.asarray(self.array("inside")[place])

    def inside_all(self) -> np.ndarray | None:
        """(S, S) bool: pixels that lie inside of the picture in every crop; None where all do."""
        if "inside" not in self.group:
            return None
        masks = np.asarray(self.array("inside")[()], bool)
        return np.asarray(np.all(masks, axis=0))

    def _or(self, name: str, default: np.ndarray) -> np.ndarray:
        return np.asarray(self.array(name)[()]) if name in self.group else default

    @property
    def side(self) -> int:
        """S, px."""
        return self.frames.shape[1]

    def __len__(self) -> int:
        return len(self.frames)

    def batches(self, length: int = 32) -> Iterator[np.ndarray]:
        """All crops in pieces of `length`."""
        for start in range(0, len(self), length):
            yield self.frames[start : start + length]

    @property
    def fps(self) -> float:
        """Rate of the crops, frames per second."""
        return float(self.value("fps"))

    @property
    def source_fps(self) -> float:
        """Rate of the video, frames per second."""
        return float(self.value("source_fps"))

    @property
    def source_n_frames(self) -> int:
        """Frames of the video."""
        return int(self.value("source_n_frames"))


class CropsWriter(Writer[Crops]):
    """A shard of crops in the making."""

    def stream(
        self,
        video: str,
        frame_index: np.ndarray,
        crops: Iterable[np.ndarray],
        *,
        more: Callable[[], Mapping[str, np.ndarray]] = dict,
        **attributes: object,
    ) -> None:
        """Write the crops of a video, one at a time; when `crops` or `more` raises, nothing of the video is kept.

        Args:
            video: its name.
            frame_index: (T,) int32 source frame of each crop, T >= 1.
            crops: (S, S, C) uint8 each.
            more: called after the last crop; gives the other arrays.
            attributes: those of the group.
        """
        group = self.file.create_group(video)
        try:
            rest = iter(crops)
            first = next(rest)
            out = Growing(add_array(group, "frames", shape=(len(frame_index), *first.shape), dtype=np.uint8))
            add_array(group, "frame_index", frame_index)
            for crop in chain([first], rest):
                out.append(crop[None])
            out.finish()
            for name, array in more().items():
                add_array(group, name, array)
        except Exception:
            del self.file[video]
            raise
        set_attributes(group, {**attributes, "excluded": ""})


def open_crops(path: Path, of: Subject | None = None) -> AbstractContextManager[Shard[Crops]]:
    """Open a shard for reading, see `shard.open_videos`."""
    return open_videos(path, Crops, of)


@contextmanager
def create_crops(path: Path, subject: Subject) -> Iterator[CropsWriter]:
    """Make a shard; errors as of `shard.create_file`."""
    with create_file(path, Crops.KIND, subject) as file:
        yield CropsWriter(file, Crops)
