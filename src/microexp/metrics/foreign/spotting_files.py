"""Files of intervals: the challenges' CSVs of all years, annotation CSVs of the field, and our own results.

Others write them, so they are read as the sheets of releases are: whatever the case, the order and the delimiter of the
columns, with empty rows or further columns, and under any of the names that the field gives to its columns.
"""

from __future__ import annotations

import csv
import functools
import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from microexp.errors import UserError
from microexp.metrics.foreign.spotting_log import VERDICTS
from microexp.metrics.spotting import Interval
from microexp.reading.intervals import decimal_point, same_text
from microexp.reading.sheets import Line, Sheet, as_text, choose_sheet, open_named, read_sheets, split_name, table
from microexp.records.index import Video
from microexp.run.log import log
from microexp.run.storage import write_csv

MAX_NUMBER = 1e12
"""No frame has a larger number."""
CALCULATED = 1e-6
"""By so much a frame number that was calculated may be beside the whole or half that it is."""
MAX_SECONDS = 5
"""Expressions last less, at the median, in seconds; in frames they last longer."""
KIND_NAMES = {
    "me": "micro", "micro": "micro", "micro-expression": "micro", "microexpression": "micro",
    "mae": "macro", "macro": "macro", "macro-expression": "macro", "macroexpression": "macro",
}  # fmt: skip
MEGC_KIND = {"micro": "me", "macro": "mae"}
PREDICTION_COLUMNS = ("vid", "pred_onset", "pred_offset", "type")

Columns = Mapping[str, Sequence[str]]
TRUTHS: Columns = {
    "video": (
        "vid", "video", "video_name", "video_id", "vid_name", "video_path", "path",
        "filename", "file", "video_file", "clip", "clip_name", "sample", "name",
    ),
    "onset": ("onset", "onset_frame", "start_frame", "start", "begin", "begin_frame", "onset_index", "start_index",
              "onset_idx", "start_idx", "first_frame", "gt_onset", "true_onset"),
    "offset": ("offset", "offset_frame", "end_frame", "end", "stop", "stop_frame", "offset_index", "end_index",
               "offset_idx", "end_idx", "last_frame", "gt_offset", "true_offset"),
}  # fmt: skip
PREDICTIONS: Columns = {
    "video": TRUTHS["video"],
    "onset": ("pred_onset", "predicted_onset", "pred_start", *TRUTHS["onset"][:-2]),
    "offset": ("pred_offset", "predicted_offset", "pred_end", *TRUTHS["offset"][:-2]),
}
MORE: Columns = {
    "kind": ("type", "kind", "pred_type", "expression_type", "exp_type"),
    "subject": ("subject", "sub", "subject_id", "participant", "person"),
    "dataset": ("dataset",),
    "emotion": ("emotion", "pred_emotion", "predicted_emotion", "estimated_emotion", "emotion_type"),
    "apex": ("apex", "apex_frame"),
    "score": ("score", "confidence", "probability", "prob"),
}
DETECTIONS: Columns = {"method": ("method",), "seed": ("seed",), "seconds": ("onset_s",)}
OWN = ("vid", "video", "video_name", "video_id", "vid_name", "video_path", "path")
"""Names of the column of the video by which a file is no release's sheet, which has clips with numbers."""


def read_predictions(path: Path, kind: str = "", min_score: float | None = None) -> list[Interval]:
    """Predictions, such as MEGC2022's `vid,pred_onset,pred_offset,type`; further columns may follow.

    A file without a header holds video, onset, offset, and the score, the kind or the subject.

    Args:
        path: CSV file or workbook; `file.xlsx#sheet` names one of its sheets.
        kind: of all rows, for a file of one kind; a column that says the other one is an error.
        min_score: rows with a lower score are not taken; None takes all.

    Returns:
        Intervals in the order of the rows; the subject is `dataset/subject`, or what the file has of that, or empty;
        the kind is empty where nothing tells it.

    Raises:
        UserError: naming the row or the columns that do not fit.
    """
    rows = list(_read(path, PREDICTIONS, kind))
    if min_score is not None:
        rows = [(line, item) for line, item in rows if _number(path, line, MORE, "score") >= min_score]
    found = [item for _, item in rows]
    twice = len(found) - len(set(found))
    if twice:
        log(f"{path}: {twice} predictions occur more than once; each counts, as in the challenge's script")
    return found


def read_truths(path: Path, kind: str = "") -> list[Interval]:
    """Ground truths: `vid,onset,offset,type`, an annotation CSV, or the project's `expressions.csv`.

    Halves of frames are rounded up, other fractions and negative onsets refused. An offset of 0 means the apex, and a
    row that occurs again counts once.

    Raises:
        UserError: naming the row or the columns that do not fit.
    """
    found: dict[object, Interval] = {}
    again = 0
    for line, item in _read(path, TRUTHS, kind):
        if _number(path, line, TRUTHS, "onset") < 0:
            where = _where(line, TRUTHS, "onset")
            raise UserError(file=path, where=where, got=line.text("onset"), expected="a frame number of 0 or more")
        key = (replace(item, emotion=item.emotion.casefold()), same_text(line.cells.get("apex")))
        again += key in found
        found[key] = item
    if again:
        log(f"{path}: {again} rows occur more than once: counted once")
    return list(found.values())


def is_truths(path: Path) -> bool:
    """Whether a file has the columns of ground truths; a release's sheet has others.

    Raises:
        UserError: when it is no table at all.
    """
    return _has_columns(path, TRUTHS)


def is_own_form(path: Path) -> bool:
    """Whether a file names videos as such, and not a release's clips."""
    return _has_columns(path, {**TRUTHS, "video": OWN})


def _has_columns(path: Path, columns: Columns) -> bool:
    _sheets(path)  # what is no table, or costs too much, says so
    try:
        table(_sheet(path, columns), columns, may_be_empty=True)
    except UserError:
        return False
    return True


def _sheet(path: Path, columns: Columns) -> Sheet:
    file, name = split_name(str(path))
    if name:
        return open_named(Path(file), name)
    return choose_sheet(_sheets(path), (), columns)


def _sheets(path: Path) -> Sequence[Sheet]:
    """The sheets of a file, which is read once however often it is asked what it is."""
    file = Path(split_name(str(path))[0])
    about = file.stat()
    return _read_once(file, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=2)
def _read_once(path: Path, mtime_ns: int, size: int) -> Sequence[Sheet]:
    return read_sheets(path)


def is_detections(path: Path) -> bool:
    """Whether a file is a `detections.csv` of the workflow."""
    with Path(split_name(str(path))[0]).open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return {"method", "seed", "video", "kind"} <= set(next(csv.reader([file.readline()]), []))


def read_detected(
    paths: Sequence[Path], method: str, seed: int, *, videos: Mapping[tuple[str, str], Video] | None = None
) -> dict[Path, list[Interval]]:
    """Detections of one method and seed in the `detections.csv` of any number of folds, by file.

    Args:
        paths: of the folds.
        method: the one of which the detections are wanted.
        seed: of the run.
        videos: (`dataset/subject`, video) -> video: translates the indices of a file without the column `onset_s` into
            the release's numbers; without it these stay as they are.

    Raises:
        UserError: when no fold has that method or seed, or a video is not among `videos`.
    """
    columns = {**TRUTHS, **{name: DETECTIONS[name] for name in ("method", "seed")}}
    found: dict[Path, list[Interval]] = {path: [] for path in paths}
    methods: dict[str, None] = {}
    seeds: set[int] = set()
    for path in paths:
        for line, item in _read(path, columns, "", DETECTIONS):
            number = int(_number(path, line, DETECTIONS, "seed"))
            seeds.add(number)
            methods[line.text("method")] = None
            if (line.text("method"), number) == (method, seed):
                is_index = "seconds" not in line.cells and videos is not None
                found[path].append(_released(path, item, videos or {}) if is_index else item)
    if methods and method not in methods:
        known = ", ".join(methods)
        raise UserError(file="command line", where="--method", got=repr(method), expected=f"one of {known}")
    if methods and seed not in seeds:
        known = ", ".join(map(str, sorted(seeds)))
        raise UserError(file="command line", where="--run-seed", got=seed, expected=f"one of {known}")
    return found


def _released(path: Path, item: Interval, videos: Mapping[tuple[str, str], Video]) -> Interval:
    video = videos.get((item.subject, item.video))
    if video is None:
        where = f"{item.subject}/{item.video}"
        raise UserError(
            file=path, where=where, problem="a video that no videos.csv lists", hint="name it with --videos"
        )
    onset, offset = (video.numbering.to_number(int(index)) for index in (item.onset, item.offset))
    return replace(item, onset=onset, offset=offset)


def _read(path: Path, columns: Columns, kind: str, more: Columns | None = None) -> Iterator[tuple[Line, Interval]]:
    """Rows as intervals, with the lines that they come from."""
    every = {**columns, **MORE, **(more or {})}
    optional = [name for name in every if name not in columns]
    sheet = _sheet(path, columns)
    lines = table(sheet, every, optional=optional, positions=_positions(sheet), may_be_empty=True, once=True)
    number = _number if _are_detected(path, lines, columns) else _frame
    for line in lines:
        label = _kind(path, line, kind)
        if not line.text("video"):
            raise UserError(
                file=path, where=_where(line, columns, "video"), problem="nothing", expected="the name of a video"
            )
        onset, offset = (number(path, line, columns, name) for name in ("onset", "offset"))
        if columns["onset"] == TRUTHS["onset"]:
            onset, offset = math.floor(onset + 0.5), math.floor(offset + 0.5)
        if offset == 0 < onset and line.text("apex"):
            offset = math.floor(_frame(path, line, MORE, "apex") + 0.5)
        if offset < onset:
            raise UserError(
                file=path,
                where=_where(line, columns, "offset"),
                got=f"{line.text('onset')} to {line.text('offset')}",
                expected="an offset that is not before the onset",
            )
        subject = "/".join(filter(None, (line.text("dataset"), line.code("subject"))))
        yield line, Interval(subject, line.code("video"), onset, offset, label, line.text("emotion"))


def _are_detected(path: Path, lines: Sequence[Line], columns: Columns) -> bool:
    """Whether rows are a network's predictions, with scores and any fractions of frames, and no seconds."""
    if columns["onset"] == TRUTHS["onset"] or not lines or "score" not in lines[0].cells:
        return False
    ends = ([_number(path, line, columns, name) for name in ("onset", "offset")] for line in lines)
    return statistics.median(offset - onset for onset, offset in ends) > MAX_SECONDS


def _positions(sheet: Sheet) -> tuple[str, ...]:
    """Columns of a file that begins with an interval and not with a header; else none, also for lines of a log."""
    first = [as_text(cell) for cell in next((row for row in sheet.rows if any(row)), ())]
    if len(first) < 3 or not all(map(_is_number, first[1:3])) or any(text.upper() in VERDICTS for text in first):
        return ()
    return ("video", "onset", "offset", *(_fourth(text) for text in first[3:4]))


def _fourth(text: str) -> str:
    """What the fourth cell of a file without a header is: `006` and `sub01` are subjects, other numbers scores."""
    if re.fullmatch(r"0\d+|s(ub)?\d+", text, re.IGNORECASE):
        return "subject"
    return "score" if _is_number(text) else "kind"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", text, re.IGNORECASE) is not None


def _kind(path: Path, line: Line, given: str) -> str:
    """The kind that a row gives, or else the given one of all rows; '' without any."""
    if "kind" not in line.cells:
        return given
    text = line.text("kind").lower().replace("_", "-").replace(" ", "-")
    kind = KIND_NAMES.get(text) or next((k for k in ("micro", "macro") if text.startswith(k)), None)
    if kind is None and given:
        return given
    if kind is None or kind != (given or kind):
        raise UserError(
            file=path,
            where=_where(line, MORE, "kind"),
            got=repr(line.text("kind")),
            expected=given or "me, mae, micro or macro",
            hint="--kind is for a file that holds one kind" if given else None,
        )
    return kind


def _number(path: Path, line: Line, columns: Columns, name: str) -> float:
    try:
        value = float(decimal_point(line.text(name)))
    except ValueError:
        value = math.nan
    if not abs(value) <= MAX_NUMBER:  # nor when it is no number
        raise UserError(
            file=path, where=_where(line, columns, name), got=repr(line.text(name)), expected="a frame number"
        )
    return value


def _frame(path: Path, line: Line, columns: Columns, name: str) -> float:
    """A frame number, whole or a half; another fraction is of seconds, which would all become frame 0 or 1."""
    value = _number(path, line, columns, name)
    if is_fraction(value):
        raise no_frame(path, _where(line, columns, name), line.text(name))
    return round(2 * value) / 2


def is_fraction(value: float) -> bool:
    """Whether a number is neither whole nor a half, but for the error of a calculation."""
    return math.isfinite(value) and abs(2 * value - round(2 * value)) > CALCULATED


def no_frame(path: Path, where: str, got: object) -> UserError:
    """The error for what may be seconds where a frame number belongs."""
    hint = "seconds are not read: give the frame that is shown then"
    return UserError(file=path, where=where, got=got, expected="a frame number, whole or a half", hint=hint)


def _where(line: Line, columns: Columns, name: str) -> str:
    return f"row {line.row}: {columns[name][0]}"


def write_predictions(path: Path, predictions: Sequence[Interval]) -> None:
    """Write predictions in MEGC2022's format (types `me` and `mae`), frames as whole numbers, halves rounded up.

    A video with the same name as another subject's is written with its subject in front: `spNO.1/a`.
    """
    people: dict[str, set[str]] = {}
    for p in predictions:
        people.setdefault(p.video, set()).add(p.subject)
    rows = []
    for p in predictions:
        name = p.video if len(people[p.video]) == 1 else f"{p.subject.rpartition('/')[2]}/{p.video}"
        rows.append((name, math.floor(p.onset + 0.5), math.floor(p.offset + 0.5), MEGC_KIND[p.kind]))
    write_csv(path, PREDICTION_COLUMNS, rows)
