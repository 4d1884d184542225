"""Which frames of a video are looked at, and what is seen there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from microexp.faces.geometry import N_POINTS


@dataclass(frozen=True)
class Face:
    """One face in one frame: box (4,) x0, y0, x1, y1 px; landmarks (68, 2) px; score, larger is surer."""

    box: np.ndarray
    landmarks: np.ndarray
    score: float


class Backend(Protocol):
    """Finds faces in the frames of one video, which are shown in order."""

    def start(self) -> None:
        """Another video begins."""

    def find(self, frame: np.ndarray) -> Face | None:
        """The face in a grey frame (H, W) uint8: the largest one, or where it was in the frame before."""

    def find_all(self, frame: np.ndarray) -> list[Face]:
        """All faces in a grey frame, wherever they are."""

    def count(self, frame: np.ndarray) -> int:
        """How many faces are in a grey frame, as `find_all` finds them."""

    def provenance(self) -> dict[str, Any]:
        """What landmarks depend on beside the options."""


@dataclass(frozen=True)
class Looks:
    """Frames that were looked at, and what was seen there.

    Attributes:
        frames: (N,) increasing frames.
        faces: N faces; None where there is none, or the frame is damaged.
        damaged: (N,) bool, frames that could not be decoded.
    """

    frames: np.ndarray
    faces: tuple[Face | None, ...]
    damaged: np.ndarray

    def with_more(self, frames: np.ndarray, faces: Sequence[Face | None]) -> Looks:
        """These looks and some at other frames."""
        every = np.concatenate([self.frames, frames])
        order = np.argsort(every, kind="stable")
        seen = [*self.faces, *faces]
        damaged = np.concatenate([self.damaged, np.zeros(len(frames), bool)])
        return Looks(every[order], tuple(seen[i] for i in order), damaged[order])

    @property
    def seen(self) -> np.ndarray:
        """(N,) bool: looks that show a face."""
        return np.array([face is not None for face in self.faces], bool)

    def observations(self) -> Observations:
        """Those that show a face, damaged frames apart."""
        kept = [i for i in range(len(self.frames)) if not self.damaged[i]]
        return collect(self.frames[kept], [self.faces[i] for i in kept])


@dataclass(frozen=True)
class Observations:
    """What was seen in a video.

    Attributes:
        frames: (K,) int32 frames with a face, increasing.
        boxes: (K, 4) float32.
        landmarks: (K, 68, 2) float32.
        score: (K,) float32.
        looked_at: number of frames looked at.
    """

    frames: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    score: np.ndarray
    looked_at: int

    @property
    def misses(self) -> int:
        """Frames looked at in which no face was found."""
        return self.looked_at - len(self.frames)

    def only(self, kept: np.ndarray) -> Observations:
        """Those of the K faces that `kept`, (K,) bool, names."""
        return Observations(
            self.frames[kept], self.boxes[kept], self.landmarks[kept], self.score[kept], int(kept.sum())
        )


def collect(frames: Sequence[int] | np.ndarray, faces: Iterable[Face | None]) -> Observations:
    """Put faces and the numbers of their frames together; None is a miss."""
    seen = [(f, face) for f, face in zip(frames, faces, strict=True) if face is not None]
    return Observations(
        np.array([f for f, _ in seen], np.int32),
        np.array([face.box for _, face in seen], np.float32).reshape(-1, 4),
        np.array([face.landmarks for _, face in seen], np.float32).reshape(-1, N_POINTS, 2),
        np.array([face.score for _, face in seen], np.float32),
        len(frames),
    )


def spread_frames(n_frames: int, places: int) -> np.ndarray:
    """Up to `places` pairs of neighbouring frames spread evenly over a video: increasing, without repeats."""
    first = np.floor((np.arange(places) + 0.5) * n_frames / places).astype(np.int64)
    frames = np.unique(np.concatenate([first, first + 1]))
    return frames[frames < n_frames]


def regular_frames(n_frames: int, fps: float, step_s: float) -> np.ndarray:
    """Frames every `step_s` seconds, the first and the last one among them."""
    step = max(1.0, step_s * fps)
    frames = np.floor(np.arange(0, n_frames, step) + 1e-9).astype(np.int64)
    return np.union1d(frames[frames < n_frames], [n_frames - 1])


def observe(backend: Backend, frames: np.ndarray, images: Iterable[np.ndarray | None]) -> Looks:
    """Show `images`, the grey pictures of the increasing `frames`, to the backend one by one; None is a damaged one."""
    backend.start()
    faces, damaged = [], []
    for _, image in zip(frames, images, strict=True):
        damaged.append(image is None)
        faces.append(None if image is None else backend.find(image))
    return Looks(np.asarray(frames), tuple(faces), np.array(damaged, bool))
