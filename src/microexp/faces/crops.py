"""Stage `crops`: the aligned face of every frame.

What its shards hold is described in `records/crops.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from microexp.errors import reason_of
from microexp.faces.faces import check_unchanged, open_listed, place_of, read_subject, subject_of_shard
from microexp.faces.params import CropsParams
from microexp.faces.resample import sampled_frames
from microexp.faces.viewing import Unusable, visible
from microexp.faces.warp import cut, plan_crops
from microexp.faces.watch import Watch, merge
from microexp.reading.frames import BadVideo, VideoSource
from microexp.records.crops import CropsWriter, create_crops
from microexp.records.faces import Faces, open_faces
from microexp.records.index import Video
from microexp.records.validity import Reason, in_words, valid_frames
from microexp.run.log import log, track
from microexp.run.stage import Job


def crops_of(
    source: VideoSource, frame_index: np.ndarray, faces: Faces, *, size: int, watch: Watch, grey: bool = False
) -> Iterator[np.ndarray]:
    """The crop (size, size, 3 or 1) of each of these frames; one frame is held at a time.

    A damaged frame repeats the crop before (black at first), which holds no motion.

    Args:
        source: the video.
        frame_index: (T,) frames of it.
        faces: where the face is.
        size: side of the crops, px.
        watch: sees every crop.
        grey: give grey crops of colour videos, weighted as `flow` does.

    Raises:
        BadVideo: when nothing can be decoded any more.
    """
    import cv2

    alignments, segments = faces.alignments(frame_index), np.maximum(faces.segments(frame_index), 0)
    plans = {
        number: plan_crops(
            alignments[segments == number] if len(alignments) > 1 else alignments,
            source.width,
            source.height,
            size=size,
        )
        for number in np.unique(segments).tolist()
    }
    crop = np.zeros((size, size, 1 if source.grey else 3), np.uint8)
    for i, frame in enumerate(source.read(frame_index)):
        if frame is not None:
            alignment = alignments[i if len(alignments) > 1 else 0]
            crop = cut(frame, alignment, plans[int(segments[i])]).reshape(size, size, -1)
        watch.see(None if frame is None else crop)
        yield cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None] if grey and crop.shape[-1] == 3 else crop


def inside_picture(faces: Faces, source: VideoSource, frame_index: np.ndarray, *, size: int) -> np.ndarray | None:
    """(places, size, size) bool: pixels of the crops that lie inside of the picture; None when all do."""
    alignments, segments = faces.alignments(frame_index), np.maximum(faces.segments(frame_index), 0)
    masks = []
    for number in range(int(segments.max()) + 1):
        own = alignments[segments == number] if len(alignments) > 1 else alignments
        some = own[np.linspace(0, len(own) - 1, min(len(own), 9)).astype(int)] if len(own) else alignments[:1]
        masks.append(np.all([visible(matrix, source, size) for matrix in some], axis=0))
    return None if np.all(masks) else np.array(masks)


def _process(shard: CropsWriter, video: Video, job: Job[CropsParams], faces: Faces) -> None:
    about = {"fps": video.fps, "source_fps": video.fps, "source_n_frames": video.n_frames}
    name = f"{video.dataset}/{video.subject}/{video.video}"
    try:
        if faces.excluded:
            raise Unusable(faces.excluded)
        source = open_listed(video, place_of(video, job), job.input("videos"))
        frame_index = sampled_frames(source.times(video.fps), video.fps, job.params.fps)
        if len(frame_index) < video.n_frames and job.params.fps is not None:
            about["fps"] = job.params.fps
        watch = Watch()
        crops = crops_of(source, frame_index, faces, size=job.params.size, watch=watch, grey=job.params.grey)
        try:
            shard.stream(
                video.video, frame_index, crops, more=lambda: _validity(faces, source, frame_index, watch, job), **about
            )
        except BadVideo as error:
            raise Unusable(reason_of(error)) from error
    except Unusable as reason:
        log(f"{name} is excluded: {reason}")
        shard.exclude(video.video, str(reason), **about)


def _validity(
    faces: Faces, source: VideoSource, frame_index: np.ndarray, watch: Watch, job: Job[CropsParams]
) -> dict[str, np.ndarray]:
    """The arrays that say which crops are usable.

    Raises:
        Unusable: when fewer than two are.
    """
    times = source.times(faces.fps)[frame_index]
    reason = merge(faces.reason, frame_index, times, pictures=watch.reasons(times))
    valid = valid_frames(reason)
    if (valid | (reason == Reason.REPEATED)).sum() < min(2, len(valid)):
        raise Unusable(f"nothing usable in {len(valid)} frames: {in_words(reason)}")
    found = in_words(reason)
    if found:
        log(f"crops: {source.path.name}: of {len(reason)} frames {found}")
    arrays = {"times": times, "valid": valid, "reason": reason}
    inside = inside_picture(faces, source, frame_index, size=job.params.size)
    if inside is not None:
        arrays["inside"] = inside
    if "segment" in faces.group:
        arrays["segment"] = faces.segments(frame_index)
    return arrays


def run(job: Job[CropsParams]) -> Mapping[str, Any]:
    """Cut the crops of all videos of one subject."""
    import cv2

    cv2.setNumThreads(job.threads)
    videos = read_subject(job.input("videos"))
    read: dict[str, str] = {}
    whom, out = subject_of_shard(videos, job.output("crops")), job.output("crops")
    with open_faces(job.input("faces"), whom) as faces, create_crops(out, whom) as shard:
        for video in track(videos, "crops"):
            _process(shard, video, job, faces.need(video.video))
            check_unchanged(video, place_of(video, job))
            read[video.video] = video.fingerprint
    return {"videos": read}
