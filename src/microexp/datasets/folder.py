"""Anyone's own data: a CSV file or workbook, and a folder of videos.

    root/annotations.csv                 subject,video,onset,apex,offset,kind,emotion,aus
    root/videos/SUBJECT/VIDEO.mp4        video files, or
    root/videos/SUBJECT/VIDEO/img1.jpg   folders of frames

Frames are numbered as in the file names; the first frame of a video file has the number `first_number` (1).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from microexp.errors import UserError
from microexp.reading.copies import start_folder
from microexp.reading.release import Adapter, Counts, Found, Release, Row
from microexp.reading.rows import COMMON, common_row, kind_of, open_sheet, the_sheet
from microexp.reading.sheets import Line, table
from microexp.reading.trees import children, stem
from microexp.run.names import check_name

SHEETS = (r"annotations?\.csv", r"annotations?\.(xlsx?|tsv|txt)")
COLUMNS = {
    **COMMON, "filename": ("video", *COMMON["filename"]), "kind": ("kind", "type", "Expression type", "Exp type"),
}  # fmt: skip
OPTIONAL = ("apex", "kind", "emotion", "aus")


def find_sheets(release: Release) -> list[Path]:
    """`annotations.csv`, or the option `sheet`."""
    return [the_sheet(release, SHEETS, "annotations.csv")]


def find_videos(release: Release) -> list[Found]:
    """Every folder or video file two levels below `videos/`, or below the root where there is no such folder."""
    top = start_folder(release)
    if release.options.videos is None and (release.root / "videos").is_dir():
        top = release.root / "videos"
    found = []
    for subject in children(top):
        if subject.is_dir():
            found += [Found(subject.name, stem(video), video) for video in children(subject)]
        else:
            release.note(release.relative(subject), 0, "video", "not in a folder of its subject", "left out")
    return found


def read_rows(release: Release) -> list[Row]:
    """Rows of the sheet.

    Raises:
        UserError: naming file and row for a name that is not safe, or a kind other than micro and macro.
    """
    path = find_sheets(release)[0]
    file = release.relative(path)
    lines = table(open_sheet(release, path, columns=COLUMNS), COLUMNS, optional=OPTIONAL)
    return [_row(release, path, file, line) for line in lines]


def _row(release: Release, path: Path, file: str, line: Line) -> Row:
    where = f"{path}: row {line.row}"
    subject = check_name(line.text("subject"), "subject", where)
    video = check_name(line.text("filename"), "video", where)
    kind = kind_of(line.text("kind"))
    if line.text("kind") and not kind:
        raise UserError(
            file=path, where=f"row {line.row}, kind", got=repr(line.text("kind")), expected="micro, macro or empty"
        )
    row = common_row(release, file, line, subject, video, kind)
    return row if "apex" in line.cells else replace(row, apex=None)


def published(release: Release) -> Counts:
    """Nothing: nobody has published these data."""
    return {}


ADAPTER = Adapter(find_sheets, find_videos, read_rows, published, fps=lambda release: None)
