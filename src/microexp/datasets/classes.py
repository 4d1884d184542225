"""Which class a clip has in an experiment: from its own `classes`, a published protocol, or its action units."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, field_validator, model_validator

from microexp.datasets.protocols import class_of, find_protocol
from microexp.errors import UserError
from microexp.reading.rows import emotion as emotion_name
from microexp.reading.rows import parse_aus
from microexp.records.clips import Clips
from microexp.run.log import log
from microexp.run.names import each_once
from microexp.run.stage import Params

# What is to be recognised: options that say which expressions, and as what.


class RecognitionTask(Params):
    """Which expressions are to be recognised, and as what."""

    datasets: Annotated[list[str], AfterValidator(each_once)] = Field(
        min_length=1, description="Data sets; each of their subjects is a fold."
    )
    target: Literal["emotion", "action_units"] = Field(
        "emotion",
        description="What is recognised: one class of emotions per expression, or its action units (no `classes`, no "
        "`protocol`; expressions without a unit in the sheet are excluded).",
    )
    classes: dict[str, list[str]] | None = Field(
        None, min_length=2, description="Class -> emotions that belong to it; other emotions are excluded."
    )
    protocol: str | None = Field(None, description="Name of a published choice of classes, instead of `classes`.")
    kinds: list[Literal["micro", "macro"]] = Field(
        ["micro"], min_length=1, description="Kinds of expression to recognise."
    )

    @field_validator("classes")
    @classmethod
    def _spell(cls, classes: dict[str, list[str]] | None) -> dict[str, list[str]] | None:
        """Emotions as the index spells them: `Happy` is happiness here as in a sheet."""
        return classes and {name: [emotion_name(e) for e in emotions] for name, emotions in classes.items()}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.target == "action_units":
            if self.classes is not None or self.protocol is not None:
                raise ValueError("target action_units has neither classes nor a protocol")
        elif (self.classes is None) == (self.protocol is None):
            raise ValueError("needs either classes or a protocol")
        emotions = [e for members in (self.classes or {}).values() for e in members]
        again = [e for number, e in enumerate(emotions) if e in emotions[:number]]
        if again:
            raise ValueError(f"classes with each emotion once, and {again[0]!r} is there twice")
        return self


class TaskParams(RecognitionTask):
    """A task that knows how its data sets were read."""

    adapters: dict[str, str] = Field({}, description="Data set -> adapter that read it, for protocols.")


# Which action units a clip shows, for experiments that recognise units: several at once, or none of those known.

KNOWN = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 18, 20, 24, 25, 26, 45)
"""Units of an experiment with `target: action_units`: those that the shipped model knows."""


def unit_name(unit: int) -> str:
    """`AU12`."""
    return f"AU{unit}"


NAMES = tuple(map(unit_name, KNOWN))


def numbers(text: str) -> set[int]:
    """Numbers of the units of a cell such as `4+7+L10`, whichever side."""
    return {unit.number for unit in parse_aus(text)[0]}


def shown(cells: Iterable[object], units: Sequence[int] = KNOWN) -> np.ndarray:
    """(N, U) bool: which of `units` each cell names."""
    found = [numbers(str(cell)) for cell in cells]
    return np.array([[unit in own for unit in units] for own in found], dtype=bool).reshape(len(found), len(units))


def class_names(task: RecognitionTask) -> tuple[str, ...]:
    """The classes in the order of their numbers; for `target: action_units` the names of the units.

    Raises:
        UserError: when there is no such protocol.
    """
    if task.target == "action_units":
        return NAMES
    if task.classes is not None:
        return tuple(task.classes)
    return tuple(find_protocol(str(task.protocol)).classes)


def class_in(task: TaskParams, dataset: str, subject: str, *, video: str, emotion: str, aus: str) -> str | None:
    """Class of an expression, or its units as its sheet writes them (`4+L10`); None where it has none.

    A protocol may name emotions per release and leave single clips out, so it is asked by adapter: `adapters` of the
    task says which one read a data set (by default the one of the data set's own name).
    """
    if task.target == "action_units":
        return aus or None
    if task.classes is not None:
        return next((name for name, emotions in task.classes.items() if emotion in emotions), None)
    return class_of(str(task.protocol), task.adapters.get(dataset, dataset), emotion, subject=subject, video=video)


def check_emotions(known: Iterable[str], task: RecognitionTask, file: object = "config", *, where: str = "") -> None:
    """Raise when an emotion of the experiment's classes occurs nowhere: it is written otherwise, or not there.

    Args:
        known: emotions of everything that the data sets hold, of people who are not used too.
        task: the experiment.
        file: that holds it.
        where: key of the experiment in it.

    Raises:
        UserError: naming the emotion, and those that are known.
    """
    there = sorted({str(emotion) for emotion in known} - {""})
    for name, emotion in _absent(there, task):
        raise UserError(
            file=file,
            where=".".join(filter(None, (where, "classes", name))),
            got=repr(emotion),
            expected=f"an emotion of some clip: {', '.join(there) or 'none has one'}",
        )


def log_absent_emotions(clips: Clips, task: RecognitionTask) -> None:
    """Say which emotions of the classes no clip has: those who show them are not among the people that are used."""
    for name, emotion in _absent({str(emotion) for emotion in clips.emotion}, task):
        log(f"no clip shows {emotion!r} of the class {name}")


def _absent(known: Container[str], task: RecognitionTask) -> list[tuple[str, str]]:
    """(class, emotion) of the emotions that are not among `known`."""
    return [(name, e) for name, emotions in (task.classes or {}).items() for e in emotions if e not in known]


def labels_of(clips: Clips, task: TaskParams) -> np.ndarray:
    """(N,) int64 number of each clip's class, -1 where it has none; for `target: action_units` 0 where it has units."""
    if task.target == "action_units":
        return np.where(clips.aus != "", 0, -1).astype(np.int64)
    number: dict[str | None, int] = {name: k for k, name in enumerate(class_names(task))}
    columns = (clips.dataset, clips.subject, clips.video, clips.emotion)
    rows = (map(str, row) for row in zip(*columns, strict=True))
    found = [
        class_in(task, dataset, subject, video=video, emotion=emotion, aus="")
        for dataset, subject, video, emotion in rows
    ]
    return np.array([number.get(name, -1) for name in found], dtype=np.int64)
