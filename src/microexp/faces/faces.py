"""Stage `faces`: where the face of each video is, and the one transform that brings it upright into the crop.

What its shards hold is described in `records/faces.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from microexp.errors import UserError, reason_of
from microexp.faces import given, segments
from microexp.faces.geometry import scale_of
from microexp.faces.observe import Backend
from microexp.faces.params import FacesParams
from microexp.faces.viewing import OUTSIDE_SHARE, Unusable, View, fitting_eye_distance, look, view, visible, weights
from microexp.reading.fingerprint import fingerprint
from microexp.reading.frames import BadVideo, VideoSource, open_video
from microexp.records.faces import Faces, create_faces
from microexp.records.index import Video, read_videos
from microexp.records.shard import Subject, Writer
from microexp.records.validity import in_words, valid_frames
from microexp.run.log import log, track
from microexp.run.stage import Job
from microexp.run.storage import unreadable


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


def subject_of_shard(videos: Sequence[Video], shard: Path) -> Subject:
    """Data set and subject of the videos; without any, of the shard by its place `…/{dataset}/{subject}.h5`."""
    return Subject(videos[0].dataset, videos[0].subject) if videos else Subject.of_path(shard)


def describe(
    source: VideoSource, fps: float, view: View, *, params: FacesParams
) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """Arrays and attributes of one video's group."""
    seen, main = view.seen, view.segments[0]
    arrays = {
        "frames": seen.frames,
        "boxes": seen.boxes,
        "landmarks": seen.landmarks,
        "score": seen.score,
        "reference": main.reference,
        "alignment": main.alignment,
        "valid": valid_frames(view.reason),
        "reason": view.reason,
    }
    drift_px = 0.0
    if params.alignment == "slow" or len(view.segments) > 1:
        arrays["alignments"] = _alignments(view, source.n_frames, fps, params)
        arrays["segment"] = view.labels.astype(np.int16)
    if params.alignment == "slow":
        inside = [arrays["alignments"][view.labels == n] for n in range(len(view.segments))]
        shifts = [segments.largest_shift(a, s.reference) for a, s in zip(inside, view.segments, strict=True)]
        drift_px = max(shifts) / scale_of(main.alignment)
    attributes: dict[str, object] = {
        "looked_at": view.looked_at,
        "misses": view.misses,
        "n_faces": view.n_faces,
        "jitter_px": segments.jitter_px(seen),
        "motion_px": _motion_px(view),
        "scale": 1 / scale_of(main.alignment),
        "outside": _outside(view, source),
        "drift_px": drift_px,
    }
    return arrays, attributes


def place_of(video: Video, job: Job[Any]) -> Path:
    """Where a video lies: under the data set's root, which the input `root` names."""
    return Path(job.input("root") if job.inputs.get("root") else ".", video.path)


def _alignments(view: View, n_frames: int, fps: float, params: FacesParams) -> np.ndarray:
    """(T, 2, 3) transform of every frame, that of its segment; frames in none have the first one's."""
    every = np.repeat(view.segments[0].alignment[None], n_frames, axis=0)
    for number, segment in enumerate(view.segments):
        own = view.labels == number
        every[own] = segment.alignment
        if params.alignment == "slow" and own.any():
            step, window = params.slow_step_s * fps, params.slow_window_s * fps
            seen = view.seen if len(view.segments) == 1 else view.seen.only(own[view.seen.frames])
            slow = segments.slow_alignments(
                segment.alignment, segment.reference, seen, n_frames=n_frames, step=step, window=window
            )
            chosen = slice(None) if len(view.segments) == 1 else own
            every[chosen] = slow[chosen]
    return every


def _motion_px(view: View) -> float:
    """How far the head leaves the place of its segment (the first one's where it is in none), 95th percentile, px."""
    labels = view.labels[view.seen.frames]
    distances = [segments.distances_px(view.seen.landmarks[labels == -2], view.segments[0].reference)]
    for number, segment in enumerate(view.segments):
        distances.append(segments.distances_px(view.seen.landmarks[labels == number], segment.reference))
    return float(np.quantile(np.concatenate(distances), 0.95))


def _outside(view: View, source: VideoSource) -> float:
    """Share of the crops' pixels that lie beyond the picture, over all usable frames."""
    frames = weights(view.labels, view.segments)
    shares = np.array([1 - visible(segment, source).mean() for segment in view.segments])
    return float((shares * frames).sum() / frames.sum())


def _warn(name: str, source: VideoSource, view: View, outside: float, params: FacesParams) -> None:
    """Say what is odd about a video that is used."""
    trouble = in_words(view.reason)
    if trouble:
        log(f"{name}: of {len(view.reason)} frames {trouble}; {len(view.segments)} segments")
    if view.n_faces > 1:
        log(f"{name}: {view.n_faces} faces; the one that faces.choose = {params.choose} names was taken")
    if outside > OUTSIDE_SHARE:
        fits = fitting_eye_distance(view.segments[0], params, source)
        advice = f"eye_distance: {fits:.2f} fits" if fits else "no eye_distance fits"
        log(f"{name}: warning: {outside:.0%} of the crop lie beyond the picture and count as no motion; {advice}")


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
    name = f"{video.dataset}/{video.subject}/{video.video}"
    try:
        source = open_listed(video, path, listed)
        try:
            if backend is None:
                landmarks = given.landmark_file(str(params.landmarks), video)
                looks = given.read_landmarks(landmarks, params.landmarks_first_frame, video.n_frames)
                found = view(looks, source, video.fps, params=params, viewer=None)
            else:
                found = look(source, video.fps, params, backend=backend)
        except BadVideo as error:
            raise Unusable(reason_of(error)) from error
    except Unusable as reason:
        log(f"{name} is excluded: {reason}")
        shard.exclude(video.video, str(reason), **about)
        return
    arrays, attributes = describe(source, video.fps, found, params=params)
    _warn(name, source, found, float(str(attributes["outside"])), params)
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
    with create_faces(job.output("faces"), subject_of_shard(videos, job.output("faces"))) as shard:
        for video in track(videos, "faces"):
            path = place_of(video, job)
            _process(shard, video, path, listed=listed, params=job.params, backend=backend)
            check_unchanged(video, path)
            read[video.video] = video.fingerprint
    if backend is not None:
        return {**backend.provenance(), "videos": read}
    files = [given.landmark_file(str(job.params.landmarks), v) for v in videos]
    return {**given.provenance([f for f in files if f.exists()]), "videos": read}
