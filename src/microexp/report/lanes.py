"""What happens in a video, as lanes of a timeline: the ground truth, then the detections of every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from microexp.metrics.spotting import hits
from microexp.records.index import Expression, Video
from microexp.report.collect import Rows
from microexp.report.svg import Bar, Lane


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
