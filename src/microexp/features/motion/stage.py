"""Stage `motion`: how the places of a face move, from the aligned flow, and the speed of its regions.

The stream's channels are those of `channels.features`, for networks, and `region_…`: the mean speed of a region in eye
distances per second, for the rule that learns no weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microexp.errors import UserError
from microexp.features.motion.channels import REGIONS, MotionLayout, features, region_speed
from microexp.features.motion.tracking import PlaceMotion, place_motion, usable_steps
from microexp.features.params import MotionParams
from microexp.records.crops import Crops, open_crops
from microexp.records.faces import Faces, open_faces
from microexp.records.features import Layout, create_features
from microexp.records.flow import Flow, open_flow
from microexp.records.shard import Shard, V
from microexp.records.validity import BREAKS, Reason
from microexp.run.log import track
from microexp.run.stage import Job

REGION = "region_"


def run(job: Job[MotionParams]) -> None:
    """Measure the motion of every video of a flow shard."""
    from threadpoolctl import threadpool_limits

    path = job.input("flow")
    with (
        threadpool_limits(1),  # the result must not depend on the number of threads
        open_flow(path) as flow,
        open_faces(job.input("faces"), flow.subject) as faces,
        open_crops(job.input("crops"), flow.subject) as crops,
        create_features(job.output("features"), "motion", flow.subject) as out,
    ):
        for name in track(sorted(flow), "motion"):
            video = flow[name]
            if video.excluded:
                out.exclude(name, video.excluded)
                continue
            face, source = _usable(faces, name, path), _usable(crops, name, path)
            motion, layout = motion_of(video, face, source, rate=job.params.rate_fps), layout_of(job.params)
            values, valid, channels, index = with_regions(motion, layout)
            stored = Layout(layout.step_frames, layout.clip_frames, layout.rate, channels)
            out.add(name, values, stored, frame_index=index, valid=valid)


def _usable(shard: Shard[V], name: str, flow: Path) -> V:
    found = shard.usable(name)
    if found is None:
        raise UserError(
            file=shard.path,
            where=name,
            problem="no usable video",
            expected=f"as in {flow}",
            hint="run the stage flow again",
        )
    return found


def layout_of(params: MotionParams) -> MotionLayout:
    """What the features consist of."""
    return MotionLayout(params.rate_fps, params.step_frames, tuple(params.span_frames), params.position_frames)


def motion_of(flow: Flow, faces: Faces, crops: Crops, *, rate: float) -> PlaceMotion:
    """Follow the places of a video."""
    n_steps = len(flow)
    matrix, points = faces.alignment, faces.reference
    landmarks = points @ matrix[:, :2].T + matrix[:, 2]
    repeated = crops.reason == Reason.REPEATED
    usable = usable_steps(crops.valid | repeated, np.isin(crops.reason, BREAKS))
    inside = crops.inside_all()
    found = place_motion(
        flow.read,
        flow.side,
        landmarks,
        times_s=times_of(crops),
        usable=usable,
        rate=rate,
        repeated=repeated,
        inside=inside,
    )
    source = np.interp(found.frame_index, np.arange(n_steps + 1), crops.frame_index)
    return PlaceMotion(found.moved, found.valid, found.names, source, found.rate)


def times_of(crops: Crops) -> np.ndarray:
    """(T,) seconds of the crops: even ones where theirs are so, their own where the rate varies."""
    even = np.arange(len(crops)) / crops.fps
    times = crops.times - crops.times[0]
    return times if np.abs(times - even).max() >= 0.5 / crops.fps else even


def with_regions(
    motion: PlaceMotion, layout: MotionLayout
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], np.ndarray]:
    """Features with the regions' speed beside them: values (n, C), valid (n,), channels (C,), source frames (m,)."""
    found = features(motion, layout)
    n, step = len(found.features), layout.step_frames
    speed = region_speed(motion)[: n * step].reshape(n, step, len(REGIONS)).mean(1)
    values = np.concatenate([found.features, speed.astype(np.float32)], 1)
    return values, found.valid, (*found.channels, *(REGION + name for name in REGIONS)), found.frame_index
