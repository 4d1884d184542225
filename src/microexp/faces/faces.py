"""Stage `faces`: where the face of each video is, and the one transform that brings it upright into the crop.

What its shards hold is described in `records/faces.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from microexp.errors import UserError, reason_of
from microexp.faces import align, given
from microexp.faces.geometry import face_alignment, scale_of
from microexp.faces.observe import Backend, Observations, observe, regular_frames, spread_frames
from microexp.faces.params import FacesParams
from microexp.reading.fingerprint import fingerprint
from microexp.reading.frames import BadVideo, VideoSource, open_video
from microexp.records.faces import Faces, create_faces
from microexp.records.index import Video, read_videos
from microexp.records.shard import Subject, Writer
from microexp.run.log import log, track
from microexp.run.stage import Job
from microexp.run.storage import unreadable


class Unusable(Exception):
    """A video that has to be left out; the text says why."""


def read_subject(path: Path) -> list[Video]:
    """The videos of one subject; none when the index could read none of them.

    Raises:
        UserError: when they are of several subjects.
    """
    videos = read_videos(path)
    subjects = sorted({f"{v.dataset}/{v.subject}" for v in videos})
    if len(subjects) > 1:
        raise UserError(file=path, where="subject", problem=", ".join(subjects), expected="the videos of one subject")
    return videos


def whose(videos: Sequence[Video], shard: Path) -> Subject:
    """Data set and subject of the videos; without any, of the shard by its place `…/{dataset}/{subject}.h5`."""
    return Subject(videos[0].dataset, videos[0].subject) if videos else Subject.of_path(shard)


def look(video: Video, source: VideoSource, params: FacesParams, backend: Backend) -> Observations:
    """Take landmarks on frames spread over the video, and when the alignment is slow on regular ones as well."""
    frames = spread_frames(source.n_frames, params.landmark_frames)
    if params.alignment == "slow":
        frames = np.union1d(frames, regular_frames(source.n_frames, video.fps, params.slow_step_s))
    return observe(backend, frames, source.read(frames, grey=True))


def check_seen(seen: Observations, max_missed: float) -> None:
    """Raise `Unusable` when too few frames show a face."""
    if not len(seen.frames):
        raise Unusable(f"no face found in any of {seen.looked_at} frames")
    if seen.misses > max_missed * seen.looked_at:
        raise Unusable(f"no face found in {seen.misses} of {seen.looked_at} frames")


def describe(video: Video, seen: Observations, params: FacesParams) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """Arrays and attributes of one video's group."""
    reference = align.reference_landmarks(seen.landmarks)
    alignment = face_alignment(reference, params.eye_distance, params.eye_height)
    arrays = {
        "frames": seen.frames,
        "boxes": seen.boxes,
        "landmarks": seen.landmarks,
        "score": seen.score,
        "reference": reference,
        "alignment": alignment,
    }
    drift_px = 0.0
    if params.alignment == "slow":
        step, window = params.slow_step_s * video.fps, params.slow_window_s * video.fps
        arrays["alignments"] = align.slow_alignments(alignment, reference, seen, video.n_frames, step, window)
        drift_px = align.largest_shift(arrays["alignments"], reference) / scale_of(alignment)
    attributes: dict[str, object] = {
        "looked_at": seen.looked_at,
        "misses": seen.misses,
        "jitter_px": align.jitter_px(seen),
        "motion_px": align.motion_px(seen, reference),
        "scale": 1 / scale_of(alignment),
        "drift_px": drift_px,
    }
    return arrays, attributes


def place_of(video: Video, job: Job[Any]) -> Path:
    """Where a video lies: under the data set's root, which the input `root` names."""
    return Path(job.input("root") if job.inputs.get("root") else ".", video.path)


def open_listed(video: Video, path: Path, listed: Path) -> VideoSource:
    """Open a video of the index.

    Args:
        video: its row.
        path: where it lies.
        listed: the file that lists it, for the message.

    Raises:
        UserError: when it cannot be read, or is not the one that the index describes.
        Unusable: when it cannot be decoded.
    """
    if not path.exists():
        raise UserError(
            file=listed,
            where=f"video {video.video}: path",
            problem=f"{path}, which does not exist",
            expected="a video",
        )
    check_unchanged(video, path)
    try:
        source = open_video(path)
    except BadVideo as error:
        raise Unusable(reason_of(error)) from error
    if source.n_frames != video.n_frames:
        raise UserError(
            file=listed,
            where=f"video {video.video}: n_frames",
            got=video.n_frames,
            expected=source.n_frames,
            hint="the video changed: run the stage index again",
        )
    return source


def check_unchanged(video: Video, path: Path) -> None:
    """Compare a video with its fingerprint in the index, before and after it is read.

    Raises:
        UserError: when it is another one, or cannot be read.
    """
    try:
        found = fingerprint(path) if video.fingerprint else ""
    except OSError as error:
        raise unreadable(path, error) from error
    if found != video.fingerprint:
        raise UserError(
            file=path, problem="a video that has changed since it was indexed", hint="give the same command again"
        )


def _process(
    shard: Writer[Faces], video: Video, path: Path, *, listed: Path, params: FacesParams, backend: Backend | None
) -> None:
    about = {"n_frames": video.n_frames, "width": video.width, "height": video.height, "fps": video.fps}
    try:
        source = open_listed(video, path, listed)
        if backend is None:
            landmarks = given.landmark_file(str(params.landmarks), video)
            seen = given.read_landmarks(landmarks, params.landmarks_first_frame, video.n_frames)
        else:
            try:
                seen = look(video, source, params, backend)
            except BadVideo as error:  # a damaged frame
                raise Unusable(reason_of(error)) from error
        check_seen(seen, params.max_missed)
    except Unusable as reason:
        log(f"{video.dataset}/{video.subject}/{video.video} is left out: {reason}")
        shard.exclude(video.video, str(reason), **about)
        return
    arrays, attributes = describe(video, seen, params)
    shard.add(video.video, arrays, **about, **attributes)


def make_backend(params: FacesParams, device: str) -> Backend | None:
    """The backend that looks at frames, or None when landmarks are given.

    Raises:
        UserError: when something that it needs is missing.
    """
    if params.backend == "given":
        if params.landmarks is None:
            raise UserError(
                file="faces.landmarks", problem="nothing", expected="the path of landmark files for backend given"
            )
        return None
    if params.backend == "face_alignment":
        from microexp.faces import fan_backend

        return fan_backend.load(params.weights, device)
    from microexp.faces.dlib_backend import LICENCE, DlibBackend

    log(f"note: {LICENCE}")
    return DlibBackend()


def run(job: Job[FacesParams]) -> Mapping[str, Any]:
    """Find and align the faces of all videos of one subject."""
    import cv2

    cv2.setNumThreads(job.threads)
    listed = job.input("videos")
    videos = read_subject(listed)
    backend = make_backend(job.params, job.device)
    read: dict[str, str] = {}
    with create_faces(job.output("faces"), whose(videos, job.output("faces"))) as shard:
        for video in track(videos, "faces"):
            path = place_of(video, job)
            _process(shard, video, path, listed=listed, params=job.params, backend=backend)
            check_unchanged(video, path)
            read[video.video] = video.fingerprint
    if backend is not None:
        return {**backend.provenance(), "videos": read}
    files = [given.landmark_file(str(job.params.landmarks), v) for v in videos]
    return {**given.provenance([f for f in files if f.exists()]), "videos": read}
