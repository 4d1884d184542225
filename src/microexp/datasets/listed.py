"""Data without videos: a list of frame counts, and a sheet. Features of other programs lie on it (stream `given`).

    root/videos.csv          subject,video,n_frames,fps; the option `videos` names another file
    root/annotations.csv     as for the adapter `folder`; it may be missing

The first frame has the number `first_number` (1). A row without `fps` takes the option `source_fps`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from microexp.datasets.folder import find_sheets, published, read_rows
from microexp.errors import UserError
from microexp.reading.release import Adapter, Found, Length, Release
from microexp.reading.sheets import Line, choose_sheet, read_sheets, table

NAME = "listed"
LIST = "videos.csv"
COLUMNS = {
    "subject": ("subject", "participant", "person"), "video": ("video", "filename", "video name"),
    "n_frames": ("n_frames", "frames", "frame count", "number of frames"), "fps": ("fps", "frame rate"),
}  # fmt: skip
LONGEST = 10**8
"""Frames; a video of a month has fewer."""

N = TypeVar("N", int, float)


def find_videos(release: Release) -> list[Found]:
    """The rows of the list.

    Raises:
        UserError: when there is no list, a row cannot be read, or an option asks for what only videos show.
    """
    if release.options.apex_missing == "flow":
        problem = "'flow', but there is no video to compute it from"
        raise UserError(
            file="config", where=f"datasets.{release.name}.apex_missing", problem=problem, expected="middle"
        )
    path = release.root / (release.options.videos or LIST)
    if not path.is_file():
        expected = f"a list with the columns {', '.join(COLUMNS)}"
        raise UserError(file=path, where=f"datasets.{release.name}", problem="no such file", expected=expected)
    lines = table(choose_sheet(read_sheets(path), (), COLUMNS), COLUMNS, optional=("fps",))
    return [_found(path, line) for line in lines]


def _found(path: Path, line: Line) -> Found:
    n_frames = _number(path, line, "n_frames", int, LONGEST)
    fps = _number(path, line, "fps", float, 100_000) if line.text("fps") else None
    for column in ("subject", "video"):
        if not line.text(column):
            raise UserError(file=path, where=f"row {line.row}, {column}", problem="nothing", expected="a name")
    return Found(line.text("subject"), line.text("video"), path, length=Length(n_frames, fps))


def _number(path: Path, line: Line, column: str, kind: Callable[[str], N], most: int) -> N:
    text = line.text(column)
    try:
        value = kind(text)
    except ValueError:
        value = kind("0")
    if not 0 < value < most:
        raise UserError(
            file=path, where=f"row {line.row}, {column}", got=repr(text), expected=f"a number above 0, below {most}"
        )
    return value


ADAPTER = Adapter(find_sheets, find_videos, read_rows, published, fps=lambda release: None)
