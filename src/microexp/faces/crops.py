"""Stage `crops`: the aligned face of every frame.

A shard has attributes `dataset` and `subject`, and a group per video: `frames` (T, S, S, 3) uint8 RGB, or
(T, S, S, 1) when the source is grey, and `frame_index` (T,) int32, the source frame of each crop. A group's attributes:
`fps` of the crops, `source_fps`, `source_n_frames`, `excluded` (empty, or the reason why the video cannot be used; then
there are no arrays).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.errors import UserError, reason_of
from microexp.faces.faces import Unusable, fingerprint, open_listed, read_subject, whose
from microexp.faces.params import CropsParams
from microexp.faces.resample import resampled_frames
from microexp.faces.warp import cut, plan_crops
from microexp.reading.frames import BadVideo, VideoSource
from microexp.records.index import Video
from microexp.run.log import log, track
from microexp.run.stage import Job
from microexp.run.storage import add_array, create_shard, open_shard, set_attributes

if TYPE_CHECKING:
    import h5py


def frame_alignments(faces: h5py.Group, frame_index: np.ndarray) -> np.ndarray:
    """(T, 2, 3) transform of each of these frames; (1, 2, 3) when it is the same for all."""
    if "alignments" in faces:
        chosen: np.ndarray = faces["alignments"][:][frame_index]
        return chosen
    return np.asarray(faces["alignment"][:])[None]


def write_crops(
    group: h5py.Group, source: VideoSource, frame_index: np.ndarray, alignments: np.ndarray, size: int
) -> None:
    """Stream the frames through the warp into `group`; one frame is held at a time.

    Raises:
        BadVideo: when a frame cannot be decoded.
    """
    plan = plan_crops(alignments, source.width, source.height, size)
    channels = 1 if source.grey else 3
    out = add_array(group, "frames", shape=(len(frame_index), size, size, channels), dtype=np.uint8)
    add_array(group, "frame_index", frame_index)
    for i, frame in enumerate(source.read(frame_index)):
        out[i] = cut(frame, alignments[i if len(alignments) > 1 else 0], plan).reshape(size, size, channels)


def _process(shard: h5py.File, video: Video, job: Job[CropsParams], faces: h5py.Group) -> None:
    group = shard.create_group(video.video)
    reason = str(faces.attrs["excluded"])
    frame_index = resampled_frames(video.n_frames, video.fps, job.params.fps)
    try:
        if reason:
            raise Unusable(reason)
        source = open_listed(video, job.input("videos"))
        try:
            write_crops(group, source, frame_index, frame_alignments(faces, frame_index), job.params.size)
        except BadVideo as error:
            raise Unusable(reason_of(error)) from error
    except Unusable as error:
        reason = str(error)
        log(f"{video.dataset}/{video.subject}/{video.video} is left out: {reason}")
        for name in list(group):
            del group[name]
    all_frames = len(frame_index) == video.n_frames
    set_attributes(
        group,
        {
            "fps": video.fps if all_frames else job.params.fps,
            "source_fps": video.fps,
            "source_n_frames": video.n_frames,
            "excluded": reason,
        },
    )


def run(job: Job[CropsParams]) -> Mapping[str, Any]:
    """Cut the crops of all videos of one subject."""
    import cv2

    cv2.setNumThreads(job.threads)
    videos = read_subject(job.input("videos"))
    read: dict[str, Any] = {}
    with open_shard(job.input("faces")) as faces, create_shard(job.output("crops")) as shard:
        set_attributes(shard, whose(videos, job.output("crops")))
        for video in track(videos, "crops"):
            if video.video not in faces:
                raise UserError(
                    file=job.input("faces"),
                    where=f"video {video.video}",
                    problem="nothing",
                    expected="an alignment",
                    hint="run the stage faces again",
                )
            _process(shard, video, job, faces[video.video])
            read[video.video] = fingerprint(Path(video.path))
    return {"videos": read}
