"""That nobody and no clip vanishes from a table: folds against an index, predictions against a list or protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from microexp.datasets.classes import TaskParams, class_in
from microexp.datasets.protocols import class_of, dataset_name, find_protocol
from microexp.errors import UserError
from microexp.metrics.foreign.spotting_names import person_key, video_key
from microexp.metrics.recognition import Prediction
from microexp.reading.rows import emotion
from microexp.reading.sheets import read_sheets, table
from microexp.records.exclusions import Exclusion
from microexp.records.index import Expression
from microexp.run.names import fold_name

MEGC = "megc2019"
Clip = tuple[str, str, str, str]
"""Data set, subject, video, expression."""

LISTED = {
    "dataset": ("dataset", "database"), "subject": ("subject", "sub"),
    "video": ("sample", "video", "filename", "clip", "vid"), "expression": ("expression",), "label": ("label",),
    "emotion": ("emotion",), "kind": ("kind", "type"),
}  # fmt: skip
"""Columns of a list of clips."""


def differences(protocol: str, clips: Iterable[tuple[str, str, str]]) -> list[str]:
    """How clips (data set, subject, class) differ from a protocol: a line per data set and count that does.

    Raises:
        UserError: when there is no such protocol.
    """
    chosen, clips = find_protocol(protocol), list(clips)
    found: Counter[tuple[str, str]] = Counter((dataset, name) for dataset, _, name in clips)
    expected = dict(chosen.counts)
    found.update((dataset, "subjects") for dataset, _ in {(dataset, subject) for dataset, subject, _ in clips})
    expected |= {(dataset, "subjects"): number for dataset, number in chosen.subjects.items()}
    lines = [
        f"{dataset}: {found[dataset, what]} {what} instead of {number}"
        for (dataset, what), number in expected.items()
        if found[dataset, what] != number
    ]
    foreign = Counter(dataset for dataset, _, _ in clips if dataset not in chosen.datasets)
    return lines + [f"{dataset}: {number} clips of another data set" for dataset, number in sorted(foreign.items())]


def check_expected(clips: Iterable[Clip], path: Path, protocol: str | None = None) -> None:
    """`clips` must be exactly those of a CSV `dataset, subject, video (or sample)[, expression]`, header or none.

    Names count as the same in any usual spelling: `samm,6` and `samm,006`, `s1_ne_01` and `s01_ne_01`.
    With a column `label`, a row without one does not count; with a protocol and a column `emotion` (`expressions.csv`
    of the index; data sets then have the names of their adapters), only micro-expressions with a class count.

    Raises:
        UserError: saying how many are missing, or too many, and naming the first.
    """
    wanted = {_same(clip): clip for clip in _expected(path, protocol)}
    found = {_same(clip): clip for clip in clips}
    for problem, some, others in (("missing", wanted, found), ("not expected", found, wanted)):
        clips_of = [some[key] for key in some.keys() - others.keys()]
        if clips_of:
            first = "/".join(min(clips_of))
            raise UserError(
                file=path,
                problem=f"{len(clips_of)} of {len(some)} clips {problem}, first {first}",
                expected="each once",
            )


def _same(clip: Clip) -> Clip:
    """What is the same for all spellings of a clip."""
    dataset, subject, video, expression = clip
    return dataset_name(dataset).casefold(), person_key(subject), video_key(video), expression


def _expected(path: Path, protocol: str | None) -> list[Clip]:
    optional = ("expression", "label", "emotion", "kind")
    positions = ("dataset", "subject", "video", "label")
    lines = table(read_sheets(path)[0], LISTED, optional=optional, positions=positions, once=True)
    kept = []
    for line in lines:
        dataset, subject, video = dataset_name(line.text("dataset")), line.code("subject"), line.code("video")
        if protocol and "emotion" in line.cells:
            name = class_of(protocol, dataset, emotion(line.cells["emotion"]), subject=subject, video=video)
            counts = name is not None and line.text("kind") in ("", "micro")
        else:
            counts = "label" not in line.cells or line.text("label") != ""
        if counts:
            kept.append((dataset, subject, video, line.code("expression") or "1"))
    return kept


# Whether the folds of an experiment cover what its index lists: no subject and no clip may vanish from a table.

HINT = "the index has changed since: run the workflow again"


def check_folds(subjects: Sequence[str], folds: Iterable[Path]) -> None:
    """Every method needs a fold `…/{method}/{dataset}-{subject}/detections.csv` of every `dataset/subject`, once.

    Raises:
        UserError: naming the first subject that a method has no fold of, or has two of.
    """
    given: dict[Path, list[str]] = {}
    for path in folds:
        given.setdefault(path.parent.parent, []).append(path.parent.name)
    for method, names in given.items():
        for who in subjects:
            fold = fold_name(*who.split("/"))
            if fold not in names:
                what = f"{who} in the index, but no fold that holds it out"
                raise UserError(file="folds", problem=what, expected=method / fold / "detections.csv", hint=HINT)
            if names.count(fold) > 1:
                raise UserError(file=method / fold / "detections.csv", problem="given twice", expected="each fold once")


def check_methods(wanted: Iterable[str], found: Iterable[str]) -> None:
    """The table must have rows, those of every wanted method among them.

    Raises:
        UserError: naming the first method of which nothing says that it ran.
    """
    rows = list(found)
    expected = "detections or predictions of it, or a selection.json with its seeds"
    for name in wanted:
        if name not in rows:
            raise UserError(file="folds", where=f"method {name}", problem="nothing says that it ran", expected=expected)
    if not rows:
        problem = "empty, and no selection.json says which methods ran"
        raise UserError(file="folds", problem=problem, expected=expected)


def labelled_clips(
    expressions: Iterable[Expression], task: TaskParams, exclusions: Iterable[Exclusion]
) -> dict[Clip, str]:
    """Clip -> class of all expressions that the task has a class for and that could be used."""
    excluded = {(e.dataset, e.subject, e.video, e.reason.partition(":")[0]) for e in exclusions}
    found = {}
    for e in expressions:
        name = class_in(task, e.dataset, e.subject, video=e.video, emotion=e.emotion, aus=str(e.aus))
        wanted = name is not None and e.dataset in task.datasets and e.kind in task.kinds
        if wanted and (e.dataset, e.subject, e.video, f"expression {e.expression}") not in excluded:
            found[e.dataset, e.subject, e.video, str(e.expression)] = str(name)
    return found


def check_clips(expected: Mapping[Clip, str], predictions: Iterable[Prediction]) -> None:
    """The predictions must be about the expected clips, all of them, with these labels.

    Raises:
        UserError: naming the first clip that is missing, or should not be there, or has another label.
    """
    labels = {p.clip: p.label for p in predictions}
    for clip in sorted(expected.keys() | labels.keys()):
        if labels.get(clip) != expected.get(clip):
            name = f"expression {'/'.join(clip)}"
            wanted = f"{expected[clip]!r}, as the index says" if clip in expected else "none, as the index says"
            if clip not in labels:
                raise UserError(file="folds", where=name, problem="no prediction", expected=wanted, hint=HINT)
            raise UserError(file="folds", where=name, got=repr(labels[clip]), expected=wanted, hint=HINT)
