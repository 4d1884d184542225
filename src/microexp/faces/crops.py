"""Stage `crops`: the aligned face of every frame.

What its shards hold is described in `records/crops.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from microexp.errors import reason_of
from microexp.faces.faces import Unusable, check_unchanged, open_listed, place_of, read_subject, whose
from microexp.faces.params import CropsParams
from microexp.faces.resample import resampled_frames
from microexp.faces.warp import cut, plan_crops
from microexp.reading.frames import BadVideo, VideoSource
from microexp.records.crops import CropsWriter, create_crops
from microexp.records.faces import Faces, open_faces
from microexp.records.index import Video
from microexp.run.log import log, track
from microexp.run.stage import Job


def crops_of(source: VideoSource, frame_index: np.ndarray, alignments: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """The crop (size, size, 3 or 1) of each of these frames; one frame is held at a time.

    Args:
        source: the video.
        frame_index: (T,) frames of it.
        alignments: (T, 2, 3), or (1, 2, 3) when they are all the same.
        size: side of the crops, px.

    Raises:
        BadVideo: when a frame cannot be decoded.
    """
    plan = plan_crops(alignments, source.width, source.height, size)
    for i, frame in enumerate(source.read(frame_index)):
        yield cut(frame, alignments[i if len(alignments) > 1 else 0], plan).reshape(size, size, -1)


def _process(shard: CropsWriter, video: Video, job: Job[CropsParams], faces: Faces) -> None:
    frame_index = resampled_frames(video.n_frames, video.fps, job.params.fps)
    all_frames = len(frame_index) == video.n_frames
    fps = video.fps if all_frames else job.params.fps
    about = {"fps": fps, "source_fps": video.fps, "source_n_frames": video.n_frames}
    try:
        if faces.excluded:
            raise Unusable(faces.excluded)
        source = open_listed(video, place_of(video, job), job.input("videos"))
        crops = crops_of(source, frame_index, faces.alignments(frame_index), job.params.size)
        try:
            shard.stream(video.video, frame_index, crops, **about)
        except BadVideo as error:
            raise Unusable(reason_of(error)) from error
    except Unusable as reason:
        log(f"{video.dataset}/{video.subject}/{video.video} is left out: {reason}")
        shard.exclude(video.video, str(reason), **about)


def run(job: Job[CropsParams]) -> Mapping[str, Any]:
    """Cut the crops of all videos of one subject."""
    import cv2

    cv2.setNumThreads(job.threads)
    videos = read_subject(job.input("videos"))
    read: dict[str, str] = {}
    whom, out = whose(videos, job.output("crops")), job.output("crops")
    with open_faces(job.input("faces"), whom) as faces, create_crops(out, whom) as shard:
        for video in track(videos, "crops"):
            _process(shard, video, job, faces.need(video.video))
            check_unchanged(video, place_of(video, job))
            read[video.video] = video.fingerprint
    return {"videos": read}
