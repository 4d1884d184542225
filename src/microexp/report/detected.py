"""What was detected in a video, as pictures: onset, apex and the flow between them, with what it was recognised as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from microexp.metrics.spotting import hits
from microexp.records.events import Event
from microexp.records.flow import Flow
from microexp.records.index import Expression, Video
from microexp.report.collect import Rows
from microexp.report.svg import Bar, Lane

# What happens in a video, as lanes of a timeline: the ground truth, then the detections of every method.


def of_video(row: Mapping[str, str], video: Video) -> bool:
    """Whether a row of a fold's file is about `video`."""
    return (row["dataset"], row["subject"], row["video"]) == (video.dataset, video.subject, video.video)


def video_lanes(
    video: Video, expressions: Sequence[Expression], folds: Sequence[Rows], *, methods: int | None = None
) -> list[Lane]:
    """Lanes of one video: the first seed of each method of each experiment.

    Args:
        video: the video.
        expressions: of the whole subject or data set.
        folds: detections.
        methods: at most so many methods of an experiment; None: all.
    """
    own = [e for e in expressions if e.video_key == video.key and e.is_inside(video.n_frames)]
    truth = [Bar(e.onset, e.offset, e.kind, _tip(e.kind, e.onset, e.offset, video, e.emotion)) for e in own]
    lanes = [Lane("ground truth", truth)]
    several = len({f.experiment for f in folds}) > 1
    for experiment in dict.fromkeys(f.experiment for f in folds):
        rows = [r for f in folds if f.experiment == experiment for r in f.rows]
        names = list(dict.fromkeys(r["method"] for r in rows))
        for method in names[:methods]:
            mine = [r for r in rows if r["method"] == method and of_video(r, video)]
            mine = [r for r in mine if r["seed"] == min((r["seed"] for r in mine), key=int)]
            name = method.replace("_", " ")
            lanes.append(Lane(f"{experiment}: {name}" if several else name, detection_bars(mine, own, video)))
    return lanes


def detection_bars(rows: Sequence[Mapping[str, str]], expressions: Sequence[Expression], video: Video) -> list[Bar]:
    """Detections as bars; those that overlap no ground truth of their kind by half or more count as missed.

    They are compared in the release's numbers, as in the tables: gaps count there.
    """
    bars = []
    for row in rows:
        span = int(row["onset"]), int(row["offset"])
        onset, offset = (video.numbering.to_index(number) for number in span)
        truths = [e.released(video.numbering)[::2] for e in expressions if e.kind == row["kind"]]
        hit = bool(hits(np.array([span]), np.array(truths, float).reshape(-1, 2), "one_to_one").any())
        tip = _tip(row["kind"], onset, offset, video, f"score {float(row['score']):.2f}")
        bars.append(Bar(onset, offset, row["kind"], tip, hit))
    return bars


def _tip(kind: str, onset: float, offset: float, video: Video, more: str) -> str:
    """What an interval of indices is, with its frames in the release's numbers."""
    seconds = f"{onset / video.fps:.2f}–{(offset + 1) / video.fps:.2f} s"
    first, last = (video.numbering.to_number(int(index)) for index in (onset, offset))
    return f"{kind}, {seconds} (frames {first}–{last}) {more}".strip()


@dataclass(frozen=True)
class ReportedDetection:
    """A detection in a video.

    Attributes:
        label: experiment and method, `demo/aemnet`.
        span: the interval, with its apex where the detection is an event, as 0-based indices.
        hit: whether it overlaps a ground truth of its kind by half or more.
        event: the same with classes and flags, where there is one.
    """

    label: str
    span: Expression
    score: float
    hit: bool
    event: Event | None


def detections_of(
    video: Video, expressions: Sequence[Expression], folds: Sequence[Rows], *, events: Sequence[Event], limit: int
) -> list[ReportedDetection]:
    """Detections of the first seed of every method, at most `limit` of each, the best ones, in the order of time."""
    own = [e for e in expressions if e.video_key == video.key and e.is_inside(video.n_frames)]
    known = {(e.spotting_model, e.onset, e.offset, e.kind): e for e in events if e.key == video.key}
    found: list[ReportedDetection] = []
    for fold in folds:
        label = f"{fold.experiment}/{fold.method}"
        rows = [r for r in fold.rows if r["method"] == fold.method and int(r["seed"]) == 0 and of_video(r, video)]
        best = sorted(rows, key=lambda r: -float(r["score"]))[:limit]
        chosen = sorted(best, key=lambda r: int(r["onset"]))
        for row, bar in zip(chosen, detection_bars(chosen, own, video), strict=True):
            onset, offset = int(bar.onset), int(bar.offset)
            event = known.get((label, onset, offset, bar.kind))
            apex = -1 if event is None or event.apex is None else event.apex
            span = Expression(*video.key, 0, onset, apex, offset, bar.kind, "", "")
            found.append(ReportedDetection(label, span, float(row["score"]), bar.hit, event))
    return found


def with_apex(span: Expression, flow: Flow | None, frame_index: np.ndarray) -> Expression:
    """The interval with an apex: its own, else where the flow summed from the onset is largest, else its middle.

    Args:
        span: a detection; an apex below 0 is not known.
        flow: of the video.
        frame_index: (T,) source frame of each crop.
    """
    if span.apex >= 0:
        return span
    index = frame_index.astype(np.int64)
    first, last = (int(np.argmin(np.abs(index - frame))) for frame in (span.onset, span.offset))
    apex = (span.onset + span.offset) // 2
    if flow is not None and last > first:
        path = np.cumsum(flow.units[first:last].astype(np.float64), 0)
        path -= np.median(path, axis=(1, 2), keepdims=True)  # the head's own shift
        apex = int(index[first + 1 + int(np.linalg.norm(path, axis=-1).mean((1, 2)).argmax())])
    apex = min(max(apex, span.onset), span.offset)
    return Expression(*span.video_key, 0, span.onset, apex, span.offset, span.kind, "", "")


def about(found: ReportedDetection, video: Video) -> str:
    """Method, place, length and score of a detection in words."""
    first, last = (video.numbering.to_number(f) for f in (found.span.onset, found.span.offset))
    seconds = (found.span.offset - found.span.onset + 1) / video.fps
    text = f"{found.label.replace('_', ' ')}, frames {first}–{last}, {found.span.onset / video.fps:.2f} s, "
    text += f"{seconds:.2f} s long, score {found.score:.2f}"
    flags = found.event.flags if found.event else ()
    return f"{text}, {', '.join(flags).replace('_', ' ')}" if flags else text


def classes_of(event: Event | None) -> Mapping[str, float]:
    """Class -> probability, the most probable first."""
    known = event.probabilities if event else {}
    return dict(sorted(known.items(), key=lambda item: -item[1]))
