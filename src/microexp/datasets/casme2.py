"""CASME II: micro-expression clips, 200 frames/s (Yan et al. 2014, doi:10.1371/journal.pone.0086041)."""

from __future__ import annotations

import re
from pathlib import Path

from microexp.errors import UserError
from microexp.reading.release import Adapter, Counts, Found, Release, Row
from microexp.reading.rows import COMMON, common_row, exclude_row, open_sheet, the_sheet
from microexp.reading.sheets import table
from microexp.reading.trees import find_copy

SUBJECT = re.compile(r"sub(\d{1,2})", re.IGNORECASE)
CLIP = re.compile(r"EP\d{1,2}\w*", re.IGNORECASE)
"""`sub01/EP02_01f`; names such as `EP06_02_01` and `EP09f` exist."""

RELEASES = {"20140508": "2014", "20190701": "2019"}
POSITIONS = ("subject", "filename", "", "onset", "apex", "offset", "", "aus", "emotion")
"""Columns of a copy without header; the third and the seventh have no name."""


def find_sheets(release: Release) -> list[Path]:
    """The sheet of the release asked for (20140508 unless said otherwise), else the one that is there."""
    wanted = release.options.release or "2014"
    codes = [code for code, year in RELEASES.items() if wanted in (code, year)]
    if not codes:
        raise UserError(
            file="config", where=f"datasets.{release.name}.release", got=repr(wanted), expected="20140508 or 20190701"
        )
    named = rf"CASME.*2.*{codes[0]}.*\.(xlsx?|csv)"
    others = () if release.options.release else (r"CASME.*(2|II).*cod.*\.(xlsx?|csv)", r"CASME.*(2|II).*\.(xlsx?|csv)")
    return [the_sheet(release, (named, *others), f"CASME2-coding-{codes[0]}.xlsx", stop=SUBJECT)]


def find_videos(release: Release) -> list[Found]:
    """`sub01/EP02_01f`, a folder of frames or a video file."""
    found = []
    for path, match in find_copy(release, CLIP):
        subject = SUBJECT.fullmatch(path.parent.name)
        if subject:
            found.append(Found(_subject(subject[1]), _clip(match[0]), path))
        else:
            release.note(
                release.relative(path),
                0,
                "subject",
                problem=f"{path.parent.name!r} is not like sub01",
                action="excluded",
            )
    return found


def _subject(number: str) -> str:
    return f"sub{int(number):02d}"


def _clip(name: str) -> str:
    """The published spelling, whatever a copy has: `EP02_01f`."""
    return f"EP{name[2:].lower()}"


def read_rows(release: Release) -> list[Row]:
    """Rows of the first sheet; the subject may be text ('01') or a number."""
    path = find_sheets(release)[0]
    file = release.relative(path)
    rows = []
    for line in table(open_sheet(release, path), COMMON, optional=["aus"], positions=POSITIONS):
        subject = re.fullmatch(r"(?:sub)?(\d{1,2})", line.code("subject"), re.IGNORECASE)
        clip = CLIP.fullmatch(line.text("filename"))
        if subject is None:
            exclude_row(release, file, line, field="subject", expected="a number such as 01")
        elif clip is None:
            exclude_row(release, file, line, field="filename", expected="a clip such as EP02_01f")
        else:
            rows.append(
                common_row(release, file, line, subject=_subject(subject[1]), video=_clip(clip[0]), kind="micro")
            )
    return rows


def published(release: Release) -> Counts:
    """Yan et al. 2014; the 2019 sheet differs in a few labels, so that only the totals are known for it."""
    total = {("subjects", ""): 26, ("videos", ""): 255, ("expressions", ""): 255, ("expressions", "micro"): 255}
    if "20190701" in find_sheets(release)[0].name:
        return total
    emotions = {
        "others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25, "sadness": 7, "fear": 2,
    }  # fmt: skip
    return total | {("emotion", f"micro {name}"): n for name, n in emotions.items()}


ADAPTER = Adapter(find_sheets, find_videos, read_rows, published, fps=lambda release: 200.0, clips=True)
