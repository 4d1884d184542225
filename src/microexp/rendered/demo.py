"""The demo data set: names and places of its people and videos, and its annotation sheet (stage `demo-sheet`)."""

from __future__ import annotations

import re

from microexp.errors import UserError
from microexp.reading.params import DemoScriptParams, DemoSheetParams
from microexp.rendered.schedule import draw_expressions
from microexp.run import storage
from microexp.run.stage import Job

# Names and places of the demo's people and videos; known before anything is rendered.
#
# results/demo/annotations.csv            the sheet, as a release has one (frames count from 1)
# results/demo/videos/s01/s01_1.mp4       subject s01, first video

SHEET = "annotations.csv"
VIDEOS = "videos"
VIDEO_NAME = re.compile(r"s(\d+)_(\d+)")


def demo_subjects(params: DemoSheetParams) -> list[str]:
    """`s01`, `s02` …"""
    return [subject_name(number) for number in range(1, params.subjects + 1)]


def demo_videos(params: DemoSheetParams) -> list[tuple[str, str]]:
    """(subject, video) of every video: (`s01`, `s01_1`) …"""
    return [(s, f"{s}_{take}") for s in demo_subjects(params) for take in range(1, params.videos + 1)]


def video_path(subject: str, video: str) -> str:
    """Where a video lies inside the demo's folder."""
    return f"{VIDEOS}/{subject}/{video}.mp4"


def subject_name(number: int) -> str:
    """`s07` for 7."""
    return f"s{number:02d}"


def parse_video(params: DemoScriptParams, video: str) -> tuple[int, int]:
    """(subject's number, take) of a video's name; anybody can be rendered, however many people a demo has.

    Raises:
        UserError: when it is not the name of a video with these options.
    """
    match = VIDEO_NAME.fullmatch(video)
    number, take = (int(g) for g in match.groups()) if match else (0, 0)
    if number < 1 or not 1 <= take <= params.videos or video != f"{subject_name(number)}_{take}":
        last = f", with a last number up to {params.videos}" if params.videos > 1 else ""
        raise UserError(file="demo", where="video", got=repr(video), expected=f"a name such as s01_1{last}")
    return number, take


COLUMNS = ("subject", "video", "onset", "apex", "offset", "kind", "emotion", "AUs")


def sheet_rows(params: DemoSheetParams) -> list[tuple[object, ...]]:
    """One row per expression, by video and time; frames are 1-based. A video without any has a row without frames."""
    rows: list[tuple[object, ...]] = []
    for subject, video in demo_videos(params):
        shown = draw_expressions(params, *parse_video(params, video))
        rows += [(subject, video, e.onset + 1, e.apex + 1, e.offset + 1, e.kind, e.emotion, e.aus) for e in shown]
        if not shown:
            rows.append((subject, video, *[None] * (len(COLUMNS) - 2)))
    return rows


def run(job: Job[DemoSheetParams]) -> None:
    """Write the sheet."""
    storage.write_csv(job.output("sheet"), COLUMNS, sheet_rows(job.params))
