"""MMEW: micro-expression clips, 90 frames/s (Ben et al. 2022, doi:10.1109/TPAMI.2021.3067464)."""

from __future__ import annotations

import re
from pathlib import Path

from microexp.reading.release import Adapter, Counts, Found, Release, Row
from microexp.reading.rows import COMMON, common_row, exclude_row, open_sheet, the_sheet
from microexp.reading.sheets import table
from microexp.reading.trees import find_copy

CLIP = re.compile(r"S(\d{1,2})-(\d{1,2})-(\d{1,3})", re.IGNORECASE)
"""`Micro_Expression/anger/S13-07-001`: person, emotion, sample; the frames inside are `1.jpg`, `2.jpg` ..."""

POSITIONS = ("subject", "filename", "onset", "apex", "offset", "aus", "emotion")
"""Columns of a copy without header."""

SHEETS = (r"MMEW.*Micro.*Exp.*\.(xlsx?|csv)", r"MMEW.*\.(xlsx?|csv)")


def find_sheets(release: Release) -> list[Path]:
    """The coding sheet."""
    return [the_sheet(release, SHEETS, "MMEW_Micro_Exp.xlsx", stop=CLIP)]


def find_videos(release: Release) -> list[Found]:
    """Clips in folders of their own; the macro-expressions are single images and are not read."""
    return [Found(_subject(match), _name(match), path) for path, match in find_copy(release, CLIP)]


def _subject(match: re.Match[str]) -> str:
    return f"S{int(match[1]):02d}"


def _name(match: re.Match[str]) -> str:
    """`S13_07_001`: names hold no dash here."""
    return f"{_subject(match)}_{match[2]}_{match[3]}"


def read_rows(release: Release) -> list[Row]:
    """Rows of the sheet; the file name says the subject."""
    path = find_sheets(release)[0]
    file = release.relative(path)
    rows = []
    for line in table(open_sheet(release, path), COMMON, optional=["subject", "aus"], positions=POSITIONS):
        clip = CLIP.fullmatch(line.text("filename"))
        if clip is None:
            exclude_row(release, file, line, field="filename", expected="a clip such as S01-01-001")
        else:
            rows.append(common_row(release, file, line, subject=_subject(clip), video=_name(clip), kind="micro"))
    return rows


def published(release: Release) -> Counts:
    """Ben et al. 2022."""
    emotions = {
        "surprise": 89, "disgust": 72, "others": 66, "happiness": 36, "fear": 16, "sadness": 13, "anger": 8,
    }  # fmt: skip
    return {
        ("subjects", ""): 36, ("videos", ""): 300, ("expressions", ""): 300, ("expressions", "micro"): 300,
    } | {("emotion", f"micro {name}"): n for name, n in emotions.items()}  # fmt: skip


ADAPTER = Adapter(find_sheets, find_videos, read_rows, published, fps=lambda release: 90.0, clips=True)
