"""Which frames of a video are looked at, and what is seen there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from microexp.records.landmarks import N_POINTS


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


# Which of several people in the picture a video is about, and their faces from frame to frame.

NEAR = 0.8
"""Faces of one person lie within so many sides of their box between two looks."""
ALIKE = 1.6
"""Sizes of one person's face differ at most by this factor when the person has changed the place."""
SEEN = 0.2
"""Share of the looks in which somebody must be seen to be counted from left to right."""


@dataclass
class Person:
    """The faces of one person: look -> face."""

    faces: dict[int, Face] = field(default_factory=dict)

    @property
    def area(self) -> float:
        """Sum over all looks, px^2: who is large and stays long is whom the video is about."""
        return sum(side(face) ** 2 for face in self.faces.values())

    @property
    def centre_x(self) -> float:
        """Mean place from left to right, px."""
        return float(np.mean([centre(face)[0] for face in self.faces.values()]))

    @property
    def side(self) -> float:
        """Median size, px."""
        return float(np.median([side(face) for face in self.faces.values()]))


def side(face: Face) -> float:
    """Side of a face's box, px."""
    return float(max(face.box[2] - face.box[0], face.box[3] - face.box[1]))


def centre(face: Face) -> np.ndarray:
    """(2,) middle of a face's box, px."""
    return np.asarray((face.box[:2] + face.box[2:]) / 2)


def people(looks: Sequence[Sequence[Face]]) -> list[Person]:
    """The people in these looks (in order of time), by the places of their faces."""
    found: list[Person] = []
    for look, faces in enumerate(looks):
        last = [(person, person.faces[max(person.faces)]) for person in found]
        pairs = sorted(
            (float(np.linalg.norm(centre(face) - centre(before))) / side(before), number, index)
            for number, (_, before) in enumerate(last)
            for index, face in enumerate(faces)
        )
        taken: dict[int, int] = {}
        for distance, number, index in pairs:
            if distance <= NEAR and number not in taken.values() and index not in taken:
                taken[index] = number
        for index, face in enumerate(faces):
            person = found[taken[index]] if index in taken else Person()
            if index not in taken:
                found.append(person)
            person.faces[look] = face
    return found


def choose(found: Sequence[Person], which: str | int) -> Person | None:
    """The person a video is about; None when there are fewer people than the number that was asked for.

    Args:
        found: everybody.
        which: `largest` (sum over time), `left`, `right`, or a number counted from the left.
    """
    if not found:
        return None
    if which == "largest":
        return max(found, key=lambda person: person.area)
    often = max(len(person.faces) for person in found)
    row = sorted((p for p in found if len(p.faces) >= SEEN * often), key=lambda p: p.centre_x)
    if which in ("left", "right"):
        return row[0 if which == "left" else -1]
    number = int(which)
    return row[number - 1] if number <= len(row) else None


def with_other_places(person: Person, found: Sequence[Person]) -> Person:
    """The person, with the faces of those who are never seen at the same time and are as large: the same in another
    seat."""
    faces = dict(person.faces)
    for other in sorted(found, key=lambda p: -p.area):
        ratio = max(other.side, person.side) / min(other.side, person.side)
        if other is not person and ratio <= ALIKE and not faces.keys() & other.faces.keys():
            meets = any(p is not other and p.faces.keys() & other.faces.keys() for p in found if p is not person)
            if not meets:
                faces.update(other.faces)
    return Person(faces)


def same_person(faces: Sequence[Face], around: Sequence[Face]) -> Face | None:
    """Of the faces in a frame that of the person with these faces in the looks around."""
    best = None
    for face in faces:
        for known in around:
            distance = float(np.linalg.norm(centre(face) - centre(known))) / side(known)
            if distance <= NEAR and (best is None or distance < best[0]):
                best = (distance, face)
    return None if best is None else best[1]
