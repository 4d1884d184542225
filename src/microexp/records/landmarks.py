"""`landmarks.csv`: 68 landmarks per frame in the columns that OpenFace writes, so that its readers take the file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microexp.errors import UserError
from microexp.run import storage

N_POINTS = 68
"""Landmarks in the order of the iBUG 300-W annotation (Sagonas et al. 2013)."""
COLUMNS = (
    "frame", "face_id", "timestamp", "confidence", "success", *(f"x_{i}" for i in range(N_POINTS)),
    *(f"y_{i}" for i in range(N_POINTS)),
)  # fmt: skip
DECIMALS = 2
SURE = 1.0
"""Score of dlib's detector from which a face counts as found for certain."""


@dataclass(frozen=True)
class Look:
    """A frame in which the face was looked for.

    Attributes:
        number: the release's number of the frame: 1 for the first one of a video file, as OpenFace counts.
        time_s: of the frame, since the first one.
        score: the detector's own; 0 where there is no face.
        points: (68, 2) px; None where there is no face.
    """

    number: int
    time_s: float
    score: float
    points: np.ndarray | None

    @property
    def confidence(self) -> float:
        """0 (no face) to 1, from the detector's score."""
        return 0.0 if self.points is None else round(min(1.0, max(0.05, self.score / SURE)), 2)


def write_landmarks(path: Path, looks: Iterable[Look]) -> None:
    """Write the table; where there is no face, `success` is 0 and all points lie at 0, as in OpenFace's files."""
    storage.write_csv(path, COLUMNS, map(_row, looks))


def _row(look: Look) -> tuple[object, ...]:
    points = np.zeros((N_POINTS, 2)) if look.points is None else look.points
    seen = int(look.points is not None)
    return (look.number, 0, round(look.time_s, 4), look.confidence, seen, *np.round(points.T.reshape(-1), DECIMALS))


def read_landmarks(path: Path) -> list[Look]:
    """Read the table.

    Raises:
        UserError: when it is not what `write_landmarks` wrote.
    """
    looks = []
    for number, row in enumerate(storage.csv_rows(path, COLUMNS), 2):
        try:
            values = np.array([float(row[c]) for c in COLUMNS])
        except ValueError as error:
            raise UserError(file=path, where=f"row {number}", problem=error, expected="numbers") from error
        points = values[5:].reshape(2, N_POINTS).T if values[4] else None
        looks.append(Look(int(values[0]), float(values[2]), float(values[3]) * SURE, points))
    return looks
