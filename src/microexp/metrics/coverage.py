"""Whether the folds of an experiment cover what its index lists: no subject and no clip may vanish from a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from microexp.datasets.classes import class_in
from microexp.datasets.task import TaskParams
from microexp.errors import UserError
from microexp.metrics.recognition import Prediction
from microexp.records.exclusions import Exclusion
from microexp.records.index import Expression
from microexp.run.names import fold_name

Clip = tuple[str, str, str, str]
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
