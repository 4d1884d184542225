"""From the columns of a sheet to rows in one form, action units too: helpers that the adapters share."""

from __future__ import annotations

import filecmp
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from microexp.errors import UserError
from microexp.reading.intervals import ROW_EXCLUDED, as_frame
from microexp.reading.release import Release, Row
from microexp.reading.sheets import Line, Sheet, choose_sheet, open_named, read_sheets, split_name
from microexp.reading.trees import find_file

# Action units of the Facial Action Coding System (Ekman, Friesen & Hager 2002) as sheets write them.

_UNIT = re.compile(
    r"(?:AU|AD)?\s*(A[LR]|[ALRTBMU]?)\s*(?:AU)?(\d{1,2})\s*([A-E]?)\s*(?:\(([ALRTMU])\)|([LRTMU])|\(\w\))?",
    re.IGNORECASE,
)
"""`L12`, `12L` and `12(L)` are the left side, `A12` asymmetric; A to E behind the number is an intensity."""
_BETWEEN = re.compile(r"\s*[+,;/&、]\s*|\s+and\s+|\s+or\s+|\s{2,}", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class ActionUnit:
    """One action unit.

    Attributes:
        number: such as 12, the lip corner puller.
        side: L or R (one half of the face), A (both, unequally; AL and AR: more of one), T or B (top or bottom lip), ''
            for both.
        intensity: A (trace) to E (maximum), '' where it is not coded.
    """

    number: int
    side: str = ""
    intensity: str = ""

    def __str__(self) -> str:
        return f"{self.side}{self.number}{self.intensity}"


def parse_aus(cell: object) -> tuple[tuple[ActionUnit, ...], list[str]]:
    """Action units of a cell, in its order, and the parts that are none.

    `4+7+L10`, `T12`, `12(L)`, `AU1 + AU2`, `12B`, 14 and 14.0 are understood; `/`, `0` and an empty cell hold none.
    """
    text = re.sub(r"^(\d+)\.0+$", r"\1", "" if cell is None else str(cell).strip())
    units, rest = [], []
    for part in _BETWEEN.split(unicodedata.normalize("NFKC", text)):
        clean = part.strip(" ?.*'\"[]")
        match = _UNIT.fullmatch(clean)
        if match and int(match[2]):
            units.append(ActionUnit(int(match[2]), (match[1] or match[4] or match[5] or "").upper(), match[3].upper()))
        elif clean not in ("", "/", "-", "0") and clean.casefold() not in ("nan", "none"):
            rest.append(part.strip())
    return tuple(units), rest


def format_aus(units: tuple[ActionUnit, ...]) -> str:
    """`4+7+L10`."""
    return "+".join(map(str, units))


COMMON: Mapping[str, Sequence[str]] = {
    "subject": ("Subject", "sub", "Subject ID", "Participant", "Person"),
    "filename": ("Filename", "File name", "Clip", "Video", "Video name", "vid", "Video ID", "Video path"),
    "onset": ("OnsetFrame", "Onset Frame", "Onset", "Start frame", "Start", "Begin", "Begin frame"),
    "apex": ("ApexFrame", "Apex Frame", "Apex", "ApexFrame1", "Apex Frame1", "Peak", "Peak frame"),
    "offset": ("OffsetFrame", "Offset Frame", "Offset", "End frame", "End", "Stop", "Stop frame"),
    "aus": ("Action Units", "Action Unit", "AU", "AUs"),
    "emotion": ("Estimated Emotion", "Emotion"),
}
"""Columns that most releases share, with the names they have in the copies."""

_SAME = {
    "happy": "happiness", "sad": "sadness", "angry": "anger", "other": "others", "disgusted": "disgust",
    "surprised": "surprise", "suprise": "surprise", "fearful": "fear", "repressed": "repression",
}  # fmt: skip


def find_sheet(release: Release, patterns: tuple[str, ...], stop: re.Pattern[str] | None = None) -> Path | None:
    """The sheet that the option `sheet` names, else the best one by its usual names; others that differ are noted.

    Raises:
        UserError: when the option names no file.
    """
    if release.options.sheet is not None:
        path = release.root / split_name(release.options.sheet)[0]
        if not path.is_file():
            raise UserError(file=path, where="option sheet", problem="no such file", expected="the annotation sheet")
        return path
    found = find_file(release.root, patterns, depth=3, stop=stop)
    for other in found[1:]:
        if not filecmp.cmp(found[0], other, shallow=False):
            problem = f"{release.relative(other)} is there too and differs"
            release.note(
                release.relative(found[0]), 0, "sheet", problem=problem, action="this one read; options sheet, release"
            )
    return found[0] if found else None


def the_sheet(release: Release, patterns: tuple[str, ...], usual: str, *, stop: re.Pattern[str] | None = None) -> Path:
    """The one sheet of a release.

    Raises:
        UserError: when there is none.
    """
    found = find_sheet(release, patterns, stop)
    if found is None:
        raise UserError(
            file=release.root,
            where="annotation sheet",
            problem="none",
            expected=usual,
            hint="name it with the option sheet",
        )
    return found


def open_sheet(
    release: Release, path: Path, names: Iterable[str] = (), *, columns: Mapping[str, Sequence[str]] | None = None
) -> Sheet:
    """The sheet that the option `sheet` names (`file.xlsx#sheet`), else the one with one of `names`, else the first
    visible one with a header of `columns`.

    Raises:
        UserError: when the file has no sheet of the name that the option gives.
    """
    wanted = split_name(release.options.sheet or "")[1]
    if wanted:
        return open_named(path, wanted)
    sheets = read_sheets(path)
    chosen = choose_sheet(sheets, names, columns or COMMON)
    if sheets[0].hidden and chosen is not sheets[0]:
        file = release.relative(path)
        release.note(file, 0, "sheet", problem=f"{sheets[0].name!r} is hidden", action=f"{chosen.name!r} read")
    return chosen


def kind_of(text: str) -> str:
    """`micro` or `macro` from `Macro-expression`, `Micro - 1/2` and the like; '' when it is neither."""
    match = re.match(r"\s*(micro|macro)", text, re.IGNORECASE)
    return match[1].lower() if match else ""


def emotion(cell: object) -> str:
    """An emotion in lower case, with one spelling for each: `Happy` -> `happiness`, `Other` -> `others`."""
    text = re.sub(r"\s+", " ", "" if cell is None else str(cell)).strip().lower()
    return _SAME.get(text, "" if text in ("/", "-", "nan") else text)


def aus(release: Release, file: str, row: int, *, cell: object) -> str:
    """Action units in one form; parts that are none are noted and excluded."""
    units, rest = parse_aus(cell)
    if rest:
        release.note(file, row, "action units", problem=f"{'+'.join(rest)!r} is no action unit", action="excluded")
    return format_aus(units)


def common_row(release: Release, file: str, line: Line, *, subject: str, video: str, kind: str) -> Row:
    """A row of a sheet with the columns of `COMMON`."""
    return Row(
        file, line.row, subject, video, line.value("onset"), line.value("apex"), line.value("offset"), kind,
        emotion(line.cells.get("emotion")), aus(release, file, line.row, cell=line.cells.get("aus")),
    )  # fmt: skip


def exclude_row(release: Release, file: str, line: Line, *, field: str, expected: str) -> None:
    """Note a row with names that do not have the release's form; it is an excluded expression if it has an onset."""
    problem = f"{line.text(field)!r} is not {expected}"
    release.note(file, line.row, field, problem=problem, action=ROW_EXCLUDED)
    if as_frame(line.value("onset"))[0] is not None:
        release.lose("", "", f"{file}, row {line.row}: {field}: {problem}")
