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


def check_folds(subjects: Iterable[str], folds: Sequence[Path]) -> None:
    """Every `dataset/subject` needs a fold `…/{dataset}-{subject}/detections.csv`; one may hold no detection.

    Raises:
        UserError: naming the first subject without one.
    """
    given = {path.parent.name for path in folds}
    for who in subjects:
        fold = fold_name(*who.split("/"))
        if fold not in given:
            what = f"{who} in the index, but no fold that holds it out"
            raise UserError(file="folds", problem=what, expected=f"…/{fold}/detections.csv", hint=HINT)


def labelled_clips(
    expressions: Iterable[Expression], task: TaskParams, exclusions: Iterable[Exclusion]
) -> dict[Clip, str]:
    """Clip -> class of all expressions that the task has a class for and that could be used."""
    left_out = {(e.dataset, e.subject, e.video, e.reason.partition(":")[0]) for e in exclusions}
    found = {}
    for e in expressions:
        name = class_in(task, e.dataset, e.subject, e.video, e.emotion)
        wanted = name is not None and e.dataset in task.datasets and e.kind in task.kinds
        if wanted and (e.dataset, e.subject, e.video, f"expression {e.expression}") not in left_out:
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
            got = repr(labels[clip]) if clip in labels else "no prediction"
            wanted = f"{expected[clip]!r}, as the index says" if clip in expected else "none, as the index says"
            raise UserError(file="folds", where=name, got=got, expected=wanted, hint=HINT)
