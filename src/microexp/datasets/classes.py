"""Which class a clip has in an experiment: from its own `classes`, a published protocol, or its action units."""

from __future__ import annotations

import numpy as np

from microexp.datasets import units
from microexp.datasets.protocols import class_of, find_protocol
from microexp.datasets.task import RecognitionTask, TaskParams
from microexp.errors import UserError
from microexp.records.clips import Clips


def class_names(task: RecognitionTask) -> tuple[str, ...]:
    """The classes in the order of their numbers; for `target: action_units` the names of the units.

    Raises:
        UserError: when there is no such protocol.
    """
    if task.target == "action_units":
        return units.NAMES
    if task.classes is not None:
        return tuple(task.classes)
    return tuple(find_protocol(str(task.protocol)).classes)


def class_in(task: TaskParams, dataset: str, subject: str, video: str, emotion: str, aus: str) -> str | None:
    """Class of an expression, or its units as its sheet writes them (`4+L10`); None where it has none.

    A protocol may name emotions per release and leave single clips out, so it is asked by adapter: `adapters` of the
    task says which one read a data set (by default the one of the data set's own name).
    """
    if task.target == "action_units":
        return aus or None
    if task.classes is not None:
        return next((name for name, emotions in task.classes.items() if emotion in emotions), None)
    return class_of(str(task.protocol), task.adapters.get(dataset, dataset), emotion, subject, video)


def check_emotions(clips: Clips, task: RecognitionTask) -> None:
    """Raise when an emotion of the experiment's classes is that of no clip: it is written otherwise, or not there.

    Raises:
        UserError: naming the emotion, and those that the clips have.
    """
    known = sorted({str(emotion) for emotion in clips.emotion if str(emotion)})
    for name, emotions in (task.classes or {}).items():
        for emotion in emotions:
            if emotion not in known:
                raise UserError(
                    file="config",
                    where=f"classes.{name}",
                    got=repr(emotion),
                    expected=f"an emotion of some clip: {', '.join(known) or 'none has one'}",
                )


def labels_of(clips: Clips, task: TaskParams) -> np.ndarray:
    """(N,) int64 number of each clip's class, -1 where it has none; for `target: action_units` 0 where it has units."""
    if task.target == "action_units":
        return np.where(clips.aus != "", 0, -1).astype(np.int64)
    number: dict[str | None, int] = {name: k for k, name in enumerate(class_names(task))}
    columns = (clips.dataset, clips.subject, clips.video, clips.emotion)
    rows = (map(str, row) for row in zip(*columns, strict=True))
    found = [class_in(task, dataset, subject, video, emotion, "") for dataset, subject, video, emotion in rows]
    return np.array([number.get(name, -1) for name in found], dtype=np.int64)
