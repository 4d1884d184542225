"""Stage `crops`: the aligned face of every frame, cut bilinearly; which frames stand for a video at a lower rate.

What its shards hold is described in `records/crops.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from microexp.errors import reason_of
from microexp.faces.faces import check_unchanged, open_listed, place_of, read_subject, subject_of_shard
from microexp.faces.geometry import invert, scale_of
from microexp.faces.params import CropsParams
from microexp.faces.viewing import Unusable, visible
from microexp.faces.watch import Watch, merge
from microexp.reading.frames import BadVideo, VideoSource
from microexp.records.crops import CropsWriter, create_crops
from microexp.records.faces import Faces, open_faces
from microexp.records.index import Video
from microexp.records.validity import Reason, in_words, valid_frames
from microexp.run.log import log, track
from microexp.run.stage import Job

# Cutting aligned crops: average large faces down, enlarge bicubically, take the crop's pixels from that bilinearly.
#
# Averaging whole blocks of pixels keeps the fine texture of large frames from aliasing. Then the region around the face
# is enlarged two or three times by separable bicubic interpolation, and the rotated crop is read from it bilinearly: as
# exact as a bicubic warp (motion of a tenth of a pixel survives within 1 %) in 40 % of its time.


@dataclass(frozen=True)
class CropPlan:
    """How the frames of one video are cut; the same grid for all of them, so that cutting adds no motion.

    Attributes:
        corner: x, y of the region's first pixel in the source.
        shape: height, width of the region after averaging blocks, px.
        factor: side of the averaged blocks, source px; 1 leaves the pixels as they are.
        enlarge: how many times the averaged region is enlarged.
        size: side of the crop, px.
    """

    corner: tuple[int, int]
    shape: tuple[int, int]
    factor: int
    enlarge: int
    size: int


def plan_crops(alignments: np.ndarray, width: int, height: int, *, size: int) -> CropPlan:
    """The region that all crops of a video are cut from.

    Args:
        alignments: (n, 2, 3) all transforms from source px to the unit square that will be used.
        width: of the source, px.
        height: of the source, px.
        size: side of the crop, px.
    """
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
    corners = np.concatenate([square @ m[:, :2].T + m[:, 2] for m in map(invert, alignments)])
    side_px = 1 / max(scale_of(m) for m in alignments)
    factor = max(1, int(side_px / size + 1e-9))
    enlarge = 2 if side_px / factor >= size else 3
    margin = 3 * factor  # the bicubic kernel reaches two pixels
    low = np.clip(np.floor(corners.min(axis=0)) - margin, 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + margin, low + 1, [width, height]).astype(int)
    factor = max(1, min(factor, *(high - low).tolist()))
    blocks = (high - low) // factor
    return CropPlan((int(low[0]), int(low[1])), (int(blocks[1]), int(blocks[0])), factor, enlarge, size)


def cut(frame: np.ndarray, alignment: np.ndarray, plan: CropPlan) -> np.ndarray:
    """The crop of one frame: (H, W[, 3]) uint8 -> (size, size[, 3]) uint8. Beyond the frame its edge is repeated."""
    import cv2

    (x0, y0), (rows, columns), f, e = plan.corner, plan.shape, plan.factor, plan.enlarge
    part = frame[y0 : y0 + f * rows, x0 : x0 + f * columns]
    if f > 1:
        part = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    part = cv2.resize(part, (e * columns, e * rows), interpolation=cv2.INTER_CUBIC)
    step = f / e  # source px per pixel of the enlarged region
    to_source = np.array([[step, 0, x0 + (step - 1) / 2], [0, step, y0 + (step - 1) / 2], [0, 0, 1]])
    crop: np.ndarray = cv2.warpAffine(
        part,
        plan.size * alignment @ to_source,
        (plan.size, plan.size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return crop


# Which source frames stand for a video at a lower frame rate.


def resampled_frames(n_frames: int, source_fps: float, fps: float | None) -> np.ndarray:
    """Source frames of a video resampled to `fps`: frame k is floor(k * source_fps / fps).

    200 -> 30 frames/s gives 0, 6, 13, 20, 26, …: steps of 6, 7, 7 in turn, without drift (rounding the step itself
    to 6 would make 33.3 frames/s of it).

    Args:
        n_frames: of the source.
        source_fps: its rate.
        fps: wanted rate; None, or one that the source does not exceed, keeps all frames.

    Returns:
        (T,) int32, increasing.
    """
    ratio = _exact(source_fps) / _exact(fps) if fps is not None else Fraction(1)
    if ratio <= 1:
        return np.arange(n_frames, dtype=np.int32)
    count = -(-n_frames * ratio.denominator // ratio.numerator)  # ceil(n_frames / ratio)
    frames = np.arange(count, dtype=np.int64) * ratio.numerator // ratio.denominator
    return frames.astype(np.int32)


def sampled_frames(times_s: np.ndarray, source_fps: float, fps: float | None) -> np.ndarray:
    """Source frames of a video resampled to `fps`, by the frames' own times where their rate varies.

    Frame k is the last one that is shown by k / fps; where there is none of its own (in a gap), it is missing.

    Args:
        times_s: (n,) times of the frames, s.
        source_fps: their rate.
        fps: wanted rate; None, or one that the source does not exceed, keeps all frames.

    Returns:
        (T,) int32, increasing.
    """
    even = np.arange(len(times_s)) / source_fps
    if fps is None or np.abs(times_s - even).max() < 0.5 / source_fps:
        return resampled_frames(len(times_s), source_fps, fps)
    if fps >= source_fps:
        return np.arange(len(times_s), dtype=np.int32)
    ticks = np.arange(int(times_s[-1] * fps + 1e-6) + 1) / fps
    shown = np.searchsorted(times_s, ticks + 1e-6 / fps, side="right") - 1
    fresh = ticks - times_s[shown] < 1.5 / source_fps  # else the frame before a gap would stand for all of it
    return np.unique(shown[fresh]).astype(np.int32)


def _exact(rate_fps: float) -> Fraction:
    """The simple fraction that is meant: 29.97002997 is 30000/1001."""
    return Fraction(rate_fps).limit_denominator(1001)


def nearest_crop(frame_index: np.ndarray, frame: int) -> int:
    """Number of the crop with the source frame nearest to `frame`; the earlier one on a tie."""
    at = int(np.searchsorted(frame_index, frame))
    if at == 0:
        return 0
    if at == len(frame_index) or frame - frame_index[at - 1] <= frame_index[at] - frame:
        return at - 1
    return at


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
