"""Files of intervals: MEGC2022's CSV (`vid,pred_onset,pred_offset,type`), ground truth (`vid,onset,offset,type`)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

from microexp.errors import UserError
from microexp.evaluation.spotting import Interval
from microexp.storage import read_csv, write_csv

KIND_NAMES = {
    "me": "micro", "micro": "micro", "micro-expression": "micro", "microexpression": "micro",
    "mae": "macro", "macro": "macro", "macro-expression": "macro", "macroexpression": "macro",
}  # fmt: skip
MEGC_KIND = {"micro": "me", "macro": "mae"}
PREDICTION_COLUMNS = ("vid", "pred_onset", "pred_offset", "type")
TRUTH_COLUMNS = ("vid", "onset", "offset", "type")


def subject_of(video: str) -> str:
    """Subject of a video by the field's naming: `s15_0101` and `006_1` belong to `s15` and `006`; else the video."""
    match = re.match(r"(.+?)_", video)
    return match[1] if match else video


def read_predictions(path: Path) -> list[Interval]:
    """Predictions in MEGC2022's format; further columns, such as `emotion`, may follow.

    Raises:
        UserError: naming the row that does not fit.
    """
    return _read(path, *PREDICTION_COLUMNS)


def read_truths(path: Path) -> list[Interval]:
    """Ground truths: `vid,onset,offset,type`, or the project's `expressions.csv`.

    Raises:
        UserError: naming the row that does not fit.
    """
    header = _header(path)
    if "kind" in header and "video" in header and "vid" not in header:
        return _read(path, "video", "onset", "offset", "kind")
    return _read(path, *TRUTH_COLUMNS)


def is_detections(path: Path) -> bool:
    """Whether a file is a `detections.csv` of the stage `detect`."""
    return {"method", "seed", "video", "kind"} <= set(_header(path))


def read_detected(path: Path, method: str, seed: int) -> list[Interval]:
    """Detections of one method and seed in a `detections.csv`."""
    from microexp.spotting.detect import read_detections

    return [
        Interval(f"{d.dataset}/{d.subject}", d.video, d.onset, d.offset, d.kind)
        for d in read_detections(path)
        if (d.method, d.seed) == (method, seed)
    ]


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.readline().strip().split(",")


def _read(path: Path, video: str, onset: str, offset: str, kind: str) -> list[Interval]:
    found = []
    for number, row in enumerate(read_csv(path, (video, onset, offset, kind)), 2):
        name = KIND_NAMES.get(row[kind].strip().lower().replace("_", "-"))
        if name is None:
            raise UserError(path, f"row {number}: {kind}", repr(row[kind]), "me, mae, micro or macro")
        start, end = (_number(path, number, column, row[column]) for column in (onset, offset))
        if not row[video].strip():
            raise UserError(path, f"row {number}: {video}", "nothing", "the name of a video")
        found.append(_interval(row, row[video].strip(), start, end, name))
    return found


def _interval(row: dict[str, str], video: str, start: float, end: float, kind: str) -> Interval:
    subject = row.get("subject") or subject_of(video)
    dataset = row.get("dataset")
    return Interval(f"{dataset}/{subject}" if dataset else subject, video, start, end, kind, row.get("emotion") or "")


def _number(path: Path, number: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(path, f"row {number}: {column}", repr(text), "a frame number")
    return value


def write_predictions(path: Path, predictions: Iterable[Interval]) -> None:
    """Write predictions in MEGC2022's format (types `me` and `mae`), frames as whole numbers."""
    rows = [(p.video, round(p.onset), round(p.offset), MEGC_KIND[p.kind]) for p in predictions]
    write_csv(path, PREDICTION_COLUMNS, rows)
