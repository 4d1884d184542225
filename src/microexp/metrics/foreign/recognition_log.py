"""Log files of recognition on MEGC2019's 442 clips, in two forms.

As MEGC2019 asked for them: a header `casme2 sub01` per subject, then `file truth prediction` per clip. And as the
Python code of STSTNet and its descendants prints them: `Subject: sub01`, `Predicted: [0, 1]`, `Ground Truth: [0, 0]`;
these name no clips, so a clip's name is its number.

Words are parted by blanks, commas or semicolons. A header is what begins with a known data set (in any usual spelling,
or among `datasets`); a colon or a number of clips may follow. Headings, rules, comments and lines with scores are
passed over; anything else that is no clip is an error. Classes are numbers from 0 (`0.0` too) or names. Where no data
set is named, the subject's spelling tells it (`sub01`, `s1`, `006`), else it is `log`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from microexp.datasets.protocols import ALIASES, CLASSES, dataset_name, dataset_of_subject
from microexp.errors import UserError
from microexp.metrics.recognition import Prediction

UNKNOWN = "log"
"""Data set of subjects of which nothing tells it."""

_COUNT = re.compile(r"\(?(n=)?\d+\)?( (clips|samples|videos))?\)?:?", re.IGNORECASE)
_SCORE = r"(w?uf1|wf1|uar|war|(macro[- _])?f1([- _]score)?|acc(uracy)?)"
_PASSED_OVER = re.compile(
    rf"[\W_]*|[#%].*"  # empty, a rule, a comment
    rf"|.*\b{_SCORE}\b\s*[:=]\s*\(?(nan|\d*\.?\d).*"  # UF1: 0.72 | UAR: 0.73
    rf"|\W*((final|overall|total|mean|average|composite|full)\W+)*({_SCORE}\s+(nan|[01]?\.\d+)\W*)+"  # UF1 0.72
    r"|\W*((final|overall|total|composite|full)\W+)*(evaluation|results?|scores?)\W*",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"\W*(file|name|filename|clip|sample|video|dataset|subject|gt|truth|true|ground|groundtruth|label|actual|target"
    r"|pred|prediction|predicted|predict|answer|class|emotion)\W*",
    re.IGNORECASE,
)


def read_log(
    path: Path, classes: Sequence[str] = CLASSES, method: str = "", *, datasets: Collection[str] = ()
) -> list[Prediction]:
    """Read a log.

    Args:
        path: text file (UTF-8, UTF-16 with its mark, else Latin-1).
        classes: names of classes 0, 1, ...
        method: name of the method; the file's by default.
        datasets: names that a header may begin with, besides those of the composite.

    Raises:
        UserError: naming the line that does not fit.
    """
    lines = _text(path).splitlines()
    name = method or path.stem
    if any(re.match(r"\s*predicted\b.*:", line, re.IGNORECASE) for line in lines):
        found = _read_by_subject(path, lines, classes, name, datasets)
    else:
        found = _read_by_clip(path, lines, classes, name, datasets)
    if not found:
        raise UserError(file=path, problem="no prediction", expected="a MEGC2019 log")
    return found


def is_log(path: Path) -> bool:
    """Whether a file begins as a log does: with a header, a lone subject, or what the Python code prints."""
    lines = [line for line in _text(path).splitlines() if line.strip()][:20]
    if any(re.match(r"\s*(predicted|ground truth)\b.*:", line, re.IGNORECASE) for line in lines):
        return True
    first = next((line for line in lines if not _PASSED_OVER.fullmatch(line)), "")
    return bool(_header(_words(first), ()) or _lone_subject(_words(first)))


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(file=path, problem=error, expected="a text file") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _words(line: str) -> list[str]:
    """The line's words, without those of signs alone."""
    return [word for word in re.split(r"[\s,;]+", line) if re.search(r"\w", word)]


def _header(words: Sequence[str], datasets: Collection[str]) -> tuple[str, str] | None:
    """(data set, subject) of a header; the data set may be of two words, as in `CASME II sub01`."""
    for size in (2, 1):
        name = " ".join(words[:size])
        dataset = dataset_name(name)
        known = dataset if dataset in ALIASES else name.rstrip(":") if name.rstrip(":") in datasets else None
        rest = words[size:]
        if known and rest and (len(rest) == 1 or _COUNT.fullmatch(" ".join(rest[1:]))):
            return known, rest[0].rstrip(":")
    return None


def _read_by_clip(
    path: Path, lines: Sequence[str], classes: Sequence[str], method: str, datasets: Collection[str]
) -> list[Prediction]:
    found: list[Prediction] = []
    where: tuple[str, str] | None = None
    for number, line in enumerate(lines, 1):
        words = _words(line)
        if _PASSED_OVER.fullmatch(line) or all(_HEADING.fullmatch(w) for w in _words(line.replace("_", " "))):
            continue
        if header := _header(words, datasets) or _lone_subject(words):
            where = header
        elif len(words) == 3 and where:
            truth, answer = (_class(path, number, word, classes) for word in words[1:])
            found.append(Prediction(method, 0, *where, words[0], "1", truth, answer))
        else:
            expected = "a header 'dataset subject', or 'file truth prediction' under one"
            hint = f"known data sets: {', '.join((*ALIASES, *datasets))}; name others with --datasets"
            raise UserError(file=path, where=f"line {number}", got=repr(line), expected=expected, hint=hint)
    return found


def _lone_subject(words: Sequence[str]) -> tuple[str, str] | None:
    """A header `sub01`, or `Subject: sub01`; its spelling tells the data set."""
    rest = words[1:] if words and words[0].lower().rstrip(":") == "subject" else words
    dataset = dataset_of_subject(rest[0].rstrip(":")) if len(rest) == 1 else None
    return (dataset, rest[0].rstrip(":")) if dataset else None


def _read_by_subject(
    path: Path, lines: Sequence[str], classes: Sequence[str], method: str, datasets: Collection[str]
) -> list[Prediction]:
    found: list[Prediction] = []
    where, answers = (UNKNOWN, ""), list[str]()
    for number, line in enumerate([*lines, "Subject: end"], 1):
        key, _, rest = line.partition(":")
        words = _words(rest.strip(" []"))
        match " ".join(key.lower().split()):
            case "subject":
                if answers:
                    raise UserError(
                        file=path,
                        where=f"line {number}",
                        problem="no ground truth",
                        expected=f"that of subject {where[1]} before",
                    )
                where = _header(words, datasets) or _lone_subject(words) or (UNKNOWN, " ".join(words))
            case "predicted":
                answers = [_class(path, number, word, classes) for word in words]
            case "ground truth":
                truths = [_class(path, number, word, classes) for word in words]
                if len(truths) != len(answers):
                    expected = f"{len(answers)}, as many as predictions"
                    raise UserError(
                        file=path, where=f"line {number}", problem=f"{len(truths)} truths", expected=expected
                    )
                pairs = enumerate(zip(truths, answers, strict=True), 1)
                found += [Prediction(method, 0, *where, str(i), "1", t, a) for i, (t, a) in pairs]
                answers = []
    return found


def _class(path: Path, number: int, word: str, classes: Sequence[str]) -> str:
    """The class that a number (also `0.0`) or a name means."""
    named = [name for name in classes if name.lower() == word.lower()]
    if named:
        return named[0]
    if re.fullmatch(r"\d+(\.0*)?", word):
        if (found := int(float(word))) < len(classes):
            return classes[found]
        hint = "classes count from 0" if found == len(classes) else None
        raise UserError(
            file=path,
            where=f"line {number}",
            got=repr(word),
            expected=f"a class from 0 to {len(classes) - 1}",
            hint=hint,
        )
    raise UserError(
        file=path, where=f"line {number}", got=repr(word), expected=f"a class from 0 to {len(classes) - 1}, or its name"
    )
