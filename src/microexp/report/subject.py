"""Stage `report-subject`: the page of one subject, with pictures of the expressions and timelines of the videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from microexp.datasets.classes import numbers
from microexp.records.apexdiff import Apexdiff, read_apexdiff
from microexp.records.crops import Crops
from microexp.records.detections import COLUMNS as DETECTION_COLUMNS
from microexp.records.events import Event, read_events
from microexp.records.faces import Faces
from microexp.records.features import Features, Files, list_features
from microexp.records.flow import Flow
from microexp.records.index import Expression, Video, read_expressions, read_videos
from microexp.records.predictions import COLUMNS as PREDICTION_COLUMNS
from microexp.records.shard import Shard, Stored, V, open_videos
from microexp.records.validity import in_words
from microexp.report import page, svg
from microexp.report.collect import HEADINGS, Rows, alignment_of, read_rows, read_versions
from microexp.report.detected import (
    ReportedDetection,
    about,
    classes_of,
    detections_of,
    of_video,
    video_lanes,
    with_apex,
)
from microexp.report.page import render
from microexp.report.params import PageParams
from microexp.run import storage
from microexp.run.runner import made_by, own_record
from microexp.run.stage import Job

STRIP = 10  # crops of a video's strip
HOME = "../../report.html"
"""The report, as seen from a subject's page."""


@dataclass(frozen=True)
class Shown:
    """An expression as pictures (`data:` addresses, None where there is none) and words."""

    title: str
    about: str
    pictures: tuple[tuple[str, str], ...]
    predictions: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True)
class Detected:
    """A detection as pictures and words.

    Attributes:
        classes: (class, probability) of the recogniser, the most probable first.
    """

    title: str
    about: str
    hit: bool
    pictures: tuple[tuple[str, str], ...]
    classes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class VideoView:
    """What the page shows of a video."""

    name: str
    facts: tuple[str, ...]
    excluded: str
    strip: tuple[str, ...]
    timeline: Markup
    expressions: tuple[Shown, ...]
    detected: tuple[Detected, ...]


def crop_near(crops: Crops, source_frame: int) -> np.ndarray:
    """The crop (S, S, C) nearest to a frame of the source video."""
    return np.asarray(crops.frames[int(np.argmin(np.abs(crops.frame_index.astype(np.int64) - source_frame)))])


def maps_of(record: Apexdiff, expression: Expression) -> dict[str, np.ndarray]:
    """Difference and flow of an expression; empty when it was excluded."""
    row = record.row(expression.video, expression.expression)
    return {} if row is None else {"difference": record.difference[row], "flow": record.flow[row]}


def summed_flow(flow: Flow, frame_index: np.ndarray, expression: Expression) -> np.ndarray | None:
    """Sum of the flow from onset to apex, px: about the motion between the two."""
    first, last = (
        int(np.argmin(np.abs(frame_index.astype(np.int64) - f))) for f in (expression.onset, expression.apex)
    )
    if last <= first:
        return None
    total: np.ndarray = flow.units[first:last].astype(np.float64).sum(0) * flow.scale_px
    return total


def expression_pictures(
    expression: Expression, crops: Crops, flow: Flow | None, *, maps: Mapping[str, np.ndarray], faces: bool
) -> list[tuple[str, str]]:
    """(caption, address) of what there is to show of an expression."""
    shown = []
    if faces:
        shown += [("onset", page.photo(crop_near(crops, expression.onset)))]
        shown += [("apex", page.photo(crop_near(crops, expression.apex)))]
    if maps and faces:
        difference = maps["difference"]
        shown.append(("difference", page.drawing(page.signed_colours(difference, page.bound_of(difference)))))
    motion = maps.get("flow")
    if motion is None and flow is not None:
        motion = summed_flow(flow, crops.frame_index, expression)
    if motion is not None:
        bound = page.bound_of(motion)
        px = bound * crops.side / motion.shape[0]
        shown.append((f"flow, {px:.1f} px", page.drawing(page.flow_colours(motion, bound))))
    return shown


def predictions_of(expression: Expression, folds: Sequence[Rows]) -> list[tuple[str, str, bool]]:
    """(experiment and method, prediction, whether right) of an expression, first seeds."""
    found: dict[str, tuple[str, str, bool]] = {}
    several = len({f.experiment for f in folds}) > 1
    for fold in folds:
        for row in fold.rows:
            key = (row["dataset"], row["subject"], row["video"], row["expression"])
            if key == (expression.dataset, expression.subject, expression.video, str(expression.expression)):
                name = row["method"].replace("_", " ")
                name = f"{fold.experiment}: {name}" if several else name
                found.setdefault(name, (name, row["prediction"], _right(row["label"], row["prediction"])))
    return list(found.values())


def _right(label: str, prediction: str) -> bool:
    """The same class; of action units the same numbers, whichever sides the label names."""
    units = numbers(label)
    return units == numbers(prediction) if units else label == prediction


class PageSources:
    """The shards of a subject that are there, by stage."""

    def __init__(
        self,
        shards: Mapping[type[Stored], Shard[Any]],
        apexdiff: Apexdiff | None,
        motion: Sequence[Features],
        *,
        events: Sequence[Event] = (),
    ) -> None:
        self.shards, self.apexdiff, self.events = shards, apexdiff, events
        self._motion = {features.video: features for features in motion}

    def usable(self, record: type[V], video: str) -> V | None:
        """A video's record unless it is missing or excluded."""
        shard: Shard[V] | None = self.shards.get(record)
        return None if shard is None else shard.usable(video)

    def excluded(self, video: str) -> str:
        """Why a video was excluded, as the first shard that knows says; empty when it was not."""
        reasons = [shard[video].excluded for shard in self.shards.values() if video in shard]
        return next((r for r in reasons if r), "")

    def motion(self, video: str) -> np.ndarray | None:
        """(T-1,) mean flow magnitude over the regions of a face."""
        motion = self._motion.get(video)
        if motion is None:
            return None
        regions = [i for i, name in enumerate(motion.channels) if name.startswith("region_")]
        return np.asarray(motion.read(0, motion.n_steps)[:, regions].mean(1)) if regions else None


def view_video(
    video: Video,
    expressions: Sequence[Expression],
    sources: PageSources,
    *,
    detections: Sequence[Rows],
    predictions: Sequence[Rows],
    params: PageParams,
) -> VideoView:
    """Everything that the page shows of one video."""
    own = [e for e in expressions if e.video == video.video and e.is_inside(video.n_frames)]
    crops, flow = sources.usable(Crops, video.video), sources.usable(Flow, video.video)
    faces = sources.usable(Faces, video.video)
    facts = [f"named {video.original} on disk"] if video.original else []
    facts += [f"{video.n_frames} frames", f"{video.fps:g} fps"]
    facts += [f"{video.width} x {video.height} px"] if video.width else ["no video on disk"]
    if faces is not None:
        facts += [f"{what}: {cell}" for what, cell in zip(HEADINGS, alignment_of(faces).cells(), strict=True)]
        facts += [in_words(faces.reason)] if in_words(faces.reason) else []
    strip: list[str] = []
    shown = []
    detected: list[Detected] = []
    if crops is not None:
        found = detections_of(video, expressions, detections, events=sources.events, limit=params.detections)
        detected = [_detected(item, video, crops, flow, params.faces) for item in found]
        places = np.linspace(0, len(crops) - 1, STRIP).round().astype(int)
        strip = [page.photo(crops.frames[int(i)]) for i in places] if params.faces else []
        for e in own[: params.expressions]:
            maps = maps_of(sources.apexdiff, e) if sources.apexdiff is not None else {}
            pictures = expression_pictures(e, crops, flow, maps=maps, faces=params.faces)
            first, _, last = e.released(video.numbering)
            words = f"frames {first}–{last}, {e.onset / video.fps:.2f} s, "
            words += f"{(e.offset - e.onset + 1) / video.fps:.2f} s long"
            words += f", AU {e.aus}" if e.aus else ""
            title = " ".join(t for t in (e.kind, e.emotion) if t)
            shown.append(Shown(title, words, tuple(pictures), tuple(predictions_of(e, predictions))))
    lanes = video_lanes(video, expressions, detections)
    picture = svg.timeline(lanes, video.n_frames, video.fps, motion=sources.motion(video.video))
    return VideoView(
        video.video, tuple(facts), sources.excluded(video.video), tuple(strip), picture, tuple(shown), tuple(detected)
    )


def _detected(found: ReportedDetection, video: Video, crops: Crops, flow: Flow | None, faces: bool) -> Detected:
    span = with_apex(found.span, flow, crops.frame_index)
    classes = tuple((name, f"{p:.2f}") for name, p in classes_of(found.event).items())
    pictures = expression_pictures(span, crops, flow, maps={}, faces=faces)
    return Detected(found.span.kind, about(found, video), found.hit, tuple(pictures), classes)


def run(job: Job[PageParams]) -> None:
    """Write the page of one subject."""
    from contextlib import ExitStack

    videos = read_videos(job.input("videos"))
    expressions = read_expressions(job.input("expressions"), videos)
    detections = read_rows(job.inputs["detections"], DETECTION_COLUMNS)
    predictions = read_rows(job.inputs["predictions"], PREDICTION_COLUMNS)
    given = {record: job.inputs[record.KIND.stage][0] for record in SHARDS if job.inputs.get(record.KIND.stage)}
    maps = read_apexdiff(job.input("apexdiff"))[1] if job.inputs.get("apexdiff") else None
    with ExitStack() as stack:
        motion = list_features(job.inputs.get("motion", []), stack.enter_context(Files()))
        shards = {r: stack.enter_context(open_videos(path, r)) for r, path in given.items()}
        events = [e for path in job.inputs.get("events", []) for e in read_events(path, videos, others=True)]
        sources = PageSources(shards, maps, motion, events=events)
        views = [
            view_video(v, expressions, sources, detections=detections, predictions=predictions, params=job.params)
            for v in videos
        ]
    every: list[Path] = [p for paths in job.inputs.values() for p in paths]
    text = render(
        "subject.html",
        title=f"{job.keys['dataset']} / {job.keys['subject']}",
        report_title=job.params.title,
        home=HOME,
        videos=views,
        wheel=page.drawing(page.colour_wheel(64)),
        versions=read_versions(every),
        own_source=made_by(own_record()),
        faces=job.params.faces,
        total=len(expressions),
        detected=any(of_video(r, v) for f in detections for r in f.rows for v in videos),
    )
    storage.write_text(job.output("page"), text)


SHARDS: tuple[type[Stored], ...] = (Faces, Crops, Flow)
