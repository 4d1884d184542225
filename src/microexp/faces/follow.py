"""Stage `landmarks`: the landmarks of every frame of one's own video, in the columns that OpenFace writes.

The alignment rests on a few looks (stage `faces`). Here the person of these looks is followed through all frames, which
is what tells blinks and turns of the head from expressions. `faces: {backend: given}` reads the file back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from microexp.errors import UserError
from microexp.faces import given
from microexp.faces.dlib_backend import FINE_PX, DlibBackend, predict
from microexp.faces.faces import make_backend, open_listed, place_of, read_subject, subject_of_shard
from microexp.faces.geometry import rebox
from microexp.faces.observe import NEAR, Backend, Face, centre, side
from microexp.faces.params import FacesParams
from microexp.faces.viewing import Unusable
from microexp.reading.frames import VideoSource
from microexp.records.faces import Faces, open_faces
from microexp.records.index import Video
from microexp.records.landmarks import Look, write_landmarks
from microexp.run.log import log
from microexp.run.stage import Job

LOOKS_PER_S = 31
"""Of videos with twice this rate or more, not every frame is looked at."""
DETECT_EVERY = 5
"""The detector looks at every fifth frame, a sixth of a second at 30 frames/s."""
SIDEWAYS = ((0.02, 0.0), (-0.02, 0.0))
"""Boxes of which the landmarks of a frame are averaged. The height of the eyes by their width, about .3 in open ones,
has a noise of .006 with two boxes and of .004 with five, which take two and a half times as long."""


def run(job: Job[FacesParams]) -> None:
    """Write the landmarks of the one video of a subject."""
    import cv2

    cv2.setNumThreads(job.threads)
    videos = read_subject(job.input("videos"))
    video = the_one(videos, job.input("videos"))
    with open_faces(job.input("faces"), subject_of_shard(videos, job.input("faces"))) as shard:
        faces = shard.usable(video.video) if video is not None else None
        if video is None or faces is None:
            log("no usable video")
            write_landmarks(job.output("landmarks"), [])
            return
        if job.params.backend == "given":
            looks = _given(video, job.params)
        else:
            backend = make_backend(job.params, job.device)
            assert backend is not None
            looks = _looks(video, faces, job, backend)
        write_landmarks(job.output("landmarks"), looks)


def the_one(videos: list[Video], listed: Path) -> Video | None:
    """The only video of a subject; None when none could be read.

    Raises:
        UserError: when there are several: their tables would need one name.
    """
    if len(videos) > 1:
        raise UserError(
            file=listed, where="video", got=f"{len(videos)} videos", expected="one: with each_video, each is a subject"
        )
    return videos[0] if videos else None


def _given(video: Video, params: FacesParams) -> Iterator[Look]:
    path = given.landmark_file(str(params.landmarks), video)
    looks = given.read_landmarks(path, params.landmarks_first_frame, video.n_frames)
    for frame, face in zip(looks.frames.tolist(), looks.faces, strict=True):
        yield _look(video, frame, frame / video.fps, face)


def _looks(video: Video, faces: Faces, job: Job[FacesParams], backend: Backend) -> Iterator[Look]:
    try:
        source = open_listed(video, place_of(video, job), job.input("videos"))
    except Unusable as reason:
        log(f"no landmarks: {reason}")
        return
    frames = looked_at(source.n_frames, video.fps)
    times = source.times(video.fps)
    for frame, face in zip(frames.tolist(), follow(source, frames, faces, backend=backend), strict=True):
        yield _look(video, frame, float(times[frame]), face)


def _look(video: Video, frame: int, time_s: float, face: Face | None) -> Look:
    points = None if face is None else face.landmarks
    return Look(video.numbering.to_number(frame), time_s, 0.0 if face is None else face.score, points)


def looked_at(n_frames: int, fps: float) -> np.ndarray:
    """Frames that are looked at: all, or of fast videos about 30 a second."""
    return np.arange(0, n_frames, max(1, int(fps // LOOKS_PER_S)))


def follow(source: VideoSource, frames: np.ndarray, faces: Faces, *, backend: Backend) -> Iterator[Face | None]:
    """The face of the person that the shard is about in each of these frames; None where it is not seen.

    Args:
        source: the video.
        frames: increasing.
        faces: looks of the stage `faces`.
        backend: finds faces.
    """
    person = Follower(faces, backend)
    waiting: list[tuple[int, np.ndarray | None]] = []
    images = zip(frames.tolist(), source.read(frames, grey=True), strict=True)
    for number, (frame, image) in enumerate(images):
        waiting.append((frame, image))
        if number % DETECT_EVERY == 0 or number == len(frames) - 1:
            yield from person.see(waiting)
            waiting = []


class Follower:
    """Follows one person: the detector looks at every few frames, and between two in which it finds the face the
    landmarks go on from those before, which costs a third.

    Args:
        faces: looks of the stage `faces`, which say which person is meant.
        backend: finds faces.
    """

    def __init__(self, faces: Faces, backend: Backend) -> None:
        parts = (faces.read(name) for name in ("boxes", "landmarks", "score"))
        self.known = [Face(b.astype(float), p.astype(float), float(s)) for b, p, s in zip(*parts, strict=True)]
        self.seen_at = faces.read("frames")
        self.backend = backend
        self.last: Face | None = None
        if isinstance(backend, DlibBackend):
            backend.shifts = SIDEWAYS
        backend.start()

    def see(self, images: Sequence[tuple[int, np.ndarray | None]]) -> list[Face | None]:
        """The face in each of these (frame, grey picture); the detector looks at the last one alone."""
        before, now = self.last, self.detect(*images[-1])
        between: list[Face | None] = []
        for frame, image in images[:-1]:
            if not isinstance(self.backend, DlibBackend):
                between.append(self.detect(frame, image))
            elif image is None or before is None or now is None:
                between.append(None)
            else:
                before = refined(image, before)
                between.append(before)
        self.last = now
        return [*between, now]

    def detect(self, frame: int, image: np.ndarray | None) -> Face | None:
        """The person's face by the backend's detector."""
        if image is None:
            return None
        after = min(int(np.searchsorted(self.seen_at, frame)), len(self.known) - 1)
        around = [self.known[max(after - 1, 0)], self.known[after]]
        if isinstance(self.backend, DlibBackend) and self.backend.last is None:
            self.backend.last = around[1]  # of several people, the one that is meant is looked for first
        face = self.backend.find(image)
        if face is not None and not any(near(face, other) for other in around):
            self.backend.start()
            return None
        return face


def refined(image: np.ndarray, before: Face) -> Face:
    """The face of the frame before in this one: its landmarks from that face's box, which they hardly leave."""
    landmarks = predict(image, before.box, FINE_PX, shifts=SIDEWAYS)
    return Face(rebox(landmarks), landmarks, before.score)


def near(face: Face, known: Face) -> bool:
    """Whether a face may be that of a person who was seen there shortly before or after."""
    return float(np.linalg.norm(centre(face) - centre(known))) <= 2 * NEAR * side(known)
