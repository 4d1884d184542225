"""Log files as MEGC2019 asked for them: a header `casme2 sub01` per subject, then `file truth prediction` per clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from microexp import storage
from microexp.errors import UserError
from microexp.evaluation.recognition import Prediction

MEGC_CLASSES = ("negative", "positive", "surprise")
"""0, 1 and 2 of the official logs."""


def read_log(path: Path, classes: Sequence[str] = MEGC_CLASSES, method: str = "") -> list[Prediction]:
    """Read a log.

    Args:
        path: text file.
        classes: names of classes 0, 1, ...
        method: name of the method; the file's by default.

    Raises:
        UserError: naming the line that does not fit.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, None, error, "a text file in UTF-8") from error
    found: list[Prediction] = []
    dataset = subject = None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if len(words) == 2:
            dataset, subject = words
        elif len(words) == 3 and dataset and subject:
            truth, answer = (_class(path, number, word, classes) for word in words[1:])
            found.append(Prediction(method or path.stem, 0, dataset, subject, words[0], "1", truth, answer))
        elif words:
            raise UserError(
                path, f"line {number}", repr(line), "'dataset subject', or 'file truth prediction' under one"
            )
    if not found:
        raise UserError(path, None, "no prediction", "a MEGC2019 log")
    return found


def _class(path: Path, number: int, word: str, classes: Sequence[str]) -> str:
    if not word.isdigit() or int(word) >= len(classes):
        raise UserError(path, f"line {number}", repr(word), f"a class from 0 to {len(classes) - 1}")
    return classes[int(word)]


def write_log(path: Path, predictions: Sequence[Prediction], classes: Sequence[str] = MEGC_CLASSES) -> None:
    """Write the predictions of one method and seed as a log, subjects in the order in which they come."""
    number = {c: i for i, c in enumerate(classes)}
    subjects: dict[tuple[str, str], list[str]] = {}
    for p in predictions:
        clip = p.video if p.expression in ("", "1") else f"{p.video}_{p.expression}"
        subjects.setdefault((p.dataset, p.subject), []).append(f"{clip} {number[p.label]} {number[p.prediction]}")
    lines = [line for (d, s), clips in subjects.items() for line in (f"{d} {s}", *clips)]
    storage.write_text(path, "\n".join(lines) + "\n")
