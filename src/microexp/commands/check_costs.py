"""What a data set will cost under a configuration, and what will cost its user a day: for `microexp check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from microexp.config import Config
from microexp.datasets.classes import class_in
from microexp.datasets.task import TaskParams
from microexp.errors import UserError
from microexp.reading.params import DatasetParams
from microexp.reading.release import Index
from microexp.records.index import Expression, Video

SECONDS_DECODE = 0.001
"""CPU-seconds to decode a source frame; all such figures are of one core at 2 GHz (docs/datasets.md)."""
SECONDS_CROP = 0.0025
"""Face, alignment and crop of a frame that is kept."""
SECONDS_FLOW = 0.010
"""TV-L1, preset `micro`, between two crops of 224 px."""
SECONDS_MOTION = 0.0005
"""The stream `motion`, for each field of flow."""
SECONDS_PLACE, SECONDS_SUBJECT = 0.06, 8.0
"""To look for the face at a place of a video; to start the four or five processes of a subject."""
SECONDS_SNIPPET = 0.24
"""One I3D stream on one snippet of 8 frames of 224 px."""
BYTES_CROP, BYTES_FLOW = 142_000, 110_000
"""A colour crop and a flow field of 224 px as they are stored; grey crops take a third."""
BYTES_SNIPPET = 4_100
SIDE_PX = 224
RATE_LIMIT = 60.0
"""Frames/s above which long videos are worth a warning when nothing resamples them."""
USUAL_RATE = 30.0


@dataclass(frozen=True)
class Cost:
    """CPU-hours of preprocessing on one core, and GB on disk while the run is at work."""

    hours: float
    gigabytes: float

    def __str__(self) -> str:
        return f"{self.hours:.1f} CPU-hours, {self.gigabytes:.1f} GB"


def rate_of(config: Config, dataset: DatasetParams, video: Video) -> float:
    """Frames/s that are kept of a video."""
    return min(dataset.fps or video.fps, video.fps)


def streams_of(config: Config, name: str) -> set[str]:
    """Feature streams that the spotting methods read of data set `name`."""
    found: set[str] = set()
    for e, experiment in config.spotting.items():
        if name in experiment.datasets:
            for m in experiment.methods:
                method, options = config.method("spotting", e, m)
                found |= set(method.streams(options))  # type: ignore[union-attr]
    return found


def cost(config: Config, name: str, videos: Sequence[Video], *, fps: float | None = None) -> Cost:
    """Preprocessing of a data set: from its videos to the features that the configuration's methods read.

    Args:
        config: the configuration.
        name: of the data set.
        videos: of its index.
        fps: frames/s in place of the configured rate.
    """
    source = sum(v.n_frames for v in videos)
    rates = [min(fps, v.fps) if fps else rate_of(config, config.datasets[name], v) for v in videos]
    kept = sum(v.n_frames * rate / v.fps for v, rate in zip(videos, rates, strict=True))
    streams = streams_of(config, name)
    area, i3d = (config.crops.size / SIDE_PX) ** 2, config.i3d
    has_flow = bool(streams & {"i3d_flow", "motion"})
    snippets = len(streams & {"i3d_rgb", "i3d_flow"}) / i3d.step_frames
    snippet_s = SECONDS_SNIPPET * (i3d.size_px / SIDE_PX) ** 2 * i3d.clip_frames / 8
    frame_s = SECONDS_CROP + has_flow * SECONDS_FLOW * area + ("motion" in streams) * SECONDS_MOTION
    seconds = source * SECONDS_DECODE + kept * (frame_s + snippets * snippet_s)
    places = sum(config.faces.places(v.n_frames) for v in videos)
    seconds += places * SECONDS_PLACE + len({v.subject for v in videos}) * SECONDS_SUBJECT
    keep = config.keep
    has_crops, kept_flow = keep.crops or keep.pictures, has_flow and (keep.flow or keep.pictures)
    crop = BYTES_CROP / 3 if config.crops.grey else BYTES_CROP
    size = kept * (has_crops * crop * area + kept_flow * BYTES_FLOW * area + snippets * BYTES_SNIPPET)
    return Cost(seconds / 3600, size / 1e9)


def describe(config: Config, name: str, index: Index) -> list[str]:
    """The estimate, in a line; none without frames."""
    if not index.videos:
        return []
    return [f"  estimate: preprocessing {cost(config, name, index.videos)}; training and recognition come on top"]


def warnings(config: Config, name: str, index: Index) -> list[str]:
    """What will cost the user a day, a line each."""
    lines = [*_rate(config, name, index), *_windows(config, name, index), *_too_little(config, name, index)]
    return [f"  warning: {line}" for line in lines]


def _rate(config: Config, name: str, index: Index) -> Iterator[str]:
    """Long videos at a high rate that nothing resamples."""
    rates = {rate_of(config, config.datasets[name], v) for v in index.videos}
    if index.clips or not rates or max(rates) <= RATE_LIMIT:
        return
    now, usual = cost(config, name, index.videos), cost(config, name, index.videos, fps=USUAL_RATE)
    yield (f"{max(rates):g} frames/s are kept: {now}; with datasets.{name}.fps: {USUAL_RATE:g} it would be {usual}")


def _windows(config: Config, name: str, index: Index) -> Iterator[str]:
    """Expressions that are longer than the window of a method."""
    videos = {v.key: v for v in index.videos}
    shown = [(e, videos[e.video_key]) for e in index.expressions if e.video_key in videos]
    for e, experiment in config.spotting.items():
        if name not in experiment.datasets or not shown:
            continue
        for m in experiment.methods:
            window = getattr(config.method("spotting", e, m)[1], "window_frames", None)
            if window is None:
                continue
            lengths = [_seconds(item, video) for item, video in shown]
            limits = [window / rate_of(config, config.datasets[name], video) for _, video in shown]
            longer = sum(length > limit for length, limit in zip(lengths, limits, strict=True))
            if longer:
                yield (
                    f"spotting.{e}.methods.{m}: {longer} of {len(shown)} expressions are longer than its window of "
                    f"{window} frames ({min(limits):.2f} s); the longest has {max(lengths):.2f} s"
                )


def _seconds(item: Expression, video: Video) -> float:
    return (item.offset - item.onset + 1) / video.fps


def _too_little(config: Config, name: str, index: Index) -> Iterator[str]:
    """Experiments on this data set alone that cannot be trained: one subject, or a class without a clip."""
    subjects = {v.subject for v in index.videos}
    for kind in ("spotting", "recognition"):
        for e, experiment in config.experiments(kind).items():
            if index.videos and experiment.datasets == [name] and len(subjects) < 2:
                yield f"{kind}.{e}: one subject: nobody is left to train on when it is held out"
    for e, task in config.recognition.items():
        if index.videos and task.datasets == [name]:
            for label in _empty_classes(config, name, e, index):
                yield f"recognition.{e}: no clip of class {label}"


def _empty_classes(config: Config, name: str, experiment: str, index: Index) -> list[str]:
    from microexp.datasets.classes import class_names

    options = config.recognition[experiment]
    fields = options.model_dump(include=set(TaskParams.model_fields) - {"adapters"})
    task = TaskParams(**fields, adapters={name: config.datasets[name].adapter or name})
    items = [e for e in index.expressions if e.kind in options.kinds]
    try:
        found = {class_in(task, name, e.subject, video=e.video, emotion=e.emotion, aus=str(e.aus)) for e in items}
        if task.target == "action_units":
            return [] if found - {None} else ["any action unit"]
        return [label for label in class_names(task) if label not in found]
    except UserError:
        return []  # an unknown protocol is said where the configuration is checked
