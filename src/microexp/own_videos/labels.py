"""One's own ground truth as annotation programs write it: frames or seconds, ELAN, BORIS, or any sheet.

Whatever the form, it becomes the `annotations.csv` that the adapter `folder` reads beside the videos.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from microexp.errors import UserError
from microexp.own_videos.inputs import OwnVideo
from microexp.reading.intervals import as_frame, as_seconds
from microexp.reading.sheets import Line, Sheet, as_text, choose_sheet, open_named, read_sheets, split_name, table
from microexp.reading.trees import stem
from microexp.run import storage

VIDEO = (
    "video", "file", "filename", "file name", "video name", "clip", "media file", "media file name", "media file(path)",
    "media", "name", "vid", "video id", "path",
)  # fmt: skip
KIND = ("kind", "type", "expression type", "exp type")
LABEL = ("emotion", "label", "behavior", "behaviour", "annotation", "value", "code", "estimated emotion", "tier")
TIER = ("tier", "tier name")
OPTIONAL = ("video", "kind", "emotion", "tier", "apex", "state", "subject")
ENDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    # unit -> names of onset, offset and apex
    "s": (
        ("onset_s", "start_s", "start (s)", "onset (s)", "begin time - ss.msec", "begin time - hh:mm:ss.ms",
         "start time", "begin time", "onset time", "start seconds"),
        ("offset_s", "end_s", "stop_s", "stop (s)", "end (s)", "offset (s)", "end time - ss.msec",
         "end time - hh:mm:ss.ms", "end time", "stop time", "offset time", "end seconds"),
        ("apex_s", "apex (s)", "peak_s", "apex time"),
    ),
    "ms": (
        ("onset_ms", "start_ms", "start (ms)", "begin time - msec"),
        ("offset_ms", "end_ms", "stop_ms", "end (ms)", "end time - msec"),
        ("apex_ms",),
    ),
    "": (
        ("onset", "onset frame", "start", "start frame", "begin", "begin frame", "first frame", "from"),
        ("offset", "offset frame", "end", "end frame", "stop", "stop frame", "last frame", "to"),
        ("apex", "apex frame", "peak", "peak frame"),
    ),
}  # fmt: skip
STATE = ("status", "start/stop", "behavior type", "event type")
CLOCK = re.compile(r"\d+:\d\d(:\d\d)?([.,]\d+)?")
ANY_KIND = re.compile(r"\b(micro|macro)", re.IGNORECASE)
SHORT_KINDS = {"me": "micro", "mae": "macro"}


@dataclass(frozen=True)
class Label:
    """One annotated expression, as it was written.

    Attributes:
        row: of the sheet.
        video: what the sheet calls the video; '' where it does not say.
        onset, apex, offset: seconds or frame numbers; None where there is none.
        in_seconds: which of the two.
        kind: `micro`, `macro` or ''.
        emotion: any word, or ''.
    """

    row: int
    video: str
    onset: float
    apex: float | None
    offset: float
    in_seconds: bool
    kind: str
    emotion: str


def read_labels(path: str) -> list[Label]:
    """All expressions of a file; `file.xlsx#sheet` names a sheet.

    Raises:
        UserError: when its columns are not known, a row holds no interval, or no row holds any.
    """
    file, name = split_name(path)
    sheets = [open_named(Path(file), name)] if name else read_sheets(file)
    forms = [_forms(unit) for unit in ENDS]
    sheet = choose_sheet(sheets, (), forms[-1])
    lines = {unit: _with_ends(_lines(sheet, columns)) for unit, columns in zip(ENDS, forms, strict=True)}
    unit = max(lines, key=lambda unit: len(lines[unit]))
    if lines[unit]:
        _check_one_unit(sheet, lines[unit], [line for some in lines.values() for line in some])
        return _labels(sheet, lines[unit], unit)
    return _boris_events(sheet) or _without_header(sheet) or _refuse(sheet, forms[-1])


def _forms(unit: str) -> dict[str, Sequence[str]]:
    onset, offset, apex = ENDS[unit]
    return {
        "onset": onset,
        "offset": offset,
        "apex": apex,
        "video": VIDEO,
        "kind": KIND,
        "emotion": LABEL,
        "tier": TIER,
    }


def _with_ends(lines: Sequence[Line]) -> list[Line]:
    """Rows with an onset or an offset: programs leave others empty."""
    return [line for line in lines if line.text("onset") or line.text("offset")]


def _check_one_unit(sheet: Sheet, taken: Sequence[Line], every: Sequence[Line]) -> None:
    """Refuse a sheet in which some rows have their ends in other columns than those that are read."""
    rows = {line.row for line in taken}
    for line in every:
        if line.row not in rows:
            problem = "its ends are in other columns than those of other rows"
            expected = "frames in all rows, or seconds"
            raise UserError(file=sheet.path, where=f"row {line.row}", problem=problem, expected=expected)


def _lines(sheet: Sheet, columns: Mapping[str, Sequence[str]]) -> list[Line]:
    try:
        return table(sheet, columns, [c for c in OPTIONAL if c in columns])
    except UserError:
        return []


def _refuse(sheet: Sheet, columns: Mapping[str, Sequence[str]]) -> list[Label]:
    table(sheet, columns, [c for c in OPTIONAL if c in columns])  # says which columns are missing
    raise UserError(file=sheet.path, problem="no expression", expected="rows with an onset and an offset")


def _labels(sheet: Sheet, lines: Sequence[Line], unit: str) -> list[Label]:
    """Rows with both ends; without a unit in the column's name, a fraction or a clock in any row means seconds."""
    ends = [text for line in lines for text in (line.text("onset"), line.text("offset"))]
    in_seconds = unit == "s" or (not unit and any(map(_is_time, ends)))
    found = []
    for line in lines:
        onset, offset, apex = (_number(sheet, line, c, unit, in_seconds) for c in ("onset", "offset", "apex"))
        if onset is None:
            raise UserError(file=sheet.path, where=f"row {line.row}", problem="no onset", expected="a frame or a time")
        end = onset if offset is None else offset
        if end < onset:
            raise UserError(file=sheet.path, where=f"row {line.row}", problem=f"it ends at {end:g}, before {onset:g}")
        kind = _own_kind(sheet, line) or _kind(line.text("emotion")) or _kind(line.text("tier"))
        emotion = line.text("emotion") if not _kind(line.text("emotion")) else ""
        found.append(Label(line.row, line.text("video"), onset, apex, end, in_seconds or unit == "ms", kind, emotion))
    return found


def _is_time(text: str) -> bool:
    value = as_seconds(text)
    return value is not None and (bool(CLOCK.fullmatch(text)) or value % 1 != 0)


def _number(sheet: Sheet, line: Line, column: str, unit: str, in_seconds: bool) -> float | None:
    text = line.text(column)
    if not text:
        return None
    value = as_seconds(text) if in_seconds or unit == "ms" else as_frame(text)[0]
    if value is None:
        if column == "apex":
            return None
        expected = "a time" if in_seconds or unit == "ms" else "a frame number"
        raise UserError(file=sheet.path, where=f"row {line.row}, {column}", got=repr(text), expected=expected)
    return value / 1000 if unit == "ms" else float(value)


def _kind(text: str) -> str:
    match = ANY_KIND.search(text)
    return match[1].lower() if match else ""


def _own_kind(sheet: Sheet, line: Line) -> str:
    """What the column of kinds says; '' where there is none, or nothing in it."""
    text = line.text("kind")
    kind = _kind(text) or SHORT_KINDS.get(text.casefold(), "")
    if text and not kind:
        where = f"row {line.row}, kind"
        raise UserError(
            file=sheet.path, where=where, got=repr(text), expected="micro or macro (or me, mae), or nothing"
        )
    return kind


def _boris_events(sheet: Sheet) -> list[Label]:
    """BORIS's list of events: a row where a state starts and one where it stops; of a point event there is one row.

    Raises:
        UserError: when a row has no time, or one of the two rows of a state is not there.
    """
    columns = {
        "onset": ("time", "time (s)"), "state": STATE, "emotion": LABEL, "video": VIDEO, "subject": ("subject",),
    }  # fmt: skip
    found = []
    open_: dict[tuple[str, ...], tuple[Line, float]] = {}
    lines = _lines(sheet, columns)
    for line in lines if any(line.text("state") for line in lines) else []:
        state, time_s = line.text("state").casefold(), _boris_time(sheet, line)
        who = (line.text("video"), line.text("subject"), line.text("emotion"))
        if "start" in state:
            if who in open_:
                raise _unpaired(sheet, open_[who][0], "starts again before it stops")
            open_[who] = line, time_s
        elif "stop" in state:
            if who not in open_:
                raise _unpaired(sheet, line, "stops without a start")
            found.append(_boris_label(line, open_.pop(who)[1], time_s))
        elif "point" in state:
            found.append(_boris_label(line, time_s, time_s))
        else:
            raise UserError(
                file=sheet.path, where=f"row {line.row}", got=repr(line.text("state")), expected="START, STOP or POINT"
            )
    for line, _ in open_.values():
        raise _unpaired(sheet, line, "starts and never stops")
    return found


def _boris_time(sheet: Sheet, line: Line) -> float:
    time_s = as_seconds(line.text("onset"))
    if time_s is None:
        raise UserError(
            file=sheet.path, where=f"row {line.row}", got=repr(line.text("onset")), expected="a time in seconds"
        )
    return time_s


def _boris_label(line: Line, start_s: float, end_s: float) -> Label:
    text = line.text("emotion")
    kind = _kind(text)
    return Label(
        line.row, line.text("video"), start_s, apex=None, offset=end_s, in_seconds=True, kind=kind,
        emotion="" if kind else text,
    )  # fmt: skip


def _unpaired(sheet: Sheet, line: Line, what: str) -> UserError:
    name = line.text("emotion") or "a state"
    return UserError(
        file=sheet.path,
        where=f"row {line.row}",
        problem=f"{name!r} {what}",
        expected="a START and a STOP of each state",
    )


def _without_header(sheet: Sheet) -> list[Label]:
    """ELAN's tab-delimited text, which has no header: tier, participant, begin, end (and the length), annotation.

    A first row without any digit is a header in another language.

    Raises:
        UserError: when a row has no time where the others have theirs, or ends before it begins.
    """
    rows = {number: [as_text(cell) for cell in row] for number, row in enumerate(sheet.rows, 1)}
    rows = {number: cells for number, cells in rows.items() if any(cells) and not cells[0].lstrip('"').startswith("#")}
    first = next(iter(rows), 0)
    if rows and not any(letter.isdigit() for cell in rows[first] for letter in cell):
        del rows[first]
    clocks = [[i for i, cell in enumerate(cells) if _clock(cell) is not None] for cells in rows.values()]
    places = max(clocks, key=len, default=[])[:2]
    return [_elan_label(sheet, number, cells, places) for number, cells in rows.items()] if len(places) == 2 else []


def _elan_label(sheet: Sheet, number: int, cells: Sequence[str], places: Sequence[int]) -> Label:
    ends = [cells[i] if i < len(cells) else "" for i in places]
    start, end = map(_clock, ends)
    if start is None or end is None:
        got, expected = " and ".join(map(repr, ends)), "a begin and an end, as 00:00:01.500"
        raise UserError(file=sheet.path, where=f"row {number}", got=got, expected=expected)
    if end < start:
        raise UserError(file=sheet.path, where=f"row {number}", problem=f"it ends at {end:g}, before {start:g}")
    words = [c for c in cells if c and as_seconds(c) is None]
    label = words[-1] if len(words) > 1 and not _kind(words[-1]) else ""
    kind = _kind(" ".join(words))
    return Label(number, "", start, apex=None, offset=end, in_seconds=True, kind=kind, emotion=label)


def _clock(text: str) -> float | None:
    """Seconds of a time with colons; None for anything else."""
    return as_seconds(text) if ":" in text and CLOCK.fullmatch(text) else None


# --- which video ------------------------------------------------------------------------------------------------------


def write_annotations(path: Path, labels: Sequence[Label], videos: Sequence[OwnVideo], *, file: object) -> int:
    """Write the sheet that the adapter `folder` reads, with or without rows.

    Returns how many rows are of no video that was given.

    Raises:
        UserError: when rows do not say of which of several videos they are, or none is of any.
    """
    rows = []
    for video, label in _matched(labels, videos, file):
        ends = (label.onset, label.apex, label.offset)
        cells = [None if v is None else v if label.in_seconds else int(v) for v in ends]
        rows.append((video.name, stem(video.link), *cells, label.kind, label.emotion))
    if labels and not rows:
        raise UserError(
            file=file, where="video", got=repr(labels[0].video), expected="one of " + ", ".join(v.given for v in videos)
        )
    unit = "_s" if any(label.in_seconds for label in labels) else ""
    ends_named = [f"{name}{unit}" for name in ("onset", "apex", "offset")]
    storage.write_csv(path, ("subject", "video", *ends_named, "kind", "emotion"), rows)
    return len(labels) - len(rows)


def known(labels: Sequence[Label], videos: Sequence[OwnVideo], *, file: object) -> dict[str, list[Label]]:
    """Name of a video -> its known expressions.

    Raises:
        UserError: as `write_annotations`, where a row does not say of which video it is.
    """
    found = defaultdict[str, list[Label]](list)
    for video, label in _matched(labels, videos, file):
        found[video.name].append(label)
    return found


def _matched(labels: Sequence[Label], videos: Sequence[OwnVideo], file: object) -> Iterator[tuple[OwnVideo, Label]]:
    """Each label with its video; those of other videos are passed over."""
    names = _names(videos)
    for label in labels:
        video = _video_of(label, videos, names, file)
        if video is not None:
            yield video, label


def _names(videos: Sequence[OwnVideo]) -> dict[str, list[OwnVideo]]:
    found: dict[str, list[OwnVideo]] = {}
    for video in videos:
        names = (video.name, video.given, video.path.name, stem(video.path), str(video.path))
        for name in set(map(_plain_name, names)):
            found.setdefault(name, []).append(video)
    return found


def _plain_name(name: str) -> str:
    """As names are compared: small letters, and accents written in one way (disks differ in that)."""
    return unicodedata.normalize("NFC", name).casefold()


def _video_of(
    label: Label, videos: Sequence[OwnVideo], names: Mapping[str, list[OwnVideo]], file: object
) -> OwnVideo | None:
    if not label.video:
        if len(videos) == 1:
            return videos[0]
        expected = f"a column that says which of the {len(videos)} videos each row is of"
        raise UserError(file=file, where=f"row {label.row}", problem="no video", expected=expected)
    last = re.split(r"[\\/]", label.video)[-1]
    for name in (label.video, last, last.rpartition(".")[0]):
        owners = names.get(_plain_name(name), [])
        if len(owners) == 1:
            return owners[0]
        if owners:
            raise UserError(
                file=file, where=f"row {label.row}", got=repr(label.video), expected="a name that one video alone has"
            )
    return None
