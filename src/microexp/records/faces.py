"""Shards of the stage `faces`: landmarks of each video, and the transform that brings the face into the crop."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from microexp.records.shard import (
    Array,
    Attribute,
    Kind,
    Shard,
    Stored,
    Subject,
    Writer,
    create_videos,
    open_videos,
)
from microexp.records.validity import valid_frames

ARRAYS = {
    "frames": Array(("K",), "int32", "frames with landmarks: 0-based indices into the decoded video, increasing"),
    "boxes": Array(("K", 4), "float32", "box of the face: x0, y0, x1, y1, px"),
    "landmarks": Array(("K", 68, 2), "float32", "x, y of the landmarks (iBUG 300-W order), px"),
    "score": Array(("K",), "float32", "the detector's own score"),
    "reference": Array((68, 2), "float64", "median landmarks, px"),
    "alignment": Array((2, 3), "float64", "from source px to the unit square of the crop (crop px = that * size)"),
    "alignments": Array(
        ("n_frames", 2, 3), "float64", "the same for every frame, when it is slow or there are segments", optional=True
    ),
    "segment": Array(
        ("n_frames",), "int16", "number of the alignment of every frame; below 0 where none fits", optional=True
    ),
    "valid": Array(("n_frames",), "bool", "whether each frame shows the face in its place", optional=True),
    "reason": Array(
        ("n_frames",), "uint8", "what is the matter with each frame: numbers of `validity.Reason`", optional=True
    ),
}
ATTRIBUTES = {
    "n_frames": Attribute("int", "frames of the video", "always"),
    "width": Attribute("int", "of a frame, px", "always"),
    "height": Attribute("int", "of a frame, px", "always"),
    "fps": Attribute("float", "rate of the video, frames per second", "always"),
    "looked_at": Attribute("int", "frames in which a face was looked for"),
    "misses": Attribute("int", "of these, frames without a face"),
    "n_faces": Attribute("int", "people in the picture", "sometimes"),
    "outside": Attribute("float", "share of the crops' pixels beyond the picture", "sometimes"),
    "jitter_px": Attribute("float", "noise of the landmarks from frame to frame, source px"),
    "motion_px": Attribute("float", "how far the head leaves its place, source px"),
    "scale": Attribute("float", "side of the crop, source px"),
    "drift_px": Attribute("float", "largest motion of the transform itself, source px per frame; 0 when fixed"),
}


class Faces(Stored):
    """The face of one video."""

    KIND = Kind("faces", "landmarks and alignment of each video", ARRAYS, attributes=ATTRIBUTES)

    def read(self, name: str) -> np.ndarray:
        """One of `ARRAYS`, in memory.

        Raises:
            UserError: when the video is excluded.
        """
        return np.asarray(self.array(name)[()])

    @property
    def reference(self) -> np.ndarray:
        """(68, 2) float64 median landmarks, px."""
        return self.read("reference")

    @property
    def alignment(self) -> np.ndarray:
        """(2, 3) float64 from source px to the unit square of the crop."""
        return self.read("alignment")

    def alignments(self, frames: np.ndarray) -> np.ndarray:
        """(T, 2, 3) transform of each of the T `frames`; (1, 2, 3) when it is the same for all."""
        if "alignments" in self.group:
            chosen: np.ndarray = self.read("alignments")[frames]
            return chosen
        return self.alignment[None]

    @property
    def reason(self) -> np.ndarray:
        """(n_frames,) uint8 `validity.Reason` of every frame."""
        if "reason" not in self.group:
            return np.zeros(int(self.value("n_frames")), np.uint8)
        return self.read("reason")

    @property
    def valid(self) -> np.ndarray:
        """(n_frames,) bool: frames that show the face in its place."""
        return valid_frames(self.reason)

    def segments(self, frames: np.ndarray) -> np.ndarray:
        """(T,) number of the alignment of each of these frames; below 0 where none fits."""
        if "segment" in self.group:
            chosen: np.ndarray = self.read("segment")[frames]
            return chosen
        return np.where(self.valid[frames], 0, -1).astype(np.int16)

    @property
    def n_faces(self) -> int:
        """People in the picture."""
        return int(self.group.attrs.get("n_faces", 1))

    @property
    def outside(self) -> float:
        """Share of the crops' pixels beyond the picture."""
        return float(self.group.attrs.get("outside", 0.0))

    @property
    def fps(self) -> float:
        """Rate of the video, frames per second."""
        return float(self.value("fps"))

    @property
    def looked_at(self) -> int:
        """Frames in which a face was looked for."""
        return int(self.value("looked_at"))

    @property
    def misses(self) -> int:
        """Of these, frames without a face."""
        return int(self.value("misses"))

    @property
    def jitter_px(self) -> float:
        """Noise of the landmarks from frame to frame, source px."""
        return float(self.value("jitter_px"))

    @property
    def motion_px(self) -> float:
        """How far the head leaves its place, source px."""
        return float(self.value("motion_px"))

    @property
    def scale_px(self) -> float:
        """Side of the crop, source px."""
        return float(self.value("scale"))

    @property
    def drift_px(self) -> float:
        """Largest motion of the transform itself, source px per frame."""
        return float(self.value("drift_px"))


def open_faces(path: Path, of: Subject | None = None) -> AbstractContextManager[Shard[Faces]]:
    """Open a shard for reading, see `shard.open_videos`."""
    return open_videos(path, Faces, of)


def create_faces(path: Path, subject: Subject) -> AbstractContextManager[Writer[Faces]]:
    """Make a shard; errors as of `shard.create_file`."""
    return create_videos(path, Faces, subject)
