"""Stage `annotated`: a copy of one's own video with the landmarks and with what was found drawn into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from microexp.faces.faces import open_listed, place_of
from microexp.faces.viewing import Unusable
from microexp.reading.frames import VideoSource
from microexp.records.index import Video, read_videos
from microexp.records.landmarks import read_landmarks
from microexp.rendered.video import write_video
from microexp.report.video.tables import EVENT_COLUMNS
from microexp.run import storage
from microexp.run.stage import Job

COLOURS = {"micro": (224, 123, 26), "macro": (59, 125, 189), "candidate": (122, 91, 168)}
POINT = (120, 220, 160)
LONGEST_PX = 1280
"""Larger videos are made smaller: the copy is for looking."""


def run(job: Job[Any]) -> None:
    """Write the copy of one video; one second of black where nothing of it can be decoded."""
    videos = read_videos(job.input("videos"))
    events = storage.read_csv(job.input("events"), EVENT_COLUMNS)
    try:
        if not videos:
            raise Unusable("it cannot be read")
        source = open_listed(videos[0], place_of(videos[0], job), job.input("videos"))
    except Unusable:
        write_video(job.output("annotated"), [np.zeros((120, 160, 3), np.uint8)], 1)
        return
    points = {look.number: look.points for look in read_landmarks(job.input("landmarks"))}
    write_video(job.output("annotated"), drawn(source, videos[0], events, points=points), rate(videos[0].fps))


def rate(fps: float) -> Fraction:
    """A rate that a container can hold: 29.97 is 30000/1001."""
    return Fraction(fps).limit_denominator(1001)


def drawn(
    source: VideoSource,
    video: Video,
    events: Sequence[Mapping[str, str]],
    *,
    points: Mapping[int, np.ndarray | None],
) -> Iterator[np.ndarray]:
    """Every frame, (H, W, 3) uint8 RGB of even size, marked; a damaged frame repeats the one before."""
    import cv2

    scale = min(1.0, LONGEST_PX / max(source.width, source.height))
    size = tuple(max(2, round(scale * n) // 2 * 2) for n in (source.width, source.height))
    spans = [(video.numbering.to_index(int(e["onset"])), video.numbering.to_index(int(e["offset"])), e) for e in events]
    last = np.zeros((size[1], size[0], 3), np.uint8)
    for frame, image in enumerate(source.read()):
        if image is not None:
            colour = np.repeat(image[:, :, None], 3, 2) if image.ndim == 2 else image
            last = cv2.resize(colour, size, interpolation=cv2.INTER_AREA)
        shown = np.ascontiguousarray(last).copy()
        found = points.get(video.numbering.to_number(frame))
        for x, y in () if found is None else found * scale:
            cv2.circle(shown, (round(x), round(y)), 1, POINT, -1)
        for onset, offset, event in spans:
            if onset <= frame <= offset:
                _mark(shown, event)
        yield shown


def _mark(image: np.ndarray, event: Mapping[str, str]) -> None:
    import cv2

    colour = COLOURS.get(event["kind"], COLOURS["candidate"])
    height, width = image.shape[:2]
    cv2.rectangle(image, (1, 1), (width - 2, height - 2), colour, 3)
    text = f"{event['kind']} {event['event']}" + (f" ({event['flags']})" if event["flags"] else "")
    cv2.putText(image, text, (8, height - 10), cv2.FONT_HERSHEY_SIMPLEX, max(0.4, width / 1100), colour, 1, cv2.LINE_AA)
