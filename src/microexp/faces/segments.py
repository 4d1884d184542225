"""Where in a video the face keeps one place: segments, each with an alignment of its own, and what is in none.

One alignment serves as long as the head stays about where it is. A person who changes the seat, or a film that is cut,
makes a new segment; within one nothing ever moves the crop by a jump. Landmarks are known for some frames only, so the
frame at which one state goes over into another is looked for by halving.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from microexp.faces.geometry import RIGID, anchors, apply, canonical_anchors, face_alignment
from microexp.faces.observe import Face, Looks

OFF = 0.15
"""Shares of the crop's side by which an eye may lie beside its place."""
MEMBERS = 3
"""Looks that make a segment: more than one pair of neighbouring frames."""
NO_FACE, NO_PLACE, UNKNOWN = -1, -2, -3
"""Labels of frames in no segment: without a face; with one elsewhere; not looked at yet, or damaged."""
ROUNDS = 16
MOST_LOOKS = 400
"""Halvings of a video at most, and frames looked at for them."""


@dataclass(frozen=True)
class Segment:
    """A stretch, or several, in which the face has one place: (68, 2) median landmarks px, (2, 3) alignment."""

    reference: np.ndarray
    alignment: np.ndarray


@dataclass(frozen=True)
class FaceGeometry:
    """Where the eyes are to lie in the crop, and the size of the picture, px."""

    eye_distance: float
    eye_height: float
    width: int
    height: int

    def segment(self, landmarks: np.ndarray) -> Segment:
        """The segment of these (K, 68, 2) landmarks."""
        reference = np.median(landmarks.astype(np.float64), axis=0)
        return Segment(reference, face_alignment(reference, self.eye_distance, self.eye_height))

    def off(self, landmarks: np.ndarray, alignment: np.ndarray) -> np.ndarray:
        """(K,) how far the worse eye lies beside its place, in shares of the crop's side.

        Args:
            landmarks: (K, 68, 2) px.
            alignment: (2, 3), or (K, 2, 3) one for each.
        """
        eyes = anchors(landmarks.astype(np.float64))[:, :2]
        if alignment.ndim == 2:
            places = apply(alignment, eyes)
        else:
            places = np.einsum("kij,kpj->kpi", alignment[:, :, :2], eyes) + alignment[:, None, :, 2]
        wanted = canonical_anchors(self.eye_distance, self.eye_height)[:2]
        return np.asarray(np.linalg.norm(places - wanted, axis=-1).max(axis=-1))

    def in_picture(self, landmarks: np.ndarray) -> np.ndarray:
        """(K,) bool: whether the middle of each face, (K, 68, 2) px, is in the picture."""
        points = landmarks[:, RIGID].astype(np.float64)
        inside = (points >= -0.5).all(-1) & (points < [self.width - 0.5, self.height - 0.5]).all(-1)
        return np.asarray(inside.mean(axis=1) > 0.5)


def find_segments(landmarks: np.ndarray, geometry: FaceGeometry) -> list[Segment]:
    """Segments of a video, the one with most looks first; at least one when there are landmarks.

    Args:
        landmarks: (K, 68, 2) of the looks in order of time.
        geometry: of crop and picture.
    """
    every = one_segment(landmarks, geometry)
    if every is not None:
        return [every]
    rest = np.ones(len(landmarks), bool)
    found: list[Segment] = []
    while rest.any():
        members = _densest(landmarks, rest, geometry)
        if found and (members.sum() < MEMBERS or not _stays(members)):
            break
        found.append(geometry.segment(landmarks[members]))
        rest &= ~members & (geometry.off(landmarks, found[-1].alignment) > OFF)
    return found


def one_segment(landmarks: np.ndarray, geometry: FaceGeometry) -> Segment | None:
    """The segment that holds all landmarks (K, 68, 2); None where no alignment suits all of them."""
    every = geometry.segment(landmarks)
    return every if geometry.off(landmarks, every.alignment).max() <= OFF else None


def _densest(landmarks: np.ndarray, rest: np.ndarray, geometry: FaceGeometry) -> np.ndarray:
    """(K,) bool: the largest set of looks, of the `rest`, that lie around one of them."""
    best = np.zeros(len(landmarks), bool)
    for index in np.flatnonzero(rest):
        around = geometry.segment(landmarks[index : index + 1])
        near = rest & (geometry.off(landmarks, around.alignment) <= OFF)
        if near.sum() > best.sum():
            best = near
    return best


def _stays(members: np.ndarray) -> bool:
    """Whether some looks in a row are members: a head that only swings by has no place there."""
    longest = current = 0
    for member in members:
        current = current + 1 if member else 0
        longest = max(longest, current)
    return longest >= MEMBERS


def labels_of(landmarks: np.ndarray, segments: Sequence[Segment], geometry: FaceGeometry) -> np.ndarray:
    """(K,) number of the segment in which each face has its place, or `NO_PLACE`."""
    off = np.array([geometry.off(landmarks, s.alignment) for s in segments])
    labels = np.where(off.min(axis=0) <= OFF, off.argmin(axis=0), NO_PLACE)
    return np.where(geometry.in_picture(landmarks), labels, NO_PLACE)


Look = Callable[[np.ndarray], list[Face | None]]
"""Faces in some (increasing) frames, None where there is none."""


def refine(looks: Looks, look: Look, label: Callable[[Looks], np.ndarray]) -> Looks:
    """Look at more frames, until every two neighbouring looks with different labels are neighbouring frames.

    Args:
        looks: what was seen so far.
        look: shows faces in more frames.
        label: (N,) label of every look.
    """
    spent = 0
    for _ in range(ROUNDS):
        labels = label(looks)
        known = labels != UNKNOWN
        frames, labels = looks.frames[known], labels[known]
        apart = (np.diff(labels) != 0) & (np.diff(frames) > 1)
        middle = (frames[:-1] + frames[1:])[apart] // 2
        middle = np.setdiff1d(middle, looks.frames)[: MOST_LOOKS - spent]
        if not len(middle):
            break
        spent += len(middle)
        looks = looks.with_more(middle, look(middle))
    return looks


def spread_labels(frames: np.ndarray, labels: np.ndarray, n_frames: int) -> np.ndarray:
    """(n_frames,) label of every frame, from those of the looks before and after it.

    Where these differ and nothing between was looked at, the frames are in doubt and count as what is not usable.
    """
    known = labels != UNKNOWN
    frames, labels = frames[known], labels[known]
    every = np.arange(n_frames)
    after = np.searchsorted(frames, every)
    low, high = labels[np.maximum(after - 1, 0)], labels[np.minimum(after, len(frames) - 1)]
    on_look = frames[np.minimum(after, len(frames) - 1)] == every
    doubt = np.where(np.minimum(low, high) < 0, np.minimum(low, high), NO_PLACE)
    return np.where(on_look | (low == high), high, doubt)
