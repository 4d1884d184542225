"""Anyone's own data: videos in any folders, and a CSV file or workbook where there is one.

    root/annotations.csv                 subject,video,onset,apex,offset,kind,emotion,aus; it may be missing
    root/videos/SUBJECT/VIDEO.mp4        video files, or
    root/videos/SUBJECT/VIDEO/img1.jpg   folders of frames, or
    root/VIDEO.mp4                       videos right in the root: each is a subject of its own name

Frames are numbered as in the file names; the first frame of a video file has the number `first_number` (1). Columns
`onset_s`, `apex_s` and `offset_s` hold seconds instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from microexp.errors import UserError
from microexp.reading.images import frame_number
from microexp.reading.intervals import as_seconds
from microexp.reading.release import Adapter, Counts, Found, Release, Row
from microexp.reading.rows import COMMON, common_row, find_sheet, kind_of, open_sheet
from microexp.reading.sheets import Line, Sheet, table
from microexp.reading.trees import (
    IMAGE_SUFFIXES,
    children,
    is_video_name,
    looks_like_video,
    natural,
    start_folder,
    stem,
)

SHEETS = (r"annotations?\.csv", r"annotations?\.(xlsx?|tsv|txt)")
COLUMNS = {
    **COMMON, "filename": ("video", *COMMON["filename"]), "kind": ("kind", "type", "Expression type", "Exp type"),
}  # fmt: skip
SECONDS = {"onset": ("onset_s",), "apex": ("apex_s",), "offset": ("offset_s",)}
OPTIONAL = ("subject", "apex", "kind", "emotion", "aus")
DEPTH = 6
BESIDE = (
    ".csv .tsv .txt .xls .xlsx .xlsm .ods .json .md .pdf .doc .docx .yaml .yml .xml .html .log .npz .npy .mat .h5 .zip "
    ".gz .tar .7z .wav .mp3 .m4a .aac .flac .ogg .opus .srt .vtt .ass .eaf .py .ini .db .lnk .url"
)
"""Suffixes of what lies beside videos and is none: passed over without a note."""


def find_sheets(release: Release) -> list[Path]:
    """`annotations.csv`, or the option `sheet`; none where there is no annotation."""
    path = find_sheet(release, SHEETS)
    return [] if path is None else [path]


# --- videos -----------------------------------------------------------------------------------------------------------


def find_videos(release: Release) -> list[Found]:
    """Every video file and folder of frames below `videos/`, or below the root where there is no such folder.

    The first folder below that is the subject, those in between are part of the video's name. Two files with names that
    differ in the suffix alone keep it.
    """
    top = start_folder(release)
    if release.options.videos is None and (release.root / "videos").is_dir():
        top = release.root / "videos"
    found = [_found(top, path) for path in _videos(release, top, 0, {top.resolve()})]
    names = [(f.subject, f.video) for f in found]
    return [replace(f, video=f.path.name) if names.count((f.subject, f.video)) > 1 else f for f in found]


def _found(top: Path, path: Path) -> Found:
    if path == top:
        return Found(path.resolve().name, path.resolve().name, path)
    *folders, _ = path.relative_to(top).parts
    if not folders:
        return Found(stem(path), stem(path), path)
    return Found(folders[0], "_".join([*folders[1:], stem(path)]), path)


def _videos(release: Release, folder: Path, depth: int, seen: set[Path]) -> Iterator[Path]:
    """Videos below a folder; one that holds images and nothing else is a video itself, and so is an empty one."""
    inside, images = _inside(release, folder)
    if images and not inside:
        yield folder
        return
    if images:
        release.note(
            release.relative(folder), 0, "video", problem=f"{images} images beside videos or folders", action="excluded"
        )
    if not inside and depth > 1:
        yield folder
    for path in inside:
        if not path.is_dir():
            yield path
        elif depth < DEPTH and path.resolve() not in seen:
            seen.add(path.resolve())
            yield from _videos(release, path, depth + 1, seen)


def _inside(release: Release, folder: Path) -> tuple[list[Path], int]:
    """Folders and video files in a folder, in natural order, and how many numbered images; what is odd is noted."""
    inside = children(folder)
    images = 0
    for name in sorted(entry.name for entry in os.scandir(folder)):
        path = folder / name
        suffix = path.suffix.lower()
        if name[0] in "._~" or is_video_name(name) or suffix in BESIDE.split() or path.is_dir():
            continue
        if suffix in IMAGE_SUFFIXES:
            images += frame_number(name) is not None
        elif looks_like_video(path):
            inside.append(path)
        else:
            release.note(
                release.relative(path),
                0,
                "video",
                problem="not a video by its name, nor by its content",
                action="excluded",
            )
    return sorted(inside, key=lambda p: natural(p.name)), images


# --- rows -------------------------------------------------------------------------------------------------------------


def read_rows(release: Release) -> list[Row]:
    """Rows of the sheet; none where there is no sheet.

    Raises:
        UserError: naming file and row for a kind other than micro and macro, or for seconds in columns of frames.
    """
    paths = find_sheets(release)
    if not paths:
        release.note("", 0, "sheet", problem="no annotations.csv", action="videos without any known expression")
        return []
    (path,) = paths
    lines, in_seconds = _table(open_sheet(release, path, columns=COLUMNS))
    if not in_seconds:
        _check_frames(path, lines)
    return [_row(release, path, line, in_seconds) for line in lines]


def _table(sheet: Sheet) -> tuple[list[Line], bool]:
    """Lines of a sheet, and whether its intervals are in seconds."""
    try:
        return table(sheet, COLUMNS, optional=OPTIONAL, may_be_empty=True), False
    except UserError:
        try:
            return table(sheet, {**COLUMNS, **SECONDS}, optional=OPTIONAL, may_be_empty=True), True
        except UserError:
            pass
        raise


def _check_frames(path: Path, lines: list[Line]) -> None:
    """Refuse seconds in columns of frame numbers, which would all become frame 0 or 1."""
    for line in lines:
        for column in ("onset", "offset"):
            value = as_seconds(line.text(column))
            if value is not None and (2 * value) % 1 and value < 1e5:
                raise UserError(
                    file=path,
                    where=f"row {line.row}, {column}",
                    got=line.text(column),
                    expected="a frame number",
                    hint="seconds belong in the columns onset_s, apex_s and offset_s",
                )


def _row(release: Release, path: Path, line: Line, in_seconds: bool) -> Row:
    kind = kind_of(line.text("kind"))
    if line.text("kind") and not kind:
        raise UserError(
            file=path, where=f"row {line.row}, kind", got=repr(line.text("kind")), expected="micro, macro or empty"
        )
    row = common_row(
        release, release.relative(path), line, subject=line.text("subject"), video=line.text("filename"), kind=kind
    )
    return replace(row, apex=row.apex if "apex" in line.cells else None, in_seconds=in_seconds)


def published(release: Release) -> Counts:
    """Nothing: nobody has published these data."""
    return {}


ADAPTER = Adapter(find_sheets, find_videos, read_rows, published, fps=lambda release: None)
