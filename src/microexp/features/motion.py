"""Stage `motion`: how the places of a face move, from the aligned flow, and the speed of its regions.

The stream's channels are those of `features`, for networks, and `region_…`: the mean speed of a region in eye
distances per second, for the rule that learns no weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microexp.errors import UserError
from microexp.features.motion_tracking import STEPS_AT_ONCE, PlaceMotion, pieces, place_motion, usable_steps
from microexp.features.params import MotionParams
from microexp.records.crops import Crops, open_crops
from microexp.records.faces import Faces, open_faces
from microexp.records.features import Layout, create_features
from microexp.records.flow import Flow, open_flow
from microexp.records.shard import Shard, V
from microexp.records.validity import BREAKS, Reason
from microexp.run.log import track
from microexp.run.stage import Job

# Features for spotting from the motion of facial places, and the speed of regions for the rule without learning.
#
# Lengths are in distances between the eyes and rates per second, so that a model carries over between crops, cameras
# and frame rates. What is masked (see `motion_tracking`) is 0, the middle of a channel: no sign of anything.

REGIONS: dict[str, tuple[str, ...]] = {
    "brows": ("brow_outer", "brow_middle", "brow_inner", "glabella", "forehead"),
    "eyes": ("lid_upper", "lid_lower", "eye_corner"),
    "cheeks": ("cheek", "nostril", "nasolabial"),
    "mouth": ("mouth_corner", "lip_upper", "lip_lower"),
    "chin": ("jaw", "chin"),
}
"""Regions of the rule that learns nothing: kinds of places, both sides together."""
RULE_REGIONS = ("brows", "cheeks", "mouth")
"""What the rule that learns nothing should look at: blinks and glances make the eyes its worst source of error."""
POSITION_S = 0.25
"""Positions count as if they had been reached in this time, which makes them velocities like all else."""
REGION = "region_"
PLACES_AT_ONCE = 1
"""Of a long video, so that what is computed on the way takes little memory. Each place is on its own."""


@dataclass(frozen=True)
class MotionLayout:
    """What the features consist of.

    Attributes:
        rate: of the model's frames, frames/s.
        step_frames: frames from one feature to the next.
        span_frames: lengths over which displacements are measured beside single steps.
        position_frames: length of the running median from which a place's position is measured; 0 leaves it out.
        directions: whether the velocities' x and y are channels too (measured: no gain).
        floor: least scale of a channel, eye distances/s, so that a still video's noise does not become motion.
    """

    rate: float = 30.0
    step_frames: int = 2
    span_frames: tuple[int, ...] = (6, 12, 24)
    position_frames: int = 90
    directions: bool = False
    floor: float = 0.003

    @property
    def clip_frames(self) -> int:
        """Frames that a single step covers, both ends counted: feature i stands for [step·i, step·i + clip)."""
        return self.step_frames + 1


@dataclass(frozen=True)
class Motion:
    """Features of one video.

    Attributes:
        features: (n, C) float32, each channel centred and scaled by the video's own spread; 0 where not valid.
        valid: (n,) whether the step lies wholly in usable frames.
        channels: (C,) names such as `mouth_corner_left.span6`.
        frame_index: (m,) float64 source frame, fractional, of each frame at the model's rate.
        layout: step, clip and rate.
    """

    features: np.ndarray
    valid: np.ndarray
    channels: tuple[str, ...]
    frame_index: np.ndarray
    layout: MotionLayout


def features(motion: PlaceMotion, layout: MotionLayout) -> Motion:
    """Features of a video for the spotting network; `layout.rate` must be that of `motion`.

    Per place: speed in each step, mean speed over longer spans around it, and the distance from where the place is most
    of the time in the seconds around. Each channel is centred and scaled by its median and its median deviation in
    the video (no label is used), then compressed, so that a laugh does not drown a twitch.
    """
    return _features(motion, layout, ())


def with_regions(motion: PlaceMotion, layout: MotionLayout) -> Motion:
    """Features as of `features`, with the speed of each region as channels after them."""
    return _features(motion, layout, tuple(REGIONS))


def _features(motion: PlaceMotion, layout: MotionLayout, regions: tuple[str, ...]) -> Motion:
    n = len(motion.moved) // layout.step_frames
    valid = np.asarray(motion.valid[: n * layout.step_frames].reshape(n, layout.step_frames).all(1))
    n_places, names = len(motion.names), list(measures(motion.moved[:0], motion.rate, layout))
    own = tuple(f"{place}.{what}" for what in names for place in motion.names)
    values = np.empty((n, len(own) + len(regions)), np.float32)
    for some in pieces(n_places, PLACES_AT_ONCE):
        for number, column in enumerate(measures(motion.moved[:, some], motion.rate, layout).values()):
            first = number * n_places
            values[:, first + some.start : first + some.stop] = normalise(column, valid, layout.floor)
    if regions:
        speed = region_speed(motion)[: n * layout.step_frames]
        values[:, len(own) :] = speed.reshape(n, layout.step_frames, len(regions)).mean(1)
    return Motion(values, valid, (*own, *(REGION + name for name in regions)), motion.frame_index, layout)


def measures(moved: np.ndarray, rate: float, layout: MotionLayout) -> dict[str, np.ndarray]:
    """What is measured of each place, from displacements (m-1, P, 2): its name -> (n, P) float64."""
    n = len(moved) // layout.step_frames
    middle = np.arange(n) * layout.step_frames + layout.step_frames // 2
    velocity = span_motion(moved, layout.step_frames, middle) * rate
    found = {"x": velocity[..., 0], "y": velocity[..., 1]} if layout.directions else {}
    found["speed"] = np.linalg.norm(velocity, axis=-1)
    for span in layout.span_frames:
        found[f"span{span}"] = np.linalg.norm(span_motion(moved, span, middle), axis=-1) * rate
    if layout.position_frames:
        found["position"] = np.linalg.norm(positions(moved, layout.position_frames)[middle], axis=-1)
    return found


def span_motion(moved: np.ndarray, span: int, place: np.ndarray) -> np.ndarray:
    """(n, P, 2) mean displacement per frame over `span` frames: for i of `place` (n,) those from i - span//2 on."""
    path = np.concatenate([np.zeros_like(moved[:1]), np.cumsum(moved, 0)])
    first = np.clip(place - span // 2, 0, len(moved))
    last = np.clip(place + (span + 1) // 2, 0, len(moved))
    found: np.ndarray = (path[last] - path[first]) / span
    return found


def positions(moved: np.ndarray, window: int) -> np.ndarray:
    """(m-1, P, 2) place relative to its running median over about `window` frames, eye distances / POSITION_S."""
    from scipy.ndimage import median_filter

    path = np.cumsum(moved, 0)
    rest: np.ndarray = median_filter(path, size=(window // 2 * 2 + 1, 1, 1), mode="nearest") if len(path) else path
    found: np.ndarray = (path - rest) / POSITION_S
    return found


def normalise(values: np.ndarray, valid: np.ndarray, floor: float) -> np.ndarray:
    """Robust z-scores (n, C) float32 over the valid steps, compressed by 2·asinh(z/2); 0 where not valid."""
    found = np.zeros(values.shape, np.float32)
    if not valid.any():
        return found
    good = values[valid]
    middle = np.median(good, 0)
    spread = 1.4826 * np.median(np.abs(good - middle), 0) + floor
    found[valid] = 2 * np.arcsinh((good - middle) / spread / 2)
    return found


def region_speed(motion: PlaceMotion) -> np.ndarray:
    """(m-1, regions) float32 mean speed of the places of each of REGIONS, eye distances/s.

    Steps that are not valid have the median of the others, so that they are no peak and no valley.
    """
    kinds = [name.rpartition("_")[0] for name in motion.names]
    members = [[i for i, kind in enumerate(kinds) if kind in region] for region in REGIONS.values()]
    found = np.empty((len(motion.moved), len(REGIONS)))
    for some in pieces(len(found), STEPS_AT_ONCE):
        speed = np.linalg.norm(motion.moved[some], axis=-1) * motion.rate
        found[some] = np.stack([speed[:, m].mean(1) for m in members], 1)
    if motion.valid.any():
        found[~motion.valid] = np.median(found[motion.valid], 0)
    return found.astype(np.float32)


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
            found = with_regions(motion, layout)
            stored = Layout(layout.step_frames, layout.clip_frames, layout.rate, found.channels)
            out.add(name, found.features, stored, frame_index=found.frame_index, valid=found.valid)


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
