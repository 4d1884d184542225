"""Stage `report-subject`: the page of one subject, with pictures of the expressions and timelines of the videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from microexp.records.detections import COLUMNS as DETECTION_COLUMNS
from microexp.records.index import Expression, Video, read_expressions, read_videos
from microexp.records.predictions import COLUMNS as PREDICTION_COLUMNS
from microexp.report import images, svg
from microexp.report.alignment import alignment_of
from microexp.report.collect import Rows, read_rows, read_versions
from microexp.report.lanes import of_video, video_lanes
from microexp.report.page import render
from microexp.report.params import PageParams
from microexp.run import storage
from microexp.run.stage import Job

if TYPE_CHECKING:
    import h5py

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
class VideoView:
    """What the page shows of a video."""

    name: str
    facts: tuple[str, ...]
    excluded: str
    strip: tuple[str, ...]
    timeline: Markup
    expressions: tuple[Shown, ...]


def crop_near(group: h5py.Group, source_frame: int) -> np.ndarray:
    """The crop (S, S, C) nearest to a frame of the source video."""
    index = group["frame_index"][:]
    return np.asarray(group["frames"][int(np.argmin(np.abs(index.astype(np.int64) - source_frame)))])


def maps_of(shard: h5py.File, expression: Expression) -> dict[str, np.ndarray]:
    """Difference and flow of an expression from an apexdiff shard; empty when it was left out."""
    keys = zip(shard["video"].asstr()[:], shard["expression"][:], strict=True)
    wanted = (expression.video, expression.expression)
    rows = [i for i, (video, number) in enumerate(keys) if (video, int(number)) == wanted]
    return {name: shard[name][rows[0]] for name in ("difference", "flow")} if rows else {}


def summed_flow(group: h5py.Group, frame_index: np.ndarray, expression: Expression) -> np.ndarray | None:
    """Sum of the flow from onset to apex, px: about the motion between the two."""
    first, last = (
        int(np.argmin(np.abs(frame_index.astype(np.int64) - f))) for f in (expression.onset, expression.apex)
    )
    if last <= first:
        return None
    flow = group["flow"]
    total: np.ndarray = flow[first:last].astype(np.float64).sum(0) * float(flow.attrs["scale"])
    return total


def expression_pictures(
    expression: Expression, crops: h5py.Group, flow: h5py.Group | None, maps: Mapping[str, np.ndarray], faces: bool
) -> list[tuple[str, str]]:
    """(caption, address) of what there is to show of an expression."""
    shown = []
    if faces:
        shown += [("onset", images.photo(crop_near(crops, expression.onset)))]
        shown += [("apex", images.photo(crop_near(crops, expression.apex)))]
    if maps and faces:
        difference = maps["difference"]
        shown.append(("difference", images.drawing(images.signed_colours(difference, images.bound_of(difference)))))
    motion = maps.get("flow")
    if motion is None and flow is not None:
        motion = summed_flow(flow, crops["frame_index"][:], expression)
    if motion is not None:
        bound = images.bound_of(motion)
        side = crops["frames"].shape[1]
        px = bound * side / motion.shape[0]
        shown.append((f"flow, {px:.1f} px", images.drawing(images.flow_colours(motion, bound))))
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
                found.setdefault(name, (name, row["prediction"], row["prediction"] == row["label"]))
    return list(found.values())


class Sources:
    """The shards of a subject that are there, by stage."""

    def __init__(self, files: Mapping[str, h5py.File]) -> None:
        self.files = files

    def group(self, stage: str, video: str) -> h5py.Group | None:
        """A video's group unless it is missing or excluded."""
        file = self.files.get(stage)
        if file is None or video not in file or file[video].attrs.get("excluded"):
            return None
        return file[video]

    def excluded(self, video: str) -> str:
        """Why a video was left out, as the first shard that knows says; empty when it was not."""
        reasons = [f[video].attrs.get("excluded", "") for f in self.files.values() if video in f]
        return next((str(r) for r in reasons if r), "")

    def motion(self, video: str) -> np.ndarray | None:
        """(T,) mean flow magnitude over the regions of a face."""
        group = self.group("motion", video)
        if group is None:
            return None
        names = str(group.attrs["channels"]).split(",")
        regions = [i for i, name in enumerate(names) if name.startswith("region_")]
        return np.asarray(group["features"][:][:, regions].mean(1))


def view_video(
    video: Video,
    expressions: Sequence[Expression],
    sources: Sources,
    detections: Sequence[Rows],
    predictions: Sequence[Rows],
    params: PageParams,
) -> VideoView:
    """Everything that the page shows of one video."""
    own = [e for e in expressions if e.video == video.video and e.is_inside(video.n_frames)]
    crops, flow, faces = (sources.group(stage, video.video) for stage in ("crops", "flow", "faces"))
    facts = [f"{video.n_frames} frames", f"{video.fps:g} fps", f"{video.width} x {video.height} px"]
    if faces is not None:
        scale, jitter, misses, drift = alignment_of(faces).cells()
        facts += [f"side of the crop {scale} source px", f"landmark jitter {jitter} px"]
        facts += [f"detector misses {misses}", f"drift {drift} px per frame"]
    strip: list[str] = []
    shown = []
    if crops is not None:
        places = np.linspace(0, len(crops["frames"]) - 1, STRIP).round().astype(int)
        strip = [images.photo(crops["frames"][int(i)]) for i in places] if params.faces else []
        apexdiff = sources.files.get("apexdiff")
        for e in own[: params.expressions]:
            maps = maps_of(apexdiff, e) if apexdiff is not None else {}
            pictures = expression_pictures(e, crops, flow, maps, params.faces)
            about = f"{e.onset / video.fps:.2f} s, {(e.offset - e.onset + 1) / video.fps:.2f} s long"
            about += f", AU {e.aus}" if e.aus else ""
            title = " ".join(t for t in (e.kind, e.emotion) if t)
            shown.append(Shown(title, about, tuple(pictures), tuple(predictions_of(e, predictions))))
    lanes = video_lanes(video, expressions, detections)
    picture = svg.timeline(lanes, video.n_frames, video.fps, sources.motion(video.video))
    return VideoView(video.video, tuple(facts), sources.excluded(video.video), tuple(strip), picture, tuple(shown))


def run(job: Job[PageParams]) -> None:
    """Write the page of one subject."""
    from contextlib import ExitStack

    videos = read_videos(job.input("videos"))
    expressions = read_expressions(job.input("expressions"), videos)
    detections = read_rows(job.inputs["detections"], DETECTION_COLUMNS)
    predictions = read_rows(job.inputs["predictions"], PREDICTION_COLUMNS)
    given = {stage: job.inputs[stage][0] for stage in SHARDS if job.inputs.get(stage)}
    with ExitStack() as stack:
        sources = Sources({stage: stack.enter_context(storage.open_shard(p)) for stage, p in given.items()})
        views = [view_video(v, expressions, sources, detections, predictions, job.params) for v in videos]
    every: list[Path] = [p for paths in job.inputs.values() for p in paths]
    text = render(
        "subject.html",
        title=f"{job.keys['dataset']} / {job.keys['subject']}",
        report_title=job.params.title,
        home=HOME,
        videos=views,
        wheel=images.drawing(images.colour_wheel(64)),
        versions=read_versions(every),
        faces=job.params.faces,
        total=len(expressions),
        detected=any(of_video(r, v) for f in detections for r in f.rows for v in videos),
    )
    storage.write_text(job.output("page"), text)


SHARDS = ("faces", "crops", "flow", "motion", "apexdiff")
