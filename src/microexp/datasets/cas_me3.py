"""CAS(ME)^3, parts A and C, 30 frames/s with depth (Li et al. 2022, doi:10.1109/TPAMI.2022.3174895)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from microexp.datasets.base import Adapter, Counts, Found, Release, Row
from microexp.datasets.copies import find_copy
from microexp.datasets.rows import COMMON, common_row, emotion, kind_of, left_out, open_sheet
from microexp.datasets.rows import find_sheets as find_named
from microexp.datasets.sheets import Line, table
from microexp.errors import UserError

COLOUR = re.compile(r"colou?r", re.IGNORECASE)
"""Part A `spNO.1/a/color/355.jpg`, part C `01/a/color/355.jpg`; depth maps lie beside it."""

SUBJECTS = {"A": re.compile(r"spNO\.?(\d+)", re.IGNORECASE), "C": re.compile(r"(?:sub)?0*(\d{1,3})", re.IGNORECASE)}
NAMES = {"A": "spNO.{}", "C": "{:0>2}"}
WHOLE = (r"CAS\(?ME\)?\^?3_part_A_?v2.*\.(xlsx?|csv)", r"CAS\(?ME\)?\^?3_part_A(_?v?1)?\.(xlsx?|csv)")
LABELS = {
    "micro": (r"CAS\(?ME\)?\^?3_part_A_ME_label.*v2.*\.(xlsx?|csv)", r"CAS\(?ME\)?\^?3_part_A_ME_label.*\.(xlsx?|csv)"),
    "macro": (
        r"CAS\(?ME\)?\^?3_part_A_MaE_label.*v2.*\.(xlsx?|csv)",
        r"CAS\(?ME\)?\^?3_part_A_MaE_label.*\.(xlsx?|csv)",
    ),
}
PART_C = (r"CAS\(?ME\)?\^?3_part_C_ME.*\.(xlsx?|csv)", r"CAS\(?ME\)?\^?3_part_C.*\.(xlsx?|csv)")
COLUMNS = {
    **COMMON, "filename": ("Filename", "seq", "video"), "kind": ("Expression type", "Type"), "count": ("count",),
}  # fmt: skip
OPTIONAL = ("apex", "aus", "emotion", "kind", "count", "filename")


def part(release: Release) -> str:
    """A unless the option `release` says C."""
    wanted = (release.options.release or "A").upper()
    if wanted not in SUBJECTS:
        raise UserError("config", f"datasets.{release.name}.release", repr(wanted), "A or C")
    return wanted


def find_sheets(release: Release) -> list[Path]:
    """Part A: the sheet of all expressions, and the two with their emotions; part C: its one sheet."""
    if part(release) == "C":
        found = find_named(release, PART_C, COLOUR)[:1]
        usual = "CAS(ME)3_part_C_ME.xlsx"
    else:
        found = find_named(release, WHOLE, COLOUR)[:1]
        if release.options.sheet is None:
            found += [path for patterns in LABELS.values() for path in find_named(release, patterns, COLOUR)[:1]]
        usual = "CAS(ME)3_part_A_v2.xls"
    if not found:
        raise UserError(release.root, "annotation sheet", "none", usual, "name it with the option sheet")
    return list(dict.fromkeys(found))


def find_videos(release: Release) -> list[Found]:
    """The colour frames of each video: `a` of subject `spNO.1`."""
    found, which = [], part(release)
    for path, _ in find_copy(release, COLOUR):
        subject = SUBJECTS[which].fullmatch(path.parent.parent.name)
        if subject:
            found.append(Found(NAMES[which].format(subject[1]), path.parent.name.lower(), path))
    return found


def read_rows(release: Release) -> list[Row]:
    """Rows of part A's sheet, with emotions from the label sheets by video and interval; or rows of part C."""
    sheets = find_sheets(release)
    if part(release) == "C":
        return _rows(release, sheets[0], "micro", {})
    kinds = {path: kind for path in sheets for kind in LABELS if _is_label(path, kind)}
    emotions: dict[tuple[str, ...], str] = {}
    for path in kinds:
        emotions |= {_key(line): emotion(line.cells.get("emotion")) for line in _lines(path)}
    whole = [path for path in sheets if path not in kinds]
    if whole:
        return _rows(release, whole[0], "", emotions)
    return [row for path, kind in kinds.items() for row in _rows(release, path, kind, {})]


def _is_label(path: Path, kind: str) -> bool:
    return any(re.fullmatch(pattern, path.name, re.IGNORECASE) for pattern in LABELS[kind])


def _lines(path: Path) -> list[Line]:
    return table(open_sheet(path, ["label"]), COLUMNS, optional=OPTIONAL)


def _key(line: Line) -> tuple[str, ...]:
    return tuple(line.text(column).lower() for column in ("subject", "filename", "onset", "offset"))


def _rows(release: Release, path: Path, kind: str, emotions: Mapping[tuple[str, ...], str]) -> list[Row]:
    file, which = release.relative(path), part(release)
    if "v2" not in path.name.lower() and which == "A":
        release.note(file, 0, "sheet", "not v2: the first version has wrong rows", "kept")
    rows = []
    for line in _lines(path):
        subject = SUBJECTS[which].fullmatch(line.code("subject"))
        video = line.text("filename") or ("a" if which == "C" else "")
        label = kind or kind_of(line.text("kind"))
        if subject is None:
            left_out(release, file, line, "subject", f"of the form {NAMES[which].format(1)}")
        elif not re.fullmatch(r"[A-Za-z]", video):
            left_out(release, file, line, "filename", "a letter")
        elif not label:
            left_out(release, file, line, "kind", "Macro-expression or Micro-expression")
        else:
            line = Line(line.row, {**line.cells, "emotion": line.cells.get("emotion") or emotions.get(_key(line))})
            rows.append(_row(release, file, line, NAMES[which].format(subject[1]), video, label))
    return rows


def _row(release: Release, file: str, line: Line, subject: str, video: str, kind: str) -> Row:
    row = common_row(release, file, line, subject, video, kind)
    return row if "apex" in line.cells else replace(row, apex=None)


def published(release: Release) -> Counts:
    """Li et al. 2022 for part C; the second version of the sheet for part A."""
    if part(release) == "C":
        return {("expressions", ""): 166, ("expressions", "micro"): 166}
    if not any("v2" in path.name.lower() for path in find_sheets(release)):
        return {}
    return {("expressions", ""): 4206, ("expressions", "macro"): 3346, ("expressions", "micro"): 860}


ADAPTER = Adapter(find_sheets, find_videos, read_rows, published, fps=lambda release: 30.0)
