"""The logs and sheets of the micro-expression grand challenges, read as their official script reads them.

A MEGC2020/2021 log holds one or both data sets. A line `1` starts SAMM Long Videos, a line `2` CAS(ME)^2; then one line
per pair: video, onset and offset of the ground truth, onset and offset of the prediction (`-` where there is none), and
TP, FP or FN:

    006_1   324       403     -       -       FN
    006_1   5160      5259    5203    5253    TP

A log does not say which kind a prediction has: the baseline's are told apart by length alone (its micro-expressions
have at most 16 frames in CAS(ME)^2 and 105 in SAMM Long Videos). Ground truths come from the release's sheet.
"""

from __future__ import annotations

import re
from pathlib import Path

from microexp.datasets.intervals import as_frame
from microexp.errors import UserError
from microexp.evaluation.spotting import Interval
from microexp.evaluation.spotting_files import subject_of

PARTS = {"1": "samm_lv", "2": "cas_me2"}
MICRO_MAX_FRAMES = {"cas_me2": 16, "samm_lv": 105}
_LINE = re.compile(r"(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(TP|FP|FN)")


def is_log(path: Path) -> bool:
    """Whether a file is a MEGC log: its first line is the number of a data set, or a pair."""
    try:
        with path.open(encoding="utf-8") as file:
            first = file.readline().strip()
    except (OSError, UnicodeDecodeError):
        return False
    return first in PARTS or bool(_LINE.fullmatch(first))


def read_log(path: Path, dataset: str, micro_max_frames: int | None = None) -> list[Interval]:
    """Predictions of `dataset` in a log.

    Args:
        path: the log.
        dataset: `cas_me2` or `samm_lv`.
        micro_max_frames: longest micro-expression; None takes the baseline's.

    Raises:
        UserError: naming the line that does not fit, or when the log has no part for the data set.
    """
    limit = MICRO_MAX_FRAMES[dataset] if micro_max_frames is None else micro_max_frames
    current: str | None = dataset  # a log of one data set may go without its number
    seen = set()
    found = []  # a prediction that hits two ground truths has two lines
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if text in PARTS or not text:
            current = PARTS.get(text, current)
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            raise UserError(path, f"line {number}", repr(text), "video, two intervals or '-', and TP, FP or FN")
        if current != dataset or match[4] == match[5] == "-":
            continue
        start, end = _frame(path, number, match[4]), _frame(path, number, match[5])
        video = video_name(match[1], dataset)
        if (video, start, end) not in seen:
            seen.add((video, start, end))
            kind = "micro" if end - start + 1 <= limit else "macro"
            found.append(Interval(subject_of(video), video, start, end, kind))
    if not found:
        raise UserError(path, None, f"no prediction for {dataset}", "lines under 1 (samm_lv) or 2 (cas_me2)")
    return found


def video_name(name: str, dataset: str) -> str:
    """The project's name of a log's video: logs leave out the `s` of CAS(ME)^2's subjects."""
    return f"s{name}" if dataset == "cas_me2" and not name.startswith("s") else name


def read_sheet(path: Path, dataset: str) -> list[Interval]:
    """Ground truths of a release's annotation sheet in the release's own numbering, every row counted.

    Fractional frames are rounded half up, and an offset of 0 means the apex, as in the official script; nothing is
    clipped to the video.

    Raises:
        UserError: when a row has no frame numbers.
    """
    from microexp.datasets.adapters import load_adapter
    from microexp.datasets.base import Release
    from microexp.datasets.intervals import ROW_LEFT_OUT
    from microexp.datasets.params import IndexParams

    release = Release(dataset, path.parent, IndexParams(sheet=path.name))
    found = []
    for row in load_adapter(dataset, dataset).read_rows(release):
        (onset, _), (apex, _), (offset, _) = as_frame(row.onset), as_frame(row.apex), as_frame(row.offset)
        if offset == 0 and apex is not None:
            offset = apex
        if onset is None or offset is None:
            raise UserError(path, f"row {row.row}", f"{row.onset!r} to {row.offset!r}", "frame numbers")
        found.append(Interval(row.subject, row.video, onset, offset, row.kind, row.emotion))
    for issue in release.issues:
        if issue.action == ROW_LEFT_OUT:
            raise UserError(path, f"row {issue.row}: {issue.field}", issue.problem, "a row of the release")
    return found


def _frame(path: Path, number: int, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UserError(path, f"line {number}", repr(text), "a frame number or '-'") from error
