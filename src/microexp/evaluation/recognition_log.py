"""Log files of recognition on MEGC2019's 442 clips, in two forms.

As MEGC2019 asked for them: a header `casme2 sub01` per subject, then `file truth prediction` per clip. And as the
Python code of STSTNet and its descendants prints them: `Subject: sub01`, `Predicted: [0, 1]`, `Ground Truth: [0, 0]`;
these name neither data set nor clips, so the data set is `log` and a clip's name is its number.
"""

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
    name = method or path.stem
    by_subject = any(line.startswith("Subject:") for line in lines)
    found = _read_by_subject(path, lines, classes, name) if by_subject else _read_by_clip(path, lines, classes, name)
    if not found:
        raise UserError(path, None, "no prediction", "a MEGC2019 log")
    return found


def _read_by_clip(path: Path, lines: Sequence[str], classes: Sequence[str], method: str) -> list[Prediction]:
    found: list[Prediction] = []
    dataset = subject = ""
    for number, line in enumerate(lines, 1):
        words = line.split()
        if len(words) == 2:
            dataset, subject = words
        elif len(words) == 3 and dataset:
            truth, answer = (_class(path, number, word, classes) for word in words[1:])
            found.append(Prediction(method, 0, dataset, subject, words[0], "1", truth, answer))
        elif words:
            raise UserError(
                path, f"line {number}", repr(line), "'dataset subject', or 'file truth prediction' under one"
            )
    return found


def _read_by_subject(path: Path, lines: Sequence[str], classes: Sequence[str], method: str) -> list[Prediction]:
    found: list[Prediction] = []
    subject, answers = "", list[str]()
    for number, line in enumerate(lines, 1):
        key, _, rest = line.partition(":")
        words = rest.strip(" []").replace(",", " ").split()
        if key.strip() == "Subject":
            subject, answers = " ".join(words), []
        elif key.strip() == "Predicted":
            answers = [_class(path, number, word, classes) for word in words]
        elif key.strip() == "Ground Truth":
            truths = [_class(path, number, word, classes) for word in words]
            if len(truths) != len(answers):
                raise UserError(
                    path, f"line {number}", f"{len(truths)} truths", f"{len(answers)}, as many as predictions"
                )
            pairs = enumerate(zip(truths, answers, strict=True), 1)
            found += [Prediction(method, 0, "log", subject, str(i), "1", t, a) for i, (t, a) in pairs]
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
