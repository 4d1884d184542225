"""Files of intervals: MEGC2022's CSV (`vid,pred_onset,pred_offset,type`), ground truth (`vid,onset,offset,type`).

Others write them, so they are read as the sheets of releases are: whatever the case, the order and the delimiter of the
columns, with empty rows or further columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from microexp.errors import UserError
from microexp.metrics.spotting import Interval
from microexp.reading.sheets import Line, read_sheets, table
from microexp.records import detections
from microexp.run import storage
from microexp.run.storage import write_csv

KIND_NAMES = {
    "me": "micro", "micro": "micro", "micro-expression": "micro", "microexpression": "micro",
    "mae": "macro", "macro": "macro", "macro-expression": "macro", "macroexpression": "macro",
}  # fmt: skip
MEGC_KIND = {"micro": "me", "macro": "mae"}
PREDICTION_COLUMNS = ("vid", "pred_onset", "pred_offset", "type")

Columns = Mapping[str, Sequence[str]]
PREDICTIONS: Columns = {
    "video": ("vid", "video"), "onset": ("pred_onset",), "offset": ("pred_offset",), "kind": ("type", "kind"),
}  # fmt: skip
TRUTHS: Columns = {**PREDICTIONS, "onset": ("onset",), "offset": ("offset",)}
MORE: Columns = {"subject": ("subject",), "dataset": ("dataset",), "emotion": ("emotion",)}


def read_predictions(path: Path) -> list[Interval]:
    """Predictions in MEGC2022's format; columns `emotion`, `subject` and `dataset` may follow.

    Returns:
        Intervals; the subject is `dataset/subject`, or what the file has of that, or empty.

    Raises:
        UserError: naming the row or the column that does not fit.
    """
    return _read(path, PREDICTIONS)


def read_truths(path: Path) -> list[Interval]:
    """Ground truths: `vid,onset,offset,type`, or the project's `expressions.csv`; subjects as in `read_predictions`.

    Raises:
        UserError: naming the row or the column that does not fit.
    """
    return _read(path, TRUTHS)


def is_truths(path: Path) -> bool:
    """Whether a file has the columns of ground truths; a release's sheet has others.

    Raises:
        UserError: when it is no table at all.
    """
    sheet = read_sheets(path)[0]
    try:
        table(sheet, TRUTHS, may_be_empty=True)
    except UserError:
        return False
    return True


def is_detections(path: Path) -> bool:
    """Whether a file is a `detections.csv` of the stage `detect`."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return {"method", "seed", "video", "kind"} <= set(file.readline().strip().split(","))


def read_detected(paths: Sequence[Path], method: str, seed: int) -> list[Interval]:
    """Detections of one method and seed in the `detections.csv` of any number of folds.

    Raises:
        UserError: when no fold has that method or seed.
    """
    runs: dict[str, dict[int, list[Interval]]] = {}
    for path in paths:
        for row in storage.read_csv(path, detections.COLUMNS):
            subject = f"{row['dataset']}/{row['subject']}"
            item = Interval(subject, row["video"], float(row["onset"]), float(row["offset"]), row["kind"])
            runs.setdefault(row["method"], {}).setdefault(int(row["seed"]), []).append(item)
    if not runs:
        return []
    if method not in runs:
        raise UserError(file="command line", where="--method", got=repr(method), expected=f"one of {', '.join(runs)}")
    if seed not in runs[method]:
        raise UserError(
            file="command line", where="--run-seed", got=seed, expected=f"one of {', '.join(map(str, runs[method]))}"
        )
    return runs[method][seed]


def _read(path: Path, columns: Columns) -> list[Interval]:
    found = []
    for line in table(read_sheets(path)[0], {**columns, **MORE}, optional=MORE, may_be_empty=True):
        kind = KIND_NAMES.get(line.text("kind").lower().replace("_", "-"))
        if kind is None:
            raise UserError(
                file=path,
                where=_where(line, columns, "kind"),
                got=repr(line.text("kind")),
                expected="me, mae, micro or macro",
            )
        if not line.text("video"):
            raise UserError(
                file=path, where=_where(line, columns, "video"), problem="nothing", expected="the name of a video"
            )
        onset, offset = (_number(path, line, columns, name) for name in ("onset", "offset"))
        subject = "/".join(filter(None, (line.text("dataset"), line.text("subject"))))
        found.append(Interval(subject, line.text("video"), onset, offset, kind, line.text("emotion")))
    return found


def _number(path: Path, line: Line, columns: Columns, name: str) -> float:
    try:
        value = float(line.text(name))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(
            file=path, where=_where(line, columns, name), got=repr(line.text(name)), expected="a frame number"
        )
    return value


def _where(line: Line, columns: Columns, name: str) -> str:
    return f"row {line.row}: {columns[name][0]}"


def write_predictions(path: Path, predictions: Iterable[Interval]) -> None:
    """Write predictions in MEGC2022's format (types `me` and `mae`), frames as whole numbers, halves rounded up."""
    rows = [(p.video, math.floor(p.onset + 0.5), math.floor(p.offset + 0.5), MEGC_KIND[p.kind]) for p in predictions]
    write_csv(path, PREDICTION_COLUMNS, rows)
