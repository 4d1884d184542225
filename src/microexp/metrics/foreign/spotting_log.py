"""The logs of the micro-expression grand challenges (MEGC2020, MEGC2021).

A log holds one or both data sets. A line `1` starts SAMM Long Videos, a line `2` CAS(ME)^2 (or a line with the name);
then one line per pair: video, onset and offset of the ground truth, onset and offset of the prediction (`-`, `__` or
the like where there is none), and TP, FP or FN:

    006_1   324       403     -       -       FN
    006_1   5160      5259    5203    5253    TP

How the official script writes it: every prediction gets one line, TP with the first ground truth that it hits, else FP.
Then every ground truth that is hit gets a line with the first prediction that hits it, unless that very line is there,
and every other one a line FN. So a prediction that occurs beside several ground truths was made once, while lines that
are the same in everything are as many predictions.

A log does not say which kind a prediction has. Entries of later years have a file for each kind, which the user names.
Else the baseline's own settings tell: it looks for micro-expressions of 7 to 16 frames and macro-expressions from 17 on
in CAS(ME)^2, of 47 to 105 frames and from 106 on in SAMM Long Videos. Ground truths come from the release's sheet.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from microexp.errors import UserError
from microexp.metrics.foreign.spotting_names import subject_of, video_name
from microexp.metrics.spotting import Interval, hits

MICRO_MAX_FRAMES = {"cas_me2": 16, "samm_lv": 105}
"""Longest micro-expression of the baseline, by data set."""

VERDICTS = ("TP", "FP", "FN")
_PARTS = {"samm_lv": r"1|samm(lv|longvideos?)?", "cas_me2": r"2|casme2"}
_CELLS = 6
_LINE = "video, two intervals or '-', and TP, FP or FN"
_MISSING = frozenset({"", "nan", "none", "null", "n", "na", "x", "inf", "nil", "empty"})
"""What stands for a frame that is not there, without its signs: `-`, `__`, `–`, `n/a` and `[]` too."""
ROUNDED = 1
"""By so many frames logs differ from the sheet where it has halves of frames, which they round otherwise."""
Span = tuple[int, int]


@dataclass(frozen=True)
class LogPair:
    """A line of a log: a prediction beside the ground truth that it hits, or one of them alone."""

    number: int
    video: str
    truth: Span | None
    prediction: Span | None
    verdict: str


def is_log(path: Path) -> bool:
    """Whether a file is a MEGC log: its first line that is not empty names a data set, or is a pair."""
    try:
        rows = [cells for line in _read_text(path).splitlines() if (cells := _cells(line))]
    except UserError:
        return False
    return any(
        _part(row) is not None or _is_pair(row) for row in rows[:1] + [r for r in rows[1:2] if _is_heading(rows[0])]
    )


def read_log(path: Path, dataset: str) -> list[LogPair]:
    """The lines of `dataset` in a log, videos under the project's names.

    Lines of a summary, with neither a video nor a verdict, may end a part.

    Args:
        path: the log.
        dataset: `cas_me2` or `samm_lv`.

    Raises:
        UserError: naming the line that does not fit, or when the log has no part for the data set.
    """
    current = dataset  # a log of one data set may go without its number
    summary: tuple[int, str] | None = None
    found: list[LogPair] = []
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        cells = _cells(line)
        part = _part(cells)
        if part:
            current, summary = part, None
        elif cells and not found and _is_heading(cells):
            continue
        elif cells and not _is_pair(cells) and _is_summary(cells):
            summary = summary or (number, line.strip())
        elif cells:
            if summary:
                raise UserError(file=path, where=f"line {summary[0]}", got=repr(summary[1]), expected=_LINE)
            pair = _read_pair(path, number, cells, current)
            found += [pair] if current == dataset else []
    if not any(pair.prediction for pair in found):
        raise UserError(
            file=path, problem=f"no prediction for {dataset}", expected="lines under 1 (samm_lv) or 2 (cas_me2)"
        )
    return found


def log_predictions(
    pairs: Sequence[LogPair], dataset: str, micro_max_frames: int | None = None, *, kind: str = ""
) -> list[Interval]:
    """The predictions behind the lines of a log, each as often as it was made.

    Args:
        pairs: of `read_log`.
        dataset: `cas_me2` or `samm_lv`.
        micro_max_frames: longest micro-expression; None takes the baseline's.
        kind: of all of them, for a log of one kind.
    """
    lines = Counter((p.video, p.prediction, p.truth, p.verdict) for p in pairs)
    times: dict[tuple[str, Span], int] = {}
    for (video, span, _, _), count in lines.items():
        if span is not None:
            times[video, span] = max(count, times.get((video, span), 0))
    limit = MICRO_MAX_FRAMES[dataset] if micro_max_frames is None else micro_max_frames
    found = []
    for (video, (start, end)), count in times.items():
        by_length = "micro" if end - start + 1 <= limit else "macro"
        found += [Interval(subject_of(video), video, start, end, kind or by_length)] * count
    return found


def contradictions(differences: Sequence[str]) -> list[str]:
    """Those of `log_differences` in which a verdict of the log is wrong; a ground truth may just not be listed."""
    return [problem for problem in differences if problem.startswith("line ")]


def log_differences(pairs: Sequence[LogPair], predictions: Sequence[Interval], truths: Sequence[Interval]) -> list[str]:
    """What a log says otherwise than the ground truths do, line by line; then the ground truths that it lacks.

    A ground truth of the log is the one of the sheet that is nearest, by `ROUNDED` frames at most. A prediction may be
    called FP although it hits a ground truth that the log gives to another prediction.

    Args:
        pairs: of `read_log`.
        predictions: of `log_predictions`.
        truths: of the data set, under the same names of videos.
    """
    met = _hits(predictions, truths)
    hit_by: dict[tuple[str, Span | None], Span] = {(video, truth): prediction for video, prediction, truth in met}
    hitting: dict[tuple[str, Span | None], Span] = {(video, prediction): truth for video, prediction, truth in met}
    known = {(t.video, _span(t)) for t in truths}
    pairs = [replace(p, truth=_nearest(p, known)) if p.truth else p for p in pairs]
    given = {(p.video, p.truth): p.prediction for p in pairs if p.verdict == "TP"}
    problems = []
    for pair in pairs:
        problem = ""
        if pair.truth and (pair.video, pair.truth) not in known:
            problem = "there is no such ground truth"
        elif pair.verdict == "TP" and (pair.video, pair.prediction, pair.truth) not in met:
            problem = "the prediction does not hit it"
        elif pair.verdict == "FP" and (pair.video, pair.prediction) in hitting:
            truth = hitting[pair.video, pair.prediction]
            if given.get((pair.video, truth), pair.prediction) == pair.prediction:
                problem = "it hits {} to {}".format(*truth)
        elif pair.verdict == "FN" and (pair.video, pair.truth) in hit_by:
            problem = "{} to {} hits it".format(*hit_by[pair.video, pair.truth])
        if problem:
            problems.append(f"line {pair.number}, {pair.verdict} in {pair.video}: {problem}")
    listed = {(p.video, p.truth) for p in pairs}
    missing = [t for t in truths if (t.video, _span(t)) not in listed]
    return problems + [f"no line for {t.video} {t.onset} to {t.offset}" for t in missing]


def _nearest(pair: LogPair, known: Collection[tuple[str, Span]]) -> Span:
    """The ground truth that a line means, though it may round halves of frames otherwise."""
    assert pair.truth is not None
    onset, offset = pair.truth
    turns = sorted(range(-ROUNDED, ROUNDED + 1), key=abs)
    near = ((onset + a, offset + b) for a in turns for b in turns)
    return next((span for span in sorted(near, key=_away(pair.truth)) if (pair.video, span) in known), pair.truth)


def _away(span: Span) -> Callable[[Span], int]:
    return lambda other: abs(other[0] - span[0]) + abs(other[1] - span[1])


def _hits(predictions: Sequence[Interval], truths: Sequence[Interval]) -> dict[tuple[str, Span, Span], None]:
    """(video, prediction, ground truth) of every hit, in their order."""
    real: dict[tuple[str, str], list[Span]] = {}
    for truth in truths:
        real.setdefault((truth.video, truth.kind), []).append(_span(truth))
    met: dict[tuple[str, Span, Span], None] = {}
    for item in predictions:
        spans = real.get((item.video, item.kind), [])
        found = hits(np.array([_span(item)]), np.array(spans), "megc")[0]
        met |= {(item.video, _span(item), spans[i]): None for i in np.flatnonzero(found)}
    return met


def _span(item: Interval) -> Span:
    return int(item.onset), int(item.offset)


# --- lines ------------------------------------------------------------------------------------------------------------


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
        utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(file=path, problem=error, expected="a text file in UTF-8 or UTF-16") from error


def _cells(line: str) -> list[str]:
    """Cells that spaces, or else semicolons, commas or bars, set apart, quoted or not; an empty one is a `-`.

    A line of four cells lacks the interval that FP or FN says is missing.
    """
    mark = next((m for m in ";,|" if m in line), "\t" if len(line.split("\t")) == _CELLS else None)
    cells = line.strip(f" \t{mark}").split(mark) if mark else line.split()
    cells = [cell.strip(" \t'\"") for cell in cells]
    if len(cells) == _CELLS - 2 and cells[-1].upper() in ("FP", "FN"):
        at = 1 if cells[-1].upper() == "FP" else 3
        cells[at:at] = ["", ""]
    return [cell or "-" for cell in cells] if any(cells) else []


def _part(cells: Sequence[str]) -> str | None:
    """The data set that a line starts, if it does."""
    plain = re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", "".join(cells)).casefold())
    return next((dataset for dataset, names in _PARTS.items() if re.fullmatch(names, plain)), None)


def _is_pair(cells: Sequence[str]) -> bool:
    return len(cells) == _CELLS and cells[-1].upper() in VERDICTS


def _is_heading(cells: Sequence[str]) -> bool:
    """Whether a line names columns: words without any number, and no verdict."""
    return not re.search(r"\d", "".join(cells)) and cells[-1].upper() not in VERDICTS


def _is_summary(cells: Sequence[str]) -> bool:
    """Whether a line is clearly no pair that was cut off: it starts with a word and holds no verdict of its own."""
    word = re.match(r"[^\W\d_]", cells[0]) and not re.search(r"_\d", cells[0])
    return bool(word) and cells[-1].upper() not in VERDICTS


def _read_pair(path: Path, number: int, cells: Sequence[str], dataset: str) -> LogPair:
    if not _is_pair(cells):
        raise UserError(file=path, where=f"line {number}", got=repr(" ".join(cells)), expected=_LINE)
    truth, prediction = (_read_span(path, number, cells[i : i + 2]) for i in (1, 3))
    verdict = cells[5].upper()
    if (truth is None) != (verdict == "FP") or (prediction is None) != (verdict == "FN"):
        raise UserError(
            file=path,
            where=f"line {number}",
            got=repr(" ".join(cells)),
            expected="both intervals for TP, one of them for FP or FN",
        )
    return LogPair(number, video_name(cells[0], dataset), truth, prediction, verdict)


def _read_span(path: Path, number: int, cells: Sequence[str]) -> Span | None:
    if all(is_missing(cell) for cell in cells) or list(cells) == ["-1", "-1"]:
        return None
    return _read_frame(path, number, cells[0]), _read_frame(path, number, cells[1])


def is_missing(cell: str) -> bool:
    """Whether a cell stands for no frame: signs alone, or a word such as `nan`."""
    return re.sub(r"[\W_]+", "", cell).casefold() in _MISSING


def _read_frame(path: Path, number: int, text: str) -> int:
    if not re.fullmatch(r"-?\d+(\.0*)?", text):
        raise UserError(file=path, where=f"line {number}", got=repr(text), expected="a whole frame number or '-'")
    return int(text.partition(".")[0])
