"""CAS(ME)^2: macro- and micro-expressions in long videos, 30 frames/s.

Qu et al. 2018, doi:10.1109/TAFFC.2017.2654440
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from microexp.reading.release import Adapter, Counts, Found, Release, Row
from microexp.reading.rows import common_row, exclude_row, kind_of, open_sheet, the_sheet
from microexp.reading.sheets import Sheet, as_text, read_sheets, table
from microexp.reading.trees import find_copy

VIDEO = re.compile(r"s?(\d{2})_(\d{4})(?!\d).*", re.IGNORECASE)
"""`15_0101disgustingteeth`: subject, code of the film that was watched."""

SHEETS = (
    r"CAS\(?ME\)?\^?2?.*code_?final.*\.(xlsx?|csv)",
    r".*CAS\(?ME\)?\^?2.*\.(xlsx?|csv)",
    r"CASFEcode_final.*\.csv",
)
COLUMNS = {
    "participant": ("Participant", "Subject", "Subject ID"),
    "clip": ("Clip", "Clip Name", "Filename", "Video"),
    "onset": ("Onset", "OnsetFrame", "Onset Frame"),
    "apex": ("Apex", "ApexFrame", "Apex Frame"),
    "offset": ("Offset", "OffsetFrame", "Offset Frame"),
    "aus": ("AU", "AUs", "Action Units"),
    "emotion": ("Emotion class", "Valence", "Estimated Emotion", "Emotion"),
    "kind": ("Type", "Expression type", "Kind"),
}
OPTIONAL = ("aus", "emotion")
POSITIONS = ("participant", "clip", "onset", "apex", "offset", "aus", "emotion", "kind")

SUBJECTS = {
    n: f"s{code}"
    for n, code in enumerate([15, 16, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, *range(30, 39), 40], 1)
}  # fmt: skip
"""Participant of the sheet -> subject, for copies without the sheet `naming rule1`."""

FILMS = {
    "disgust1": "0101", "disgust2": "0102", "anger1": "0401", "anger2": "0402", "happy1": "0502", "happy2": "0503",
    "happy3": "0505", "happy4": "0507", "happy5": "0508",
}  # fmt: skip
"""Film of the sheet -> code in the folder names, for copies without the sheet `naming rule2`."""


def find_sheets(release: Release) -> list[Path]:
    """The coding sheet."""
    return [the_sheet(release, SHEETS, "CAS(ME)^2code_final.xlsx", stop=VIDEO)]


def find_videos(release: Release) -> list[Found]:
    """`s15/15_0101disgustingteeth`, a folder of frames or a video file, becomes video `s15_0101` of subject `s15`."""
    found = find_copy(release, VIDEO)
    return [Found(f"s{match[1]}", f"s{match[1]}_{match[2]}", path) for path, match in found]


def read_rows(release: Release) -> list[Row]:
    """Rows of the sheet `CASFEcode_final`; participant and film become subject and video by the naming rules."""
    path = find_sheets(release)[0]
    sheets = read_sheets(path)
    subjects = SUBJECTS | _subject_rule(sheets)
    films = FILMS | _film_rule(sheets)
    file = release.relative(path)
    rows = []
    sheet = open_sheet(release, path, ["CASFEcode_final"], columns=COLUMNS)
    for line in table(sheet, COLUMNS, optional=OPTIONAL, positions=POSITIONS):
        participant, clip = line.code("participant"), line.text("clip").lower()
        subject = subjects.get(int(participant)) if participant.isdecimal() else None
        film = films.get(clip.rpartition("_")[0])  # at the last `_`: expressions have numbers of one or two digits
        kind = kind_of(line.text("kind"))
        if subject is None:
            exclude_row(release, file, line, field="participant", expected="a participant of the sheet 'naming rule1'")
        elif film is None:
            exclude_row(
                release,
                file,
                line,
                field="clip",
                expected="a film of the sheet 'naming rule2' with a number, such as anger1_1",
            )
        elif not kind:
            exclude_row(release, file, line, field="kind", expected="macro-expression or micro-expression")
        else:
            rows.append(common_row(release, file, line, subject=subject, video=f"{subject}_{film}", kind=kind))
    return rows


def _subject_rule(sheets: list[Sheet]) -> dict[int, str]:
    """Participant -> subject from rows such as (15, 's15', 1); rows of another form (a header) are passed over."""
    rule = {}
    for row in _named_rows(sheets, "naming rule1"):
        cells = [as_text(cell) for cell in row]
        subject = next((c.lower() for c in cells if re.fullmatch(r"s\d{2}", c, re.IGNORECASE)), None)
        numbers = [int(c) for c in cells if c.isdecimal()]
        if subject and numbers:
            rule[numbers[-1]] = subject
    return rule


def _film_rule(sheets: list[Sheet]) -> dict[str, str]:
    """Film -> code from rows such as ('0401', 'anger1'); a copy may lack the leading zero."""
    rule = {}
    for row in _named_rows(sheets, "naming rule2"):
        cells = [as_text(cell).lower() for cell in row]
        code = next((c for c in cells if re.fullmatch(r"\d{3,4}", c)), None)
        film = next((c for c in cells if re.fullmatch(r"[a-z]+\d", c)), None)
        if code and film:
            rule[film] = code.zfill(4)
    return rule


def _named_rows(sheets: list[Sheet], name: str) -> Sequence[Sequence[object]]:
    """Rows of the sheet `name`; none when a copy lacks it."""
    return next((s.rows for s in sheets if s.name.strip().casefold() == name), ())


def published(release: Release) -> Counts:
    """Qu et al. 2018 and the MEGC2020 spotting challenge."""
    return {
        ("subjects", ""): 22, ("videos", ""): 98, ("videos", "with expressions"): 95, ("frames", ""): 254_094,
        ("expressions", ""): 357, ("expressions", "macro"): 300, ("expressions", "micro"): 57,
    }  # fmt: skip


ADAPTER = Adapter(find_sheets, find_videos, read_rows, published, fps=lambda release: 30.0)
