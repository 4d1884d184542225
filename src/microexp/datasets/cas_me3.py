"""CAS(ME)^3, parts A and C, 30 frames/s with depth (Li et al. 2022, doi:10.1109/TPAMI.2022.3174895)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from microexp.errors import UserError
from microexp.reading.intervals import ROW_EXCLUDED, as_frame
from microexp.reading.release import Adapter, Counts, Found, OtherTotals, Release, Row
from microexp.reading.rows import COMMON, common_row, exclude_row, find_sheet, kind_of, open_sheet, the_sheet
from microexp.reading.sheets import Line, table
from microexp.reading.trees import find_copy

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
    **COMMON, "filename": ("Filename", "seq", "video"), "kind": ("Expression type", "Type", "Exp_type"),
    "count": ("count",),
}  # fmt: skip
SAME_EXPRESSION = 0.5
"""Overlap (intersection over union) from which a label belongs to a row of the sheet of all expressions."""

OPTIONAL = ("apex", "aus", "emotion", "kind", "count", "filename")


def part(release: Release) -> str:
    """A unless the option `release` says C."""
    wanted = (release.options.release or "A").upper()
    if wanted not in SUBJECTS:
        raise UserError(file="config", where=f"datasets.{release.name}.release", got=repr(wanted), expected="A or C")
    return wanted


def find_sheets(release: Release) -> list[Path]:
    """Part A: the sheet of all expressions, and the two with their emotions; part C: its one sheet."""
    if part(release) == "C":
        return [the_sheet(release, PART_C, "CAS(ME)3_part_C_ME.xlsx", stop=COLOUR)]
    names = [WHOLE] if release.options.sheet is not None else [WHOLE, *LABELS.values()]
    found = [path for patterns in names if (path := find_sheet(release, patterns, COLOUR))]
    if not found:
        raise UserError(
            file=release.root,
            where="annotation sheet",
            problem="none",
            expected="CAS(ME)3_part_A_v2.xls",
            hint="name it with the option sheet",
        )
    return found


def find_videos(release: Release) -> list[Found]:
    """The colour frames of each video: `a` of subject `spNO.1`."""
    found, which = [], part(release)
    for path, _ in find_copy(release, COLOUR):
        subject = SUBJECTS[which].fullmatch(path.parent.parent.name)
        if subject:
            found.append(Found(_subject(which, subject), path.parent.name.lower(), path))
    return found


def _subject(which: str, match: re.Match[str]) -> str:
    """`spNO.1` or `01`: copies differ in zeros before the number."""
    return NAMES[which].format(int(match[1]))


def read_rows(release: Release) -> list[Row]:
    """Rows of part A's sheet, with what it lacks of kinds and emotions from the label sheets; or rows of part C."""
    sheets = find_sheets(release)
    if part(release) == "C":
        return _rows(release, sheets[0], "")
    kinds = {path: kind for path in sheets for kind in LABELS if _is_label(path, kind)}
    whole = [path for path in sheets if path not in kinds]
    reader = _apart(release) if whole else release  # without a label nothing is excluded
    labels = [row for path, kind in kinds.items() for row in _rows(reader, path, kind)]
    return _labelled(release, whole[0], labels) if whole else labels


def _apart(release: Release) -> Release:
    """The release without its issues, to read something of which nothing is to be noted."""
    return Release(release.name, release.root, release.options)


def _is_label(path: Path, kind: str) -> bool:
    return any(re.fullmatch(pattern, path.name, re.IGNORECASE) for pattern in LABELS[kind])


def _labelled(release: Release, path: Path, labels: Sequence[Row]) -> list[Row]:
    """Rows of the sheet of all expressions, each with the label that has its frames, or else overlaps it best.

    A label that belongs to no row is noted, and so is a row that is left without a kind, which is excluded.
    """
    by_video: dict[tuple[str, str], list[Row]] = {}
    for label in labels:
        by_video.setdefault(_video(label), []).append(label)
    used, found = set[Row](), []
    for row in _rows(release, path, ""):
        near = [x for x in by_video.get(_video(row), ()) if row.kind in ("", x.kind)]
        best = max(near, key=lambda label: _likeness(row, label), default=row)
        if best is not row and _likeness(row, best) >= (SAME_EXPRESSION, 0):
            used.add(best)
            row = replace(row, kind=best.kind, emotion=row.emotion or best.emotion)
        if row.kind:
            found.append(row)
        else:
            release.note(row.file, row.row, "kind", problem="in none of the sheets", action=ROW_EXCLUDED)
            release.lose(row.subject, row.video, f"{row.file}, row {row.row}: kind: in none of the sheets")
    for label in labels:
        if label not in used:
            frames = f"{label.subject}/{label.video}, {label.onset} to {label.offset}"
            release.note(
                label.file, label.row, "emotion", problem=f"{frames} is no row of {path.name}", action="label not used"
            )
    return found


def _video(row: Row) -> tuple[str, str]:
    return row.subject.casefold(), row.video.casefold()


def _likeness(row: Row, label: Row) -> tuple[float, int]:
    """How surely a label belongs to a row: 1 where both have the same onset or the same apex, since labels have
    mistyped onsets and offsets of 0, else their overlap; then how many of the three frames are the same."""
    (onset, apex, offset), (a, b, c) = (_cells(item) for item in (row, label))
    same = [one is not None and one > 0 and one == other for one, other in ((onset, a), (apex, b), (offset, c))]
    return (1.0 if same[0] or same[1] else _overlap(row, label)), sum(same)


def _cells(row: Row) -> tuple[int | None, int | None, int | None]:
    return as_frame(row.onset)[0], as_frame(row.apex)[0], as_frame(row.offset)[0]


def _overlap(one: Row, other: Row) -> float:
    """Intersection over union of two rows' frames, both ends included."""
    (a, b), (c, d) = _frames(one), _frames(other)
    return max(0, min(b, d) - max(a, c) + 1) / (max(b, d) - min(a, c) + 1)


def _frames(row: Row) -> tuple[int, int]:
    onset = as_frame(row.onset)[0] or 0
    return onset, max(onset, as_frame(row.offset)[0] or 0)


def _rows(release: Release, path: Path, kind: str) -> list[Row]:
    """Rows of one sheet; their kind is `kind`, else that of the sheet, '' where it has none."""
    file, which = release.relative(path), part(release)
    if "v2" not in path.name.lower() and which == "A":
        release.note(file, 0, "sheet", problem="not v2: the first version has wrong rows", action="kept")
    rows = []
    for line in table(open_sheet(release, path, ["label"], columns=COLUMNS), COLUMNS, optional=OPTIONAL):
        subject = SUBJECTS[which].fullmatch(line.code("subject"))
        video = line.text("filename") or ("a" if which == "C" else "")
        if subject is None:
            exclude_row(release, file, line, field="subject", expected=f"of the form {NAMES[which].format(1)}")
        elif not re.fullmatch(r"[A-Za-z]", video):
            exclude_row(release, file, line, field="filename", expected="a letter")
        elif line.text("kind") and not _kind(line):
            exclude_row(release, file, line, field="kind", expected="Macro-expression or Micro-expression, or 0 or 1")
        else:
            label = kind or _kind(line) or ("micro" if which == "C" else "")
            row = common_row(release, file, line, subject=_subject(which, subject), video=video, kind=label)
            rows.append(row if "apex" in line.cells else replace(row, apex=None))
    return rows


def _kind(line: Line) -> str:
    """The kind of a row: in words, or in part C as `Exp_type` 1 for micro and 0 for macro."""
    return {"1": "micro", "0": "macro"}.get(line.code("kind")) or kind_of(line.text("kind"))


def published(release: Release) -> Counts:
    """Li et al. 2022 for part C; the second version of the sheet for part A."""
    if part(release) == "C":
        return {("expressions", ""): 166, ("expressions", "micro"): 166}
    if not any("v2" in path.name.lower() for path in find_sheets(release)):
        return {}
    return {("expressions", ""): 4206, ("expressions", "macro"): 3346, ("expressions", "micro"): 860}


def other_totals(release: Release) -> OtherTotals:
    """Part C's official sheet has 165 micro-expressions; a sheet of both kinds has 160 and 303."""
    if part(release) != "C":
        return {}
    return {("expressions", ""): (165, 463), ("expressions", "micro"): (165, 160), ("expressions", "macro"): (303,)}


ADAPTER = Adapter(find_sheets, find_videos, read_rows, published, fps=lambda release: 30.0, other_totals=other_totals)
