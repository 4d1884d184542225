"""Landmarks from the user's own files, such as those of OpenFace or of a hand annotation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from microexp.errors import UserError
from microexp.faces.geometry import rebox
from microexp.faces.observe import Face, Looks
from microexp.records.index import Video
from microexp.records.landmarks import N_POINTS
from microexp.run.storage import file_sha256, read_csv

COLUMNS = ("frame", *(f"{axis}_{i}" for axis in "xy" for i in range(N_POINTS)))
"""Columns of a CSV: one row per frame, as OpenFace writes them; others may stand beside them."""


SMALLEST_FACE_PX = 8.0
"""No face of fewer pixels can be cropped: such numbers are in another unit."""


def landmark_file(pattern: str, video: Video) -> Path:
    """The file of one video: `pattern` with `{dataset}`, `{subject}` and `{video}` filled in.

    Raises:
        UserError: when the pattern holds other braces, or names no `.csv` or `.npz`.
    """
    try:
        path = Path(pattern.format(dataset=video.dataset, subject=video.subject, video=video.video))
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(
            file="faces.landmarks", got=repr(pattern), expected="only {dataset}, {subject} and {video} in it"
        ) from error
    if path.suffix not in (".csv", ".npz"):
        raise UserError(file="faces.landmarks", got=path.name, expected="a .csv or .npz file")
    return path


def read_landmarks(path: Path, first_frame: int, n_frames: int) -> Looks:
    """Landmarks of one video from a file.

    Args:
        path: `.csv` with columns `frame`, `x_0`..`x_67`, `y_0`..`y_67` and optionally `confidence` and `success`; or
            `.npz` with `frames` (K,), `landmarks` (K, 68, 2) and optionally `score` (K,). Points in px, 300-W order.
        first_frame: the number that the file gives to the first frame (1 for OpenFace).
        n_frames: frames in the video.

    Returns:
        Faces; rows without a point (not a number, all points in one place, confidence 0, success 0) are misses.

    Raises:
        UserError: naming file and row.
    """
    frames, points, score = (_read_csv if path.suffix == ".csv" else _read_npz)(path)
    frames = frames - first_frame
    outside = np.flatnonzero((frames < 0) | (frames >= n_frames))
    if len(outside):
        got = f"{frames[outside[0]] + first_frame}"
        expected = f"{first_frame} to {first_frame + n_frames - 1}"
        raise UserError(
            file=path, where="frame", got=got, expected=expected, hint="see the option landmarks_first_frame"
        )
    order = np.argsort(frames, kind="stable")
    if len(np.unique(frames)) != len(frames):
        raise UserError(file=path, where="frame", problem="a frame twice", expected="one entry per frame")
    usable = np.isfinite(points).all(axis=(1, 2)) & (score > 0) & (np.ptp(points, axis=1) > 0).all(axis=1)
    if usable.any() and (spread := np.median(np.ptp(points[usable], axis=1).max(1))) < SMALLEST_FACE_PX:
        problem, expected = f"faces of {spread:.2g} px", "px of the picture, not shares of its sides or other units"
        raise UserError(file=path, where="landmarks", problem=problem, expected=expected)
    faces = tuple(Face(rebox(points[i]), points[i], float(score[i])) if usable[i] else None for i in order)
    return Looks(frames[order], faces, np.zeros(len(frames), bool))


Table = tuple[np.ndarray, np.ndarray, np.ndarray]


def _read_csv(path: Path) -> Table:
    # OpenFace pads its column names with blanks
    rows = [{k.strip(): v for k, v in row.items()} for row in read_csv(path, [])]
    if not rows or any(c not in rows[0] for c in COLUMNS):
        raise UserError(
            file=path, where="header", problem="other columns or no row", expected="frame, x_0 to x_67, y_0 to y_67"
        )
    values = np.empty((len(rows), len(COLUMNS) + 1))
    for number, row in enumerate(rows):
        try:
            values[number] = [float(row[c] or "nan") for c in COLUMNS] + [_sure(row)]
        except ValueError as error:
            raise UserError(file=path, where=f"row {number + 2}", got=str(error), expected="numbers") from error
    points = values[:, 1:-1].reshape(-1, 2, N_POINTS).transpose(0, 2, 1)
    return _whole(path, values[:, 0]), points, values[:, -1]


def _sure(row: dict[str, str]) -> float:
    """OpenFace's confidence, 0 where it says that a row has failed: it then repeats older points, or none."""
    return float(row.get("confidence") or "1") * (float(row.get("success") or "1") > 0)


def _read_npz(path: Path) -> Table:
    try:
        with np.load(path, allow_pickle=False) as file:
            frames, points = file["frames"], np.asarray(file["landmarks"], np.float64)
            score = np.asarray(file["score"], np.float64) if "score" in file else np.ones(len(frames))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(file=path, problem=error, expected="an .npz file with arrays frames and landmarks") from error
    if frames.ndim != 1 or points.shape != (len(frames), N_POINTS, 2) or score.shape != frames.shape:
        raise UserError(
            file=path, where="shapes", got=(frames.shape, points.shape, score.shape), expected="(K,), (K, 68, 2), (K,)"
        )
    return _whole(path, frames), points, score


def _whole(path: Path, frames: np.ndarray) -> np.ndarray:
    if not np.isfinite(frames).all() or (frames != np.floor(frames)).any():
        raise UserError(file=path, where="frame", problem="a fraction or nothing", expected="whole numbers")
    return frames.astype(np.int64)


def provenance(files: list[Path]) -> dict[str, Any]:
    """Names and hashes of the files that were read."""

    return {"landmarks": [{"file": p.name, "sha256": file_sha256(p)} for p in files]}
