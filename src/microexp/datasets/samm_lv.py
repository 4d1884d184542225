"""SAMM Long Videos: macro- and micro-movements, 200 frames/s.

Yap, Kendrick & Yap 2020, doi:10.1109/FG47880.2020.00029
"""

from __future__ import annotations

import re
from pathlib import Path

from microexp.errors import UserError
from microexp.reading.release import Adapter, Counts, Found, OtherTotals, Release, Row
from microexp.reading.rows import COMMON, common_row, exclude_row, kind_of, open_sheet, the_sheet
from microexp.reading.sheets import table
from microexp.reading.trees import find_copy

VIDEO = re.compile(r"(\d{3})_(\d{1,2})")
"""`006_1`: subject and video."""

COLUMNS = {**COMMON, "kind": ("Type", "Expression type")}
OPTIONAL = ("subject", "aus", "emotion")
POSITIONS = ("subject", "filename", "", "onset", "apex", "offset", "", "kind", "aus")
"""Columns of a copy without the text and the header before the rows."""
RELEASES = ("V1", "V2", "V3")


def find_sheets(release: Release) -> list[Path]:
    """The sheet of the release asked for, else the newest one."""
    wanted = release.options.release
    if wanted is not None and wanted.upper() not in RELEASES:
        raise UserError(
            file="config", where=f"datasets.{release.name}.release", got=repr(wanted), expected="V1, V2 or V3"
        )
    versions = (wanted.upper(),) if wanted else tuple(reversed(RELEASES))
    patterns = [rf"SAMM.*Long.*{v}.*\.(xlsx?|csv)" for v in versions]
    if wanted is None:
        patterns.append(r"SAMM.*Long.*\.(xlsx?|csv)")
    return [the_sheet(release, tuple(patterns), f"SAMM_LongVideos_{versions[0]}_Release.xlsx", stop=VIDEO)]


def find_videos(release: Release) -> list[Found]:
    """`006_1`, a folder of frames or a video file, of subject `006`."""
    return [Found(match[1], f"{match[1]}_{match[2]}", path) for path, match in find_copy(release, VIDEO)]


def read_rows(release: Release) -> list[Row]:
    """Rows of `FACS_Movement_Only`; the file name `006_1_2` says subject, video and number."""
    path = find_sheets(release)[0]
    file = release.relative(path)
    lines = table(open_sheet(release, path, ["FACS_Movement_Only"]), COLUMNS, optional=OPTIONAL, positions=POSITIONS)
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for line in lines:
        name = re.fullmatch(r"(\d{1,3})_(\d{1,2})_\w{1,5}", line.text("filename"))
        kind = kind_of(line.text("kind"))
        if name is None:
            exclude_row(release, file, line, field="filename", expected="of the form 006_1_2")
        elif not kind:
            exclude_row(release, file, line, field="kind", expected="Macro or Micro - 1/2")
        else:
            if name[0] in seen:
                release.note(
                    file, line.row, "filename", problem=f"{name[0]} is in row {seen[name[0]]} too", action="both kept"
                )
            seen[name[0]] = line.row
            subject = name[1].zfill(3)
            rows.append(common_row(release, file, line, subject=subject, video=f"{subject}_{name[2]}", kind=kind))
    return rows


def published(release: Release) -> Counts:
    """Yap et al. 2020, and the MEGC2020 spotting challenge."""
    return {
        ("subjects", ""): 30, ("videos", ""): 147, ("frames", ""): 482_797, ("expressions", ""): 502,
        ("expressions", "macro"): 343, ("expressions", "micro"): 159,
    }  # fmt: skip


def other_totals(release: Release) -> OtherTotals:
    """Video 012_4 has 1,000 frames as the organisers hand it out, which makes the published total, and 2,000 in another
    copy; a macro-expression that begins after its frame 1,000 lies outside of the shorter one."""
    return {("frames", ""): (483_797,)}


ADAPTER = Adapter(find_sheets, find_videos, read_rows, published, fps=lambda release: 200.0, other_totals=other_totals)
