"""One video, step by step: its frames, the aligned face, optical flow, motion of the face."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.api.scores import pandas
from microexp.errors import UserError
from microexp.features.motion import layout_of, times_of, with_regions
from microexp.features.motion_tracking import place_motion, usable_steps
from microexp.features.params import MotionParams
from microexp.flow.flow import to_grey
from microexp.flow.params import FlowParams
from microexp.flow.tvl1 import stream_flow
from microexp.pipeline import STAGES
from microexp.reading.frames import open_video
from microexp.records.crops import open_crops
from microexp.records.faces import open_faces
from microexp.records.index import Video, write_videos
from microexp.records.validity import BREAKS, Reason
from microexp.run.runner import run_stage
from microexp.run.stage import Job, validate

if TYPE_CHECKING:
    import pandas as pd

NAME = "clip"


@dataclass(frozen=True)
class Frames:
    """Frames of a video.

    Attributes:
        images: (T, H, W, 3) uint8 RGB, or (T, H, W) grey; a damaged frame is black.
        times_s: (T,) seconds since the first frame of the video; NaN where the source has no rate.
        fps: frames per second; None where the source does not say.
        damaged: (T,) bool.
    """

    images: np.ndarray
    times_s: np.ndarray
    fps: float | None
    damaged: np.ndarray


@dataclass(frozen=True)
class Aligned:
    """The aligned face of a video.

    Attributes:
        crops: (T, S, S, 3) uint8 RGB, or (T, S, S, 1) grey.
        frame_index: (T,) 0-based frame of the video that each crop shows.
        times_s: (T,) seconds since the first frame of the video.
        fps: rate of the crops, frames/s.
        valid: (T,) bool: crops that show the face in its place, with new content.
        reason: (T,) `microexp.records.validity.Reason` why a crop is not valid.
        valid_pairs: (T - 1,) bool: whether the motion from each crop to the next is one of the face.
        landmarks: (68, 2) median landmarks, as shares of the crop's side.
        inside: (S, S) bool: pixels that lie inside of the picture in every crop; None where all do.
    """

    crops: np.ndarray
    frame_index: np.ndarray
    times_s: np.ndarray
    fps: float
    valid: np.ndarray
    reason: np.ndarray
    valid_pairs: np.ndarray
    landmarks: np.ndarray
    inside: np.ndarray | None


def read_video(path: str | Path, frames: np.ndarray | list[int] | None = None, *, grey: bool = False) -> Frames:
    """Read a video file or a folder of frames, upright and with square pixels.

    Args:
        path: file of any format that FFmpeg reads, or folder of images.
        frames: 0-based indices, increasing; None reads all (mind the memory: T x H x W x 3 bytes).
        grey: convert to grey (ITU-R 601 luma).

    Raises:
        UserError: it cannot be read.
    """
    source = open_video(path)
    wanted = np.arange(source.n_frames) if frames is None else np.asarray(frames, np.int64)
    shape = (source.height, source.width) if grey or source.grey else (source.height, source.width, 3)
    images = np.zeros((len(wanted), *shape), np.uint8)
    damaged = np.zeros(len(wanted), bool)
    for i, image in enumerate(source.read(wanted, grey)):
        damaged[i] = image is None
        if image is not None:
            images[i] = image
    knows = source.fps is not None or (source.file is not None and source.file.times_s.size > 0)
    times = source.times()[wanted] if knows else np.full(len(wanted), np.nan)
    return Frames(images, times, source.fps, damaged)


def align(
    path: str | Path, *, size: int = 224, fps: float | None = None, device: str = "auto", threads: int = 1, **faces: Any
) -> Aligned:
    """Find the face of a video and cut it out, aligned: stages `faces` and `crops`.

    Args:
        path: video file or folder of frames.
        size: side S of the crops, px.
        fps: rate of a source that does not say its own, such as a folder of frames.
        device: for the backend `face_alignment`.
        threads: CPU threads; they never change a result.
        faces: options of the section `faces`, such as `alignment="slow"`, `crop="published"`.

    Raises:
        UserError: the video cannot be read, has no rate, or shows no face; or an option is not known.
    """
    source = open_video(path)
    rate = source.fps or fps
    if rate is None:
        raise UserError(file=path, problem="no frame rate", hint="name it: fps=")
    video = Video(NAME, NAME, NAME, str(Path(path).resolve()), source.n_frames, rate, source.width, source.height)
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder, "videos.csv")
        write_videos(videos, [video])
        made = {stage: Path(folder, stage, NAME, f"{NAME}.h5") for stage in ("faces", "crops")}
        _run("faces", {"videos": [videos]}, made["faces"], faces, device=device, threads=threads)
        _run("crops", {"videos": [videos], "faces": [made["faces"]]}, made["crops"], {"size": size}, threads=threads)
        return _aligned(made["faces"], made["crops"], path)


def _run(stage: str, inputs: Mapping[str, list[Path]], output: Path, options: Mapping[str, Any], **how: Any) -> None:
    row = STAGES[stage]
    output.parent.mkdir(parents=True)
    run_stage(row, Job(inputs, {stage: output}, validate(row.params, options, "options", where=stage), **how))


def _aligned(faces: Path, crops: Path, path: str | Path) -> Aligned:
    with open_faces(faces) as faces_of, open_crops(crops) as crops_of:
        face, found = faces_of[NAME], crops_of[NAME]
        if found.excluded:
            raise UserError(file=path, problem=found.excluded)
        matrix = face.alignment
        return Aligned(
            crops=np.asarray(found.frames[:]),
            frame_index=found.frame_index,
            times_s=times_of(found) + found.times[0],
            fps=found.fps,
            valid=found.valid,
            reason=found.reason,
            valid_pairs=found.valid_pairs,
            landmarks=face.reference @ matrix[:, :2].T + matrix[:, 2],
            inside=found.inside_all(),
        )


def flow(images: Aligned | np.ndarray, *, device: str = "cpu", threads: int = 1, **options: Any) -> np.ndarray:
    """TV-L1 optical flow from each image to the next: stage `flow`.

    Args:
        images: what `align` returned; or (T, H, W), (T, H, W, 1) or (T, H, W, 3) uint8.
        device: `cpu`, `cuda`, `cuda:N` or `auto`.
        threads: CPU threads; they never change a result.
        options: options of the section `flow`, such as `preset="micro"`.

    Returns:
        (T - 1, H, W, 2) float32 px: to the right, down. Of aligned crops it is 0 where a pair shows no motion of the
        face, and beyond the picture.

    Raises:
        UserError: images of another shape, or an option that is not known.
    """
    crops = images.crops if isinstance(images, Aligned) else np.asarray(images)
    if crops.ndim not in (3, 4) or (crops.ndim == 4 and crops.shape[-1] not in (1, 3)):
        raise UserError(where="flow", got=f"images of shape {crops.shape}", expected="(T, H, W) or (T, H, W, 1 or 3)")
    grey = crops if crops.ndim == 3 else to_grey(crops)
    params = validate(FlowParams, options, "options", where="flow")
    found = np.zeros((max(len(grey) - 1, 0), *grey.shape[1:], 2), np.float32)
    for i, pair in enumerate(stream_flow(grey, params, threads, device=device)):
        found[i] = pair
    if isinstance(images, Aligned):
        found *= images.valid_pairs[:, None, None, None]
        if images.inside is not None:
            found *= images.inside[..., None]
    return found


def motion(face: Aligned, flow: np.ndarray, **options: Any) -> pd.DataFrame:
    """How the face moves, the head's motion taken out: stage `motion`.

    Args:
        face: what `align` returned.
        flow: (T - 1, S, S, 2) what `flow` returned for it.
        options: options of the section `motion`, such as `rate_fps=30.0`.

    Returns:
        A row per step, the index `seconds` its middle. Columns: the channels that networks read, scaled by the video's
        own spread; `region_brows`, `region_eyes`, `region_cheeks`, `region_mouth`, `region_chin`, speed in eye
        distances per second; `valid`, False where the motion is not known and all others are 0.

    Raises:
        UserError: flow of other crops, or an option that is not known.
    """
    if flow.shape != (len(face.crops) - 1, *face.crops.shape[1:3], 2):
        expected = f"{(len(face.crops) - 1, *face.crops.shape[1:3], 2)}, as of these crops"
        raise UserError(where="motion", got=f"flow of shape {flow.shape}", expected=expected)
    params = validate(MotionParams, options, "options", where="motion")
    layout = layout_of(params)
    repeated = face.reason == Reason.REPEATED
    found = place_motion(
        lambda first, last: flow[first:last],
        face.crops.shape[1],
        face.landmarks,
        times_s=face.times_s - face.times_s[0],
        usable=usable_steps(face.valid | repeated, np.isin(face.reason, BREAKS)),
        rate=params.rate_fps,
        repeated=repeated,
        inside=face.inside,
    )
    described = with_regions(found, layout)
    values = described.features
    middle = layout.step_frames * np.arange(len(values)) + (layout.clip_frames - 1) / 2
    index = pandas().Index(face.times_s[0] + middle / layout.rate, name="seconds")
    return pandas().DataFrame(values, index=index, columns=list(described.channels)).assign(valid=described.valid)
