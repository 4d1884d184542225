"""SAMM: micro-movement clips, 200 frames/s, grey (Davison et al. 2018, doi:10.1109/TAFFC.2016.2573832)."""

from __future__ import annotations

import re
from pathlib import Path

from microexp.reading.release import Adapter, Counts, Found, Release, Row
from microexp.reading.rows import COMMON, common_row, exclude_row, open_sheet, the_sheet
from microexp.reading.sheets import table
from microexp.reading.trees import find_copy

CLIP = re.compile(r"(\d{3})_(\d{1,2})_(\d{1,3})")
"""`006/006_1_2`: subject, video, number; frames are numbered through the whole recording (`006_05562.jpg`)."""

SHEETS = (r"SAMM.*Micro.*FACS.*\.(xlsx?|csv)", r"SAMM(?!.*Long).*\.(xlsx?|csv)")
POSITIONS = ("subject", "filename", "", "onset", "apex", "offset", "", "", "aus", "emotion")
"""Columns of a copy without the text and the header before the rows."""


def find_sheets(release: Release) -> list[Path]:
    """The sheet of FACS codes."""
    return [the_sheet(release, SHEETS, "SAMM_Micro_FACS_Codes_v2.xlsx", stop=CLIP)]


def find_videos(release: Release) -> list[Found]:
    """`006/006_1_2`, a folder of frames or a video file, of subject `006`."""
    return [Found(match[1], match[0], path) for path, match in find_copy(release, CLIP)]


def read_rows(release: Release) -> list[Row]:
    """Rows of `MICRO_ONLY`, below 13 lines of text and the header; the file name says the subject."""
    path = find_sheets(release)[0]
    file = release.relative(path)
    rows = []
    for line in table(open_sheet(release, path, ["MICRO_ONLY"]), COMMON, optional=["aus"], positions=POSITIONS):
        name = re.fullmatch(r"(\d{1,3})_(\d{1,2})_(\d{1,3})", line.text("filename"))
        if name is None:
            exclude_row(release, file, line, field="filename", expected="a clip such as 006_1_2")
            continue
        subject = name[1].zfill(3)
        rows.append(
            common_row(release, file, line, subject=subject, video=f"{subject}_{name[2]}_{name[3]}", kind="micro")
        )
    return rows


def published(release: Release) -> Counts:
    """Davison et al. 2018, as counted in the released sheet."""
    emotions = {
        "anger": 57, "others": 26, "happiness": 26, "surprise": 15, "contempt": 12, "disgust": 9, "fear": 8,
        "sadness": 6,
    }  # fmt: skip
    return {
        ("subjects", ""): 29, ("videos", ""): 159, ("expressions", ""): 159, ("expressions", "micro"): 159,
    } | {("emotion", f"micro {name}"): n for name, n in emotions.items()}  # fmt: skip


ADAPTER = Adapter(find_sheets, find_videos, read_rows, published, fps=lambda release: 200.0, clips=True)
