"""Stage `given`: features or per-frame series that another program computed, as a stream of features.

One file per video, npz or CSV, below the folder `given.root`: `{dataset}/{subject}/{video}.npz`, or without the data
set's folder where there is one data set. A CSV has one row per frame and a header (OpenFace's, a detector's); an npz
has an array `features` (rows, channels), and may have `channels` (names), `valid` (rows,), `fps` and `first_frame`.
Rows are matched to the video by their rate and the frame of the first one; a series that ends elsewhere than its video
is refused.
"""

from __future__ import annotations

import csv
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microexp.errors import UserError
from microexp.features.params import GivenParams, GivenSource
from microexp.reading.intervals import decimal_point, is_missing
from microexp.records.features import FeaturesWriter, Layout, create_features
from microexp.records.index import Video, read_videos
from microexp.records.shard import Subject
from microexp.run.stage import Job
from microexp.run.storage import SERIES_BYTES, check_size

SUFFIXES = (".npz", ".csv")
NOT_SERIES = ("", "frame", "face_id", "timestamp", "time", "time_s", "success", "confidence")
"""Columns that tell when a row was measured and how well: no channels. `success` decides whether a row is valid."""
TOLERANCE = 1.5
"""Rows that a series may have more than its video has time for: its last frame may be counted twice."""
COVERED = 0.9
"""Share of the video, from the first row's frame on, that a series must reach: with less its rate must be wrong."""
LONGEST_VALUE = 1e30
UNREADABLE = (OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, MemoryError)
"""What numpy raises for a file that is no npz of ours."""


@dataclass(frozen=True)
class Series:
    """What a file holds.

    Attributes:
        values: (rows, channels) float32.
        channels: names.
        valid: (rows,) bool.
        fps: rows per second, if the file says so.
        first_frame: the release's number of the first row's frame, if the file says so.
        begins: what the file's own column `frame` calls the first row, if there is one.
    """

    values: np.ndarray
    channels: tuple[str, ...]
    valid: np.ndarray
    fps: float | None = None
    first_frame: int | None = None
    begins: float | None = None


def files_of(source: GivenSource, dataset: str, subject: str, *, alone: bool) -> list[Path]:
    """The files of a subject, sorted; none where nobody computed any. `alone`: whether it is the only data set; its
    folder may then be missing.

    Raises:
        UserError: when no folder is named, or there is no such folder.
    """
    if source.root is None:
        raise UserError(file="config", where="given.root", problem="missing", expected="the folder of the series")
    root = Path(source.root).expanduser()
    if not root.is_dir():
        raise UserError(file="config", where="given.root", got=str(root), expected="a folder that is there")
    for folder in (root / dataset / subject, *([root / subject] if alone else [])):
        found = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES)
        if found:
            return found
    return []


def run(job: Job[GivenParams]) -> None:
    """Write the shard of one subject.

    Raises:
        UserError: when a series does not fit its video.
    """
    videos = read_videos(job.input("videos"))
    by_name = _by_video(job.inputs["files"])
    path = job.output("features")
    owner = Subject(videos[0].dataset, videos[0].subject) if videos else Subject.of_path(path)
    with create_features(path, "given", owner) as out:
        for video in sorted(videos, key=lambda v: v.video):
            file = by_name.get(video.video)
            if file is None:
                out.exclude(video.video, "no series of another program")
                continue
            series = read_series(file, job.params.columns)
            if series.valid.any():
                write_series(out, series, video, params=job.params, path=file)
            else:
                out.exclude(video.video, "no valid row in the series of another program")


def _by_video(paths: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise UserError(
                file=path, problem=f"a second series beside {found[path.stem].name}", expected="one a video"
            )
        found[path.stem] = path
    return found


def read_series(path: Path, columns: Sequence[str] | None) -> Series:
    """Read a CSV or npz.

    Raises:
        UserError: when it is neither, is far too large, lacks a column, or holds no row.
    """
    check_size(path, SERIES_BYTES, "a series of one video")
    found = _read_npz(path) if path.suffix.lower() == ".npz" else _read_csv(path)
    wrong = [n for n in found.channels if "," in n] or [n for n in set(found.channels) if found.channels.count(n) > 1]
    if wrong:
        raise UserError(file=path, where="channels", got=repr(min(wrong)), expected="different names without a comma")
    if found.fps is not None and not (math.isfinite(found.fps) and found.fps > 0):
        raise UserError(file=path, where="fps", got=found.fps, expected="a positive number")
    if columns is not None:
        missing = [c for c in columns if c not in found.channels]
        if missing:
            raise UserError(
                file=path, where="columns", problem=f"no {', '.join(missing)}", expected=", ".join(found.channels)
            )
        chosen = [found.channels.index(c) for c in columns]
        found = Series(found.values[:, chosen], tuple(columns), found.valid, found.fps, found.first_frame, found.begins)
    if not found.values.size:
        raise UserError(file=path, problem="no row or no column of numbers", expected="a series, one row a frame")
    sound = np.isfinite(found.values).all(1) & (np.abs(found.values) < LONGEST_VALUE).all(1)
    values = np.where(sound[:, None], found.values, 0).astype(np.float32)
    return Series(values, found.channels, found.valid & sound, found.fps, found.first_frame, found.begins)


def _read_npz(path: Path) -> Series:
    try:
        with np.load(path, allow_pickle=False) as file:
            values = np.asarray(file["features"], np.float64)
            names = (
                [str(n) for n in file["channels"]] if "channels" in file else [f"c{i}" for i in range(values.shape[-1])]
            )
            fps = float(file["fps"]) if "fps" in file else None
            first = int(file["first_frame"]) if "first_frame" in file else None
            valid = np.asarray(file["valid"], bool) if "valid" in file else np.ones(len(values), bool)
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise UserError(
            file=path, problem=error, expected="an npz with an array `features` (rows, channels)"
        ) from error
    if values.ndim != 2 or len(names) != values.shape[1] or len(valid) != len(values):
        raise UserError(file=path, problem=f"features of shape {values.shape}", expected="(rows, channels)")
    return Series(values, tuple(names), valid, fps, first)


def _read_csv(path: Path) -> Series:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(file=path, problem=error, expected="a CSV with a header and one row a frame") from error
    header = [name.strip() for name in rows[0]] if rows else []
    body = [row for row in rows[1:] if any(cell.strip() for cell in row)]
    for number, row in enumerate(body, 2):
        if len(row) != len(header):
            raise UserError(file=path, where=f"row {number}", problem=f"{len(row)} cells", expected=f"{len(header)}")
    if header and not any(map(_is_text, header)):
        raise UserError(file=path, where="row 1", got=", ".join(header[:3]), expected="a header: names of the columns")
    table = {name: _column(path, name, [row[i] for row in body]) for i, name in enumerate(header)}
    series = [n for n in header if n.lower() not in NOT_SERIES and any(np.isfinite(v) for v in table[n])]
    frames = [table[n] for n in header if n.lower() == "frame"]
    _check_frames(frames, path)
    values = np.array([table[n] for n in series], np.float64).reshape(len(series), len(body)).T
    valid = np.ones(len(body), bool)
    for name in header:
        if name.lower() == "success":
            valid &= np.array(table[name]) > 0
    return Series(values, tuple(series), valid, begins=frames[0][0] if frames and frames[0] else None)


def _column(path: Path, name: str, cells: Sequence[str]) -> list[float]:
    """The numbers of a column; NaN where one is missing, and throughout where all of it is text.

    Raises:
        UserError: when some cells are numbers and one is neither a number nor a word for a missing one.
    """
    text = [row for row, cell in enumerate(cells, 2) if _is_text(cell)]
    if text and len(text) < sum(bool(cell.strip()) for cell in cells):
        got = repr(cells[text[0] - 2])
        raise UserError(file=path, where=f"row {text[0]}, {name}", got=got, expected="a number, as in other rows")
    return [_number(cell) for cell in cells]


def _check_frames(columns: Sequence[Sequence[float]], path: Path) -> None:
    for numbers in columns:
        steps = np.diff(numbers)
        if not (steps == 1).all():
            row = int(np.flatnonzero(steps != 1)[0]) + 3
            raise UserError(
                file=path,
                where=f"row {row}, frame",
                got=f"{numbers[row - 2]:g} after {numbers[row - 3]:g}",
                expected="numbers that rise by one: one row a frame, one face",
            )


TRUE = {"true": "1", "false": "0"}


def _number(cell: str) -> float:
    text = cell.strip().casefold()
    try:
        return float(decimal_point(TRUE.get(text, text)))
    except ValueError:
        return float("nan")


def _is_text(cell: str) -> bool:
    """Whether a cell is neither a number nor says that one is missing."""
    return not is_missing(cell) and math.isnan(_number(cell))


def write_series(out: FeaturesWriter, series: Series, video: Video, *, params: GivenParams, path: Path) -> None:
    """Write the features of one video: each row is a feature of one frame of the series' own rate.

    Raises:
        UserError: when the series does not end where the video does, or starts outside of it.
    """
    fps = params.fps or series.fps or video.fps
    number = params.first_frame if params.first_frame is not None else series.first_frame
    if number is None and series.begins not in (None, 0, 1, video.numbering.first):
        hint = "given.first_frame says which frame of the video the first row is"
        raise UserError(
            file=path, where="row 2, frame", got=f"{series.begins:g}", expected="0 or 1 for the first row", hint=hint
        )
    first = 0 if number is None else _index_of(number, video, path)
    times = first / video.fps + np.arange(len(series.values)) / fps
    end = (video.n_frames - 1) / video.fps
    row = 1 / min(fps, video.fps)
    longest, shortest = end + TOLERANCE * row, end - (1 - COVERED) * (end - first / video.fps) - TOLERANCE * row
    if not shortest <= times[-1] <= longest:
        raise UserError(
            file=path,
            problem=f"{len(series.values)} rows at {fps:g} a second, from frame {first} of the video on",
            expected=f"the time of {video.n_frames} frames at {video.fps:g}",
            hint="given.fps and given.first_frame say how the series lies on the video",
        )
    index = np.minimum(np.round(times * video.fps, 6), video.n_frames - 1)  # between two frames where the rates differ
    out.add(
        video.video, series.values, Layout(1, 1, fps, channels=series.channels), frame_index=index, valid=series.valid
    )


def _index_of(number: int, video: Video, path: Path) -> int:
    try:
        return video.numbering.to_index(number)
    except UserError as error:
        raise UserError(file=path, where="first_frame", got=number, expected=error.expected) from error
