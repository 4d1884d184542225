"""`detections.csv`: detected expressions, in the release's own frame numbers with seconds beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from microexp.errors import UserError
from microexp.records.features import Key
from microexp.records.index import KINDS, Video
from microexp.run import storage
from microexp.run.names import WHOLE_DATASET, check_identity, place_of

FOLD_RECORD = "trained"
"""Key in the record of a fold's detections: options of its training, and one hash of all that it read."""
COLUMNS = (
    "method", "seed", "dataset", "subject", "video", "onset", "offset", "onset_s", "offset_s", "kind", "score",
)  # fmt: skip
LAYOUT = "{dataset}-{subject}/detections.csv"
"""Path of the detections in the videos of a held-out subject."""


@dataclass(frozen=True)
class Detection:
    """One detected expression: the closed interval [onset, offset] of 0-based source frames (in memory alone)."""

    method: str
    seed: int
    dataset: str
    subject: str
    video: str
    onset: int
    offset: int
    kind: str
    score: float

    @property
    def key(self) -> Key:
        """Data set, subject and video."""
        return self.dataset, self.subject, self.video


def write_detections(path: Path, detections: Iterable[Detection], videos: Iterable[Video]) -> None:
    """Write `detections.csv`; frames become the release's numbers by what `videos` say of them."""
    known = {v.key: v for v in videos}
    rows = []
    for d in detections:
        video = known[d.key]
        onset, offset = (video.numbering.to_number(f) for f in (d.onset, d.offset))
        seconds = (round(f / video.fps, 3) for f in (d.onset, d.offset))
        rows.append((d.method, d.seed, *d.key, onset, offset, *seconds, d.kind, d.score))
    storage.write_csv(path, COLUMNS, rows)


def read_detections(path: Path, videos: Iterable[Video]) -> list[Detection]:
    """Read `detections.csv` back to 0-based source frames.

    Raises:
        UserError: naming the row that does not fit, or is of a video not among `videos`; or when the file is of
            another subject than its fold holds out.
    """
    known = {v.key: v for v in videos}
    rows = storage.read_csv(path, COLUMNS)
    found = [_detection(row, known, path, f"row {number}") for number, row in enumerate(rows, 2)]
    # a data set that is held out as a whole has any of its subjects in one file
    whole = (place_of(path, LAYOUT) or {}).get("subject") == WHOLE_DATASET
    for dataset, subject in sorted({(d.dataset, d.subject) for d in found}):
        check_identity(path, {"dataset": dataset} | ({} if whole else {"subject": subject}), LAYOUT)
    return found


def _detection(row: Mapping[str, str], videos: Mapping[Key, Video], path: Path, where: str) -> Detection:
    key = row["dataset"], row["subject"], row["video"]
    if key not in videos:
        raise UserError(file=path, where=where, problem=f"{'/'.join(key)}: a video that the index does not list")
    try:
        onset, offset = (videos[key].numbering.to_index(int(row[name])) for name in ("onset", "offset"))
        found = Detection(row["method"], int(row["seed"]), *key, onset, offset, row["kind"], float(row["score"]))
    except UserError as error:
        raise UserError(file=path, where=f"{where}, {error.where}", got=error.got, expected=error.expected) from error
    except ValueError as error:
        raise UserError(
            file=path, where=where, problem=error, expected="whole numbers in seed, onset and offset, a number in score"
        ) from error
    if found.kind not in KINDS or onset > offset or not math.isfinite(found.score):
        raise UserError(
            file=path,
            where=where,
            got=f"{found.kind}, {row['onset']} to {row['offset']}, score {found.score}",
            expected="micro or macro, onset before offset, a finite score",
        )
    return found
