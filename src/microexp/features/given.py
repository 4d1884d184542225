"""Stage `given`: features or per-frame series that another program computed, as a stream of features.

One file per video, npz or CSV, below the folder `given.root`: `{dataset}/{subject}/{video}.npz`, or without the data
set's folder where there is one data set. A CSV has one row per frame and a header (OpenFace's, a detector's); an npz
has an array `features` (rows, channels), and may have `channels` (names), `fps` and `first_frame`. Rows are matched to
the video by their rate and the frame of the first one; more rows than the video has frames are refused.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microexp.errors import UserError
from microexp.features.params import GivenParams, GivenSource
from microexp.records.features import FeaturesWriter, Layout, create_features
from microexp.records.index import Video, read_videos
from microexp.records.shard import Subject
from microexp.run.stage import Job

SUFFIXES = (".npz", ".csv")
NOT_SERIES = ("frame", "face_id", "timestamp", "time", "time_s", "success", "confidence")
"""Columns that tell when a row was measured and how well; the last two decide whether it is valid."""
TOLERANCE = 1.5
"""Rows that a series may have more than its video has time for: its last frame may be counted twice."""
LONGEST_VALUE = 1e30


@dataclass(frozen=True)
class Series:
    """What a file holds.

    Attributes:
        values: (rows, channels) float32.
        channels: names.
        valid: (rows,) bool.
        fps: rows per second, if the file says so.
        first_frame: the release's number of the first row's frame, if the file says so.
    """

    values: np.ndarray
    channels: tuple[str, ...]
    valid: np.ndarray
    fps: float | None = None
    first_frame: int | None = None


def files_of(source: GivenSource, dataset: str, subject: str) -> list[Path]:
    """The files of a subject, sorted.

    Raises:
        UserError: when no folder is named, or it holds nothing of the subject.
    """
    if source.root is None:
        raise UserError(file="config", where="given.root", problem="missing", expected="the folder of the series")
    root = Path(source.root).expanduser()
    for folder in (root / dataset / subject, root / subject):
        found = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES)
        if found:
            return found
    raise UserError(file=root, where=f"{dataset}/{subject}", problem="no series", expected="VIDEO.npz or VIDEO.csv")


def run(job: Job[GivenParams]) -> None:
    """Write the shard of one subject.

    Raises:
        UserError: when a series does not fit its video.
    """
    videos = read_videos(job.input("videos"))
    by_name = {path.stem: path for path in job.inputs["files"]}
    path = job.output("features")
    owner = Subject(videos[0].dataset, videos[0].subject) if videos else Subject.of_path(path)
    with create_features(path, "given", owner) as out:
        for video in sorted(videos, key=lambda v: v.video):
            file = by_name.get(video.video)
            if file is None:
                out.exclude(video.video, "no series of another program")
            else:
                write_series(out, read_series(file, job.params.columns), video, job.params, file)


def read_series(path: Path, columns: Sequence[str] | None) -> Series:
    """Read a CSV or npz.

    Raises:
        UserError: when it is neither, lacks a column, or holds no row.
    """
    found = _read_npz(path) if path.suffix.lower() == ".npz" else _read_csv(path)
    if columns is not None:
        missing = [c for c in columns if c not in found.channels]
        if missing:
            raise UserError(
                file=path, where="columns", problem=f"no {', '.join(missing)}", expected=", ".join(found.channels)
            )
        chosen = [found.channels.index(c) for c in columns]
        found = Series(found.values[:, chosen], tuple(columns), found.valid, found.fps, found.first_frame)
    if not found.values.size:
        raise UserError(file=path, problem="no row or no column of numbers", expected="a series, one row a frame")
    sound = np.isfinite(found.values).all(1) & (np.abs(found.values) < LONGEST_VALUE).all(1)
    values = np.where(sound[:, None], found.values, 0).astype(np.float32)
    return Series(values, found.channels, found.valid & sound, found.fps, found.first_frame)


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
    except (OSError, KeyError, ValueError, TypeError) as error:
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
    table = {name: [_number(row[i]) for row in body] for i, name in enumerate(header)}
    series = [n for n in header if n.lower() not in NOT_SERIES and any(np.isfinite(v) for v in table[n])]
    values = np.array([table[n] for n in series], np.float64).reshape(len(series), len(body)).T
    valid = np.ones(len(body), bool)
    for name in header:
        if name.lower() == "success":
            valid &= np.array(table[name]) > 0
    return Series(values, tuple(series), valid)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def write_series(out: FeaturesWriter, series: Series, video: Video, params: GivenParams, path: Path) -> None:
    """Write the features of one video: each row is a feature of one frame of the series' own rate.

    Raises:
        UserError: when the series is longer than the video, or starts outside of it.
    """
    fps = params.fps or series.fps or video.fps
    number = params.first_frame if params.first_frame is not None else series.first_frame
    first = 0 if number is None else video.numbering.to_index(number)
    times = first / video.fps + np.arange(len(series.values)) / fps
    if times[-1] > (video.n_frames - 1) / video.fps + TOLERANCE / min(fps, video.fps):
        raise UserError(
            file=path,
            problem=f"{len(series.values)} rows at {fps:g} a second, from frame {first} of the video on",
            expected=f"at most {video.n_frames} frames at {video.fps:g}",
            hint="given.fps and given.first_frame say how the series lies on the video",
        )
    index = np.minimum(np.rint(times * video.fps), video.n_frames - 1).astype(np.int64)
    out.add(video.video, series.values, Layout(1, 1, fps, series.channels), index, valid=series.valid)
