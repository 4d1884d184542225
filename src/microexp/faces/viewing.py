"""Looking at a video: where faces are in some frames, which one is taken, and which frames show it in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from microexp.faces import segments
from microexp.faces.geometry import apply, face_alignment, invert
from microexp.faces.observe import (
    Backend,
    Face,
    Looks,
    Observations,
    choose,
    observe,
    people,
    regular_frames,
    same_person,
    spread_frames,
    with_other_places,
)
from microexp.faces.params import FEWEST_PLACES, FacesParams
from microexp.faces.segments import (
    NO_FACE,
    OFF,
    UNKNOWN,
    FaceGeometry,
    Segment,
    find_segments,
    labels_of,
    one_segment,
    refine,
    spread_labels,
)
from microexp.reading.frames import VideoSource, gaps
from microexp.records.validity import Reason

COUNT_AT = 3
"""Frames in which everybody is counted, one in the shortest clips; where more than one face is, everybody is followed
through all looks."""

TOO_FEW = "in it, but faces.choose (--face) asks for number"
"""What is said of a video with fewer people than the number that was asked for."""


class Unusable(Exception):
    """A video that is excluded; the text says why."""


@dataclass(frozen=True)
class View:
    """What a video shows.

    Attributes:
        seen: the faces.
        looked_at: frames that were looked at first, spread over the video.
        misses: of these, frames without a face.
        n_faces: people in the picture.
        segments: the largest first.
        labels: (T,) segment of every frame, or below 0 where there is none.
        reason: (T,) `Reason`.
    """

    seen: Observations
    looked_at: int
    misses: int
    n_faces: int
    segments: list[Segment]
    labels: np.ndarray
    reason: np.ndarray


class Viewer:
    """Shows frames of one video to a backend, and picks the one person."""

    def __init__(self, source: VideoSource, backend: Backend, which: str | int) -> None:
        self.source, self.backend, self.which = source, backend, which
        self.known: list[Face] = []
        self.n_faces = 0

    def glance(self, frames: np.ndarray, *, count_at: int = COUNT_AT) -> Looks:
        """The largest face in each of the `frames`; everybody is counted in `count_at` of them."""
        looks = observe(self.backend, frames, self.source.read(frames, grey=True))
        counted = self.source.read(frames[count_places(len(frames), count_at)], grey=True)
        counts = [self.backend.count(image) for image in counted if image is not None]
        self.n_faces = max([int(looks.seen.any()), *counts])
        return looks

    @property
    def unmistakable(self) -> bool:
        """Whether the largest face is the one that was asked for, since no other was counted."""
        return self.n_faces < 2 and self.which in ("largest", "left", "right", 1)

    def first(self, frames: np.ndarray) -> Looks:
        """Faces of the one person in the `frames`.

        Raises:
            Unusable: when there are fewer people than the number that was asked for.
        """
        looks = self.glance(frames)
        if self.unmistakable:
            return looks
        images = self.source.read(frames, grey=True)
        everybody = [[] if image is None else self.backend.find_all(image) for image in images]
        found = people(everybody)
        self.n_faces = max(map(len, everybody))
        person = choose(found, self.which)
        if person is None:
            raise Unusable(f"{self.n_faces} face{'' if self.n_faces == 1 else 's'} {TOO_FEW} {self.which}")
        person = with_other_places(person, found)
        self.known = list(person.faces.values())
        return Looks(looks.frames, tuple(person.faces.get(i) for i in range(len(frames))), looks.damaged)

    def more(self, frames: np.ndarray) -> list[Face | None]:
        """The person's face in other frames."""
        found: list[Face | None] = []
        for image in self.source.read(frames, grey=True):
            if image is None:
                found.append(None)
            elif self.known:
                found.append(same_person(self.backend.find_all(image), self.known))
            else:
                found.append(self.backend.find(image))
        return found


def count_places(looks: int, number: int) -> np.ndarray:
    """In which looks everybody is counted: the middle one, or `number` from the first to the last."""
    return np.array([looks // 2]) if number == 1 else np.unique(np.linspace(0, looks - 1, number).astype(int))


def look(source: VideoSource, fps: float, params: FacesParams, *, backend: Backend) -> View:
    """Look at frames spread over a video, regular ones when the alignment is slow, and where what is seen changes.

    Few looks do for a short clip, as long as all of them show one face in one place.

    Raises:
        Unusable: when next to nothing of it shows a face.
    """
    viewer = Viewer(source, backend, params.choose)
    places = params.places(source.n_frames)
    if places < params.landmark_frames:
        frames = _frames(source.n_frames, fps, places, params)
        looks = viewer.glance(frames, count_at=1 if places == FEWEST_PLACES else COUNT_AT)
        if viewer.unmistakable and _in_one_place(looks, _geometry(source, params)):
            return view(looks, source, fps, params=params, viewer=viewer)
    looks = viewer.first(_frames(source.n_frames, fps, params.landmark_frames, params))
    return view(looks, source, fps, params=params, viewer=viewer)


def _frames(n_frames: int, fps: float, places: int, params: FacesParams) -> np.ndarray:
    """Frames that are looked at first."""
    frames = spread_frames(n_frames, places)
    if params.alignment == "slow":
        frames = np.union1d(frames, regular_frames(n_frames, fps, params.slow_step_s))
    return frames


def _geometry(source: VideoSource, params: FacesParams) -> FaceGeometry:
    return FaceGeometry(params.eye_distance, params.eye_height, source.width, source.height)


def _in_one_place(looks: Looks, geometry: FaceGeometry) -> bool:
    """Whether every look shows the face, and one segment holds all of them."""
    return bool(looks.seen.all()) and one_segment(looks.observations().landmarks, geometry) is not None


def view(looks: Looks, source: VideoSource, fps: float, *, params: FacesParams, viewer: Viewer | None) -> View:
    """Segments and validity from looks; without a viewer (landmarks were given) no more frames can be looked at.

    Raises:
        Unusable: when next to nothing shows a face.
    """
    first = looks.observations()
    if not len(first.frames):
        raise Unusable(f"no face found in any of {first.looked_at} frames")
    geometry = _geometry(source, params)
    segments = _segments(first, geometry, source.n_frames, fps, params)

    def label(of: Looks) -> np.ndarray:
        """(n,) the segment of every frame that was looked at, or why it is in none."""
        labels = np.where(of.damaged, UNKNOWN, NO_FACE)
        if of.seen.any():
            landmarks = np.array([face.landmarks for face in of.faces if face is not None])
            if len(segments) == 1 and params.alignment == "slow":
                labels[of.seen] = 0
            else:
                labels[of.seen] = labels_of(landmarks, segments, geometry)
        return labels

    if viewer is not None:
        looks = refine(looks, viewer.more, label)
    labels = spread_labels(looks.frames, label(looks), source.n_frames)
    reason = reasons(labels, source.times(fps))
    n_faces = viewer.n_faces if viewer is not None else 1
    found = View(looks.observations(), first.looked_at, first.misses, n_faces, segments, labels, reason)
    _check(found, params.max_missed)
    return found


def _segments(
    seen: Observations, geometry: FaceGeometry, n_frames: int, fps: float, params: FacesParams
) -> list[Segment]:
    """One segment where a slow alignment keeps the head in its place all along; else as for a fixed one."""
    if params.alignment == "slow":
        one = geometry.segment(seen.landmarks)
        step, window = params.slow_step_s * fps, params.slow_window_s * fps
        slow = segments.slow_alignments(one.alignment, one.reference, seen, n_frames=n_frames, step=step, window=window)
        if geometry.off(seen.landmarks, slow[seen.frames]).max() <= OFF:
            return [one]
    return find_segments(seen.landmarks, geometry)


def reasons(labels: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """(T,) uint8 `Reason` of every frame, from its segment and the times of the frames."""
    reason = np.zeros(len(labels), np.uint8)
    reason[gaps(times_s)] = Reason.GAP
    inside = np.flatnonzero(labels >= 0)
    changes = inside[1:][np.diff(labels[inside]) != 0]
    reason[changes] = Reason.CUT
    reason[labels < 0] = Reason.OUTSIDE
    reason[labels == NO_FACE] = Reason.NO_FACE
    return reason


def _check(found: View, max_missed: float) -> None:
    total, usable = len(found.labels), int((found.labels >= 0).sum())
    if usable < min(2, total) or total - usable > max_missed * total:
        raise Unusable(f"a face in its place in {usable} of {total} frames only")


def visible(segment: Segment | np.ndarray, source: VideoSource, size: int = 64) -> np.ndarray:
    """(size, size) bool: pixels of the crop that lie inside of the picture, for an alignment (2, 3)."""

    matrix = segment.alignment if isinstance(segment, Segment) else segment
    steps = (np.arange(size) + 0.5) / size
    places = apply(invert(matrix), np.stack(np.meshgrid(steps, steps), -1))
    low, high = np.array([-0.5, -0.5]), np.array([source.width - 0.5, source.height - 0.5])
    return np.asarray(((places >= low) & (places <= high)).all(-1))


def fitting_eye_distance(segment: Segment, params: FacesParams, source: VideoSource) -> float | None:
    """The smallest `eye_distance` (hundredths) with a crop inside of the picture; None when there is none."""

    for hundredths in range(round(100 * params.eye_distance), 80):
        matrix = face_alignment(segment.reference, hundredths / 100, params.eye_height)
        if visible(matrix, source).mean() > 1 - OUTSIDE_SHARE:
            return hundredths / 100
    return None


OUTSIDE_SHARE = 0.01
"""Share of the crop beyond the picture from which on it is worth a warning."""


def weights(labels: np.ndarray, segments: Sequence[Segment]) -> np.ndarray:
    """(n segments,) frames of each."""
    return np.array([(labels == number).sum() for number in range(len(segments))])
