"""From the cells of a sheet to an interval of frames: what each odd value means, and how it is corrected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from microexp.records.numbering import Numbering

Note = Callable[[str, str, str], None]
"""note(field, problem, action)"""

ROW_EXCLUDED = "row excluded"
"""What is done with a row that cannot be used."""

NO_FRAMES = "kept: a ground truth that no detection can hit"
"""What is done with a row of which the video shows no frame."""

_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d*)?(e[+-]?\d{1,3})?", re.IGNORECASE)
_MISSING = {"", "/", "-", "nan", "none", "null", "n/a", "na", "?", "x"}


@dataclass(frozen=True)
class FrameInterval:
    """A closed interval of frames; the apex may not be known."""

    onset: int
    apex: int | None
    offset: int


def is_missing(text: str) -> bool:
    """Whether a cell says in one of the usual ways that there is no value."""
    return text.strip().casefold() in _MISSING


def decimal_point(text: str) -> str:
    """`3562,0` as `3562.0`; what may as well be thousands (`3,562`) stays as it is, and is no number then."""
    if not re.fullmatch(r"[+-]?\d+,\d+", text) or re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", text):
        return text
    return text.replace(",", ".")


def same_text(cell: object) -> str:
    """A cell as text that is the same for `3`, `3.0` and `3,0`, and for `x` and `X`."""
    text = decimal_point("" if cell is None else str(cell).strip())
    try:
        return repr(float(text))
    except ValueError:
        return text.casefold()


def as_frame(cell: object) -> tuple[int | None, str]:
    """A cell as a frame number, and what was odd about it ('' when nothing was).

    Numbers may be stored as text, with a decimal comma too; halves are rounded up; an empty cell, `/` or a negative
    number is no frame.
    """
    if isinstance(cell, bool):
        return None, f"{cell!r} is no frame"
    text = "" if cell is None else str(cell).strip()
    if text.casefold() in _MISSING:
        return None, f"{text!r} is no frame" if text else "empty"
    text = decimal_point(text)
    if not _NUMBER.fullmatch(text):
        match = re.fullmatch(r"[^\d-]*(\d{1,9})\D*", text)  # img_46.jpg
        return (int(match[1]), f"{text!r} is not a plain number") if match else (None, f"{text!r} is no frame")
    value = float(text)
    if not 0 <= value <= 1e9:
        return None, f"{text} is no frame"
    frame = math.floor(value + 0.5)
    return frame, "" if frame == value else f"{text} is not whole"


_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:[.,]\d*)?|[.,]\d+)\s*s?")


def as_seconds(cell: object) -> float | None:
    """A cell as seconds: 0.33, `0,33`, `1:02.5` (minutes) or `0:01:02.5` (hours); None when it is none of these."""
    match = _CLOCK.fullmatch("" if cell is None or isinstance(cell, bool) else str(cell).strip())
    if not match:
        return None
    hours, minutes, seconds = match.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(seconds.replace(",", "."))


def from_seconds(cell: object, times: np.ndarray, numbers: np.ndarray, *, fps: float) -> object:
    """The number of the frame that is shown nearest to a cell's seconds; the cell itself when it holds none.

    Args:
        cell: of the sheet.
        times: (n,) seconds of the video's frames since the first one.
        numbers: (n,) their numbers.
        fps: how many frames a second there would be beyond the last one.
    """
    seconds = as_seconds(cell)
    if seconds is None:
        return cell
    if seconds > times[-1] + 0.5 / fps:
        return int(numbers[-1]) + round((seconds - float(times[-1])) * fps)
    return int(numbers[int(np.abs(times - seconds).argmin())])


def as_interval(
    onset: object, apex: object, offset: object, *, numbers: np.ndarray, offset_zero: str, note: Note
) -> FrameInterval | None:
    """The interval that three cells mean, in the release's numbering; None, with a note, when there is no onset.

    A row with an onset is never dropped, so that no ground truth is missing: at worst it is the onset frame alone.

    Args:
        onset: cell of the sheet.
        apex: cell of the sheet; None where the release has no apex.
        offset: cell of the sheet.
        numbers: (n,) numbers of the video's frames: a 0 is a frame only where frame 0 exists.
        offset_zero: what an offset of 0 means: `apex`, `apex+20` or `2*apex-onset`.
        note: takes what was corrected.
    """
    start, odd = as_frame(onset)
    if start is None:
        note("onset", odd, ROW_EXCLUDED)
        return None
    if odd:
        note("onset", odd, f"read as {start}")
    top, odd = as_frame(apex)
    if top is not None and odd:
        note("apex", odd, f"read as {top}")
    usable = top if top is not None and top >= start and (top > 0 or numbers[0] == 0) else None
    end = _end(start, usable, offset, numbers, offset_zero, note)
    return FrameInterval(start, _usable_apex(start, top, end, apex, note), end)


def _end(start: int, apex: int | None, offset: object, numbers: np.ndarray, offset_zero: str, note: Note) -> int:
    """The offset; where it is 0 or missing by the rule `offset_zero`, never before the onset."""
    end, odd = as_frame(offset)
    if end is not None and odd:
        note("offset", odd, f"read as {end}")
    if end is None or (end == 0 and not (start == 0 and numbers[0] == 0)):
        problem = odd if end is None else "0"
        if apex is None:
            note("offset", f"{problem}, and no apex to go by", f"read as the onset {start}")
            return start
        end = {"apex": apex, "apex+20": apex + 20, "2*apex-onset": 2 * apex - start}[offset_zero]
        note("offset", problem, f"read as {offset_zero} = {end}")
    if end < start:
        corrected = start if apex is None else apex
        note("offset", f"{end} before onset {start}", f"read as the {'onset' if apex is None else 'apex'} {corrected}")
        return corrected
    return end


def _usable_apex(start: int, top: int | None, end: int, cell: object, note: Note) -> int | None:
    """The apex if it tells something: inside the interval, and not the onset itself."""
    if cell is None:
        return None
    if top is None:
        note("apex", as_frame(cell)[1], "put by the rule for a missing apex")
    elif not start <= top <= end:
        note("apex", f"{top} outside of {start} to {end}", "put by the rule for a missing apex")
    elif top == start < end:
        note("apex", f"{top} is the onset", "put by the rule for a missing apex")
    else:
        return top
    return None


def check_frames(interval: FrameInterval, numbering: Numbering, note: Note) -> None:
    """Note what of an interval of the release's numbers the video does not show; every such interval is kept.

    Args:
        interval: in the release's numbering.
        numbering: of the video.
        note: takes what no frame shows.
    """
    first, last = numbering.first, numbering.last
    frames = f"outside of the frames {first} to {last}"
    if interval.offset < first or interval.onset > last:
        note("onset", f"{interval.onset} to {interval.offset} {frames}", NO_FRAMES)
        return
    onset, offset = numbering.interval_to_indices(interval.onset, interval.offset)
    used = numbering.to_number(onset), numbering.to_number(offset)
    if used[1] < interval.onset or used[0] > interval.offset:
        note("onset", f"frames {interval.onset} to {interval.offset} are missing", NO_FRAMES)
        return
    for field, number, shown in (("onset", interval.onset, used[0]), ("offset", interval.offset, used[1])):
        if shown != number:
            why = "missing" if first <= number <= last else frames
            note(field, f"{number} is {why}", f"clipped to {shown}")
    if interval.apex is not None:
        apex = numbering.to_number(min(max(numbering.to_index(interval.apex, "nearest"), onset), offset))
        if apex != interval.apex:
            note("apex", f"{interval.apex} has no frame", f"moved to {apex}")
