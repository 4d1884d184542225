"""Stage `video-tables`: of one's own video a row per frame, a row per event, and how much of it could be used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from microexp.apexdiff.apexdiff import apex_and_maps
from microexp.errors import UserError
from microexp.methods.model import NamedMethod, read_method
from microexp.metrics.spotting import IOU, closed_iou, pairs
from microexp.reading.frames import open_video
from microexp.records.crops import Crops, open_crops
from microexp.records.events import Event, read_events
from microexp.records.faces import open_faces
from microexp.records.features import Files, list_features
from microexp.records.index import Expression, Video, read_expressions, read_videos
from microexp.records.landmarks import read_landmarks
from microexp.records.validity import Reason, in_words
from microexp.report.params import VideoTablesParams
from microexp.report.video.measures import Measures, Regions, measure, moving, per_frame, regions_of
from microexp.run import storage
from microexp.run.stage import Job

CANDIDATE = "candidate"
"""Kind of what was found by a method that learns nothing."""
FRAME_COLUMNS = (
    "frame", "time_s", "face", "confidence", "box_x0", "box_y0", "box_x1", "box_y1", "in_crop", "repeated", "problem",
    "head_x", "head_y", "head_roll_deg", "head_nose_x", "head_nose_y", "eye_opening", "blink",
)  # fmt: skip
"""Then `motion_REGION` for each region, eye distances per second."""
EVENT_COLUMNS = (
    "event", "onset", "apex", "offset", "onset_s", "apex_s", "offset_s", "kind", "score", "regions", "action_units",
    "emotion", "flags", "truth", "spotting_model", "recognition_model", "action_unit_model",
)  # fmt: skip
"""Then `p_CLASS` for each class of the recognition model, and one per action unit (`AU12`: its probability)."""
WELL = 0.95
"""From this share of usable frames on, a video counts as used whole."""


@dataclass(frozen=True)
class Seen:
    """What is known of a video that could be used.

    Attributes:
        reason: (n_frames,) `Reason`.
        times_s: (n_frames,) of every frame.
        measures: of the looks.
        confidence: (K,) of the looks; 0 where there is no face.
        regions: speed of the face's regions.
    """

    reason: np.ndarray
    times_s: np.ndarray
    measures: Measures
    confidence: Sequence[float]
    regions: Regions


def run(job: Job[VideoTablesParams]) -> None:
    """Write frames, events and summary of one video."""
    videos = read_videos(job.input("videos"))
    if len(videos) > 1:
        raise UserError(file=job.input("videos"), got=f"{len(videos)} videos", expected="one: each is a subject")
    if not videos:
        _write_nothing(job, None, "the video cannot be read")
        return
    (video,) = videos
    truths = read_expressions(job.input("expressions"), videos)
    model = read_method(job.input("spotting"), "spotting")
    with open_crops(job.input("crops")) as shard, open_faces(job.input("faces")) as faces, Files() as files:
        crops = shard.usable(video.video)
        if crops is None:
            _write_nothing(job, video, shard[video.video].excluded, truths=len(truths))
            return
        motion = {f.video: f for f in list_features([job.input("motion")], files)}.get(video.video)
        if motion is None:
            frames = f"{video.n_frames} frame{'' if video.n_frames == 1 else 's'}"
            _write_nothing(job, video, f"no motion can be measured in {frames}", truths=len(truths))
            return
        looks = read_landmarks(job.input("landmarks"))
        sure = [look.confidence for look in looks]
        seen = Seen(crops.source_reason, _times_of(crops, video), measure(looks), sure, regions_of(motion))
        del looks
        found = read_events(job.input("found"), videos)
        events = [with_apex(event, crops, job) for event in found]
        n_faces = faces[video.video].n_faces
    storage.write_csv(job.output("frames"), *frame_table(video, seen))
    storage.write_csv(job.output("events"), *event_table(video, events, seen, truths=truths, model=model))
    about = summary(video, seen, events, truths=truths, model=model, cut=_cut(job, video))
    storage.write_json(job.output("summary"), about | {"people": n_faces, "face_box": face_box(seen.measures)})


def _cut(job: Job[Any], video: Video) -> str:
    """What to say of a file of which a part is missing; '' where nothing is, or nobody says where it lies."""
    return open_video(job.input("root") / video.path).cut if job.inputs.get("root") else ""


def _write_nothing(job: Job[Any], video: Video | None, why: str, *, truths: int = 0) -> None:
    """Tables without a row, and a summary that says why; none of the known expressions was met."""
    storage.write_csv(job.output("frames"), FRAME_COLUMNS, [])
    storage.write_csv(job.output("events"), EVENT_COLUMNS, [])
    known = {"truths": truths, "hits": 0 if truths else None}
    about = {} if video is None else _facts(video) | known
    storage.write_json(job.output("summary"), {"status": "none", "why": why, "usable": 0.0, "events": 0, **about})


def _facts(video: Video) -> dict[str, Any]:
    return {
        "video": video.video, "frames": video.n_frames, "fps": round(video.fps, 4), "width": video.width,
        "height": video.height, "seconds": round(video.n_frames / video.fps, 3),
    }  # fmt: skip


def _times_of(crops: Crops, video: Video) -> np.ndarray:
    """(n_frames,) seconds of every frame; crops may be fewer where they were resampled."""
    index, every = crops.frame_index.astype(np.int64), np.arange(video.n_frames)
    times = np.interp(every, index, crops.times)
    beyond = every > index[-1]
    times[beyond] += (every[beyond] - index[-1]) / video.fps
    return np.asarray(times)


def with_apex(event: Event, crops: Crops, job: Job[VideoTablesParams]) -> Event:
    """The event with an apex, where its crops show one."""
    if event.apex is not None:
        return event
    found = apex_and_maps(
        crops, (event.onset, event.offset), job.params.apexdiff, threads=job.threads, device=job.device
    )
    return event if found is None else replace(event, apex=found[0])


# --- frames -----------------------------------------------------------------------------------------------------------


def frame_table(video: Video, seen: Seen) -> tuple[tuple[str, ...], Iterator[tuple[object, ...]]]:
    """Columns and rows of `frames.csv`: a row per frame of the decoded video, one by one."""
    return (*FRAME_COLUMNS, *(f"motion_{name}" for name in seen.regions.names)), _frame_rows(video, seen)


def _frame_rows(video: Video, seen: Seen) -> Iterator[tuple[object, ...]]:
    speed, numbers = per_frame(seen.regions, video.n_frames), video.numbering.values
    looked = {int(number): i for i, number in enumerate(seen.measures.numbers)}
    for frame in range(video.n_frames):
        reason = Reason(int(seen.reason[frame]))
        in_crop = reason not in (Reason.NO_FACE, Reason.OUTSIDE, Reason.DAMAGED)
        yield (
            int(numbers[frame]), round(float(seen.times_s[frame]), 4),
            *_look_cells(seen, looked.get(int(numbers[frame])), int(in_crop), reason),
            *(_cell(value, 5) for value in speed[frame]),
        )  # fmt: skip


def _look_cells(seen: Seen, at: int | None, in_crop: int, reason: Reason) -> tuple[object, ...]:
    after = (in_crop, int(reason == Reason.REPEATED), "" if reason == Reason.NONE else in_words(np.array([reason]))[2:])
    if at is None:  # a fast video, of which not every frame is looked at
        return (None, None, *[None] * 4, *after, *[None] * 7)
    sure, m = seen.confidence[at], seen.measures
    face = sure > 0
    box = [_cell(value, 1) for value in m.box[at]]
    head = [_cell(v, 4) for v in (*m.shift[at], m.roll_deg[at], *m.nose[at], m.opening[at])]
    return (int(face), sure, *box, *after, *head, int(m.blink[at]) if face else None)


def _cell(value: float, decimals: int) -> float | None:
    return round(float(value), decimals) if np.isfinite(value) else None


# --- events -----------------------------------------------------------------------------------------------------------


def event_table(
    video: Video, events: Sequence[Event], seen: Seen, *, truths: Sequence[Expression], model: NamedMethod
) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Columns and rows of `events.csv`."""
    classes = list(dict.fromkeys(c for e in events for c in e.probabilities))
    units = list(dict.fromkeys(u for e in events for u in e.unit_probabilities))
    met = hits_of(events, truths, model)
    rows: list[tuple[object, ...]] = []
    for number, event in enumerate(events, 1):
        frames = (event.onset, event.apex, event.offset)
        rows.append(
            (
                number,
                *(None if f is None else video.numbering.to_number(f) for f in frames),
                *(None if f is None else round(float(seen.times_s[f]), 3) for f in frames),
                kind_of(event, model), event.score,
                " ".join(moving(seen.regions, event.onset, event.offset)),
                event.units or None, event.emotion or None,
                " ".join(event.flags), met[number - 1],
                event.spotting_model, event.recognition_model or None, event.unit_model or None,
                *(event.probabilities.get(c) for c in classes), *(event.unit_probabilities.get(u) for u in units),
            )
        )  # fmt: skip
    return (*EVENT_COLUMNS, *(f"p_{c}" for c in classes), *units), rows


def kind_of(event: Event, model: NamedMethod) -> str:
    """The kind, or `candidate` where no method has learnt what an expression is."""
    return event.kind if getattr(model.method, "learns", True) else CANDIDATE


def hits_of(events: Sequence[Event], truths: Sequence[Expression], model: NamedMethod) -> list[str | None]:
    """`hit` or `miss` for every event where there is ground truth: at most one event meets each truth (IoU .5)."""
    if not truths:
        return [None] * len(events)
    found: list[str | None] = ["miss"] * len(events)
    candidates = not getattr(model.method, "learns", True)
    for kind in ("any",) if candidates else ("micro", "macro"):
        own = [i for i, e in enumerate(events) if candidates or e.kind == kind]
        true = [(t.onset, t.offset) for t in truths if candidates or t.kind == kind]
        spans = np.array([(events[i].onset, events[i].offset) for i in own], float).reshape(-1, 2)
        iou = closed_iou(spans, np.array(true, float).reshape(-1, 2))
        for place in pairs(iou >= IOU, iou).values():
            found[own[place]] = "hit"
    return found


# --- summary ----------------------------------------------------------------------------------------------------------


def summary(
    video: Video,
    seen: Seen,
    events: Sequence[Event],
    *,
    truths: Sequence[Expression],
    model: NamedMethod,
    cut: str = "",
) -> dict[str, Any]:
    """What `summary.json` says; `cut`: that a part of the file is missing."""
    unusable = np.isin(seen.reason, [Reason.NO_FACE, Reason.OUTSIDE, Reason.DAMAGED])
    usable = float(1 - unusable.mean())
    met = hits_of(events, truths, model)
    learnt = bool(getattr(model.method, "learns", True))
    kinds = [kind_of(e, model) for e in events]
    return {
        **_facts(video),
        "seconds": round(float(seen.times_s[-1] - seen.times_s[0]) + 1 / video.fps, 3),
        "status": "ok" if usable >= WELL and not cut else "partly",
        "why": "; ".join(filter(None, [cut, in_words(seen.reason)])),
        "usable": round(usable, 4),
        "events": len(events),
        "kinds": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "unflagged": sum(not e.flags for e in events),
        "spotting_model": model.label,
        "trained": learnt,
        "recognition_model": next((e.recognition_model for e in events if e.recognition_model), ""),
        "truths": len(truths),
        "hits": met.count("hit") if truths else None,
    }


def face_box(measures: Measures) -> list[float] | None:
    """Where the face mostly is: median x0, y0, x1, y1 around its landmarks, px of the picture; none without a face."""
    seen = measures.box[np.isfinite(measures.box).all(1)]
    return [round(float(side), 1) for side in np.median(seen, 0)] if len(seen) else None


def read_summary(path: Path) -> dict[str, Any]:
    """A summary as it was written.

    Raises:
        UserError: when it is none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(file=path, problem=error, expected="a summary of the stage video-tables") from error
    if not isinstance(found, dict) or "status" not in found:
        raise UserError(file=path, problem="another kind of file", expected="a summary of the stage video-tables")
    return found
