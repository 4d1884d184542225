"""Names and places of the demo's people and videos; known before anything is rendered.

results/demo/annotations.csv            the sheet, as a release has one (frames count from 1)
results/demo/videos/s01/s01_1.mp4       subject s01, first video
"""

from __future__ import annotations

import re

from microexp.datasets.params import DemoParams
from microexp.errors import UserError

SHEET = "annotations.csv"
VIDEOS = "videos"
VIDEO_NAME = re.compile(r"s(\d+)_(\d+)")


def demo_subjects(params: DemoParams) -> list[str]:
    """`s01`, `s02` …"""
    return [subject_name(number) for number in range(1, params.subjects + 1)]


def demo_videos(params: DemoParams) -> list[tuple[str, str]]:
    """(subject, video) of every video: (`s01`, `s01_1`) …"""
    return [(s, f"{s}_{take}") for s in demo_subjects(params) for take in range(1, params.videos + 1)]


def video_path(subject: str, video: str) -> str:
    """Where a video lies inside the demo's folder."""
    return f"{VIDEOS}/{subject}/{video}.mp4"


def subject_name(number: int) -> str:
    """`s07` for 7."""
    return f"s{number:02d}"


def parse_video(params: DemoParams, video: str) -> tuple[int, int]:
    """(subject's number, take) of a video's name.

    Raises:
        UserError: when the demo with these options has no such video.
    """
    match = VIDEO_NAME.fullmatch(video)
    number, take = (int(g) for g in match.groups()) if match else (0, 0)
    if (subject_name(number), video) not in demo_videos(params):
        names = [name for _, name in demo_videos(params)]
        raise UserError("demo", "video", repr(video), f"{names[0]} … {names[-1]}")
    return number, take
